"""What goes wrong when connecting: one clear error of ours with a hint, and nothing left half done."""

from __future__ import annotations

import copy
import gc
import http.server
import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING

import httpx
import pytest
from replicas import lazily

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def check_refused(
    path: object, url: object, error: type[tsn.SyncError], words: str, **options: object
) -> None:
    """Check that connecting fails with ``error``, one line, ``words`` and a hint, and leaves no folder."""
    with pytest.raises(error, match=words) as caught:
        tsn.connect(path, url, **options)
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    assert not path.exists()


@pytest.mark.parametrize("url", ["flights", "ftp://host/db", "http://", "ws://127.0.0.1:1", "http://[::1"])
def test_no_address(tmp_path, url) -> None:
    """What is no address of a database is refused before anything is made."""
    check_refused(tmp_path / "r", url, tsn.UsageError, "address")


@pytest.mark.parametrize(
    "size",
    [{"max_resident": 2e9}, {"max_resident": [2**21]}, {"pull_bytes_threshold": "1MB"},
     {"pull_bytes_threshold": 1e6}, {"pull_bytes_threshold": 4095}],
    ids=str,
)  # fmt: skip
def test_no_size(tmp_path, size) -> None:
    """What is no number of bytes, or too few, is refused before anything is made."""
    check_refused(tmp_path / "r", "http://127.0.0.1:9", tsn.UsageError, next(iter(size)), **size)


def test_no_url(tmp_path) -> None:
    """Without a replica and without a URL there is nothing to connect to."""
    check_refused(tmp_path / "r", None, tsn.UsageError, "no URL")


def test_nobody_there(tmp_path) -> None:
    """A port on which nothing listens is said to be one."""
    check_refused(tmp_path / "r", "http://127.0.0.1:9", tsn.RemoteUnreachableError, "no connection")


def test_paused(tmp_path) -> None:
    """A URL function that returns None says "not now": a replica begins empty, and its verbs say why."""
    with (
        closing(tsn.connect(tmp_path / "r", lambda: None)) as db,
        pytest.raises(tsn.RemoteUnreachableError, match="paused"),
    ):
        db.pull()


def test_wrong_path(tursodb: Callable, tmp_path) -> None:
    """A wrong path on a right server is refused."""
    check_refused(tmp_path / "r", tursodb().url + "/nowhere", tsn.RemoteRefusedError, "404")


@pytest.mark.parametrize("token", [None, "not-the-token"])
def test_wrong_token(embedded: Callable, people, tmp_path, token) -> None:
    """A missing or wrong token is refused with where to get one, and shown nowhere."""
    url = embedded(people, auth_token="the-token").url  # noqa: S106 - a test's
    with pytest.raises(tsn.RemoteRefusedError, match="401") as caught:
        tsn.connect(tmp_path / "r", url, auth_token=token)
    assert "not-the-token" not in str(caught.value)
    tsn.connect(tmp_path / "r", url, auth_token=lambda: "the-token").close()


@pytest.fixture
def web_page() -> Iterator[str]:
    """Give the address of a site that answers every request with a page."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = b"<!doctype html><title>hello</title>"
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_web_page(web_page, tmp_path) -> None:
    """An address that answers with a web page is said to be one."""
    check_refused(tmp_path / "r", web_page, tsn.ProtocolError, "web page")


def test_mvcc(tursodb: Callable, tmp_path) -> None:
    """A database in MVCC mode, which SQLite cannot open, is refused with the reason."""
    url = tursodb().url
    ask = {"type": "execute", "stmt": {"sql": "PRAGMA journal_mode = mvcc", "want_rows": True}}
    answer = httpx.post(f"{url}/v2/pipeline", json={"baton": None, "requests": [ask]})
    assert "mvcc" in answer.text
    check_refused(tmp_path / "r", url, tsn.ProtocolError, "MVCC")


def test_plain_database_at_the_path(embedded: Callable, people, tmp_path) -> None:
    """A plain database at the path is named and left alone."""
    path = tmp_path / "plain.db"
    shutil.copy(people, path)
    before = path.read_bytes()
    with pytest.raises(tsn.ReplicaError, match="plain SQLite database") as caught:
        tsn.connect(path, embedded(people).url)
    assert caught.value.hint
    assert path.read_bytes() == before


def test_folder_of_others_at_the_path(embedded: Callable, people, tmp_path) -> None:
    """A folder with other files in it is not taken."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(tsn.ReplicaError, match=r"thesis\.txt"):
        tsn.connect(tmp_path / "mine", embedded(people).url)
    assert [entry.name for entry in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_swapped_arguments_leak_nothing(tmp_path) -> None:
    """A URL where the folder belongs is refused, and its token is not repeated."""
    with pytest.raises(tsn.UsageError, match="first the folder") as caught:
        tsn.connect("libsql://x.example?authToken=s3cret", str(tmp_path / "r"))
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("options", [{"remote_url": 5}, {"auth_token": b"x"}, {"partial_sync": True}])
def test_wrong_kinds(tmp_path, options) -> None:
    """An argument of another kind is named."""
    with pytest.raises(tsn.UsageError, match=next(iter(options))):
        tsn.connect(tmp_path / "r", **{"remote_url": "http://127.0.0.1:9"} | options)


def test_mistyped_address_is_not_kept(embedded: Callable, people, connect) -> None:
    """An address that never showed this database does not replace the one that did; one that did, does."""
    server = embedded(people)
    connect(server.url, **lazily()).close()
    connect("http://127.0.0.1:9").close()
    db = connect()
    assert db.remote_url == server.url
    assert db.execute("SELECT count(*) FROM person").fetchone() == (3001,)
    db.close()


def test_unknown_option(tmp_path) -> None:
    """An option that is none, and one that means nothing, are refused."""
    check_refused(tmp_path / "r", "http://127.0.0.1:9", tsn.UsageError, "no option 'partial'", partial=True)
    for name, value in (
        ("transform", 7),
        ("conflict_policy", "mine"),
        ("conflict_policy", {"t": "mine"}),
        ("tables_ignore", "t"),
        ("push_operations_threshold", 0),
        ("protocol", "v2"),
    ):
        check_refused(tmp_path / "r", "http://127.0.0.1:9", tsn.UsageError, name, **{name: value})


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: tsn.PartialSyncPrefixBootstrap("128 KB"), "length is str"),
        (lambda: tsn.PartialSyncPrefixBootstrap(1), "shorter than a page"),
        (lambda: tsn.PartialSyncQueryBootstrap(7), "empty or no text"),
        (lambda: tsn.PartialSyncOpts(None), "bootstrap_strategy is NoneType"),
        (lambda: tsn.PartialSyncOpts(tsn.PartialSyncPrefixBootstrap), "bootstrap_strategy is type"),
        (lambda: tsn.PartialSyncOpts(tsn.PartialSyncPrefixBootstrap(4096), "8 KB"), "segment_size is str"),
    ],
)
def test_lazy_options_of_a_wrong_kind(make: Callable[[], object], word: str) -> None:
    """They are refused when they are made, with a hint."""
    with pytest.raises(tsn.UsageError, match=word) as caught:
        make()
    assert caught.value.hint


CHILD = """
import os, sys, turso_sync_nb as tsn
try:
    db = tsn.connect(sys.argv[1] + "/r", sys.argv[2], **eval(sys.argv[3]))
    print(db.execute("SELECT count(*) FROM person").fetchone())
except tsn.SyncError as error:
    print(type(error).__name__, error)
sys.stdout.flush()
os._exit(0)  # as a killed kernel: with the disk full there is nothing to close well
"""


def on_small_disk(folder, mount_options: str, url: str, options: str = "{}") -> str:
    """Connect in a process of its own, on a tmpfs mounted for it alone; return what it printed."""
    folder.mkdir(exist_ok=True)
    script = (
        f'mount -t tmpfs -o {mount_options} tmpfs {folder} && exec {sys.executable} -c "$0" {folder} "$@"'
    )
    command = ["unshare", "-m", "sh", "-c", script, CHILD, url, options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    assert not done.stderr, done.stderr
    return done.stdout


def test_read_only_folder(embedded: Callable, people, tmp_path) -> None:
    """On a read-only file system the error says so."""
    said = on_small_disk(tmp_path / "disk", "ro", embedded(people).url)
    assert said.startswith("ReplicaError")
    assert "read-only" in said


def test_full_disk(embedded: Callable, people, tmp_path) -> None:
    """A disk that fills up during the bootstrap, or during a lazy read, is said to be full."""
    url = embedded(people).url
    said = on_small_disk(tmp_path / "disk", "size=300k", url)
    assert said.startswith("ReplicaError")
    assert "disk" in said
    lazy = "dict(partial_sync=tsn.PartialSyncOpts(tsn.PartialSyncPrefixBootstrap(length=4096), 16384))"
    said = on_small_disk(tmp_path / "disk", "size=80k", url, lazy)
    assert said.startswith("ReplicaError")
    assert "disk" in said


def test_damaged_metadata(embedded: Callable, people, connect) -> None:
    """Metadata that makes no sense, or of another version, is refused with what to do."""
    db = connect(embedded(people).url)
    db.close()
    metadata = db.path / "replica.json"
    good = metadata.read_text()
    for text, words in (
        ("{", "replica.json"),
        (good.replace("turso-sync-nb/1", "turso-sync-nb/9"), "version 'turso-sync-nb/9'"),
        (good.replace('"ready"', '"steady"'), "replica.json"),
    ):
        metadata.write_text(text)
        with pytest.raises(tsn.ReplicaError, match=words) as caught:
            connect()
        assert caught.value.hint
    metadata.write_text(good)
    assert connect().execute("SELECT count(*) FROM person").fetchone() == (3001,)


def test_lost_page_map(embedded: Callable, people, connect) -> None:
    """A replica whose page map is lost or spoilt is fetched again; offline that is an error with a hint."""
    server = embedded(people)
    for spoil in (lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:-3] + b"abc")):
        db = connect(server.url, **lazily())
        db.execute("SELECT name FROM person").fetchall()
        db.close()
        spoil(db.path / "pages.map")
        assert connect(server.url).execute("SELECT count(*) FROM person").fetchone() == (3001,)
        connect.close_all()
    db = connect(server.url)
    db.close()
    (db.path / "pages.map").unlink()
    server.stop()
    with pytest.raises(tsn.SyncError) as caught:
        connect()
    assert caught.value.hint


def test_another_size_of_page(tmp_path) -> None:
    """A database of another page size is refused by the server that would serve it."""
    path = tmp_path / "small.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript("PRAGMA page_size = 1024; CREATE TABLE t(a);")
    with pytest.raises(tsn.SyncError, match="1024"), tsn.server.LocalServer(path):
        pass


def test_half_of_a_copy(embedded: Callable, people, connect) -> None:
    """A base image that was cut short is noticed."""
    url = embedded(people).url
    db = connect(url)
    db.close()
    os.truncate(db.path / "main.db", 8192)
    assert connect(url).execute("PRAGMA integrity_check").fetchone() == ("ok",)


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "in a list": lambda db: copy.deepcopy([db]),
    "pickle": pickle.dumps,
    "in an object": lambda db: copy.deepcopy(SimpleNamespace(db=db, n=1)),
}


@pytest.mark.parametrize("how", COPIES)
def test_a_connection_is_not_copied(embedded: Callable, people, connect, how: str) -> None:
    """What would be a second owner of the same files is refused, and the open transaction goes on."""
    db = connect(embedded(people).url)
    db.execute("CREATE TABLE note (n)")
    db.execute("INSERT INTO note VALUES (1)")
    with pytest.raises(TypeError, match="sibling"):
        COPIES[how](db)
    gc.collect()
    db.commit()
    assert db.execute("SELECT n FROM note").fetchall() == [(1,)]
    assert db.push()
