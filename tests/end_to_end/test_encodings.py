"""A remote whose text is UTF-16: what its server keeps arrives, what it would damage is not sent."""

from __future__ import annotations

from contextlib import closing

import apsw
import pytest
from databases import make_database

import turso_sync_nb as tsn

ENCODINGS = ["UTF-8", "UTF-16le", "UTF-16be"]
LETTERS = "möwe € \U0001f600"

WORK = {
    "rows": (f"INSERT INTO word (w) VALUES ('{LETTERS} new')", "UPDATE word SET w = 'ß' WHERE id = 2"),
    "a table": ("CREATE TABLE other (id INTEGER PRIMARY KEY, x)", "INSERT INTO other VALUES (1, 'ä')"),
    "an index": ("CREATE INDEX by_word ON word (w)",),
}
STATES = (
    "SELECT name, replace(sql, 'IF NOT EXISTS ', '') FROM sqlite_schema WHERE name NOT GLOB '*turso_sync*'",
    "SELECT * FROM word",
)


@pytest.fixture(params=ENCODINGS)
def encoding(request) -> str:
    """The encoding of the remote's text."""
    return str(request.param)


@pytest.fixture
def server(remote_server, tmp_path, encoding):
    """A remote with some words in it."""
    words = (f"INSERT INTO word (w) VALUES ('{LETTERS}'), ('two')",)
    schema = (f"PRAGMA encoding = '{encoding}'", "CREATE TABLE word (id INTEGER PRIMARY KEY, w UNIQUE)")
    return remote_server(make_database(tmp_path / "words.db", (*schema, *words)))


def state(run) -> list[list[tuple[object, ...]]]:
    """Return the schema and the words."""
    return [sorted(map(tuple, run(sql).fetchall())) for sql in STATES]


@pytest.mark.parametrize("name", WORK)
@pytest.mark.parametrize("part", ["whole", "partial"])
def test_text_arrives_or_waits(server, replica, encoding, part, name):
    """After a push the remote has what the replica has; or what it had, and all of the work waits."""
    first = tsn.PartialSyncPrefixBootstrap(length=4096)
    db = replica(partial_sync=tsn.PartialSyncOpts(first) if part == "partial" else None)
    assert db.execute("PRAGMA encoding").fetchone() == (encoding,)
    before = state(db.execute)
    assert before[1] == [(1, LETTERS), (2, "two")]
    for sql in WORK[name]:
        db.execute(sql)
    work, waiting = state(db.execute), len(db.changes())
    is_kept = server.name != "tursodb" or encoding == "UTF-8"
    if is_kept:
        assert db.push()
    else:
        for _ in range(2):
            with pytest.raises(tsn.ReplicaError, match=encoding):
                db.push()
        assert len(db.changes()) == waiting
    db.pull()
    assert state(db.execute) == work
    db.close()
    server.stop()
    with closing(apsw.Connection(str(server.path))) as raw:
        assert state(raw.execute) == (work if is_kept else before)
        assert raw.execute("PRAGMA integrity_check").get == "ok"


def test_what_was_written_before_the_first_contact_too(server, tmp_path, encoding):
    """A replica that was put off knows no encoding of the remote, and asks before it sends anything."""
    address = [None]
    db = tsn.connect(tmp_path / "put off", lambda: address[0], isolation_level=None)
    with closing(db):
        db.execute("CREATE TABLE other (id INTEGER PRIMARY KEY, x)")
        db.execute("INSERT INTO other VALUES (1, 'ä')")
        address[0] = server.url
        is_kept = server.name != "tursodb" or encoding == "UTF-8"
        if is_kept:
            assert db.push()
        else:
            with pytest.raises(tsn.ReplicaError, match=encoding):
                db.push()
            assert len(db.changes()) == 2
        db.pull()
        assert db.execute("SELECT x FROM other").fetchall() == [("ä",)]
        assert db.execute("SELECT w FROM word WHERE id = 1").fetchone() == (LETTERS,)
    server.stop()
    with closing(apsw.Connection(str(server.path))) as raw:
        tables = raw.execute("SELECT name FROM sqlite_schema WHERE name = 'other'").fetchall()
        assert tables == ([("other",)] if is_kept else [])


@pytest.mark.usefixtures("server")
def test_a_dump_is_read_by_a_database_of_utf8(replica):
    """Texts with a NUL too, of which the dump has the bytes."""
    db = replica()
    texts = [f"{LETTERS}\0{LETTERS}", "\0", "a\0", "plain", "", "it's"]
    db.executemany("INSERT INTO word (w) VALUES (?)", [(text,) for text in texts])
    wanted = db.execute("SELECT * FROM word").fetchall()
    with closing(apsw.Connection(":memory:")) as again:
        for line in db.iterdump():
            again.execute(line)
        assert again.execute("SELECT * FROM word").fetchall() == wanted
