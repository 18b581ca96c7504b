"""What a push would send and a pull would change, told beforehand: it is what then happens."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import apsw
import pytest
from faulty import lost_after
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROWS = 3_000
SCHEMA = f"""
CREATE TABLE many (id INTEGER PRIMARY KEY, a TEXT, n);
CREATE INDEX many_a ON many (a);
CREATE TABLE long (id INTEGER PRIMARY KEY, body);
CREATE TABLE pairs (a, b, v, PRIMARY KEY (a, b));
CREATE TABLE rowless (k TEXT PRIMARY KEY, v) WITHOUT ROWID;
CREATE TABLE keyed (v, n INTEGER, k TEXT COLLATE NOCASE, body, PRIMARY KEY (k, n DESC)) WITHOUT ROWID;
CREATE INDEX keyed_v ON keyed (v, n, k);
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
INSERT INTO many SELECT i * 3, printf('row %0200d', i), i FROM n;
INSERT INTO long SELECT id, printf('%0*d', 9000 + 4096 * (id % 4), id) FROM many WHERE id < 40;
INSERT INTO pairs SELECT id, id % 5, a FROM many WHERE id < 90;
INSERT INTO rowless SELECT a, n FROM many WHERE id < 90;
INSERT INTO keyed SELECT id % 7, id, printf('Key %d', id / 3), printf('%0*d', 90 + id % 50 / 49 * 5000, id)
FROM many;
"""
ANYWHERE = st.integers(-3, ROWS * 3 + 10)
UP_TO, N_UP_TO = ("id BETWEEN {0} AND {0} + {1}", "n BETWEEN {0} AND {0} + {1}")
STATEMENTS = st.one_of(
    st.builds(f"UPDATE many SET n = 'x' WHERE {UP_TO}".format, ANYWHERE, st.integers(0, 60)),
    st.builds(f"UPDATE many SET id = -id WHERE {UP_TO}".format, ANYWHERE, st.integers(0, 20)),
    st.builds(f"DELETE FROM many WHERE {UP_TO}".format, ANYWHERE, st.integers(0, 4000)),
    st.builds(
        f"INSERT OR IGNORE INTO many SELECT id + 1, a || 'new', n FROM many WHERE {UP_TO}".format,
        ANYWHERE, st.integers(0, 900),
    ),
    st.builds(  # of the same length: only a page far down its chain changes
        "UPDATE long SET body = substr(body, 1, {1}) || 'y' || substr(body, {1} + 2) WHERE id = {0}".format,
        st.integers(1, 13).map(lambda number: number * 3), st.integers(0, 20_000),
    ),
    st.builds("UPDATE long SET body = 'short' WHERE id = {0} * 3".format, st.integers(1, 13)),
    st.builds("UPDATE pairs SET v = v || '!' WHERE a BETWEEN {0} AND {0} + 9".format, st.integers(0, 90)),
    st.builds("INSERT OR REPLACE INTO rowless VALUES ('k{0}', {0})".format, st.integers(0, 5)),
    st.builds(f"UPDATE keyed SET v = 'x' WHERE {N_UP_TO}".format, ANYWHERE, st.integers(0, 60)),
    st.builds(f"DELETE FROM keyed WHERE {N_UP_TO}".format, ANYWHERE, st.integers(0, 4000)),
    st.builds(
        "INSERT OR IGNORE INTO keyed SELECT 1, n, upper(k) || 'b', body FROM keyed WHERE n < {0}".format,
        ANYWHERE,
    ),
    st.sampled_from([
        "UPDATE keyed SET n = -n", "DELETE FROM keyed",
        "DELETE FROM many", "DELETE FROM long", "DELETE FROM rowless", "DROP TABLE long",
        "ALTER TABLE pairs ADD COLUMN extra DEFAULT 7", "CREATE TABLE IF NOT EXISTS fresh (a)",
        "DROP INDEX IF EXISTS many_a",
    ]),
)  # fmt: skip
FEW = tsn.PartialSyncOpts(bootstrap_strategy=tsn.PartialSyncPrefixBootstrap(length=4096), segment_size=4096)


def contents(db: tsn.Connection) -> dict[str, dict[Any, tuple[Any, ...]]]:
    """Return the rows of every table of the user, by rowid or key; a column that was added left out."""
    found = {}
    for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
        if name.startswith(("sqlite_", "turso_sync_")):
            continue
        keys = {"rowless": "k", "keyed": "k || ',' || n", "pairs": "a || ',' || b"}
        what = f"{keys.get(name, 'rowid')}, {'a, b, v' if name == 'pairs' else '*'}"
        rows = db.execute(f"SELECT {what} FROM {name}").fetchall()
        found[name] = {row[0]: row[1:] for row in rows}
    return found


def differences(before: dict[str, Any], after: dict[str, Any]) -> set[tuple[str, str, str]]:
    """Return table, operation and key of every row that differs, those of dropped tables left out."""
    found = set()
    for table, new in after.items():
        old = before.get(table, {})
        for key in old.keys() | new.keys():
            if repr(old.get(key)) != repr(new.get(key)):
                operation = "insert" if key not in old else "delete" if key not in new else "update"
                found.add((table, operation, str(key)))
    return found


def told(frame: Any) -> set[tuple[str, str, str]]:
    """Return the same of what ``diff`` says of a pull; each row once."""
    rows = frame[(frame["by"] == "pull") & frame["operation"].isin(["insert", "update", "delete"])]
    found = [
        (row["table"], row["operation"], ",".join(map(str, row["key"].values())))
        for row in rows.to_dict("records")
    ]
    assert len(found) == len(set(found))
    return set(found)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """Give addresses of new embedded servers, each of its own copy of a database of many kinds of tables."""
    original = tmp_path_factory.mktemp("large") / "large.db"
    with closing(apsw.Connection(str(original))) as raw:
        raw.execute(SCHEMA)
    with ExitStack() as servers:

        def serve() -> str:
            servers.close()
            copy = tmp_path_factory.mktemp("copy") / "large.db"
            copy.write_bytes(original.read_bytes())
            return str(servers.enter_context(tsn.server.LocalServer(copy)).url)

        yield serve


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(statements=st.lists(STATEMENTS, min_size=1, max_size=4, unique=True), partial=st.booleans())
def test_it_is_what_the_pull_then_brings(served, tmp_path_factory, statements, partial):
    """Whatever was changed there, told to replicas with all pages or few: every row, and no other."""
    url, folder = served(), tmp_path_factory.mktemp("replicas")
    with ExitStack() as closing_all:

        def replica(name: str, **options: Any) -> tsn.Connection:
            db = tsn.connect(folder / name, url, isolation_level=None, **options)
            return closing_all.enter_context(closing(db))

        whole, yours = replica("whole"), replica("yours")
        mine = replica("mine", partial_sync=FEW) if partial else whole
        before = contents(whole)
        for statement in statements:
            if "long" not in statement or "long" in contents(yours):
                yours.execute(statement)
        yours.push()
        frame = mine.diff()
        whole.pull()
        happened = differences(before, contents(whole))
    if frame.attrs["unplaced_pages"]:
        assert partial
        assert told(frame) <= happened
    else:
        assert told(frame) == happened


@pytest.fixture
def both(two, source) -> tuple[tsn.Connection, tsn.Connection]:
    """Two replicas; the other one pushed changes of three kinds."""
    mine, yours = two
    yours.execute("UPDATE t SET a = 'ONE' WHERE id = 1")
    yours.execute("DELETE FROM t WHERE id = 2")
    yours.execute("INSERT INTO kv VALUES ('y', 2)")
    yours.push()
    return mine, yours


def test_both_sides_and_where_they_meet(both):
    """Rows by table and key, of updates the columns that differ; nothing moves."""
    mine, _ = both
    mine.execute("UPDATE t SET b = 11 WHERE id = 1")
    mine.execute("UPDATE t SET b = 12 WHERE id = 1")
    mine.execute("INSERT INTO kv VALUES ('z', 1)")
    mine.execute("DELETE FROM kv WHERE k = 'z'")
    revision, waiting = mine.stats().revision, len(mine.changes())
    frame = mine.diff()
    assert frame.to_dict("records") == [
        {"by": "push", "table": "t", "key": {"id": 1}, "operation": "update", "old": {"b": 10},
         "new": {"b": 12}, "meets": True},
        {"by": "pull", "table": "t", "key": {"id": 1}, "operation": "update", "old": {"a": "one"},
         "new": {"a": "ONE"}, "meets": True},
        {"by": "pull", "table": "t", "key": {"id": 2}, "operation": "delete",
         "old": {"id": 2, "a": "two", "b": 20}, "new": None, "meets": False},
        {"by": "pull", "table": "kv", "key": {"k": "y"}, "operation": "insert", "old": None,
         "new": {"k": "y", "v": 2}, "meets": False},
    ]  # fmt: skip
    assert (mine.stats().revision, len(mine.changes())) == (revision, waiting)
    assert mine.execute("SELECT a, b FROM t WHERE id = 1").fetchone() == ("one", 12)


def test_what_was_pushed_from_here_is_no_news(two):
    """The remote has it and so has this replica, though it never pulled it."""
    mine, _ = two
    mine.execute("UPDATE t SET a = 'ONE' WHERE id = 1")
    mine.execute("CREATE TABLE fresh (id INTEGER PRIMARY KEY)")
    mine.execute("INSERT INTO fresh VALUES (1)")
    mine.push()
    assert mine.diff().empty


def test_a_remote_that_breaks_off(replica, way):
    """Its error, and nothing moves: the same again works."""
    mine, yours = replica("mine"), replica("yours")
    yours.execute("UPDATE t SET a = 'ONE' WHERE id = 1")
    yours.push()
    way.next("/pull-updates", lost_after)
    with pytest.raises(tsn.RemoteError):
        mine.diff()
    assert len(mine.diff()) == 1
    assert mine.pull()
    assert mine.diff().empty


def test_nothing_here_yet(replica):
    """A replica that was put off has nothing to compare with."""
    with pytest.raises(tsn.UsageError, match="nothing is here yet") as caught:
        replica("mine", bootstrap_if_empty=False).diff()
    assert caught.value.hint == "pull first"


def test_a_value_pushed_from_here_that_is_replaced_is_shown_as_it_is_here(two):
    """Against what is here, not against the last pull; what somebody else set is news."""
    mine, yours = two
    mine.execute("UPDATE t SET a = 'mine' WHERE id = 1")
    mine.push()
    yours.execute("UPDATE t SET a = 'yours' WHERE id = 1")
    yours.push()
    (row,) = mine.diff().to_dict("records")
    assert (row["by"], row["old"], row["new"]) == ("pull", {"a": "mine"}, {"a": "yours"})


def test_a_value_that_waits_stays_on_top(two):
    """Only columns that the other side changed are told."""
    mine, yours = two
    mine.execute("UPDATE t SET b = 11 WHERE id = 1")
    yours.execute("UPDATE t SET a = 'yours' WHERE id = 1")
    yours.push()
    of_pull = mine.diff().to_dict("records")[1]
    assert (of_pull["old"], of_pull["new"]) == ({"a": "one"}, {"a": "yours"})


def test_a_row_without_rowid_is_found_by_its_key(served, tmp_path):
    """Beside a large table WITHOUT ROWID, and in it, a changed row costs a few requests and pages."""
    url = served()
    yours = tsn.connect(tmp_path / "yours", url, isolation_level=None)
    for number, changed in enumerate(
        ["UPDATE keyed SET v = 'x' WHERE n = 4500", "UPDATE many SET a = 'x' WHERE n = 7"]
    ):
        mine = tsn.connect(tmp_path / f"mine{number}", url, partial_sync=FEW)
        yours.execute(changed)
        yours.push()
        before, frame, after = mine.stats(), mine.diff(), mine.stats()
        assert len(frame) == 1
        assert after.network_requests - before.network_requests <= 12
        assert after.network_received_bytes - before.network_received_bytes < 60 * 4200
        mine.close()
    yours.close()
