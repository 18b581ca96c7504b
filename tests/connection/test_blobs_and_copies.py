"""Blobs read piece by piece beside all else, and copies of a replica as SQL, exact to the bit."""

from __future__ import annotations

import sqlite3
import struct
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import apsw
import polars as pl
import pytest
from databases import plain_sqlite

import turso_sync_nb as tsn
from turso_sync_nb.connection.session import Session

if TYPE_CHECKING:
    from pathlib import Path

LAZY = tsn.PartialSyncOpts(bootstrap_strategy=tsn.PartialSyncPrefixBootstrap(length=4096), segment_size=4096)
CONTENT = bytes(range(256)) * 40


@pytest.fixture(params=["whole", "partial"])
def db(request, remote_server, connect, tmp_path):
    """A replica of a database with a blob of three pages in each of nine rows."""
    source = tmp_path / "blobs.db"
    with closing(apsw.Connection(str(source))) as raw:
        raw.execute("CREATE TABLE b (id INTEGER PRIMARY KEY, data)")
        raw.executemany("INSERT INTO b VALUES (?, ?)", [(at, CONTENT) for at in range(1, 10)])
    options = {"partial_sync": LAZY} if request.param == "partial" else {}
    return connect(remote_server(source).url, isolation_level=None, **options)


def sqlite3_blob() -> sqlite3.Blob:
    """Return the same blob as Python's sqlite3 has it."""
    plain = plain_sqlite()
    plain.execute("CREATE TABLE b (id INTEGER PRIMARY KEY, data)")
    plain.execute("INSERT INTO b VALUES (5, ?)", (CONTENT,))
    return plain.blobopen("b", "data", 5, readonly=True)


READS: dict[str, Any] = {
    "all": lambda blob: blob.read(),
    "pieces": lambda blob: [blob.read(7), blob.tell(), blob.read(7)],
    "past the end": lambda blob: [blob.seek(len(CONTENT) - 2), blob.read(10), blob.read(10)],
    "seek": lambda blob: [blob.seek(10), blob.seek(5, 1), blob.read(1), blob.seek(-3, 2), blob.read()],
    "length": len,
    "byte": lambda blob: [blob[3], blob[-1], blob.tell()],
    "slices": lambda blob: [blob[2:5], blob[::1000], blob[-4:], blob[9:2], blob[2:50:7]],
}


@pytest.mark.parametrize("read", READS)
def test_a_blob_reads_as_sqlite3_reads_it(db, read):
    """Also one of which no page is here."""
    with closing(sqlite3_blob()) as theirs, db.blobopen("b", "data", 5, readonly=True) as ours:
        assert READS[read](ours) == READS[read](theirs)


def test_statements_beside_an_open_blob(db):
    """They are captured, pushed and seen, as beside an open cursor."""
    blob = db.blobopen("b", "data", 5, readonly=True)
    db.execute("UPDATE b SET data = 'new' WHERE id = 1")
    db.execute("INSERT INTO b VALUES (20, x'00')")
    db.execute("CREATE TABLE beside (x)")
    assert blob.read(2) == CONTENT[:2]
    assert len(db.changes()) == 3
    db.execute("SELECT sum(length(data)) FROM b").fetchall()  # the last page may arrive with it
    assert blob.read(2) == CONTENT[2:4]
    with pytest.raises(tsn.ReplicaBusyError, match=r"the blob b.data of row 5"):
        db.pull()
    blob.close()
    db.push()
    db.pull()
    assert db.changes().empty


def test_a_pull_just_after_a_blob_was_opened(db, monkeypatch):
    """One of another thread waits for it, from the moment at which it is opened."""
    told: list[str] = []

    def pull(other: tsn.Connection) -> None:
        with pytest.raises(tsn.ReplicaBusyError) as met:
            other.pull()
        told.append(str(met.value))

    with closing(db.sibling()) as other:
        other.execute("INSERT INTO b VALUES (20, x'00')")
        other.push()
        run_gated = Session.run_gated

        def interrupted(session: Session, work: Any) -> Any:
            found = run_gated(session, work)
            thread = threading.Thread(target=pull, args=(other,))
            thread.start()
            thread.join()
            return found

        monkeypatch.setattr("turso_sync_nb.engine.pull.WAIT_FOR_OTHERS_S", 0.1)
        monkeypatch.setattr(Session, "run_gated", interrupted)
        blob = db.blobopen("b", "data", 5, readonly=True)
        monkeypatch.undo()
        assert "the blob b.data of row 5" in told[0]
        assert blob.read() == CONTENT
        blob.close()
        other.pull()


ENDS = {
    "changed": ("UPDATE b SET data = x'01' WHERE id = 5", tsn.OperationalError, "open it again"),
    "deleted": ("DELETE FROM b WHERE id = 5", tsn.OperationalError, "open it again"),
    "closed": ("", tsn.ProgrammingError, "use blob: it is closed"),
    "connection closed": ("", tsn.ProgrammingError, "it is closed"),
}


@pytest.mark.parametrize("end", ENDS)
def test_the_end_of_a_blob(db, end):
    """What ended it is said, and the connection goes on or closes as it would without it."""
    sql, error, said = ENDS[end]
    blob = db.blobopen("b", "data", 5, readonly=True)
    if sql:
        db.execute(sql)
    else:
        (blob if end == "closed" else db).close()
    for use in (blob.read, blob.tell, blob.__enter__):
        if use == blob.read or end in ("closed", "connection closed"):
            with pytest.raises(error, match=said):
                use()
    blob.close()
    blob.close()
    if end != "connection closed":
        db.push()
        db.pull()
        assert db.changes().empty
    db.close()


def test_a_blob_is_not_written(db):
    """By no way."""
    for written in ({}, {"readonly": False}):
        with pytest.raises(tsn.NotSupportedError, match="could not be captured"):
            db.blobopen("b", "data", 5, **written)
    with db.blobopen("b", "data", 5, readonly=True) as blob:
        for write in (lambda: blob.write(b"x"), lambda: blob.__setitem__(0, 1)):
            with pytest.raises(tsn.NotSupportedError, match="could not be captured"):
                write()
        assert blob.read(1) == CONTENT[:1]


VALUES = [
    *(0.1, 1e300, -0.0, 0.0, float("inf"), float("-inf"), 5e-324, 1e15, 1.0, 2**63 - 1, -(2**63), 0, None),
    *("a\0b", "\0", "é😀", "line\nbreak\r\n", "it's", "", "x" * 10_000, b"\0\xff", b"", "9" * 30),
]


def exact(rows: Any) -> list[tuple[Any, ...]]:
    """Return rows with floats as their bits."""
    return [
        tuple(struct.pack("<d", value) if isinstance(value, float) else value for value in row)
        for row in rows
    ]


ROWS = {"tuples": None, "lists": lambda _, row: [1], "Row": tsn.Row}


@pytest.mark.parametrize("rows", ROWS)
def test_a_dump_whatever_rows_the_user_makes(db, rows):
    """It is the same, and what makes rows stays as it was, also amid the dump."""
    plain = list(db.iterdump())
    db.row_factory = ROWS[rows]
    lines = db.iterdump()
    first = [next(lines), next(lines), next(lines)]
    assert db.row_factory is ROWS[rows]
    assert [*first, *lines] == plain


@pytest.mark.parametrize("texts", [str, bytes, len])
def test_a_dump_is_exact(db, texts):
    """Each value of each kind comes back as it was, whatever makes texts for the user."""
    columns = ", ".join(f"c{at}" for at in range(700))
    db.execute('CREATE TABLE v (id INTEGER PRIMARY KEY, x, "odd ""{0}""" TEXT)')
    db.executemany("INSERT INTO v VALUES (?, ?, ?)", [(at, value, "a\0b") for at, value in enumerate(VALUES)])
    db.execute(f"CREATE TABLE wide ({columns})")
    db.execute("INSERT INTO wide (c0, c699) VALUES (1, 'z')")
    db.text_factory = texts
    with closing(apsw.Connection(":memory:")) as again:
        for line in db.iterdump():
            again.execute(line)
        db.text_factory = str
        for table in ("v", "wide", "b"):
            query = f"SELECT * FROM {table} ORDER BY rowid"
            assert exact(again.execute(query)) == exact(db.execute(query))


FORMS = ("row_factory", "text_factory", "row_trace")


TARGETS: dict[str, tuple[Any, str, Any]] = {
    "sqlite3": (sqlite3.Connection, "", None),
    "values": (sqlite3.Connection, "row_factory", lambda _, row: row[0]),
    "dicts": (sqlite3.Connection, "row_factory", lambda cursor, row: {cursor.description[0][0]: row}),
    "bytes": (sqlite3.Connection, "text_factory", bytes),
    "lengths": (sqlite3.Connection, "text_factory", len),
    "apsw": (apsw.Connection, "", None),
    "apsw's values": (apsw.Connection, "row_trace", lambda _, row: row[0]),
}


def target_of(kind: str, path: Path) -> Any:
    """Return a connection to ``path`` that makes its own of rows or texts."""
    connection, name, form = TARGETS[kind]
    target = connection(str(path))
    if name:
        setattr(target, name, form)
    return target


def test_no_backup_over_a_replica(connect, tmp_path):
    """The inner file of a replica is not overwritten: what waits in it would be gone."""
    db = connect(bootstrap_if_empty=False)
    other = connect(path=tmp_path / "other", bootstrap_if_empty=False, isolation_level=None)
    other.execute("CREATE TABLE mine (x)")
    inner = other.path / "main.db"
    for kind in TARGETS:
        with closing(target_of(kind, inner)) as target, pytest.raises(tsn.UsageError, match="inner file"):
            db.backup(target)
    assert other.execute("SELECT count(*) FROM mine").fetchone() == (0,)


@pytest.mark.parametrize("kind", TARGETS)
def test_a_backup_into_any_target(db, tmp_path, kind):
    """Whatever the target makes of its rows and texts; these are as they were afterwards."""
    with closing(target_of(kind, tmp_path / "copy.db")) as target:
        forms = [getattr(target, name, None) for name in FORMS]
        db.backup(target)
        assert [getattr(target, name, None) for name in FORMS] == forms
    with closing(apsw.Connection(str(tmp_path / "copy.db"))) as copy:
        assert copy.execute("SELECT * FROM b").fetchall() == db.execute("SELECT * FROM b").fetchall()


@pytest.mark.parametrize("kind", [pl.Object, pl.Int128])
def test_frames_of_types_that_arrow_has_not(connect, kind):
    """They are refused in one line; of Python objects polars gives addresses as their content."""
    db = connect(bootstrap_if_empty=False, isolation_level=None)
    db.execute("CREATE TABLE b (id INTEGER PRIMARY KEY, odd)")
    frame = pl.DataFrame({"id": [1], "odd": pl.Series([1], dtype=kind)})
    with pytest.raises(tsn.UsageError, match="cast the column"):
        db.write_frame(frame, "odd")
    with pytest.raises(tsn.UsageError, match="cast the column"):
        db.preview(frame, of=db.edit_frame("b"))
    assert not db.in_transaction
