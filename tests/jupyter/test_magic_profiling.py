"""%turso_sync profile and explain."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from turso_sync_nb.connection import profiling
from turso_sync_nb.connection.profiling import bars_of, profile_table

VALUES = {
    "integers": [5, 5, -(2**40), 2**40, None, 7],
    "reals": [0.5, 1e300, -1.0, 0.5, None, 2.0],
    "numbers": [1, 1.0, 2, 2.5, None, 2],
    "texts": ["b", "a", "a", "", None, "zürich"],
    "mixed": [1, "1", b"1", 1.5, None, "x"],
    "blobs": [b"", b"abc", b"abc", b"x", None, b"y"],
    "days": ["2024-01-01", "2024-12-31", "2024-07-01", "2024-07-01", None, "2024-02-29"],
    "moments": [f"2024-01-0{day} 12:30:00" for day in (1, 2, 2, 3, 4, 9)],
    "empty": [None] * 6,
}
"""Columns of every kind."""


@pytest.fixture
def kinds(flights):
    """Give a connection with a table of every kind of column, in several parts."""
    db = flights.ip.magics_manager.registry["TursoSyncMagics"].connections.get(None, {}).db
    names = list(VALUES)
    db.execute(f"CREATE TABLE kinds ({', '.join(names)})")
    db.executemany(
        f"INSERT INTO kinds VALUES ({', '.join('?' * len(names))})", zip(*VALUES.values(), strict=True)
    )
    db.commit()
    return db


@pytest.mark.parametrize("rows_together", [2, 2_000])
def test_a_profile_says_what_sqlite_and_pandas_say(kinds, monkeypatch, rows_together):
    """Counts, distinct values, ends, means, quartiles, lengths of every kind, however parts fall."""
    monkeypatch.setattr(profiling, "ROWS_TOGETHER", rows_together)
    monkeypatch.setattr(profiling, "_PARTS_TOGETHER", 2)
    found = profile_table(kinds, "kinds", [(name, "") for name in VALUES])
    for column in found.columns:
        c = column.name
        asked = f"""SELECT count(*), count(*) - count({c}), count(DISTINCT {c}),
            min({c}) FILTER (WHERE typeof({c}) <> 'blob'), max({c}) FILTER (WHERE typeof({c}) <> 'blob'),
            avg({c}) FILTER (WHERE typeof({c}) IN ('integer', 'real')),
            min(length({c})) FILTER (WHERE typeof({c}) IN ('text', 'blob')),
            max(length({c})) FILTER (WHERE typeof({c}) IN ('text', 'blob')) FROM kinds"""
        (wanted,) = kinds.execute(asked).fetchall()
        got = (column.rows, column.nulls, column.distinct, column.low, column.high, column.mean)
        assert (*got, column.shortest, column.longest) == pytest.approx(wanted), c
        stored = kinds.execute(f"SELECT group_concat(DISTINCT typeof({c})) FROM kinds").fetchone()[0]
        assert set(column.stored) == set(stored.split(",")), c
        numbers = pd.Series([each for each in VALUES[c] if isinstance(each, int | float)], dtype="float64")
        if len(numbers):
            assert column.quartiles == pytest.approx(tuple(numbers.quantile([0.25, 0.5, 0.75]))), c
            assert sum(column.bars) == len(numbers), c


def test_dates_have_quartiles_and_bars(kinds):
    """Whether declared or not, dates and moments are spread over time; text that is none is not."""
    days, moments, texts = profile_table(
        kinds, "kinds", [("days", "DATE"), ("moments", ""), ("texts", "")]
    ).columns
    assert days.quartiles == ("2024-02-29", "2024-07-01", "2024-07-01")
    assert days.bars == (1, 1, 0, 0, 2, 0, 0, 0, 0, 1)
    assert days.bar_ends == ("2024-01-01", "2024-12-31")
    assert (moments.quartiles[1], moments.bar_ends[1]) == ("2024-01-02 12:30:00", "2024-01-09 12:30:00")
    assert sum(moments.bars) == 6
    assert (texts.quartiles, texts.bars) == ((), ())


def test_of_more_than_is_kept_every_second_row_tells(kinds, monkeypatch):
    """Memory is bounded; counts, ends and means stay exact, and the step is said."""
    kinds.execute("WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < 50000) "
                  "INSERT INTO kinds (integers) SELECT v FROM n")  # fmt: skip
    kinds.commit()
    monkeypatch.setattr(profiling, "KEPT_BYTES_MAX", 150_000)
    monkeypatch.setattr(profiling, "_PARTS_TOGETHER", 2)
    found = profile_table(kinds, "kinds", [("integers", "")])
    (column,) = found.columns
    assert found.kept_step == 4
    assert (column.rows, column.nulls, column.low, column.high) == (50_006, 1, -(2**40), 2**40)
    assert 10_000 < column.distinct < 20_000
    assert column.quartiles[1] == pytest.approx(25_000, rel=0.01)


def test_a_sample_reads_a_part_of_the_table(flights):
    """It says so and is spread over the table; where there are no rowids it has the first rows."""
    ran = flights.good("%turso_sync profile flights --sample 100")
    rows = cell(ran.value, "id", "rows")
    assert rows == 100
    assert "a sample from 100 places: 100 rows" in ran.text
    assert (cell(ran.value, "id", "min"), cell(ran.value, "id", "max")) == (1, 4_000)
    ran = flights.good("%turso_sync profile late --sample 10")
    assert "the first 10 rows: 10 rows" in ran.text
    assert "no number of rows" in flights.run("%turso_sync profile flights --sample many").line


def requests_so_far(shell) -> int:
    """Return how many requests there were."""
    return shell.good("%turso_sync stats").value.set_index("figure")["value"]["network_requests"]


@pytest.mark.parametrize("table", ["flights", "late", "'its own'"])
def test_much_is_said_before_it_is_fetched(flights, table):
    """Of a table or view of which more than 1 MiB is not here, no row comes unasked; then it is told."""
    flights.sql('CREATE VIEW "its own" AS SELECT carrier, f.* FROM flights AS f')
    before = requests_so_far(flights)
    ran = flights.good(f"%turso_sync profile {table}")
    assert ran.value is None
    said = re.search(
        r"profile .*: about (\d\.\d) MB of it are not here · (%turso_sync .* --fetch) down", ran.text
    )
    assert said, ran.text
    assert 1.5 < float(said[1]) < 3
    assert requests_so_far(flights) - before <= 2
    fetched = flights.good(said[2]).value
    rows = flights.sql(f'SELECT count(*) AS n FROM "{table.strip(chr(39))}"').value["n"].tolist()
    assert set(fetched["rows"]) == set(rows)
    assert flights.good(f"%turso_sync profile {table}").value.equals(fetched)


def test_little_is_fetched_at_once(flights):
    """A small table needs no question."""
    assert set(flights.good("%turso_sync profile carriers").value["rows"]) == {2}


def cell(frame, column: str, name: str):
    """Return what the profile says of a column under ``name``."""
    return frame.set_index("column").loc[column, name]


def test_profile_says_what_columns_hold(flights):
    """One row for each column, computed in SQLite; the footer says what it cost."""
    ran = flights.good("%turso_sync profile flights --fetch")
    frame = ran.value
    assert frame["column"].tolist() == ["id", "carrier", "origin", "delay", "remarks"]
    assert set(frame["rows"]) == {4_000}
    assert cell(frame, "carrier", "distinct") == 2
    assert cell(frame, "carrier", "min") == "B6"
    assert cell(frame, "delay", "nulls") == 800
    assert cell(frame, "delay", "stored") == "null, real"
    assert (cell(frame, "id", "min"), cell(frame, "id", "max")) == (1, 4_000)
    assert cell(frame, "id", "histogram") == "██████████"
    assert cell(frame, "origin", "histogram") == ""
    assert "4,000 rows" in ran.text
    assert "downloaded" in ran.text


def test_profile_of_odd_tables(flights):
    """No rows, NULL alone, mixtures, blobs, extremes, names that need quotes, views, many columns."""
    flights.sql('CREATE TABLE "a ""b" (":x" , "select", n, big, inf, same, mixed)')
    frame = flights.good("%turso_sync profile 'a \"b'").value
    assert set(frame["rows"]) == {0}
    assert set(frame["histogram"]) == {""}
    for values in (
        "NULL, x'00ff', 1, 9007199254740993, 9e999, 5, 'a'",
        "NULL, x'', 10, -9223372036854775808, 1, 5, 1",
    ):
        flights.sql(f'INSERT INTO "a ""b" VALUES ({values})')
    frame = flights.good("%turso_sync profile 'a \"b'").value
    assert cell(frame, ":x", "nulls") == 2
    assert cell(frame, "select", "stored") == "blob"
    assert cell(frame, "select", "distinct") == 2
    assert cell(frame, "n", "histogram") == "█        █"
    assert (cell(frame, "big", "min"), cell(frame, "big", "max")) == (-(2**63), 2**53 + 1)
    assert cell(frame, "inf", "histogram") == cell(frame, "same", "histogram") == ""
    assert cell(frame, "mixed", "stored") == "integer, text"
    assert flights.good("%turso_sync profile late --fetch").value["rows"].iloc[0] > 0
    wide = ", ".join(f"c{number}" for number in range(250))
    flights.sql(f"CREATE TABLE wide ({wide}); INSERT INTO wide (c0, c249) VALUES (1, 2), (3, 4)")
    assert cell(flights.good("%turso_sync profile wide").value, "c249", "max") == 4


def test_explain_shows_the_plan_and_fetches_nothing(flights):
    """Each step is a line, indented by depth; parameters need no value, and nothing is run."""
    before = flights.good("%turso_sync stats").value.set_index("figure")["value"]["network_requests"]
    sql = "SELECT * FROM flights JOIN carriers USING (carrier) WHERE origin = :nowhere AND id IN (SELECT 1)"
    plan = flights.good(f"%turso_sync explain {sql}").value["plan"].tolist()
    assert any("flights_by_origin" in step for step in plan)
    assert any(step.startswith("  ") for step in plan)
    after = flights.good("%turso_sync stats").value.set_index("figure")["value"]["network_requests"]
    assert after == before
    flights.good("%turso_sync explain DELETE FROM flights")
    assert flights.sql("SELECT count(*) AS n FROM flights").value["n"].tolist() == [4_000]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("profile flihgts", "did you mean flights?"),
        ("profile", "usage: %turso_sync profile"),
        ("explain", "no SQL was given"),
        ("explain SELECT * FROM flihgts", "did you mean flights?"),
        ("explain SELEC 1", "syntax error"),
    ],
)
def test_lines_that_make_no_sense(flights, line, said):
    """Each is one line with the next step."""
    assert said in flights.run(f"%turso_sync {line}").line


DAY_US = 86_400_000_000
EVEN = {
    "months": (range(1, 13), 1), "days of a month": (range(1, 32), 1), "hours": (range(24), 1),
    "a truth": (range(2), 1), "eleven": (range(11), 1), "whole floats": ([1.0, 2.0, 3.0], 1),
    "ids": (range(5, 3005), 1),
    "two weeks": ([day * DAY_US for day in range(14)], DAY_US),
}  # fmt: skip


@pytest.mark.parametrize("bins", [10, 12])
@pytest.mark.parametrize("name", EVEN)
def test_no_bar_is_empty_for_want_of_whole_numbers(name, bins):
    """Values that are all there once fill every bar alike, the last one up to what is left."""
    values, unit = EVEN[name]
    bars = bars_of(np.array(list(values)), bins, unit)
    assert sum(bars) == len(values)
    assert len(bars) <= bins
    assert max(bars[:-1]) - min(bars[:-1]) <= 1
    assert bars[-1] >= bars[0] / 3
