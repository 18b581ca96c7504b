"""Options about the remote: encryption, a transport, an address that is not known yet, the user agent."""

from __future__ import annotations

import struct
from contextlib import closing
from typing import TYPE_CHECKING

import apsw
import httpx
import pytest

import turso_sync_nb as tsn
from turso_sync_nb.options import RemoteEncryptionCipher
from turso_sync_nb.protocol.pull_updates import PullHeader, encode_header, encode_page
from turso_sync_nb.units import PageId

if TYPE_CHECKING:
    from pathlib import Path

KEY = "bm90IGEgcmVhbCBrZXksIGp1c3QgMzIgYnl0ZXMhISE="

NEEDED = {
    "Aes256Gcm": 28, "Aes128Gcm": 28, "ChaCha20Poly1305": 28,
    "Aegis128L": 32, "Aegis128X2": 32, "Aegis128X4": 32,
    "Aegis256": 48, "Aegis256X2": 48, "Aegis256X4": 48,
}  # fmt: skip
"""What Turso's package writes for each cipher into byte 20 of a fresh database."""


class Noting(httpx.BaseTransport):
    """The real way, with each request noted; ``closed`` says whether somebody closed it."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.closed = False
        self._real = httpx.HTTPTransport(verify=False)  # no TLS here: to read its certificates takes 30 ms

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Note it and send it."""
        self.requests.append(request)
        return self._real.handle_request(request)

    def close(self) -> None:
        """Note it."""
        self.closed = True


def pages(db: tsn.Connection, path: Path) -> list[bytes]:
    """Return the pages of a replica, as SQLite's own backup copies them."""
    db.export(path)
    data = path.read_bytes()
    return [data[at : at + 4096] for at in range(0, len(data), 4096)]


@pytest.mark.parametrize("cipher", list(NEEDED))
def test_a_cipher_reserves_the_end_of_each_page(tmp_path, cipher):
    """Byte 20 of the header says as much as the cipher needs, and no page uses its end."""
    theirs = pytest.importorskip("turso.sync", reason="pyturso").RemoteEncryptionCipher
    for number, given in enumerate((RemoteEncryptionCipher[cipher], cipher.lower(), getattr(theirs, cipher))):
        options = {"remote_encryption_cipher": given, "remote_encryption_key": KEY}
        with closing(tsn.connect(tmp_path / f"r{number}", bootstrap_if_empty=False, **options)) as db:
            db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
            db.executemany("INSERT INTO t VALUES (?, ?)", [(n, f"{n:05} " * n) for n in range(1, 900, 9)])
            db.commit()
            found = pages(db, tmp_path / f"copy{number}.db")
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        need = NEEDED[cipher]
        assert found[0][20] == need
        assert len(found) > 50
        assert {page[-need:] for page in found} == {bytes(need)}


def test_reserved_bytes_stay_when_an_empty_remote_is_pulled(tmp_path, embedded):
    """They can be given as a number, outlast a first pull from a remote without pages, and rows arrive."""
    options = {"reserved_bytes": 40, "bootstrap_if_empty": False}
    with closing(tsn.connect(tmp_path / "r", embedded().url, **options)) as db:
        db.execute("CREATE TABLE t (a)")
        db.execute("INSERT INTO t VALUES (1)")
        db.commit()
        db.pull()
        db.push()
        db.pull()
        assert db.execute("SELECT * FROM t").fetchall() == [(1,)]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"remote_encryption_cipher": "rot13"}, "none that is known.*Aes256Gcm"),
        ({"remote_encryption_cipher": 7}, "none that is known"),
        ({"remote_encryption_cipher": "aes256gcm", "reserved_bytes": 48}, "the cipher needs 28"),
        ({"reserved_bytes": 256}, "up to 255"),
        ({"reserved_bytes": -1}, "no number of bytes"),
        ({"reserved_bytes": "28"}, "no number of bytes"),
        ({"transport": "tor"}, "transport is str"),
        ({"remote_encryption_key": "two words"}, "encryption key holds characters"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, options, reason):
    """In one line with a hint, and nothing is made."""
    with pytest.raises(tsn.UsageError, match=reason):
        tsn.connect(tmp_path / "r", "http://127.0.0.1:9", **options)
    assert not (tmp_path / "r").exists()


def test_each_request_has_the_key_and_says_who_asks(tmp_path, embedded, people):
    """Key and user agent are on pulls, pushes, lazy fetches and questions; the transport is not closed."""
    transport, url = Noting(), embedded(people).url
    lazily = tsn.PartialSyncOpts(tsn.PartialSyncPrefixBootstrap(4096))
    options = {"partial_sync": lazily, "remote_encryption_key": KEY, "transport": transport}
    with closing(tsn.connect(tmp_path / "r", url, isolation_level=None, **options)) as db:
        db.execute("SELECT count(*) FROM person").fetchall()
        db.execute("INSERT INTO person VALUES (-1, 'new', NULL, NULL, NULL, NULL)")
        db.sync()
        db.has_news()
        assert len(transport.requests) == db.stats().network_requests
    assert {request.url.path for request in transport.requests} == {"/pull-updates", "/v2/pipeline"}
    assert {request.headers["x-turso-encryption-key"] for request in transport.requests} == {KEY}
    agents = {request.headers["user-agent"] for request in transport.requests}
    assert agents == {f"turso-sync-nb/{tsn.__version__}"}
    assert not transport.closed
    assert KEY not in (tmp_path / "r" / "replica.json").read_text()


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, b"Bad Request: encryption key required"),
        (403, b"wrong encryption key"),
        (500, b"failed to decrypt page 1: encryption key is not that of the database"),
    ],
)
def test_a_missing_or_wrong_key_is_said(tmp_path, status, text):
    """As the remote says it, with the option to give; the key is not in it, whatever the remote quotes."""
    transport = httpx.MockTransport(
        lambda _: httpx.Response(status, headers={"content-length": str(len(text))}, content=text)
    )
    with pytest.raises(tsn.RemoteRefusedError, match="remote_encryption_key") as raised:
        tsn.connect(tmp_path / "r", "http://db", transport=transport, remote_encryption_key=KEY)
    assert text.decode()[:20] in str(raised.value)
    assert KEY not in str(raised.value)


def test_pages_that_are_still_encrypted_are_refused(tmp_path, embedded, people):
    """A remote that sends pages as they lie on its disk is told from a database, and the key is named."""

    def answer(request: httpx.Request) -> httpx.Response:
        page = struct.pack(">Q", 0xFEED) * 512
        body = encode_header(PullHeader("r", 1)) + encode_page(PageId(0), page, "raw")
        return httpx.Response(200, headers={"content-length": str(len(body))}, content=body)

    with pytest.raises(tsn.ProtocolError, match="if the remote is encrypted, give remote_encryption_key"):
        tsn.connect(tmp_path / "r", "http://db", transport=httpx.MockTransport(answer))


@pytest.mark.parametrize("lazily", [False, True])
def test_local_first_while_the_address_is_none(tmp_path, remote_server, people, lazily):
    """While a function gives None, a new replica begins empty; the first pull brings the rest."""
    address: list[str | None] = [None]
    partial = tsn.PartialSyncOpts(tsn.PartialSyncPrefixBootstrap(4096)) if lazily else None

    def connect() -> tsn.Connection:
        return tsn.connect(tmp_path / "r", lambda: address[0], isolation_level=None, partial_sync=partial)

    with closing(connect()) as db:
        assert db.opening_note == ""
        db.execute("CREATE TABLE here (v)")
        db.execute("INSERT INTO here VALUES ('local')")
        with pytest.raises(tsn.RemoteUnreachableError, match="paused"):
            db.pull()
    with closing(connect()) as db:
        assert db.execute("SELECT * FROM here").fetchall() == [("local",)]
    address[0] = "http://127.0.0.1:9"
    with closing(connect()) as db:  # it is known, and nobody answers: what is here is here
        assert db.opening_note.startswith("nothing of the remote is here yet")
        assert db.execute("SELECT * FROM here").fetchall() == [("local",)]
    address[0] = remote_server(people).url
    with closing(connect()) as db, apsw.Connection(str(people)) as plain:
        assert db.execute("SELECT count(*) FROM person").fetchone() == (
            plain.execute("SELECT count(*) FROM person").get,
        )
        db.push()
    plain.close()
    with closing(tsn.connect(tmp_path / "other", address[0])) as other:
        assert other.execute("SELECT * FROM here").fetchall() == [("local",)]
