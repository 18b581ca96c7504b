"""Tools that read a replica: DuckDB and polars by Arrow and by an exported file, marimo by its SQL cells."""

from __future__ import annotations

import datetime as dt

import duckdb
import marimo
import polars as pl
import pyarrow as pa
import pytest

import turso_sync_nb as tsn

ROWS = 50_000


@pytest.fixture
def db(connect) -> tsn.Connection:
    """A replica without a remote, with a table of every kind of column."""
    db = connect(bootstrap_if_empty=False)
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, x REAL, day DATE, at TIMESTAMP, ok BOOL)")
    moment = dt.datetime(2024, 1, 31, 12, 30, tzinfo=dt.UTC).replace(tzinfo=None)
    db.executemany(
        "INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)",
        [(n, f"n{n}", n / 2 or None, moment.date(), moment, n % 2) for n in range(ROWS)],
    )
    db.commit()
    return db


def test_an_arrow_table_is_read_in_place(db):
    """DuckDB and polars aggregate and join it; Arrow's memory has not grown meanwhile."""
    rows = db.arrow("SELECT * FROM t WHERE id >= :first", {"first": 0})
    assert isinstance(rows, pa.Table)
    kinds = ["int64", "string", "double", "date32[day]", "timestamp[us]", "bool"]
    assert [str(field.type) for field in rows.schema] == kinds
    before = pa.total_allocated_bytes()
    with duckdb.connect() as duck:
        counted = 'SELECT count(*), sum(id), sum(x), min(day), max("at"), sum(ok::INT) FROM rows'
        whole = duck.execute(counted).fetchone()
        joined = "SELECT count(*) FROM rows AS a JOIN rows AS b ON a.id = b.id + 1 WHERE a.name LIKE 'n1%'"
        assert duck.execute(joined).fetchone() == (11_111,)
    assert pa.total_allocated_bytes() == before
    in_sqlite = "SELECT count(*), sum(id), sum(x), min(day), max(at), sum(ok) FROM t"
    want = db.execute(in_sqlite).fetchone()
    assert whole[:3] == want[:3]
    assert (whole[3].isoformat(), whole[4].isoformat(sep=" "), whole[5]) == want[3:]
    frame = pl.from_arrow(rows)
    assert frame["id"].to_arrow().buffers()[1].size > 0
    assert frame.select(pl.col("x").sum()).item() == want[2]


@pytest.mark.parametrize(
    ("sql", "parameters", "error", "reason"),
    [
        ("INSERT INTO t (name) VALUES ('x')", None, tsn.ProgrammingError, "returns no rows"),
        ("SELECT 1 AS a UNION SELECT 'x'", None, tsn.UsageError, "column a holds values of several types"),
        ("SELECT * FROM missing", None, tsn.OperationalError, "no such table"),
    ],
)
def test_what_is_no_table_is_refused(db, sql, parameters, error, reason):
    """No rows, several types in a column, SQL that is wrong: one line."""
    with pytest.raises(error, match=reason):
        db.arrow(sql, parameters)


def test_duckdb_reads_an_exported_file(db, tmp_path):
    """Its SQLite scanner is no part of the wheel, so the file goes by Parquet and CSV."""
    db.query_to_file("SELECT * FROM t", tmp_path / "t.parquet")
    db.query_to_file("SELECT * FROM t", tmp_path / "t.csv")
    with duckdb.connect() as duck:
        for name in ("t.parquet", "t.csv"):
            found = duck.execute(f"SELECT count(*), sum(id), sum(x) FROM '{tmp_path / name}'").fetchone()
            assert found == db.execute("SELECT count(*), sum(id), sum(x) FROM t").fetchone()


def test_marimo_cells_take_the_connection(db):
    """A SQL cell reads and writes; what it writes is captured; its frame goes back by write_frame."""
    app = marimo.App()

    @app.cell
    def read(db):
        import marimo as mo

        found = mo.sql("SELECT id, name, x FROM t WHERE id BETWEEN 1 AND 3", output=False, engine=db)
        return found, mo

    @app.cell
    def write(db, mo):
        wrote = mo.sql("UPDATE t SET name = 'marimo' WHERE id = 2", output=False, engine=db)
        return (wrote,)

    before = db.pending_changes
    _, values = app.run(defs={"db": db})
    assert values["found"].rows() == [(1, "n1", 0.5), (2, "n2", 1.0), (3, "n3", 1.5)]
    assert db.pending_changes == before + 1
    assert not db.in_transaction
    assert db.execute("SELECT name FROM t WHERE id = 2").fetchone() == ("marimo",)
    assert db.write_frame(values["found"].with_columns(pl.col("x") * 2), "t", "upsert") == 3
    assert db.execute("SELECT x FROM t WHERE id BETWEEN 1 AND 3").fetchall() == [(1.0,), (2.0,), (3.0,)]
