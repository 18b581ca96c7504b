"""%turso_sync profile and explain."""

from __future__ import annotations

import pytest


def cell(frame, column: str, name: str):
    """Return what the profile says of a column under ``name``."""
    return frame.set_index("column").loc[column, name]


def test_profile_says_what_columns_hold(flights):
    """One row for each column, computed in SQLite; the footer says what it cost."""
    ran = flights.good("%turso_sync profile flights")
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
    assert flights.good("%turso_sync profile late").value["rows"].iloc[0] > 0
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
