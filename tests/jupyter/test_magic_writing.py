"""%turso_sync write: a frame of the notebook into a table."""

from __future__ import annotations

import pandas as pd
import polars as pl
import pytest

import turso_sync_nb as tsn


@pytest.fixture(autouse=True)
def _airlines(shell):
    """A frame in the notebook."""
    shell.names["airlines"] = pd.DataFrame({"carrier": ["UA", "AA"], "name": ["United Airlines", "American"]})


def names(shell) -> list[str]:
    """Return the names of the carriers."""
    return shell.sql("SELECT name FROM carriers ORDER BY 1").value["name"].tolist()


def test_a_frame_into_a_table(ready):
    """One line says how many rows, and that they wait."""
    said = ready.good("%turso_sync write airlines carriers --upsert").text.strip()
    assert said.startswith("write: 2 rows into carriers · ")
    assert said.endswith("2 changes wait to be pushed")
    assert names(ready) == ["American", "JetBlue", "United Airlines"]
    ready.good("%turso_sync write airlines carriers --replace")
    assert names(ready) == ["American", "United Airlines"]
    assert isinstance(ready.run("%turso_sync write airlines carriers").error, tsn.IntegrityError)
    ready.good("%turso_sync write airlines fresh")
    assert ready.sql("SELECT count(*) AS n FROM fresh").value["n"].tolist() == [2]


def test_by_other_columns_and_other_frames(ready):
    """--key upserts by columns that are no key; --create makes a table of a close name; polars is taken."""
    ready.names["polars"] = pl.DataFrame({"name": ["JetBlue"], "carrier": ["JB"]})
    ready.good("%turso_sync write polars carriers --key name")
    assert ready.sql("SELECT * FROM carriers ORDER BY 1").value.to_numpy().tolist() == [
        ["JB", "JetBlue"], ["UA", "United"],
    ]  # fmt: skip
    ready.good("%turso_sync write polars carrier --create")
    ready.good("%turso_sync write polars carrier")
    assert ready.sql("SELECT count(*) AS n FROM carrier").value["n"].tolist() == [2]
    assert names(ready) == ["JetBlue", "United"]


def test_on_another_connection(ready):
    """--on names it; nothing is written to the one in use, whose table a push and a pull change."""
    ready.good("%turso_sync connect yours.db {url} --as yours")
    ready.good("%turso_sync use mine")
    ready.good("%turso_sync write airlines carriers --upsert --on yours")
    assert names(ready) == ["JetBlue", "United"]
    ready.good("%turso_sync push --on yours")
    ready.good("%turso_sync pull")
    assert names(ready) == ["American", "JetBlue", "United Airlines"]


def test_in_an_open_transaction(ready):
    """It is joined, and the line says that it is open."""
    ready.sql("BEGIN")
    said = ready.good("%turso_sync write airlines carriers --upsert").text.strip()
    assert said.endswith("transaction open until COMMIT or ROLLBACK")
    ready.sql("ROLLBACK")
    assert names(ready) == ["JetBlue", "United"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("airlines flights", "no column 'name'"),
        ("airlnes carriers", "no variable has that name — did you mean airlines?"),
        ("url carriers", "it is a str, not a DataFrame"),
        ("airlines carriers --upsert --replace", "exclude each other"),
        ("airlines", "usage: %turso_sync write"),
        ("airlines carriers --upsrt", "did you mean --upsert?"),
        ("airlines carrier", "there is no such table — did you mean carriers? --create makes carrier"),
        ("airlines carriers --append --key carrier", "key= is for upsert"),
        ("airlines carriers --key carier", "no column 'carier' — did you mean carrier?"),
    ],
)
def test_lines_that_make_no_sense(ready, line, said):
    """Each is one line with the next step; nothing is written."""
    ran = ready.run(f"%turso_sync write {line}")
    assert isinstance(ran.error, tsn.UsageError)
    assert said in ran.line
    assert names(ready) == ["JetBlue", "United"]
