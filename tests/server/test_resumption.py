"""A start continues the history exactly when the files are provably what was recorded."""

from __future__ import annotations

import shutil
from dataclasses import replace

import apsw
import pytest
from written import make, opened, pages, read_all, write

from turso_sync_nb.errors import UsageError
from turso_sync_nb.server.resumption import continues
from turso_sync_nb.server.served_file import FileMark, ServedFile
from turso_sync_nb.server.undo_log import State
from turso_sync_nb.server.wal import Tip

MARK = FileMark(inode=1, size=4096, mtime_ns=5)
TOUCHED = replace(MARK, mtime_ns=6)
FRESH = replace(MARK, mtime_ns=0)
IN_WAL = State("e", 3, 1, b"salt-one", 7, b"checksum", settled=False, mark=MARK)
SETTLED = replace(IN_WAL, settled=True)


@pytest.mark.parametrize(
    ("state", "mark", "tip", "checksum", "expected"),
    [
        (IN_WAL, MARK, Tip(b"salt-one", 7), b"checksum", True),
        (IN_WAL, TOUCHED, Tip(b"salt-one", 7), b"checksum", True),  # recorded frames moved: same state
        (IN_WAL, MARK, Tip(b"salt-one", 9), b"checksum", True),
        (IN_WAL, TOUCHED, Tip(b"salt-one", 9), b"checksum", False),  # newer frames may have moved
        (IN_WAL, MARK, Tip(b"salt-one", 6), b"checksum", False),  # a recorded commit was lost
        (IN_WAL, MARK, Tip(b"salt-one", 7), b"another!", False),
        (IN_WAL, replace(MARK, inode=2), Tip(b"salt-one", 7), b"checksum", False),
        (IN_WAL, MARK, Tip(b"salt-two", 1), b"", False),
        (IN_WAL, MARK, Tip(b"", 0), b"", False),
        (SETTLED, MARK, Tip(b"", 0), b"", True),
        (SETTLED, MARK, Tip(b"salt-two", 4), b"", True),
        (SETTLED, TOUCHED, Tip(b"", 0), b"", False),
        (replace(SETTLED, mark=FRESH), FRESH, Tip(b"", 0), b"", False),  # two writes, one time
        (replace(IN_WAL, mark=FRESH), FRESH, Tip(b"salt-one", 9), b"checksum", False),
        (replace(IN_WAL, mark=FRESH), FRESH, Tip(b"salt-one", 7), b"checksum", True),
        (SETTLED, TOUCHED, Tip(b"salt-two", 4), b"", False),
    ],
)
def test_what_is_proof(state, mark, tip, checksum, expected):
    """The recorded state must be on disk, and nothing that followed may have overwritten it."""
    assert continues(state, mark, tip, checksum) is expected


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_clean_stop_keeps_history_and_journal_mode(tmp_path, mode):
    """After a clean stop no WAL is left, the journal mode is the old one, and old revisions still read."""
    path = make(tmp_path / "a.db", 100, journal_mode=mode)
    copies = {}
    for _ in range(3):
        with opened(path) as history:
            epoch = history.newest.epoch
            copies[history.advance().revision] = pages(path)
            write(path, "INSERT INTO t(b) VALUES (1)")
            copies[history.advance().revision] = pages(path)
            assert {revision: read_all(history, revision) for revision in copies} == copies
        assert sorted(file.name for file in tmp_path.iterdir()) == ["a.db", "a.db-history"]
        assert path.read_bytes()[18:20] == (b"\1\1" if mode == "delete" else b"\2\2")
    with opened(path) as history:
        assert history.newest.epoch == epoch
        assert {revision: read_all(history, revision) for revision in copies} == copies


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_foreign_write_while_stopped_begins_anew(tmp_path, mode):
    """A commit that the server did not see, and cannot undo any more, begins a new history."""
    path = make(tmp_path / "a.db", 100, journal_mode=mode)
    with opened(path) as history:
        epoch = history.newest.epoch
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE t SET b = 5")
    connection.close()
    with opened(path) as history:
        assert history.newest.epoch != epoch
        assert read_all(history, history.advance().revision) == pages(path)


def test_restored_backup_begins_anew(tmp_path):
    """An older copy put in the database's place begins a new history, even with its old times."""
    path = make(tmp_path / "a.db", 100)
    shutil.copy2(path, tmp_path / "backup")
    with opened(path) as history:
        epoch = history.newest.epoch
        write(path, "UPDATE t SET b = 5")
    (tmp_path / "backup").replace(path)
    with opened(path) as history:
        assert history.newest.epoch != epoch


def test_commits_of_others_in_the_wal_are_taken_in(tmp_path):
    """Commits that another program left in the WAL of a settled database become a revision."""
    path = make(tmp_path / "a.db", 100, journal_mode="wal")
    with opened(path) as history:
        epoch, before = history.newest.epoch, pages(path)
        first = history.advance().revision
    write(path, "UPDATE t SET b = 5")
    with opened(path) as history:
        assert history.newest.epoch == epoch
        assert read_all(history, history.advance().revision) == pages(path)
        assert read_all(history, first) == before


def test_second_server_is_refused(tmp_path):
    """While one history is open, opening it again says that another server has it."""
    path = make(tmp_path / "a.db")
    with opened(path), pytest.raises(UsageError, match="another server is serving"), opened(path):
        pytest.fail("opened twice")


def test_foreign_history_file_is_refused(tmp_path):
    """A file of another kind under the history's name is not touched."""
    path = make(tmp_path / "a.db")
    make(tmp_path / "a.db-history")
    before = (tmp_path / "a.db-history").read_bytes()
    with pytest.raises(UsageError, match="not a history"), opened(path):
        pytest.fail("opened it")
    assert (tmp_path / "a.db-history").read_bytes() == before


def test_garbage_history_file_is_refused(tmp_path):
    """A history that is no database is refused with a hint, not overwritten."""
    path = make(tmp_path / "a.db")
    (tmp_path / "a.db-history").write_bytes(b"garbage" * 1000)
    with pytest.raises(UsageError, match=r"move a\.db-history away"), opened(path):
        pytest.fail("opened it")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a database at all " * 500, "not a SQLite database, or it is encrypted"),
        (b"SQLite format 3\0\x04\x00\x01\x01" + bytes(4076), "its pages are 1024 bytes"),
        (b"SQLite format 3\0\x00\x01\x01\x01" + bytes(4076), "its pages are 65536 bytes"),
        (b"SQLite format 3\0\x10\x00\xff\xff" + bytes(4076), "MVCC mode"),
    ],
)
def test_unservable_files(tmp_path, content, message):
    """What cannot be served is refused with the reason, and left as it was."""
    path = tmp_path / "a.db"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        ServedFile(path, busy_ms=0)
    assert caught.value.hint
    assert path.read_bytes() == content
    assert [file.name for file in tmp_path.iterdir()] == ["a.db"]


def test_locked_file_is_refused(tmp_path):
    """A database that another program holds locked is refused with the advice to close that."""
    path = make(tmp_path / "a.db")
    other = apsw.Connection(str(path))
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(UsageError, match="another program is using it"), ServedFile(path, busy_ms=0) as file:
        file.enter_wal_mode(connection := file.connect())
    connection.close()
    other.close()


def test_new_and_empty_files_are_served(tmp_path):
    """A file that does not exist, and one of no bytes, begin as an empty database."""
    (tmp_path / "b.db").touch()
    for name in ("a.db", "b.db"):
        with opened(tmp_path / name) as history:
            state = history.advance()
            write(tmp_path / name, "CREATE TABLE t (a)")
            assert read_all(history, history.advance().revision) == pages(tmp_path / name)
            assert history.db_pages_at(state.revision) <= 1
