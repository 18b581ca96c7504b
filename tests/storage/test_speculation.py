"""Speculation: which pages a query is told to want, and that its rows stay what they are."""

from __future__ import annotations

import itertools
import json
import random
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from partial import READONLY, READWRITE, Partial, pages_of
from shops import PREFIX, ROWS, Reading

from turso_sync_nb.storage.format.btree import Node
from turso_sync_nb.storage.format.btree import _varint as read_varint
from turso_sync_nb.storage.prefetch.placeholder_pages import _varint
from turso_sync_nb.storage.prefetch.speculation import Speculation
from turso_sync_nb.storage.prefetch.speculative_db import SpeculativeDb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEYS = sorted(random.Random(3).sample(range(ROWS), 100))


class Foreseeing(Reading):
    """A reader whose queries are foreseen."""

    def rows(self, sql: str, *bindings: object) -> list[Any]:
        """Return the rows."""
        self.file.speculation.begin(sql, [bindings])
        return super().rows(sql, *bindings)


@pytest.fixture
def reader(store_pages, partial: Callable[..., Partial]) -> Iterator[Foreseeing]:
    """Give a reader whose replica has schema and roots."""
    replica = partial(store_pages, here=PREFIX, segment_pages=1)
    with closing(replica.open(READONLY)) as db:
        yield Foreseeing(replica, db)


@pytest.mark.parametrize(
    ("sql", "requests", "wasted_max"),
    [
        ("SELECT note FROM item WHERE id = 20000", 2, 0),
        ("SELECT note FROM item WHERE id BETWEEN 20000 AND 21000", 2, 1),
        ("SELECT note FROM item WHERE id BETWEEN 20000 AND 21000 ORDER BY id DESC", 2, 1),
        (f"SELECT note FROM item WHERE id IN ({', '.join(map(str, KEYS))})", 2, 0),
        (f"SELECT id FROM (VALUES {', '.join(f'({key})' for key in KEYS)}) JOIN item ON id = column1", 2, 0),
        ("SELECT note FROM item WHERE shop = 77", 4, 1),
        ("SELECT note FROM item WHERE shop BETWEEN 77 AND 85", 5, 0),
        ("SELECT note FROM item WHERE shop BETWEEN 77 AND 78 ORDER BY shop DESC", 4, 1),
        ("SELECT count(note) FROM small CROSS JOIN item ON item.id = small.id * 7 WHERE small.id < 90", 3, 0),
        ("SELECT note FROM small CROSS JOIN item ON shop = small.id WHERE small.id IN (3, 5)", 4, 0),
        ("SELECT k FROM word WHERE k BETWEEN '0100' AND '0120'", 3, 0),
        ("SELECT note FROM item ORDER BY id DESC LIMIT 50", 2, 1),
        ("SELECT note FROM item WHERE id > 20000 LIMIT 100", 2, 0),
        ("SELECT note FROM item ORDER BY shop, id LIMIT 20", 3, 0),
        ("SELECT length(body) FROM photo WHERE id = 7 AND body > x'00'", 2, 0),
        ("SELECT v FROM small WHERE v > 'a'", 1, 0),
    ],
)  # fmt: skip
def test_as_many_requests_as_steps_that_depend_on_each_other(sql, requests, wasted_max, reader) -> None:
    """Each level of each tree on the way is one; hardly a page comes that is not read."""
    assert len(reader.asked(sql)) <= requests
    assert len(reader.replica.source.given) > 0
    assert reader.wasted() <= wasted_max
    assert reader.asked(sql) == []


LARGE = {
    "SELECT sum(length(note)) FROM item WHERE shop BETWEEN 77 AND 96": 3,
    "SELECT length(note) FROM item WHERE shop BETWEEN 77 AND 96 ORDER BY shop DESC": 3,
    "SELECT sum(length(note)) FROM item WHERE shop BETWEEN 20 AND 260": 3,
    "SELECT sum(length(note)) FROM item WHERE shop IN (3, 90, 180)": 3,
    "SELECT count(o.note) FROM item AS i JOIN item AS o USING (shop) WHERE i.id BETWEEN 9000 AND 9019": 5,
    "SELECT sum(length(note)) FROM item WHERE shop < 12 OR id BETWEEN 3000 AND 3500": 3,
    f"SELECT sum(length(note)) FROM item WHERE id IN ({', '.join(map(str, range(5, ROWS, 25)))})": 6,
    "SELECT sum(length(note)) FROM item WHERE id BETWEEN 5000 AND 25000": 6,
    f"SELECT note FROM item WHERE id IN ({', '.join(map(str, KEYS))}) UNION ALL SELECT k FROM word": 3,
}  # fmt: skip


@pytest.mark.parametrize("sql", LARGE)
def test_never_more_requests_or_pages_than_by_evidence(sql, store_pages, partial) -> None:
    """Rows of many pages: beyond what one guess may ask for, and by more entries than an index's leaf has."""
    asked, given = [], []
    for reading in (Foreseeing, Reading):
        replica = partial(store_pages, reading.__name__, here=PREFIX, segment_pages=1)
        with closing(replica.open(READONLY)) as db:
            asked.append(len(reading(replica, db).asked(sql)))
            given.append(len(replica.source.given))
    assert asked[0] == LARGE[sql]
    assert asked[0] <= asked[1]
    assert given[0] <= given[1]


def test_a_run_reads_each_page_once(reader, monkeypatch) -> None:
    """Rows in the order of an index come back to the same pages of their table, which are read once."""
    runs: list[list[int]] = []

    class Watched(SpeculativeDb):
        def run(self, sql: str, items: Any) -> None:
            runs.append([])
            super().run(sql, items)

        def read(self, page: int) -> bytes | None:
            if runs:
                runs[-1].append(page)
            return super().read(page)

    monkeypatch.setattr("turso_sync_nb.storage.prefetch.speculation.SpeculativeDb", Watched)
    assert reader.asked("SELECT sum(length(note)) FROM item WHERE shop BETWEEN 20 AND 260")
    assert max(map(len, runs)) > 600  # more than the 2 MB of an ordinary cache
    for pages in runs:
        assert len(pages) - len(set(pages)) <= 1  # page 0: its header, and its tree


def test_entries_are_decoded_for_rows_alone(reader, monkeypatch) -> None:
    """A query that an index covers asks for no row, so no entry is decoded for one."""
    decoded: list[int] = []
    sought = Node.referenced_rowids.func
    monkeypatch.setattr(
        Node, "referenced_rowids", property(lambda node: decoded.append(node.page) or sought(node))
    )
    assert reader.asked("SELECT shop, count(*) FROM item WHERE shop < 90 GROUP BY shop")
    assert decoded == []
    assert reader.asked("SELECT note FROM item WHERE shop = 91")
    assert decoded


def test_a_large_guess_that_was_cut_short_is_the_last(reader, monkeypatch) -> None:
    """The next one would compute all of it again: what follows goes by what was read, each page once."""
    monkeypatch.setattr("turso_sync_nb.storage.prefetch.speculative_db.STEPS_MAX", 8_000)
    sql = "SELECT sum(length(note)) FROM item WHERE shop BETWEEN 0 AND 40"
    asked = reader.asked(sql)
    assert asked[:4] == [11, 256, 349, 1]
    assert len(asked) <= 9
    assert len(reader.replica.source.given) == len(set(reader.replica.source.given))
    assert reader.rows(sql) == [(41 * 100 * 110,)]


def test_absent_roots_come_together(store_pages, partial: Callable[..., Partial]) -> None:
    """All trees that a statement opens are known before its first read: their roots are one request."""
    replica = partial(store_pages, here=[0], segment_pages=1)
    with closing(replica.open(READONLY)) as db:
        reader = Foreseeing(replica, db)
        sql = (
            "SELECT note FROM item JOIN small USING(id) WHERE shop = 7 UNION SELECT k FROM word WHERE k = ''"
        )
        roots = {
            root - 1 for (root,) in db.execute("SELECT rootpage FROM sqlite_schema WHERE name <> 'photo'")
        }
        reader.asked(sql)
        assert roots <= set(replica.source.asked[0])
        assert reader.wasted() <= 1


def test_a_scan_is_found_by_what_was_read(reader) -> None:
    """A query that wants more than is asked for on suspicion grows from one leaf, as without speculation."""
    assert reader.asked("SELECT sum(length(note)) FROM item")[1:5] == [1, 4, 32, 256]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT here(note) FROM item WHERE id BETWEEN 20000 AND 20500",
        "SELECT note FROM item WHERE id IN (SELECT id FROM temp.mine)",
        "SELECT note FROM (SELECT * FROM item WHERE id < 100) ORDER BY id COLLATE mine LIMIT 1",
    ],
)
def test_what_only_the_reader_knows(sql, reader) -> None:
    """Functions, collations and temporary tables that nobody stands in for: no speculation for them."""
    reader.db.create_scalar_function("here", lambda note: note)
    reader.db.create_collation("mine", lambda one, other: (one > other) - (one < other))
    reader.db.execute("CREATE TEMP TABLE mine(id)")
    reader.db.execute("INSERT INTO temp.mine VALUES (100), (20000)")
    assert all(note == "n" * 110 for (note,) in reader.rows(sql))


def test_a_query_that_computes_long_is_not_run_twice(reader) -> None:
    """What is run for nothing ends after some milliseconds of computing; rows are as ever."""
    sql = """
    WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
    SELECT max(i), (SELECT note FROM item WHERE id = 20000) FROM n
    """
    assert reader.rows(sql) == [(200_000, "n" * 110)]
    assert not reader.file.speculation._items


def test_what_another_query_reads_between(reader) -> None:
    """Rows of a query that goes on after another began are those it has; nothing is asked for twice."""
    first = iter(reader.db.execute("SELECT id FROM item WHERE id >= 10000"))
    assert next(first) == (10_000,)
    assert reader.rows("SELECT count(*) FROM item WHERE id BETWEEN 25000 AND 25100") == [(101,)]
    assert list(itertools.islice(first, 2000)) == [(number,) for number in range(10_001, 12_001)]
    assert len(reader.replica.source.given) == len(set(reader.replica.source.given))


def test_a_row_changed_here(store_pages, partial: Callable[..., Partial]) -> None:
    """Pages in the log are read from there, by readers and speculation; placeholders never reach the file."""
    replica = partial(store_pages, here=PREFIX, segment_pages=1)
    with closing(replica.open(READWRITE)) as db:
        reader = Foreseeing(replica, db)
        db.execute("UPDATE item SET note = 'mine' WHERE id BETWEEN 20100 AND 20400")
        notes = reader.rows("SELECT note FROM item WHERE id BETWEEN 20000 AND 20500")
        assert notes.count(("mine",)) == 301
        assert len(notes) == 501
    for page in replica.store.page_map.resident:
        if page:
            assert replica.store.read(page) == store_pages[page]


WRITES = [
    ("UPDATE item SET note = 'mine' WHERE id IN (SELECT value FROM json_each(?))", 2),
    ("UPDATE item SET shop = -shop WHERE id IN (SELECT value FROM json_each(?))", 4),
    ("DELETE FROM item WHERE id IN (SELECT value FROM json_each(?))", 4),
    ("DELETE FROM item WHERE shop IN (SELECT value FROM json_each(?) WHERE value < 300)", 5),
    ("INSERT INTO item(shop, note) SELECT value, 'new' FROM json_each(?) WHERE true", 3),
    ("INSERT OR REPLACE INTO item SELECT value, 1, 'new' FROM json_each(?)", 5),
    ("INSERT INTO item SELECT value, 1, 'new' FROM json_each(?) WHERE true ON CONFLICT(id) DO NOTHING", 3),
    ("REPLACE INTO word SELECT printf('%0200d', value) FROM json_each(?)", 4),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "requests"), WRITES)
def test_statements_that_write(sql, requests, store_pages, partial: Callable[..., Partial]) -> None:
    """So many requests as there are levels of the trees they change; every row is what it should be."""
    replica = partial(store_pages, here=PREFIX, segment_pages=1)
    with closing(replica.open(READWRITE)) as db, closing(apsw.Connection(":memory:")) as plain:
        plain.deserialize("main", b"".join(store_pages))
        reader = Foreseeing(replica, db)
        assert len(reader.asked(sql, json.dumps(KEYS))) <= requests
        assert reader.wasted() <= len(replica.source.given) / 8
        plain.execute(sql, (json.dumps(KEYS),))
        for table in ("item", "word"):
            assert (
                db.execute(f"SELECT * FROM {table}").fetchall()
                == plain.execute(f"SELECT * FROM {table}").fetchall()
            )
        assert db.pragma("integrity_check") == "ok"


def test_a_statement_that_is_repeated(store_pages, partial: Callable[..., Partial]) -> None:
    """What its items want comes together, from the one on that it has come to."""
    replica = partial(store_pages, here=PREFIX, segment_pages=1)
    sql, items, done = "UPDATE item SET note = ? WHERE id = ?", [("mine", key) for key in KEYS], 0
    with closing(replica.open(READWRITE)) as db:
        reader = Foreseeing(replica, db)
        reader.file.speculation.begin(sql, items, lambda: done)
        before = len(replica.source.asked)
        for item in items:
            db.execute(sql, item)
            done += 1
        assert len(replica.source.asked) - before == 2
        assert reader.wasted() == 0
        assert reader.rows("SELECT count(*) FROM item WHERE note = 'mine'") == [(len(KEYS),)]


# In general

EXTREME = [-(1 << 63), -(1 << 40), -1, 0, 1, (1 << 63) - 2, (1 << 63) - 1]
TEXTS = st.sampled_from(["", "a", "long " * 400, "longer " * 900])


def made(path: Path, rows: list[tuple[int, str, int]], reserved: int) -> None:
    """Make a database of these rows in a table, under an index and in a table without rowid."""
    with closing(apsw.Connection(str(path))) as db:
        db.reserve_bytes("main", reserved)
        db.execute(
            "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, n INT); CREATE INDEX t_n ON t(n);"
            "CREATE TABLE w(a TEXT, n INT, id INT, PRIMARY KEY(n, id)) WITHOUT ROWID"
        )
        with db:
            db.executemany("INSERT INTO t VALUES(?, ?, ?)", rows)
            db.execute("INSERT INTO w SELECT a, n, id FROM t")


STATEMENTS = st.sampled_from(
    [
        "SELECT id, n, length(a) FROM {table} AS f WHERE {where}{tail}",
        "UPDATE {table} AS f SET a = 'new' WHERE {where}",
        "UPDATE {table} AS f SET n = n + 1 WHERE {where}",
        "DELETE FROM {table} AS f WHERE {where}",
        "INSERT OR REPLACE INTO {table}(id, a, n) SELECT id / 2, a, n + 1 FROM {table} AS f WHERE {where}",
    ]
)
CONDITIONS = st.sampled_from(
    [
        "id = :x", "id BETWEEN :x AND :y", "n = :x", "n BETWEEN :x AND :y", "id > :x", "id < :y", "n > :x",
        "id IN (:x, :y, :x + 1, :y - 7)", "n = :x OR id = :y", "a = 'a' AND n < :y", "a IS NULL", "true",
        "id IN (SELECT n FROM t WHERE id > :x)", "EXISTS (SELECT 1 FROM w AS o WHERE o.n = f.id)",
    ]
)  # fmt: skip
TAILS = st.sampled_from(
    [
        "",
        " ORDER BY id DESC",
        " ORDER BY n",
        " ORDER BY n DESC LIMIT 5",
        " ORDER BY id LIMIT 70",
        " LIMIT 3 OFFSET 9",
    ]
)


def outcome(raw: apsw.Connection, sql: str, values: dict[str, int]) -> object:
    """Return the rows, or what a constraint says: some statements break one."""
    try:
        return raw.execute(sql, values).fetchall()
    except apsw.ConstraintError as error:
        return str(error)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=60,
    deadline=None,
)
@given(data=st.data())
def test_rows_are_those_of_plain_sqlite(data, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever the query and whatever is here, for keys, sizes and page layouts of every kind."""
    folder = tmp_path_factory.mktemp("any")
    chance = random.Random(data.draw(st.integers(0, 1 << 32)))
    ids = {chance.randrange(-3000, 3000) for _ in range(data.draw(st.sampled_from([3, 200, 1200])))}
    ids |= set(data.draw(st.lists(st.sampled_from(EXTREME), max_size=4)))
    text = data.draw(TEXTS)
    made(
        folder / "plain.db",
        [(one, text, chance.randrange(-50, 50)) for one in ids],
        data.draw(st.sampled_from([0, 8, 32])),
    )
    pages = pages_of(folder / "plain.db")
    here = {0} | {
        page for page in range(1, len(pages)) if chance.random() < data.draw(st.sampled_from([0, 0.2, 0.8]))
    }
    replica = Partial.create(folder / "r", pages, here=here, segment_pages=1)
    with closing(apsw.Connection(str(folder / "plain.db"))) as plain, closing(replica.open(READWRITE)) as db:
        file = replica.vfs.file(db)
        for _ in range(3):
            sql = data.draw(STATEMENTS).format(
                table=data.draw(st.sampled_from("tw")), where=data.draw(CONDITIONS), tail=data.draw(TAILS)
            )
            values = {"x": chance.randrange(-3000, 3000), "y": chance.randrange(-60, 3000)}
            file.speculation.begin(sql, [values])
            assert outcome(db, sql, values) == outcome(plain, sql, values)
        for whole in (
            "SELECT * FROM t ORDER BY id",
            "SELECT * FROM w ORDER BY n, id",
            "SELECT n FROM t ORDER BY n",
        ):
            assert db.execute(whole).fetchall() == plain.execute(whole).fetchall()
        assert db.pragma("integrity_check") == "ok"
    assert len(replica.source.given) == len(set(replica.source.given))
    replica.store.close()


DAMAGED_QUERIES = [
    "SELECT id, shop FROM item WHERE id BETWEEN 9000 AND 12000",
    "SELECT note FROM item WHERE shop = 77",
    "SELECT k FROM word WHERE k > '0' LIMIT 300",
    "SELECT count(*) FROM small CROSS JOIN item ON item.id = small.id * 7 WHERE small.id < 90",
    "SELECT sum(length(body)) FROM photo WHERE id < 30",
]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(seed=st.integers(0, 1 << 32), sql=st.sampled_from(DAMAGED_QUERIES))
def test_damaged_pages(seed, sql, store_pages, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever pages say, a query gives or refuses what it does without speculation."""
    pages, chance = list(store_pages), random.Random(seed)
    for page in (*PREFIX[1:], *chance.sample(range(len(PREFIX), len(pages)), 200)):
        damaged = bytearray(pages[page])
        for _ in range(chance.choice([0, 1, 5, 300])):
            at = chance.choice([chance.randrange(12), chance.randrange(300), chance.randrange(4096)])
            damaged[at] = chance.choice([0, 1, 2, 5, 10, 13, 255, chance.randrange(256)])
        pages[page] = bytes(damaged)
    outcomes = []
    for name in ("foreseen", "not"):
        replica = Partial.create(tmp_path_factory.mktemp(name) / "r", pages, here=PREFIX, segment_pages=1)
        with closing(replica.open(READONLY)) as db:
            db.pragma("cell_size_check", True)  # else SQLite reads on behind a page, whatever is there
            if name == "foreseen":
                replica.vfs.file(db).speculation.begin(sql, [None])
            try:
                outcomes.append(db.execute(sql).fetchall())
            except (apsw.Error, UnicodeDecodeError) as error:
                outcomes.append((type(error), str(error)))
        replica.store.close()
    assert outcomes[0] == outcomes[1]


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_variable_length_integers(value) -> None:
    """What is written is what is read."""
    written = _varint(value)
    assert read_varint(written, 0) == (value, len(written))


@pytest.mark.parametrize(
    ("pages", "begin"), [([], 0), ([7], 0), ([7, 8], 0), ([1, 5, *range(20, 60)], 2), (list(range(40)), 0)]
)
def test_the_begin_of_a_scan_is_found(pages, begin):
    """The siblings at the end are left out, also where there are few pages at all."""
    speculation = Speculation.__new__(Speculation)
    speculation._trees = SimpleNamespace(beside=lambda page, step: iter([page + step]))
    assert speculation._scan_begin(pages) == begin
