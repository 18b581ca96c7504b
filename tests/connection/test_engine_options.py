"""Each option of the reference's sync engine changes something that is seen, or is refused with a reason."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

import turso_sync_nb as tsn
from turso_sync_nb.protocol.pull_updates import PullRequest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
TABLE = re.compile(r"^\| `(\w+)`[^|]* \| [^|]+ \| (.+) \|$", re.MULTILINE)
KEY = "bm90IGEgcmVhbCBrZXksIGp1c3QgMzIgYnl0ZXMhISE="


class Noting(httpx.BaseTransport):
    """The real way, with each request noted."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self._real = httpx.HTTPTransport(verify=False)  # no TLS here: to read its certificates takes 30 ms

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Note it and send it."""
        request.read()
        self.requests.append(request)
        return self._real.handle_request(request)

    def close(self) -> None:
        """Close the real way."""
        self._real.close()

    def pulls(self) -> list[PullRequest]:
        """Return the requests for pages."""
        asked = [one.content for one in self.requests if one.url.path == "/pull-updates"]
        return [PullRequest.decode(body) for body in asked]


def lazily(**options: Any) -> tsn.PartialSyncOpts:
    """Return the options of a small prefix."""
    return tsn.PartialSyncOpts(tsn.PartialSyncPrefixBootstrap(4096), **options)


def with_rows(db: tsn.Connection, _transport: Noting) -> Any:
    """Return which tables are there."""
    return db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'person'").fetchall()


def with_a_push(db: tsn.Connection, _transport: Noting) -> Any:
    """Push two transactions; return how many changes went, and the requests, of which one asks."""
    for number in (-1, -2):
        db.execute("INSERT INTO person (id, name) VALUES (?, 'new')", (number,))
        db.commit()
    report = db.push()
    return report.changes, report.requests


def with_a_pull(db: tsn.Connection, transport: Noting) -> Any:
    """Pull, and return how long the remote was asked to wait."""
    db.pull()
    return max(pull.long_poll_timeout_ms or 0 for pull in transport.pulls())


def with_a_scan(db: tsn.Connection, transport: Noting) -> Any:
    """Read a table, and return whether many requests were needed."""
    before = len(transport.requests)
    db.execute("SELECT count(city) FROM person").fetchall()
    return len(transport.requests) - before > 10


def resident(db: tsn.Connection, _transport: Noting) -> Any:
    """Return how much is here."""
    return db.stats().pages_resident == db.stats().pages_total


def bootstrapped(_db: tsn.Connection, transport: Noting) -> Any:
    """Return whether the bootstrap took several requests."""
    return len(transport.pulls()) > 2


def with_frames(db: tsn.Connection, transport: Noting) -> Any:
    """Push a transaction of several pages and pull it; return whether that took many requests."""
    db.execute("UPDATE person SET score = 1 WHERE id % 200 = 1")
    db.commit()
    db.push()
    db.pull()
    return len([one for one in transport.requests if one.url.path.startswith("/sync/")]) > 10


def exported(_db: tsn.Connection, transport: Noting) -> Any:
    """Return whether the database came as a base file."""
    return any(one.url.path.startswith("/export/") for one in transport.requests)


def reserved(db: tsn.Connection, _transport: Noting) -> Any:
    """Return byte 20 of the header of a database that began here."""
    db.execute("CREATE TABLE new (a)")
    db.commit()
    copy = db.path.with_suffix(".copy")
    db.export(copy)
    return copy.read_bytes()[20]


def header(db: tsn.Connection, transport: Noting) -> Any:
    """Return the key that goes with each request."""
    db.pull()
    return {request.headers.get("x-turso-encryption-key") for request in transport.requests}


def client(db: tsn.Connection, _transport: Noting) -> Any:
    """Return how this client is named."""
    found = tsn.read_metadata(db.path)
    return found and found.client_unique_id.rpartition("-")[0][:6]


def address(db: tsn.Connection, _transport: Noting) -> Any:
    """Return whether there is a remote."""
    return db.remote_url is not None


SEEN: dict[str, tuple[dict[str, Any], dict[str, Any], Callable[..., Any], tuple[Any, Any]]] = {
    "remote_url": ({"remote_url": None, "bootstrap_if_empty": False}, {}, address, (False, True)),
    "client_name": ({}, {"client_name": "reader"}, client, ("turso-", "reader")),
    "tables_ignore": ({}, {"tables_ignore": ["person"]}, with_a_push, ((2, 2), (0, 2))),
    "use_transform": ({}, {"transform": lambda _: tsn.SKIP}, with_a_push, ((2, 2), (0, 2))),
    "long_poll_timeout": ({}, {"long_poll_timeout_ms": 5}, with_a_pull, (0, 5)),
    "bootstrap_if_empty": ({}, {"bootstrap_if_empty": False}, with_rows, ([(1,)], [(0,)])),
    "reserved_bytes": (
        {"bootstrap_if_empty": False}, {"bootstrap_if_empty": False, "reserved_bytes": 40}, reserved, (0, 40),
    ),
    "partial_sync_opts": ({}, {"partial_sync": lazily()}, resident, (True, False)),
    "remote_encryption_key": ({}, {"remote_encryption_key": KEY}, header, ({None}, {KEY})),
    "push_operations_threshold": ({}, {"push_operations_threshold": 1}, with_a_push, ((2, 2), (2, 3))),
    "wal_pull_batch_size": (
        {"protocol": "legacy", "wal_pull_batch_size": 1},
        {"protocol": "legacy", "wal_pull_batch_size": 100},
        with_frames,
        (True, False),
    ),
    "protocol_version_hint": ({}, {"protocol": "legacy"}, exported, (False, True)),
    "pull_bytes_threshold": ({}, {"pull_bytes_threshold": 65536}, bootstrapped, (False, True)),
    "segment_size": (
        {"partial_sync": lazily(segment_size=2**20, prefetch=False)},
        {"partial_sync": lazily(segment_size=4096, prefetch=False)},
        with_a_scan,
        (False, True),
    ),
    "prefetch": (
        {"partial_sync": lazily(segment_size=4096, prefetch=True)},
        {"partial_sync": lazily(segment_size=4096, prefetch=False)},
        with_a_scan,
        (False, True),
    ),
}  # fmt: skip
"""By option of the reference: two choices, what is looked at, and what is seen with each."""

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "logical_mvcc_pull": ({"logical_mvcc_pull": True}, "MVCC log"),
    "experimental_features": ({"experimental_features": "views"}, "Turso's own engine"),
}
"""By option: what is refused, and the reason that is given."""


@pytest.mark.parametrize("option", list(SEEN))
def test_option_changes_what_is_seen(option: str, embedded, people: Path, tmp_path: Path) -> None:
    """The two choices are told apart by what they do."""
    *choices, look, expected = SEEN[option]
    seen = []
    for number, options in enumerate(choices):
        transport = Noting()
        given = {"remote_url": embedded(people).url, **options}
        with closing(tsn.connect(tmp_path / f"r{number}", transport=transport, **given)) as db:
            seen.append(look(db, transport))
        transport.close()
    assert tuple(seen) == expected


@pytest.mark.parametrize("option", list(REFUSED))
def test_option_is_refused_with_the_reason(option: str, tmp_path: Path) -> None:
    """Nothing is made, and the reason is that of the table."""
    options, reason = REFUSED[option]
    with pytest.raises(tsn.UsageError, match=f"refused: .*{reason}"):
        tsn.connect(tmp_path / "r", "http://127.0.0.1:9", **options)
    assert not (tmp_path / "r").exists()


def test_each_option_of_the_table_is_here() -> None:
    """The docs have the same options, and what they name as the place of a test is one."""
    page = (ROOT / "docs/from_turso_sync.md").read_text()
    listed = dict(TABLE.findall(page.partition("## Options of the sync engine")[2]))
    assert set(listed) == SEEN.keys() | REFUSED.keys()
    for option, places in listed.items():
        named = re.findall(r"`(tests/[^`]+)`", places)
        assert named, option
        for place in named:
            assert (ROOT / place).is_file(), place
