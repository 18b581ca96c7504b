"""A database that is a function of page ids, with a native log beside its name."""

from __future__ import annotations

from contextlib import closing

import apsw
import pytest
from databases import make_database, pages_of

from turso_sync_nb.storage.vfs.lazy_vfs import FetchFailedError
from turso_sync_nb.storage.vfs.view_vfs import ViewVFS


@pytest.fixture
def pages(tmp_path) -> dict[int, bytes]:
    """Give the pages of a small database in WAL mode."""
    statements = ("PRAGMA journal_mode = wal", "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
    return pages_of(make_database(tmp_path / "source.db", statements))


def test_what_is_written_is_in_the_log_alone(pages, tmp_path) -> None:
    """The main file stays an empty name; another connection to the view sees what was committed."""
    view = ViewVFS(pages.__getitem__, len(pages))
    path = tmp_path / "view.db"
    with closing(view.open(path)) as raw:
        assert raw.execute("SELECT a FROM t").fetchall() == [(1,)]
        raw.execute("INSERT INTO t VALUES (2)")
        with closing(view.open(path)) as other:
            assert other.execute("SELECT a FROM t").fetchall() == [(1,), (2,)]
    assert path.stat().st_size == 0
    assert (tmp_path / "view.db-wal").stat().st_size > 4096  # kept at the close: it is what is wanted
    view.unregister()


@pytest.mark.parametrize("why", [KeyError(1), KeyboardInterrupt(), RuntimeError("no such page")])
def test_an_error_of_the_function_is_sqlites_with_its_cause(pages, tmp_path, why) -> None:
    """As every exception in a VFS must be, so that no statement is left half done."""

    def read(page):
        if page:
            raise why
        return pages[page]

    view = ViewVFS(read, len(pages))
    with closing(view.open(tmp_path / "view.db")) as raw:
        with pytest.raises(FetchFailedError) as failed:
            raw.execute("SELECT a FROM t").fetchall()
        assert failed.value.cause is why
    view.unregister()


def test_a_checkpoint_cannot_write_to_the_view(pages, tmp_path) -> None:
    """It fails; what was committed stays in the log."""
    view = ViewVFS(pages.__getitem__, len(pages))
    with closing(view.open(tmp_path / "view.db")) as raw:
        raw.execute("INSERT INTO t VALUES (2)")
        with pytest.raises(apsw.ReadOnlyError, match="the view is read-only"):
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        assert raw.execute("SELECT a FROM t").fetchall() == [(1,), (2,)]
    view.unregister()
