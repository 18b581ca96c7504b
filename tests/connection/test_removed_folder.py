"""A replica's folder that is removed while it is open: nothing is written into the void."""

from __future__ import annotations

import shutil
import threading
from typing import TYPE_CHECKING, Any

import pytest

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable

WRITES: dict[str, Callable[[tsn.Connection], object]] = {
    "insert": lambda db: db.execute("INSERT INTO person (id, name) VALUES (99999, 'x')"),
    "run": lambda db: db.run("UPDATE person SET name = 'x' WHERE id = 1"),
    "create": lambda db: db.execute("CREATE TABLE made (x)"),
    "begin": lambda db: db.execute("BEGIN"),
    "push": lambda db: db.push(),
    "sibling": lambda db: db.sibling(),
}


@pytest.fixture
def db(embedded: Callable[..., Any], people: Any, connect: Callable[..., Any], kind: dict[str, Any]) -> Any:
    """A replica of each kind with a change that waits, closed without its folder."""
    db = connect(embedded(people).url, **kind)
    db.execute("UPDATE person SET city = 'Bern' WHERE id = 1")
    db.commit()
    yield db
    with pytest.raises(tsn.ReplicaError, match="removed"):
        db.close()
    db.close()
    with pytest.raises(tsn.ProgrammingError, match="closed"):
        db.execute("SELECT 1")


def test_nothing_is_written_after_its_folder(db, tmp_path):
    """Each verb that would write, or would open the files again, says in one line that the folder is gone."""
    shutil.rmtree(db.path)
    for name, write in WRITES.items():
        with pytest.raises(tsn.ReplicaError, match="its folder was removed while it was open") as caught:
            write(db)
        assert caught.value.hint, name
        assert "\n" not in str(caught.value)
    with pytest.raises(tsn.ReplicaError, match="removed"):
        db.export(tmp_path / "out.db")


def test_a_transaction_amid_which_the_folder_goes_is_not_committed(db):
    """COMMIT is refused: what it would write is nowhere."""
    db.execute("INSERT INTO person (id, name) VALUES (99999, 'x')")
    shutil.rmtree(db.path)
    with pytest.raises(tsn.ReplicaError, match="removed"):
        db.commit()
    assert db.in_transaction


def test_threads_each_with_a_sibling_write_together(embedded, people, connect):
    """Eight threads with a connection each insert 25 rows, and all of them arrive."""
    server = embedded(people)
    db = connect(server.url)
    db.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, who, n)")
    db.commit()
    errors: list[BaseException] = []

    def insert(who: int) -> None:
        mine = db.sibling()
        try:
            for n in range(25):
                mine.execute("INSERT INTO log (who, n) VALUES (?, ?)", (who, n))
                mine.commit()
        except BaseException as error:  # noqa: BLE001 - asserted below
            errors.append(error)
        finally:
            mine.close()

    threads = [threading.Thread(target=insert, args=(who,)) for who in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert errors == []
    assert db.execute("SELECT count(*), count(DISTINCT who * 100 + n) FROM log").fetchone() == (200, 200)
    db.push()
    other = connect(server.url, db.path.parent / "other.db")
    assert other.execute("SELECT count(*) FROM log").fetchone() == (200,)
