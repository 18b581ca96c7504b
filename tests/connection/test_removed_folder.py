"""A replica's folder that is removed while it is open: nothing is written into the void."""

from __future__ import annotations

import shutil
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


def test_closing_again_leaves_the_replica_that_was_made_anew(embedded, people, connect, kind):
    """What is still held of the former one ends nothing: the new one stays locked, writes and is pushed."""
    former = connect(embedded(people).url, **kind)
    shutil.rmtree(former.path)
    with pytest.raises(tsn.ReplicaError, match="close its connections and connect again"):
        former.close()
    anew = tsn.connect(former.path, former.remote_url)
    former.close()
    with pytest.raises(tsn.UsageError, match="open in this process"):
        tsn.connect(anew.path, read_only=True)
    anew.execute("UPDATE person SET city = 'Bern' WHERE id = 1")
    anew.commit()
    assert anew.push().changes == 1
    anew.close()


def test_nothing_is_written_beside_a_folder_that_took_its_place(embedded, people, connect):
    """Each verb says so in one line; all that was committed is in the folder that was moved away."""
    db = connect(embedded(people).url)
    db.execute("UPDATE person SET city = 'Bern' WHERE id = 1")
    db.commit()
    moved = db.path.with_name("moved")
    db.path.rename(moved)
    shutil.copytree(moved, db.path)
    for write in (*WRITES.values(), lambda db: db.pull(), lambda db: db.checkpoint()):
        with pytest.raises(tsn.ReplicaError, match="another folder took its place while it was open"):
            write(db)
    with pytest.raises(tsn.ReplicaError, match="took its place"):
        db.close()
    for path in (moved, db.path):
        there = tsn.connect(path)
        assert len(there.changes()) == 1
        there.close()


def test_a_transaction_amid_which_the_folder_goes_is_not_committed(db):
    """COMMIT is refused: what it would write is nowhere."""
    db.execute("INSERT INTO person (id, name) VALUES (99999, 'x')")
    shutil.rmtree(db.path)
    with pytest.raises(tsn.ReplicaError, match="removed"):
        db.commit()
    assert db.in_transaction
