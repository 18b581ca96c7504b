"""A table edited as a DataFrame: what pandas work changed is found by key and written, nothing else."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import apsw
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import turso_sync_nb as tsn
from turso_sync_nb.connection.frame_editing import EditReport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCHEMA = """
CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT NOT NULL, age INTEGER, u UNIQUE);
INSERT INTO person VALUES (1, 'Ada', 36, 'a'), (2, 'Bob', NULL, 'b'), (3, 'Cleo', 9007199254740993, 'c');
CREATE TABLE pair (a TEXT, b INTEGER, v, g AS (v || '!'), PRIMARY KEY (b, a));
INSERT INTO pair VALUES ('x', 1, NULL), ('x', 2, ''), ('y', 1, x'00ff');
CREATE TABLE bare (x, y DEFAULT 7, z AS (x || '!'));
INSERT INTO bare (x, y) VALUES ('a', 1), ('a', 1), ('b', NULL), (NULL, 2.5);
CREATE TABLE hidden (rowid, oid, _rowid_);
CREATE TABLE loose (k TEXT PRIMARY KEY, v);
INSERT INTO loose VALUES (NULL, 1);
CREATE VIEW seen AS SELECT * FROM person;
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A database with tables of several kinds."""
    path = tmp_path / "source.db"
    raw = apsw.Connection(str(path))
    raw.execute(SCHEMA)
    raw.close()
    return path


@pytest.fixture
def db(embedded: Callable[..., Any], source: Path, connect: Callable[..., Any]) -> tsn.Connection:
    """A replica of it."""
    return connect(embedded(source).url)


def people(db: tsn.Connection) -> list[tuple[Any, ...]]:
    """Return the rows."""
    return list(db.execute("SELECT * FROM person ORDER BY id").fetchall())


def test_rows_are_found_by_key(db):
    """Rows updated, deleted and inserted by ordinary pandas work become one transaction."""
    frame = db.edit_frame("person")
    frame.loc[frame["name"] == "Ada", "age"] = 37
    frame = frame[frame["name"] != "Bob"].sort_values("name", ascending=False)
    new = pd.DataFrame({"id": [None], "name": ["Dan"], "u": ["d"]}, dtype=object)
    whole = pd.concat([frame, new], ignore_index=True)
    shown = db.preview(whole, of=frame, delete=True)
    assert list(shown["operation"]) == ["delete", "update", "insert"]
    assert shown["old"][1] == {"age": 36}
    assert shown["new"][1] == {"age": 37}
    assert people(db)[0] == (1, "Ada", 36, "a"), "a preview writes nothing"
    report = db.apply(whole, of=frame, delete=True)
    assert report == EditReport(inserted=1, updated=1, deleted=1)
    assert people(db) == [(1, "Ada", 37, "a"), (3, "Cleo", 2**53 + 1, "c"), (4, "Dan", None, "d")]
    assert len(db.changes()) == 3
    assert len(set(db.changes()["transaction"])) == 1


def test_nothing_changed_is_nothing_written(db):
    """A frame as it was, sorted, indexed by its key, or turned to floats on the way, changes nothing."""
    for work in (
        lambda frame: frame,
        lambda frame: frame.sort_values("name", ascending=False),
        lambda frame: frame.set_index("id"),
        lambda frame: frame.astype({"age": "float64"}),
        lambda frame: frame[["name", "id"]],
        lambda frame: frame.astype(object).where(frame.notna(), None),
    ):
        frame = db.edit_frame("person")
        assert db.preview(work(frame), of=frame).empty
        assert not db.apply(work(frame), of=frame)
    for table in ("pair", "person"):
        assert not db.apply(db.edit_frame(table))
    assert db.changes().empty


def test_booleans_dates_and_moments(db):
    """What pandas has as such is compared and written as what the table holds."""
    db.execute(
        "CREATE TABLE event (id INTEGER PRIMARY KEY, done BOOLEAN, day DATE, at TIMESTAMP, zone DATETIME)"
    )
    row = (0, "2024-01-31", "2024-01-31 12:30:00", "2024-01-31 12:30:00+05:45")
    db.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?)", [(1, *row), (2, None, None, None, None)])
    db.commit()
    frame = db.edit_frame("event")
    assert db.preview(frame).empty
    frame.loc[0, "done"] = True
    frame["at"] += pd.Timedelta(days=1)
    frame["zone"] += pd.Timedelta(hours=1)
    assert db.apply(frame) == EditReport(updated=1)
    assert db.execute("SELECT * FROM event").fetchall() == [
        (1, 1, "2024-01-31", "2024-02-01 12:30:00", "2024-01-31 13:30:00+05:45"), (2, None, None, None, None),
    ]  # fmt: skip


def test_a_table_without_a_key_is_edited_by_rowid(db):
    """Its rowid is the first column; equal rows are told apart, new rows get numbers and defaults."""
    frame = db.edit_frame("bare")
    assert list(frame.columns) == ["rowid", "x", "y"]
    frame.loc[1, "x"] = "second"
    frame = frame[frame["x"] != "b"]
    new = pd.DataFrame({"rowid": [None, 77], "x": ["new", "given"]}, dtype=object)
    report = db.apply(pd.concat([frame.astype(object), new]), of=frame, delete=True)
    assert report == EditReport(inserted=2, updated=1, deleted=1)
    rows = db.execute("SELECT x, y FROM bare ORDER BY rowid").fetchall()
    assert rows == [("a", 1), ("second", 1), (None, 2.5), ("new", 7), ("given", 7)]
    assert not db.apply(db.edit_frame("bare"))


@pytest.mark.parametrize(
    "meanwhile",
    [
        "UPDATE bare SET y = 5 WHERE rowid = 3",
        "DELETE FROM bare WHERE rowid = 3",
        "UPDATE bare SET rowid = rowid + 10",
        "UPDATE bare SET y = '1' WHERE rowid = 3",
    ],
)
def test_a_rowid_that_is_another_rows_is_flagged(db, meanwhile):
    """The whole old row guards an edit by rowid: one changed in any column, moved or gone stays."""
    frame = db.edit_frame("bare")
    frame.loc[2, "x"] = "mine"
    db.execute(meanwhile)
    before = db.execute("SELECT rowid, x, y FROM bare").fetchall()
    assert db.preview(frame)["changed"].notna().all()
    with pytest.raises(tsn.ConflictError, match="rowid=3"):
        db.apply(frame)
    assert db.apply(frame, on_changed="skip") == EditReport(skipped=1)
    assert db.execute("SELECT rowid, x, y FROM bare").fetchall() == before


def test_rows_by_rowid_are_guarded_across_a_pull(embedded, source, connect):
    """A pull that puts another row under the number flags the edit; an equal row is written and pushed."""
    server = embedded(source)
    mine, yours = connect(server.url), connect(server.url)
    frame = mine.edit_frame("bare")
    yours.execute("DELETE FROM bare WHERE x = 'b'")
    yours.execute("INSERT INTO bare (rowid, x) VALUES (3, 'other')")
    yours.commit()
    yours.push()
    mine.pull()
    frame.loc[0, "y"], frame.loc[2, "x"] = 9, "mine"
    with pytest.raises(tsn.ConflictError, match="rowid=3"):
        mine.apply(frame)
    assert mine.apply(frame, on_changed="skip") == EditReport(updated=1, skipped=1)
    mine.push()
    yours.pull()
    got = yours.execute("SELECT x, y FROM bare ORDER BY y").fetchall()
    assert got == [("a", 1), (None, 2.5), ("other", 7), ("a", 9)]


OTHER_FRAMES: dict[str, Callable[[pd.DataFrame], Any]] = {
    "polars": pl.from_pandas,
    "arrow": pa.Table.from_pandas,
    "batch": pa.RecordBatch.from_pandas,
    "pyarrow types": lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
    "capitals": lambda frame: frame.rename(columns=str.upper),
    "records": lambda frame: pd.DataFrame.from_records(frame.to_records(index=False)),
    "a parquet file": lambda frame: pd.read_parquet(io.BytesIO(frame.to_parquet())),
}


@pytest.mark.parametrize("way", OTHER_FRAMES)
def test_frames_of_other_kinds_are_applied(db, way):
    """polars, Arrow and what went through them or files: unchanged rows stay, a change is found."""
    before, taken = people(db), db.edit_frame("person")
    there = OTHER_FRAMES[way](taken)
    assert db.preview(there, of=taken).empty
    changed = taken.copy()
    changed.loc[changed["id"] == 2, "name"] = "Bert"
    report = db.apply(OTHER_FRAMES[way](changed), of=taken)
    assert (report.updated, report.inserted, report.kept) == (1, 0, 0)
    assert [row for row in people(db) if row[0] != 2] == [row for row in before if row[0] != 2]
    assert next(row for row in people(db) if row[0] == 2)[1] == "Bert"


@pytest.mark.parametrize("frame", [{"id": [1]}, [1], None, 7, pl.DataFrame({"id": [1]}), pd.Series([1])])
def test_what_was_not_taken_is_told(db, frame):
    """In one line: which frame it was made from is not known; with that named, that it is no frame."""
    with pytest.raises(tsn.UsageError, match="lost track"):
        db.apply(frame)
    if not isinstance(frame, pl.DataFrame):
        with pytest.raises(tsn.UsageError, match=f"a {type(frame).__name__} is no DataFrame"):
            db.apply(frame, of=db.edit_frame("person"))


def test_where_leaves_the_others_alone(db):
    """Rows outside of ``where`` are not deleted, whatever is."""
    frame = db.edit_frame("person", where="id < :top", parameters={"top": 3})
    assert list(frame["id"]) == [1, 2]
    db.apply(frame.iloc[:0], delete=True)
    assert [row[0] for row in people(db)] == [3]


@pytest.mark.parametrize(
    "work",
    [
        lambda frame: frame[frame["name"] == "Ada"],
        lambda frame: frame.head(1),
        lambda frame: frame.query("id == 1"),
        lambda frame: frame.dropna().iloc[:1],
        lambda frame: frame.set_index("id").loc[[1]],
        lambda frame: frame.drop(index=[1, 2]),
    ],
)
def test_rows_that_a_frame_lacks_stay(db, work):
    """A filter deletes nothing unasked: what it left is written, the rest is counted, previewed and kept."""
    before = people(db)
    frame = db.edit_frame("person")
    less = work(frame).assign(name="Ada L.")
    shown = db.preview(less, of=frame)
    assert list(shown["operation"]) == ["kept", "kept", "update"]
    assert list(shown["key"])[:2] == [{"id": 2}, {"id": 3}]
    assert list(db.preview(less, of=frame, delete=True)["operation"]) == ["delete", "delete", "update"]
    report = db.apply(less, of=frame)
    assert report == EditReport(updated=1, kept=2)
    assert "2 of 3 rows are not in this frame; nothing was deleted (delete=True deletes them)" in str(report)
    assert str(report) in repr(report)
    assert people(db) == [(1, "Ada L.", 36, "a"), *before[1:]]
    assert len(db.changes()) == 1


def test_rows_gone_meanwhile_do_not_stop_a_frame_that_lacks_them(db):
    """What was changed or deleted underneath in a kept row is no conflict."""
    frame = db.edit_frame("person")
    db.execute("UPDATE person SET age = 99 WHERE id = 2")
    db.execute("DELETE FROM person WHERE id = 3")
    less = frame[frame["id"] == 1]
    assert set(db.preview(less)["changed"]) == {None}
    assert db.apply(less) == EditReport(kept=2)
    assert not db.apply(db.edit_frame("person")), "and a whole frame says nothing of rows"


def test_composite_keys_null_and_blobs(db):
    """A key of several columns, NULL against empty text, blobs; generated columns stay out."""
    frame = db.edit_frame("pair")
    assert list(frame.columns) == ["a", "b", "v"]
    frame.loc[(frame["a"] == "x") & (frame["b"] == 1), "v"] = ""
    frame.loc[(frame["a"] == "x") & (frame["b"] == 2), "v"] = None
    db.apply(frame)
    rows = db.execute("SELECT a, b, v FROM pair ORDER BY a, b").fetchall()
    assert rows == [("x", 1, ""), ("x", 2, None), ("y", 1, b"\x00\xff")]


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("seen", "view"),
        ("hidden", "no primary key"),
        ("nothing", "no such table"),
        ("loose", "NULL in its key"),
    ],
)
def test_what_cannot_be_edited_says_why(db, table, reason):
    """Views, tables without a key, rows that no key names."""
    with pytest.raises(tsn.UsageError, match=reason) as caught:
        db.edit_frame(table)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        (lambda frame: frame.assign(extra=1), "no column 'extra'"),
        (lambda frame: frame.drop(columns="id"), "key column 'id' is missing"),
        (lambda frame: pd.concat([frame, frame.iloc[:1]]), "two rows have the key id=1"),
        (lambda frame: frame.assign(name=[{}, "b", "c"]), "column name"),
        (lambda frame: frame.assign(id=frame["id"].astype("float64") + 2.0**54), "lost digits"),
    ],
)
def test_frames_that_make_no_sense(db, work, reason):
    """Each is refused with the column or row named, and nothing is written."""
    frame = db.edit_frame("person")
    with pytest.raises(tsn.UsageError, match=reason) as caught:
        db.apply(work(frame), of=frame)
    assert caught.value.hint
    assert db.changes().empty
    assert not db.apply(frame), "it can still be applied"


def test_a_constraint_undoes_all(db):
    """One row that the table refuses: nothing is written, an open transaction goes on."""
    frame = db.edit_frame("person")
    frame["u"] = ["z", "c", "c"]
    with pytest.raises(tsn.IntegrityError):
        db.apply(frame)
    assert not db.in_transaction
    db.execute("BEGIN")
    db.execute("UPDATE person SET age = 1 WHERE id = 1")
    with pytest.raises(tsn.IntegrityError):
        db.apply(frame)
    assert db.in_transaction
    db.commit()
    assert [(row[2], row[3]) for row in people(db)][:2] == [(1, "a"), (None, "b")]


def test_rows_changed_by_a_pull_are_flagged(embedded, source, connect):
    """A row that a pull changed underneath is not overwritten unasked; other columns of it merge."""
    server = embedded(source)
    mine, yours = connect(server.url), connect(server.url)
    frame = mine.edit_frame("person")
    for sql in ("UPDATE person SET age = 99 WHERE id = 1", "UPDATE person SET u = 'bb' WHERE id = 2",
                "DELETE FROM person WHERE id = 3"):  # fmt: skip
        yours.execute(sql)
    yours.commit()
    yours.push()
    mine.pull()
    frame["age"] = frame["age"].astype("Int64")
    frame.loc[0, "age"], frame.loc[1, "age"], frame.loc[2, "name"] = 50, 51, "Cleopatra"
    assert list(mine.preview(frame)["changed"]) == [{"age": 99}, None, {}]
    with pytest.raises(tsn.ConflictError, match=r"id=1; id=3"):
        mine.apply(frame)
    assert mine.changes().empty
    assert mine.apply(frame, on_changed="skip") == EditReport(updated=1, skipped=2)
    assert people(mine) == [(1, "Ada", 99, "a"), (2, "Bob", 51, "bb")]


def test_overwrite_when_asked(embedded, source, connect):
    """What was changed or removed underneath is as in the frame."""
    db = connect(embedded(source).url)
    frame = db.edit_frame("person")
    db.execute("UPDATE person SET age = 99 WHERE id = 1")
    db.execute("DELETE FROM person WHERE id = 3")
    db.execute("INSERT INTO person VALUES (7, 'Gil', 7, 'g')")
    frame.loc[0, "age"], frame.loc[2, "name"] = 50, "Cleopatra"
    mine = pd.concat([frame, pd.DataFrame({"id": [7], "name": ["Gus"], "age": [8], "u": ["h"]})])
    with pytest.raises(tsn.ConflictError):
        db.apply(mine, of=frame)
    db.apply(mine, of=frame, on_changed="overwrite")
    assert people(db) == [
        (1, "Ada", 50, "a"), (2, "Bob", None, "b"), (3, "Cleopatra", 2**53 + 1, "c"), (7, "Gus", 8, "h"),
    ]  # fmt: skip


def test_a_frame_is_applied_once(db):
    """Applied again, or one that is no edit: an error that says what to do."""
    frame = db.edit_frame("person")
    db.apply(frame)
    with pytest.raises(tsn.UsageError, match="applied before"):
        db.apply(frame)
    with pytest.raises(tsn.UsageError, match="lost track"):
        db.apply(pd.DataFrame({"id": [1]}))
    with pytest.raises(tsn.UsageError, match="on_changed"):
        db.apply(frame, on_changed="never")


NOT_ONE_CONDITION = [
    "id = 1; DROP TABLE person",
    "1; DELETE FROM person",
    "1;",
    "1 --\n; DELETE FROM person",
    "1 /* \n */ ; DELETE FROM person",
    "1); DELETE FROM person; SELECT (1",
    "1) OR (1",
    "1) AND (id < 3",
    "id = 0) OR (id = 1",
    "1)\n--\nOR\n/* ( */(1",
    "id = ')' ) OR (')' = ')'",
    "abs(id)) OR ((1)",
    "(1",
    "1)",
    ")(",
    "1) --",
    "1) /*",
    "1, 1",
    "1), (1",
    "id = 1 THEN 1 WHEN 1",
    "1) THEN 2 WHEN (1",
    "1 THEN 1 END OR CASE WHEN 1",
    "1) UNION SELECT id, name, age, u FROM person WHERE (1",
    "1 UNION SELECT 1",
    "SELECT 1",
    "1) ORDER BY (id",
    "1 ORDER BY id",
    "1) LIMIT (1",
    "1 LIMIT 1",
    "1) GROUP BY (id",
    "count(*) > 1",
    "1 /*",
    "1 --\x00\n",
    "'a",
    '"a',
    "id ==",
    "-- nothing",
    " ",
    "missing = 1",
]


@pytest.mark.parametrize("take", ["edit_frame", "edit"])
def test_where_is_one_expression(db, take):
    """Another statement, a clause, a list, or what closes the condition is refused, and nothing is done."""
    before = people(db)
    for where in NOT_ONE_CONDITION:
        try:
            getattr(db, take)("person", where=where)
            said = "it was taken"
        except tsn.UsageError as error:
            said = str(error)
        assert said.startswith("edit person: where= is not one condition: "), where
        assert said.endswith("(write what follows WHERE, values as :name with parameters=)")
        assert "\n" not in said
    assert people(db) == before
    assert db.changes().empty
    assert not db.in_transaction


def test_where_is_text(db):
    """The mask by which pandas filters is no SQL: one line says what to write."""
    mask = db.query("SELECT id FROM person")["id"] < 3
    for take in (db.edit_frame, db.edit):
        with pytest.raises(tsn.UsageError, match="is SQL, not a Series"):
            take("person", where=mask)
    assert len(db.edit_frame("person", where="")) == len(db.edit_frame("person"))


@pytest.mark.parametrize(
    "where",
    [
        "id < 3 -- two",
        "id < 3 /* two ;) */",
        "name <> 'a;b' AND id < 3",
        "name <> ') OR (' AND id < 3",
        "id IN (SELECT id FROM person WHERE id < 3)",
        "EXISTS (SELECT 1 FROM person AS other WHERE other.id = person.id + 1 AND other.id < 4)",
        "(id) < (3)",
        "(id, 1) < (3, 0)",
        "(1) AND (id < 3)",
        "CASE WHEN id < 3 THEN 1 END",
        "CASE id WHEN 1 THEN 1 WHEN 2 THEN 1 ELSE 0 END",
        "id BETWEEN 1 AND 2",
        "\n id\n < 3\n",
        'person.id < 3 AND [id] < 3 AND `id` < 3 AND "id" < 3',
    ],
)
def test_where_takes_any_expression(db, where):
    """Comments, strings with a semicolon or a parenthesis, subqueries, CASE."""
    assert list(db.edit_frame("person", where=where)["id"]) == [1, 2]
    assert len(db.edit("person", where=where).rows.page(db, "from", (), 9)) == 2


@pytest.mark.parametrize(
    ("where", "parameters"),
    [
        ("id < ?", (3,)),
        ("id < :top", {"top": 3}),
        ("id IN :ids", {"ids": [1, 2]}),
        ("name IN (SELECT name FROM :names)", {"names": pd.DataFrame({"name": ["Ada", "Bob"]})}),
    ],
)
def test_where_takes_values(db, where, parameters):
    """By place, by name, and as lists and frames."""
    assert list(db.edit_frame("person", where=where, parameters=parameters)["id"]) == [1, 2]


VALUES = st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text() | st.binary()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.dictionaries(st.integers(-5, 5), VALUES), after=st.dictionaries(st.integers(-5, 5), VALUES))
def test_the_table_becomes_the_frame(db, before, after):
    """Whatever rows there were, after apply the table has the rows of the frame."""
    db.isolation_level = None
    db.execute("DROP TABLE IF EXISTS any")
    db.execute("CREATE TABLE any (id INTEGER PRIMARY KEY, v)")
    db.executemany("INSERT INTO any VALUES (?, ?)", list(before.items()))
    taken = db.edit_frame("any")
    frame = pd.DataFrame({"id": list(after), "v": pd.Series(list(after.values()), dtype=object)})
    db.apply(frame, of=taken, delete=True)
    now = dict(db.execute("SELECT * FROM any").fetchall())
    assert now.keys() == after.keys()
    assert all(now[key] == value for key, value in after.items())
