"""--atomic, --timeout, and SQL from a file."""

from __future__ import annotations

from pathlib import Path

import pytest

import turso_sync_nb as tsn

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def carriers(shell) -> list[str]:
    """Return the carriers."""
    return shell.sql("SELECT carrier FROM carriers ORDER BY 1").value["carrier"].tolist()


def test_dates_are_parsed(shell, flights_url):
    """By the option of a cell, of a connection, and in the project's file; elsewhere a day is a date."""
    shell.names["url"] = flights_url
    days = "SELECT day FROM days"
    made = "CREATE TEMP TABLE days (day DATE); INSERT INTO days VALUES ('2024-01-31')"
    shell.good("%turso_sync connect a.db {url}")
    shell.sql(made)
    assert shell.sql(days).value["day"].dtype == object
    assert shell.sql(days, "--parse-dates").value["day"].dt.day.tolist() == [31]
    assert "exclude each other" in shell.run(f"%%turso_sync --parse-dates --arrow\n{days}").line
    shell.good("%turso_sync close")
    Path("pyproject.toml").write_text('[tool.turso_sync_nb.connections.b]\npath = "a.db"\nparse_dates = true')
    shell.good("%turso_sync connect b")
    shell.sql(made)
    assert shell.sql(days).value["day"].dt.day.tolist() == [31]


def test_atomic_undoes_the_whole_cell(ready):
    """Without it the statements before an error stay; with it none does."""
    both = "INSERT INTO carriers VALUES ({}, 'x'); INSERT INTO carriers VALUES ('UA', 'again')"
    assert not ready.sql(both.format("'A1'")).success
    assert carriers(ready) == ["A1", "B6", "UA"]
    assert not ready.sql(both.format("'A2'"), "--atomic").success
    assert carriers(ready) == ["A1", "B6", "UA"]
    ready.sql(
        "INSERT INTO carriers VALUES ('A3', 'x'); DELETE FROM carriers WHERE carrier = 'A1'", "--atomic"
    )
    assert carriers(ready) == ["A3", "B6", "UA"]
    *_, inserted, deleted = ready.good("%turso_sync changes").value["transaction"].tolist()
    assert inserted == deleted


def test_atomic_joins_an_open_transaction(ready):
    """What was done before in the transaction stays, and it stays open."""
    ready.sql("BEGIN; INSERT INTO carriers VALUES ('A1', 'x')")
    ran = ready.sql("INSERT INTO carriers VALUES ('A2', 'x'); SELECT nothing", "--atomic")
    assert not ran.success
    assert "transaction open" in ready.sql("SELECT 1").text
    ready.sql("COMMIT")
    assert carriers(ready) == ["A1", "B6", "UA"]


def test_atomic_with_a_commit_inside_says_so(ready):
    """A cell that ends the transaction itself cannot be all or nothing."""
    ran = ready.sql("INSERT INTO carriers VALUES ('A1', 'x'); COMMIT", "--atomic")
    assert isinstance(ran.error, tsn.UsageError)
    assert "leave COMMIT and ROLLBACK out" in ran.line


def test_timeout_stops_and_says_after_how_long(ready):
    """A query that takes too long ends with one line, and the connection goes on."""
    ran = ready.sql(ENDLESS, "--timeout 200ms")
    assert not ran.success
    assert "stopped: it ran longer than 0.2 s" in ran.line
    assert carriers(ready) == ["B6", "UA"]
    assert ready.sql("SELECT 1 AS one", "--timeout 1min").value["one"].tolist() == [1]


@pytest.mark.parametrize("time", ["soon", "0s", "-1s", "5 parsecs"])
def test_times_that_are_none(ready, time):
    """Each is refused with how to write one."""
    ran = ready.sql("SELECT 1", f"--timeout '{time}'")
    assert isinstance(ran.error, tsn.UsageError)
    assert "--timeout TIME" in ran.line or "write it like 5s" in ran.line


def test_sql_from_a_file(ready, tmp_path, monkeypatch):
    """It runs like a cell: several statements, variables, a name for the frame."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "query.sql").write_text(
        "INSERT INTO carriers VALUES ('A1', 'ä');\nSELECT name FROM carriers WHERE carrier = :which"
    )
    ready.names["which"] = "A1"
    ran = ready.good("%turso_sync run query.sql -o found")
    assert ran.value["name"].tolist() == ["ä"]
    assert ready.names["found"] is ran.value
    for name, said in (("nothing.sql", "No such file"), (".", "Is a directory")):
        ran = ready.run(f"%turso_sync run {name}")
        assert isinstance(ran.error, tsn.UsageError)
        assert said in ran.line
    (tmp_path / "bytes.sql").write_bytes(b"SELECT '\xff'")
    assert "no UTF-8" in ready.run("%turso_sync run bytes.sql").line


def test_arrow(ready):
    """A pyarrow Table of the same rows; the footer stands by itself."""
    ran = ready.sql("SELECT id, delay, origin FROM flights WHERE id <= 5 ORDER BY id", "--arrow -o table")
    assert ran.value is ready.names["table"]
    assert [str(field.type) for field in ran.value.schema] == ["int64", "double", "string"]
    assert ran.value["delay"].to_pylist() == [1.5, 2.5, 3.5, 4.5, None]
    assert "5 rows" in ran.text
    blobs = ready.sql("SELECT x'00ff' AS b, NULL AS n UNION ALL SELECT NULL, NULL", "--arrow").value
    assert blobs.to_pydict() == {"b": [b"\x00\xff", None], "n": [None, None]}
    assert ready.sql("SELECT 1 AS a WHERE 0", "--arrow").value.num_rows == 0
    for mixture in ("SELECT 1 AS a UNION ALL SELECT 'x'", "SELECT x'00' AS a UNION ALL SELECT 'x'"):
        assert "column a holds values of several types" in ready.sql(mixture, "--arrow").line


def test_polars_says_when_it_is_not_there(ready, monkeypatch):
    """It is no dependency: one line says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "polars", None)
    assert "pip install polars" in ready.sql("SELECT 1", "--polars").line
    assert "exclude each other" in ready.sql("SELECT 1", "--polars --arrow").line


def test_identifiers_only_by_the_flag(ready):
    """Names of tables and columns, alone or several, always in quotes; without the flag braces are SQL's."""
    ready.names.update({"table": "carriers", "columns": ["name", "carrier"], "who": "UA"})
    sql = "SELECT {columns}, '{{' AS brace FROM {table} WHERE carrier = :who"
    frame = ready.sql(sql, "--identifiers").value
    assert frame.to_numpy().tolist() == [["United", "UA", "{"]]
    assert "unrecognized token" in ready.sql(sql).line
    assert ready.sql("""SELECT '{"a": 1}' AS j""").value["j"].tolist() == ['{"a": 1}']
    ready.names["table"] = 'carriers" WHERE 0; DROP TABLE "carriers'
    assert "no such table" in ready.sql("SELECT * FROM {table}", "--identifiers").line
    assert carriers(ready) == ["B6", "UA"]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT * FROM {tabel}", "did you mean table?"),
        ("SELECT {number}", "a value of type int is no name"),
        ("SELECT {empty}", "its text is no name"),
        ("SELECT {table.x}", "no variable's name"),
        ("SELECT {table!r}", "no variable's name"),
        ("SELECT {}", "no variable's name"),
        ("SELECT '{'", "{{ and }} for braces"),
        ("SELECT {nothing}", "a list without names"),
    ],
)
def test_what_is_no_identifier(ready, sql, said):
    """One line that says what belongs there."""
    ready.names.update({"table": "carriers", "number": 3, "empty": "", "nothing": []})
    assert said in ready.sql(sql, "--identifiers").line


def test_what_a_cell_may_fetch(ready):
    """A budget that is too small stops it in one line, as offline does; both costs are told before."""
    scan = "SELECT sum(length(remarks)) AS n FROM flights"
    told = ready.sql(scan, "--dry-run -o plan")
    pages = dict(zip(told.value["table or index"], told.value["pages"], strict=True))
    assert pages["flights"] > 400
    assert "would be downloaded" in told.text
    both = ready.sql(f"{scan}; SELECT count(*) FROM carriers", "--dry-run").value
    assert set(told.value["table or index"]) < set(both["table or index"])
    assert ready.names["plan"] is told.value
    stopped = ready.sql(scan, "--max-fetch 64KiB")
    assert isinstance(stopped.error, tsn.FetchBudgetError)
    assert stopped.line
    assert isinstance(ready.sql(scan, "--offline").error, tsn.RemoteUnreachableError)
    enough = ready.sql(scan, "--max-fetch 8MB").value
    assert enough["n"].tolist() == [2_000_000]
    assert ready.sql(scan, "--offline").value["n"].tolist() == [2_000_000]
    assert "much" in ready.sql(scan, "--max-fetch much").line
    assert "did you mean flights?" in ready.sql("SELECT * FROM flihgts", "--dry-run").line
