"""%%turso_sync in a real IPython shell: frames, names, parameters, transactions, errors."""

from __future__ import annotations

import datetime as dt
import decimal
import gc
import weakref

import apsw
import numpy as np
import pandas as pd
import pytest

import turso_sync_nb.jupyter as layer
from turso_sync_nb.errors import UsageError
from turso_sync_nb.units import format_size


def test_a_cell_is_a_dataframe_with_a_footer(flights):
    """The value is a pandas DataFrame; its display has the table and the footer, as text and as HTML."""
    ran = flights.sql("SELECT carrier, name FROM carriers ORDER BY 1")
    assert type(ran.value) is pd.DataFrame
    assert ran.value.to_dict("list") == {"carrier": ["B6", "UA"], "name": ["JetBlue", "United"]}
    (shown,) = ran.displayed
    for part in (shown["text/plain"], shown["text/html"]):
        assert "JetBlue" in part
        assert "2 rows · " in part
        assert part.rstrip().count(" ms") == 1


def test_the_footer_counts_what_was_fetched(flights):
    """The first scan fetches pages in requests; the second finds them here."""
    first = flights.sql("SELECT sum(length(remarks)) AS n FROM flights")
    report = layer.connection().last_report
    assert report.pages_fetched > 0
    assert report.requests > 0
    assert f"downloaded {format_size(report.received_bytes)} in {report.requests} request" in first.text
    second = flights.sql("SELECT sum(length(remarks)) AS n FROM flights")
    assert "downloaded" not in second.text
    assert first.value.equals(second.value)


def test_a_long_result_is_shown_in_part_and_returned_whole(flights):
    """The display is capped and says so; the object has all rows; %config moves the cap."""
    ran = flights.sql("SELECT id FROM flights")
    assert len(ran.value) == 4000
    assert "showing 20 of 4,000 rows" in ran.text
    flights.good("%config TursoSyncMagics.rows_shown = 3")
    assert "showing 3 of 4,000 rows" in flights.sql("SELECT id FROM flights").text


def test_a_frame_is_pandas_own_after_its_cell(flights):
    """Shown again in a later cell, the frame looks as every DataFrame does."""
    flights.sql("SELECT name FROM carriers", "-o df")
    later = flights.good("df")
    assert later.displayed[0]["text/html"] == flights.names["df"]._repr_html_()


def test_a_shown_frame_is_freed_with_its_last_name(flights):
    """The display holds no reference that would keep a large frame alive."""
    flights.good("%turso_sync sql df << SELECT 1 AS a")
    frame = weakref.ref(flights.names["df"])
    flights.good("del df")
    gc.collect()
    assert frame() is None


@pytest.mark.parametrize("line", ["-o df", "--out df", "--out=df"])
def test_out_assigns_and_shows(flights, line):
    """-o puts the frame into a variable and still shows it."""
    ran = flights.sql("SELECT 7 AS seven", line)
    assert flights.names["df"]["seven"].tolist() == [7]
    assert ran.value is flights.names["df"]


@pytest.mark.parametrize("line", ["df <<", "df<<"])
def test_arrows_assign_and_show_the_footer_only(flights, line):
    """NAME << puts the frame into a variable; the output is the footer."""
    ran = flights.sql("SELECT 7 AS seven", line)
    assert flights.names["df"]["seven"].tolist() == [7]
    assert ran.value is None
    assert ran.text.strip().startswith("1 row · ")


def test_the_line_form_runs_sql_as_typed(flights):
    """Braces, quotes and dollars in the SQL of a line are SQLite's, not IPython's."""
    flights.names["x"] = "wrong"
    frame = flights.good("""%turso_sync sql SELECT json('[{"x":1}]') AS j, '{x} $x' AS s""").value
    assert frame.to_dict("list") == {"j": ['[{"x":1}]'], "s": ["{x} $x"]}
    flights.good("out = %turso_sync sql -o named SELECT 1 AS one")
    assert flights.names["out"] is flights.names["named"]
    flights.good("%turso_sync sql quiet << SELECT 2 AS two")
    assert flights.names["quiet"]["two"].tolist() == [2]


def test_the_line_form_sees_local_variables(flights):
    """Inside a function :name is the function's own variable."""
    flights.good("def g(n):\n    frame = %turso_sync sql SELECT :n + 1 AS m\n    return frame\nframe = g(41)")
    assert flights.names["frame"]["m"].tolist() == [42]


def test_several_statements_give_the_last_one_with_rows(flights):
    """A cell of several statements is the frame of the last that returns rows."""
    ran = flights.sql("SELECT 1 AS a; SELECT 2 AS b; BEGIN; COMMIT;")
    assert ran.value.to_dict("list") == {"b": [2]}


def test_no_rows_is_an_empty_frame_and_no_statement_with_rows_is_none(flights):
    """SELECT without hits has columns; BEGIN has no frame, and -o says that its name is None."""
    empty = flights.sql("SELECT id FROM flights WHERE 0", "-o df")
    assert list(empty.value.columns) == ["id"]
    assert "0 rows" in empty.text
    none = flights.sql("BEGIN; ROLLBACK", "-o df")
    assert none.value is None
    assert flights.names["df"] is None
    assert "df is None: no statement returned rows" in none.text


def test_an_open_transaction_is_joined_and_said(flights):
    """BEGIN in one cell stays open over the next ones, and each footer says so."""
    assert "transaction open" in flights.sql("BEGIN").text
    assert "transaction open" in flights.sql("SELECT 1").text
    assert "transaction open" not in flights.sql("COMMIT").text


@pytest.mark.parametrize("cell", ["   \n", "-- only a comment\n", "/* a */ ;\n"])
def test_a_cell_without_sql_says_what_to_write(flights, cell):
    """Nothing to run is a mistake with a hint, not an empty result."""
    assert "write a statement below %%turso_sync" in flights.sql(cell).line


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("status", "'status' does not belong above a cell of SQL"),
        ("-o 1x", "no name for a variable"),
        ("class <<", "no name for a variable"),
        ("-o a b <<", "both -o and << were given"),
        ("--otu df", "did you mean --out"),
        ("-o", "NAME is missing"),
    ],
)
def test_a_mistake_above_the_sql_runs_nothing(flights, line, said):
    """The line is checked before anything runs."""
    assert said in flights.sql("BEGIN", line).line
    assert not layer.connection().in_transaction


@pytest.mark.parametrize(
    ("value", "bound"),
    [
        (None, None),
        (True, 1),
        (2**63 - 1, 2**63 - 1),
        (1.5, 1.5),
        ("O'Hare; DROP TABLE flights", "O'Hare; DROP TABLE flights"),
        (b"\x00\xff", b"\x00\xff"),
        (np.int32(7), 7),
        (np.float32(0.5), 0.5),
        (np.bool_(True), 1),
        (np.str_("a"), "a"),
        (pd.NA, None),
        (pd.NaT, None),
        (float("nan"), None),
        (dt.date(2013, 1, 2), "2013-01-02"),
        (dt.datetime(2013, 1, 2, 5, 15), "2013-01-02 05:15:00"),  # noqa: DTZ001 - a naive one on purpose
        (pd.Timestamp("2013-01-02 05:15"), "2013-01-02 05:15:00"),
    ],
)
def test_variables_are_bound_as_values(flights, value, bound):
    """A :name parameter is the variable's value, exactly; NumPy, pandas and dates included."""
    flights.names["x"] = value
    flights.names["y"] = bound
    assert layer.connection().run("SELECT :x", {"x": value}).rows == [(bound,)]
    ran = flights.sql("SELECT :x IS :y AND typeof(:x) = typeof(:y) AS same")
    assert ran.value["same"].tolist() == [1]


def test_colons_that_are_no_parameters_are_left_alone(flights):
    """Times, JSON, comments and :: in text need no variable: only SQLite decides what a parameter is."""
    ran = flights.sql("SELECT '12:30:00' AS t, '{\"a\":1}' ->> '$.a' AS j -- :nothing\n/* :none */")
    assert ran.value.to_dict("list") == {"t": ["12:30:00"], "j": [1]}


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT :orign", "did you mean origin?"),
        ("SELECT :zzz", "assign it first: zzz = ..."),
        ("SELECT ?", "write :name in place of ?"),
        ("SELECT ?1", "write :name in place of ?"),
        ("SELECT :many", "IN :many"),
        ("SELECT :money", "float(x) or str(x)"),
        ("SELECT :huge", "64-bit"),
        ("SELECT :broken", "surrogate"),
    ],
)
def test_a_parameter_that_cannot_be_bound_says_why(flights, sql, said):
    """Missing, unnamed and unsuitable parameters: one line with what to write instead."""
    flights.names.update(origin="JFK", many=[1, 2], money=decimal.Decimal("1.1"), huge=2**63, broken="\ud800")
    assert said in flights.sql(sql).line


@pytest.mark.parametrize(
    "line",
    ["edit flihgts", "schema flihgts", "profile flihgts", "offline flihgts", "sql SELECT * FROM flihgts"],
)
def test_a_table_that_is_misspelled_is_guessed_everywhere(flights, line):
    """Whatever takes a table's name says which one it may be."""
    assert "did you mean flights?" in flights.run(f"%turso_sync {line}").line


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT * FROM flihgts", "SqlError: no such table: flihgts — did you mean flights?"),
        ("SELECT orign FROM flights", "SqlError: no such column: orign — did you mean origin?"),
        ("SELECT f.orign FROM flights f", "did you mean origin?"),
        ("SELECT lenght('a')", "did you mean length?"),
        ("SELECT * FROM qqqqqqq", "%turso_sync tables lists what is there"),
        ("SELCT 1", 'SqlError: near "SELCT": syntax error'),
    ],
)
def test_an_sql_error_is_one_line_and_corrects_names(flights, sql, said):
    """The cell fails with APSW's error, shown as one line; names are corrected from the local schema."""
    requests = layer.connection().stats().network_requests
    ran = flights.sql(sql)
    assert said in ran.line
    assert isinstance(ran.error, apsw.Error)
    assert layer.connection().stats().network_requests == requests
    assert flights.sql("SELECT 1").success


def test_a_failing_cell_assigns_nothing(flights):
    """The variable keeps what it had when a later statement of the cell fails."""
    flights.names["df"] = "before"
    assert not flights.sql("SELECT 1 AS a; SELECT * FROM flihgts", "-o df").success
    assert flights.names["df"] == "before"


def test_a_writing_cell_says_what_it_changed_and_what_waits(served):
    """Rows changed, and changes that wait, are in the footer; of an open transaction too."""
    served.good("%turso_sync connect flights.db {url}")
    ran = served.sql("DELETE FROM flights WHERE id <= 3")
    assert "3 rows changed · " in ran.text
    assert "3 changes wait to be pushed" in ran.text
    served.sql("BEGIN; UPDATE flights SET delay = 0 WHERE id = 7")
    ran = served.sql("SELECT count(*) AS n FROM flights")
    assert ran.value["n"].tolist() == [3997]
    assert "4 changes wait to be pushed · transaction open until COMMIT or ROLLBACK" in ran.text


def test_a_remote_that_is_gone_is_one_line_and_the_connection_goes_on(shell, embedded, flights_file):
    """A lazy read without a server is our error with its hint; what is here still answers."""
    server = embedded(flights_file)
    shell.names["url"] = server.url
    shell.good("%turso_sync connect flights.db {url}")
    assert shell.sql("SELECT count(*) FROM carriers").success
    server.stop()
    ran = shell.sql("SELECT sum(length(remarks)) FROM flights")
    assert ran.line.startswith("RemoteUnreachableError: ")
    assert " — " in ran.line
    assert shell.sql("SELECT count(*) FROM carriers").success
    server.start()
    assert shell.sql("SELECT sum(length(remarks)) FROM flights").success


def test_a_defect_keeps_its_traceback(flights, monkeypatch):
    """Only expected failures are one line; a bug of ours shows where it is."""

    def broken(*_args, **_kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr(type(layer.connection()), "run", broken)
    ran = flights.sql("SELECT 1")
    assert isinstance(ran.error, ZeroDivisionError)
    assert "cells.py" in ran.stdout


def test_hostile_names_and_values_stay_text(flights):
    """Markup and control characters from the database appear escaped in every output."""
    evil = "<script>alert(1)</script>\x1b[31m\u202e"
    flights.names["evil"] = evil
    ran = flights.sql(f'SELECT :evil AS "{evil}"')
    (shown,) = ran.displayed
    assert "<script" not in shown["text/html"]
    assert "\x1b" not in shown["text/plain"] + shown["text/html"]
    failed = flights.sql(f'SELECT * FROM "{evil}"')
    assert "\x1b" not in failed.error._render_traceback_()[0]


def test_errors_of_usage_are_usage_errors(flights):
    """Code around a magic can catch what the package raises."""
    with pytest.raises(UsageError):
        flights.ip.run_line_magic("turso_sync", "schema flihgts")
    with pytest.raises(apsw.SQLError):
        flights.ip.run_cell_magic("turso_sync", "", "SELECT * FROM flihgts")


def test_the_forms_of_other_sql_magics(flights):
    """NAME << SELECT stands on the line, after one % or two, and may go on below two."""
    flights.good("%turso_sync one << SELECT 1 AS a")
    flights.good("%%turso_sync two << SELECT\n2 AS a")
    flights.good("assert list(one['a']) + list(two['a']) == [1, 2]")
