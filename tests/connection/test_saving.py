"""Rows of a query into CSV and Parquet files, as they come."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import turso_sync_nb as tsn
from turso_sync_nb.connection import saving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = 2_500
MANY = f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS - 1})"


@pytest.fixture
def db(connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> tsn.Connection:
    """A replica without a remote; files are written a thousand rows at a time."""
    monkeypatch.setattr(saving, "ROWS_TOGETHER", 1_000)
    return connect(bootstrap_if_empty=False)


def test_parquet_has_every_row_and_type(db, tmp_path):
    """Integers, floats that began as integers, text, blobs, NULLs first, dates by declared type."""
    db.execute("CREATE TABLE t (i INTEGER, x REAL, late INTEGER, s TEXT, b BLOB, d DATE, ok BOOLEAN)")
    db.execute(
        f"{MANY} INSERT INTO t SELECT i, i * 0.5, CASE WHEN i > 2000 THEN i END, 's' || i,"
        " zeroblob(i % 3 + 1), date('2024-01-01', i || ' days'), i % 2 FROM n"
    )
    db.commit()
    path = tmp_path / "rows.parquet"
    assert db.query_to_file("SELECT * FROM t ORDER BY i", path) == ROWS
    table = pq.read_table(path)
    assert table.equals(db.run("SELECT * FROM t ORDER BY i").table())
    assert str(table.schema.field("d").type) == "date32[day]"
    assert pq.ParquetFile(path).num_row_groups == 3
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".rows")] == []


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_no_rows_are_a_file_with_columns(db, tmp_path, suffix):
    """A query without rows leaves a file that has its columns."""
    path = tmp_path / f"rows.{suffix}"
    assert db.query_to_file("SELECT 1 AS a, 'x' AS b WHERE 0", path) == 0
    names = path.read_text().strip().split(",") if suffix == "csv" else pq.read_table(path).column_names
    assert names == ["a", "b"]


def test_csv_quotes_what_needs_it(db, tmp_path):
    """Commas, quotes and line ends in text come back; NULL is empty; floats have all their digits."""
    path = tmp_path / "rows.CSV"
    sql = """SELECT 'a,"b' AS "x,y", 'c' || char(10) || 'd' AS s, NULL AS n, 0.1 + 0.2 AS f, 1 << 60 AS i"""
    assert db.query_to_file(f"{sql} UNION ALL {sql}", path) == 2
    with path.open(newline="", encoding="utf-8") as file:
        head, first, second = csv.reader(file)
    assert head == ["x,y", "s", "n", "f", "i"]
    assert first == second == ['a,"b', "c\nd", "", "0.30000000000000004", str(1 << 60)]


@pytest.mark.parametrize(
    ("sql", "name", "said"),
    [
        ("SELECT x'00' AS b", "a.csv", "column b holds a blob"),
        (f"{MANY} SELECT iif(i < 2000, i, 'x') AS c FROM n", "a.parquet", "column c holds values"),
        (f"{MANY} SELECT iif(i < 2000, i, i + 0.5) AS c FROM n", "a.parquet", "after row 2,000"),
        ("SELECT 1 UNION ALL SELECT 'x'", "a.parquet", "several types"),
        ("SELECT 1", "a.xlsx", "which form"),
        ("SELECT 1", "nowhere/a.csv", "No such file"),
        ("SELECT nope", "a.csv", "no such column"),
        ("CREATE TABLE made (x)", "a.csv", "returns no rows"),
    ],
)  # fmt: skip
def test_a_failure_leaves_the_file_that_was_there(db, tmp_path, sql, name, said):
    """Rows that do not fit, a wrong name, an SQL error: what was there stays, with nothing beside it."""
    path = tmp_path / name
    if path.parent == tmp_path:
        path.write_text("before")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(tsn.Error, match=said):
        db.query_to_file(sql, path)
    assert sorted(tmp_path.iterdir()) == before
    assert not path.exists() or path.read_text() == "before"


def test_exact_integers_among_floats_are_floats(db, tmp_path: Path):
    """Integers after floats take the file's type where that is exact, and are refused else."""
    path = tmp_path / "a.parquet"
    db.query_to_file(f"{MANY} SELECT CASE WHEN i < 2000 THEN i + 0.5 ELSE i END AS c FROM n", path)
    assert pq.read_table(path).schema.field("c").type == pa.float64()
    large = 2**53 + 1
    with pytest.raises(tsn.UsageError, match="column c"):
        db.query_to_file(f"{MANY} SELECT CASE WHEN i < 2000 THEN 0.5 ELSE {large} END AS c FROM n", path)
