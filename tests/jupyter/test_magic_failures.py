"""Errors of a cell as one line: which are, what the line says, and that the exception stays itself."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turso_sync_nb.errors import ProgrammingError, ReplicaBusyError
from turso_sync_nb.jupyter.failures import EXPECTED, LINE_MAX, ensure_line, line_of, render_as
from turso_sync_nb.jupyter.places import shown_path, without_home
from turso_sync_nb.jupyter.suggestions import close_words, did_you_mean


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ReplicaBusyError("open a.db", hint="close it"), "ReplicaBusyError: open a.db — close it"),
        (ReplicaBusyError("open a.db: busy"), "ReplicaBusyError: open a.db: busy"),
        (ProgrammingError("use cursor: it is closed"), "ProgrammingError: use cursor: it is closed"),
        (apsw.SQLError("no such table: a"), "SqlError: no such table: a"),
        (KeyboardInterrupt(), "KeyboardInterrupt: stopped"),
        (KeyboardInterrupt("the open transaction was rolled back"),
         "KeyboardInterrupt: stopped: the open transaction was rolled back"),
    ],
)  # fmt: skip
def test_expected_failures_leave_as_one_line(error, line):
    """Errors of this package and of SQLite, and a stop, keep their type and get a line."""
    assert isinstance(error, EXPECTED)
    ensure_line(error)
    assert error._render_traceback_() == [line]


def test_a_line_given_where_the_error_happened_is_kept():
    """The place that knows more about an error renders it first."""
    error = apsw.SQLError("no such table: a")
    render_as(error, line_of(error, "did you mean b?"))
    ensure_line(error)
    assert error._render_traceback_() == ["SqlError: no such table: a — did you mean b?"]


def test_paths_are_shown_without_the_users_name(tmp_path, monkeypatch):
    """What is in the notebook's folder is relative to it, what is in the home folder to "~"."""
    home, work = tmp_path / "home" / "jane", tmp_path / "home" / "jane" / "work"
    work.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(work)
    error = ReplicaBusyError(f"open {work}/a.db, not {home}/b.db", hint=f"see {home}/c")
    ensure_line(error)
    assert error._render_traceback_() == ["ReplicaBusyError: open a.db, not ~/b.db — see ~/c"]
    assert str(home) not in str(error)
    assert [shown_path(each) for each in (work / "a", home / "b", tmp_path)] == ["a", "~/b", str(tmp_path)]


@given(st.text(), st.text())
def test_a_line_is_one_line_of_bounded_length(message, hint):
    """Whatever a message holds, the line and what a kernel saves beside it are short and printable."""
    error = ReplicaBusyError(message * 100, hint=hint)
    render_as(error, line_of(error))
    (line,) = error._render_traceback_()
    assert len(line) <= LINE_MAX
    assert len(str(error)) <= 3 * LINE_MAX
    assert not {"\n", "\r", "\x1b", "\x00"} & set(line + str(error))


def test_corrections_ignore_case_and_leave_out_what_is_far():
    """SQLite's names have no case; a word that resembles nothing gets no hint."""
    assert close_words("FLIGHTZ", ["flights", "Flights2", "planes"])[0] == "flights"
    assert did_you_mean("zzz", ["flights"]) == ""
    assert did_you_mean("flihgts", ["flights"]) == "did you mean flights?"


@given(st.text(), st.lists(st.text()))
def test_corrections_are_never_the_word_itself(word, candidates):
    """What exists is not suggested as its own correction."""
    assert word not in close_words(word, candidates)


def test_corrections_stay_quick_on_huge_schemas():
    """Long words and very many candidates are cut off, not compared for minutes."""
    names = [f"table_{number}" for number in range(100_000)]
    assert close_words("table_77x", names)
    assert close_words("x" * 1_000_000, names) == []
    assert close_words("table", ["x" * 1_000_000]) == []


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("SELECT {nothing}", "names of tables and columns go in {name} with --identifiers"),
        ("COMMIT", "without a BEGIN each statement commits by itself"),
        (
            "INSERT INTO carriers VALUES ('A1', 'x'); SELECT * FROM nowhere",
            "what the cell did before is done",
        ),
        (
            "BEGIN; INSERT INTO carriers VALUES ('A2', 'x'); SELECT * FROM nowhere",
            "transaction is still open",
        ),
        ("SELECT ?", "write :name in place of ?"),
        ("DROP TABLE turso_sync_last_change_id", "refused"),
    ],
)
def test_a_failing_cell_says_what_became_of_it(served, cell, said):
    """Where statements before it are done, where a transaction stays open, and what to write instead."""
    served.good("%turso_sync connect mine.db {url} --whole")
    served.sql("UPDATE carriers SET name = 'y' WHERE carrier = 'UA'")
    served.good("%turso_sync sync")
    assert said in served.sql(cell).line


def test_tables_of_ours_are_not_shown(served, tmp_path):
    """Neither in the list of tables, nor in an exported file."""
    served.good("%turso_sync connect mine.db {url} --whole")
    served.sql("UPDATE carriers SET name = 'y' WHERE carrier = 'UA'")
    served.good("%turso_sync push")
    served.good("%turso_sync pull")
    names = served.good("%turso_sync tables").value["name"].tolist()
    assert names == ["carriers", "flights", "late"]
    served.names["copy"] = str(tmp_path / "copy.db")
    served.ip.run_cell("from turso_sync_nb.jupyter import connection; connection().export(copy)")
    with closing(apsw.Connection(served.names["copy"])) as raw:
        found = [name for (name,) in raw.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    assert "carriers" in found
    assert not [name for name in found if name.startswith("turso_sync_nb_")]


def test_help_by_option(shell):
    """As everywhere."""
    assert shell.good("%turso_sync connect --help").text == shell.good("%turso_sync help connect").text


def test_paths_are_shown_without_a_home_or_a_working_folder(monkeypatch):
    """A path is shown as it is where nothing gives a home and the working folder was removed."""

    def missing() -> Path:
        raise FileNotFoundError

    def homeless() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "cwd", missing)
    monkeypatch.setattr(Path, "home", homeless)
    assert shown_path(Path("/data/m.db")) == "/data/m.db"
    assert without_home("open /data/m.db") == "open /data/m.db"
