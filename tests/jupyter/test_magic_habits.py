"""Habits from pandas and from other SQL magics: they work in a cell, or one line says how."""

from __future__ import annotations

import pandas as pd
import pytest

from turso_sync_nb.jupyter import unload_ipython_extension

TAKEN = "df = %turso_sync sql SELECT carrier, name FROM carriers ORDER BY carrier\n"


@pytest.mark.parametrize(
    ("work", "there", "gone"),
    [
        ("df.set_index('carrier', inplace=True)", "carrier", " · "),
        ("df.index = ['north', 'south']", "north", " · "),
        ("df.drop(index=0, inplace=True)", "United", "JetBlue"),
        ("df.loc[7] = ['XX', 'Ten']", "Ten", " · "),
        ("df.rename_axis('k', inplace=True)", "k", " · "),
        ("df['name'] = df['name'].str.upper()", "UNITED", "United"),
        ("df['length'] = df['name'].str.len()", "length", "nothing"),
    ],
)
@pytest.mark.filterwarnings("ignore:The inplace keyword")
def test_a_frame_changed_in_its_own_cell_is_shown_as_it_is(flights, work, there, gone):
    """What was dropped is not shown, what was set is, without a footer about other rows."""
    shown = flights.good(f"{TAKEN}{work}\ndf").displayed[-1]
    for kind in ("text/plain", "text/html"):
        if kind in shown:
            assert there in shown[kind]
            assert gone not in shown[kind].replace("class", "")


def test_the_footer_stands_under_a_frame_left_as_it_came(flights):
    """A result that is shown unchanged has its rows and how many there are."""
    (shown,) = flights.good(f"{TAKEN}df").displayed
    assert "United" in shown["text/plain"]
    assert "2 rows · " in shown["text/plain"]


def test_options_of_pandas_display_are_obeyed(flights):
    """Digits, rows and widths that a user set for pandas hold for results; the footer stays."""
    with pd.option_context("display.float_format", "{:.1f}!".format):
        (shown,) = flights.good("%turso_sync sql SELECT 2.0 / 3 AS x").displayed
    for kind in ("text/plain", "text/html"):
        assert "0.7!" in shown[kind]
        assert "1 row · " in shown[kind]


def test_another_form_of_frames_is_obeyed(flights, monkeypatch):
    """An HTML form that a package put in place of pandas' (itables) is used for results."""
    monkeypatch.setattr(pd.DataFrame, "_repr_html_", lambda frame: f"<b>{len(frame)} own</b>")
    (shown,) = flights.good("%turso_sync sql SELECT 1 AS x").displayed
    assert shown["text/html"].startswith("<b>1 own</b>")
    assert "1 row · " in shown["text/html"]


@pytest.mark.parametrize(
    "cell",
    [
        "%turso_sync sql $q", "%turso_sync sql {{q}}", "%turso_sync sql  $q ;", "%%turso_sync\n$q\n",
        "%%turso_sync\n\n{{ q }};", "%%turso_sync $q\n\n", "%%turso_sync --timeout 5s {{ q }}\n \n",
        "%turso_sync sql --timeout 5s $q",
    ],
)  # fmt: skip
def test_sql_in_a_variable_is_run_whole(flights, cell):
    """A text that is a variable's name runs what the variable holds, with its own :names bound."""
    flights.names["q"] = "SELECT 'from ' || :x AS y"
    flights.names["x"] = "'; DROP TABLE carriers; --"
    assert flights.good(cell).value["y"].tolist() == ["from '; DROP TABLE carriers; --"]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("%turso_sync sql $nothing", "no variable has that name"),
        ("%turso_sync sql $quer", "did you mean query"),
        ("%turso_sync sql $number", "it is of type int"),
        ("%%turso_sync\n{{number}}", "it is of type int"),
    ],
)
def test_a_variable_without_sql_is_refused(flights, cell, said):
    """A name that is no variable, or holds no text, is one line."""
    flights.names["number"], flights.names["query"] = 7, "SELECT 1"
    assert said in flights.run(cell).line


def test_a_name_amid_sql_is_a_parameter(flights):
    """``$name`` in SQL is SQLite's own parameter: its value is bound, and never becomes SQL."""
    flights.names["q"] = "1 OR 1"
    assert flights.good("%turso_sync sql SELECT $q AS x").value["x"].tolist() == ["1 OR 1"]
    assert not flights.run("%turso_sync sql SELECT 1 $q").success


@pytest.mark.parametrize("name", ["", "sql", "tsql"])
def test_an_alias_runs_sql(flights, name):
    """``%NAME`` is one line of SQL, ``%%NAME`` a cell, with local variables and every option."""
    flights.good(f"%turso_sync alias {name}")
    alias = name or "sql"
    assert flights.good(f"%{alias} SELECT 7 AS x").value["x"].tolist() == [7]
    assert flights.good(f"%%{alias} -o df\nSELECT 8 AS x").value is flights.names["df"]
    flights.good(f"%{alias} quiet << SELECT 9 AS x")
    assert flights.names["quiet"]["x"].tolist() == [9]
    flights.good(f"def g(n):\n    frame = %{alias} SELECT :n AS m\n    return frame\nframe = g(41)")
    assert flights.names["frame"]["m"].tolist() == [41]
    assert "syntax error" in flights.run(f"%{alias} SELEC 1").line
    flights.good(f"%turso_sync alias {name}")
    unload_ipython_extension(flights.ip)
    assert flights.ip.find_magic(alias) is None


def test_an_alias_takes_nobody_elses_name(flights):
    """A magic of IPython or of another extension keeps its name, and the line offers another."""
    for name in ("time", "timeit"):
        assert f"%turso_sync alias t{name}" in flights.run(f"%turso_sync alias {name}").line
    assert "no name for a magic" in flights.run("%turso_sync alias 1x").line


@pytest.mark.parametrize(
    ("sql", "line", "column", "hint"),
    [
        ("SELEC 1", "   1 | SELEC 1", 1, "did you mean SELECT"),
        ("SELECT *\nFORM carriers", "   2 | FORM carriers", 1, "did you mean FROM"),
        (
            "SELECT 1;\n\n  SELECT 'ü', FROM carriers;",
            "   3 |   SELECT 'ü', FROM carriers;",
            15,
            "",
        ),
        ("SELECT 1; SELECT 1; SELECT 1 1", "   1 | SELECT 1; SELECT 1; SELECT 1 1", 30, ""),
        ("SELECT (1", "   1 | SELECT (1", 10, ""),
        ("SELECT 1\t, 2 3 4", "   1 | SELECT 1 , 2 3 4", 14, ""),
    ],
)
def test_an_error_shows_its_place(flights, sql, line, column, hint):
    """Below the error stand the line of the cell with its number, and a caret under the place."""
    ran = flights.sql(sql)
    assert hint in ran.line
    assert ran.place == [line, " " * 5 + "| " + " " * (column - 1) + "^"]


def test_the_place_in_a_long_line_is_cut_around_it(flights):
    """Of a long line the part around the error is shown; an error that is in no place of the SQL has none."""
    ones = ", ".join(["1"] * 900)
    ran = flights.sql(f"SELECT {ones}, nope nope nope, {ones} FROM carriers")
    shown, caret = ran.place
    assert len(shown) < 120
    assert shown[caret.index("^") :].startswith("nope")
    for sql in ("INSERT INTO carriers VALUES ('UA', 'again')", "SELECT nope FROM carriers"):
        ran = flights.sql(sql)
        assert (ran.success, ran.place) == (False, [])


def test_all_results_of_a_cell(flights):
    """``--all`` shows the rows of every statement with their number, and assigns a list of them."""
    ran = flights.sql("SELECT 1 AS a; BEGIN; SELECT 2 AS b UNION SELECT 3; COMMIT", "--all -o got")
    first, second = (each["text/plain"] for each in ran.displayed)
    assert "result 1 of 2, 1 row" in first
    assert "result 2 of 2, 2 rows" in second
    assert [list(frame.columns) for frame in flights.names["got"]] == [["a"], ["b"]]
    assert ran.value is flights.names["got"][1]
    flights.sql("SELECT 1; SELECT 2", "--all quiet <<")
    assert [len(frame) for frame in flights.names["quiet"]] == [1, 1]
    assert "0 results" in flights.sql("BEGIN; ROLLBACK", "--all").text
    assert flights.sql("SELECT 1; SELEC", "--all -o never").success is False
    assert "never" not in flights.names


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_rows_go_into_a_file(flights, form):
    """``--csv`` and ``--parquet`` write the rows and say how many, how large, and where."""
    ran = flights.sql(
        "SELECT * FROM carriers; SELECT id, origin FROM flights ORDER BY id", f"--{form} got.{form}"
    )
    assert ran.value is None
    assert f"wrote got.{form}, " in ran.text
    assert "4,000 rows" in ran.text
    read = pd.read_csv if form == "csv" else pd.read_parquet
    back = read(f"got.{form}")
    assert (len(back), list(back.columns)) == (4_000, ["id", "origin"])
    assert "no statement returned rows" in flights.sql("BEGIN; ROLLBACK", f"--{form} none.{form}").line
    assert "does not go with" in flights.sql("SELECT 1", f"--{form} a.x --arrow").line
    assert "does not go with" in flights.sql("SELECT 1", f"--{form} a.x -o df").line


def test_frames_of_the_notebook_are_tables(flights):
    """``FROM :frame`` and ``IN :ids`` in a cell take the notebook's variables, local ones too."""
    flights.names["wanted"] = pd.DataFrame({"carrier": ["UA"], "label": ["blue"]})
    flights.names["ids"] = [1, 2, 3]
    frame = flights.sql(
        "SELECT name, label FROM carriers JOIN :wanted USING (carrier);"
        "SELECT count(*) AS n FROM flights JOIN :wanted w ON w.carrier = flights.carrier WHERE id IN :ids"
    ).value
    assert frame["n"].tolist() == [1]
    flights.good(
        "def g(local):\n    frame = %turso_sync sql SELECT sum(a) AS s FROM :local\n    return frame"
    )
    flights.names["other"] = pd.DataFrame({"a": [40, 2]})
    assert flights.good("g(other)").value["s"].tolist() == [42]
    assert "write IN :ids" in flights.sql("SELECT :ids").line
