"""The SQLAlchemy dialect: SQLAlchemy's own suite, pandas, pools, and the replica's verbs under it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import registry

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Iterator

SUITE = Path(__file__).parents[1] / "sqlalchemy_suite"

EXCLUDED: tuple[str, ...] = ()
"""Tests of SQLAlchemy's suite that do not hold here though they do on SQLAlchemy's SQLite: none."""

registry.register("sqlite.turso_sync_nb", "turso_sync_nb.connection.dialect", "TursoSyncDialect")


def test_the_suite_of_sqlalchemy(tmp_path):
    """All of SQLAlchemy's dialect suite holds, with the requirements of its SQLite; 1,500 tests, 10 s."""
    for name in ("answers.py", "setup.cfg", "suite.py"):
        shutil.copy(SUITE / name, tmp_path)
    excluded = [f"--deselect={name}" for name in EXCLUDED]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "answers", "-p",
         "sqlalchemy.testing.plugin.pytestplugin", *excluded, "suite.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(tsn.__file__).parents[1]}"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-1000:]
    assert int(re.search(r"(\d+) passed", ran.stdout)[1]) > 1000


@pytest.fixture
def engine(remote_server, people, tmp_path) -> Iterator[sa.Engine]:
    """An engine on a replica of the people, both named in its URL."""
    url = f"sqlite+turso_sync_nb:///{tmp_path / 'replica'}?remote_url={remote_server(people).url}&prefix=4KiB"
    engine = sa.create_engine(url)
    yield engine
    engine.dispose()


def test_pandas_is_quiet_and_what_it_writes_is_pushed(engine, tmp_path):
    """read_sql and to_sql without a warning; the tables reach the remote; ours are not reflected."""
    frame = pd.DataFrame({"k": [1, 2], "day": pd.to_datetime(["2024-01-01", "2024-02-29"])})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame.to_sql("made", engine, index=False)
        frame.to_sql("made", engine, index=False, if_exists="append")
        back = pd.read_sql("SELECT * FROM made ORDER BY k", engine, parse_dates=["day"])
        people = pd.read_sql_table("person", engine)
    assert back["day"].dt.day.tolist() == [1, 1, 29, 29]
    assert len(people) == 3001
    assert set(sa.inspect(engine).get_table_names()) == {"made", "person", "visit", 'odd "table"'}
    raw = engine.raw_connection()
    db: Any = raw.driver_connection
    assert isinstance(db, tsn.Connection)
    db.push()
    raw.close()
    other = tsn.connect(tmp_path / "other", db.remote_url)
    assert other.execute("SELECT count(*) FROM made").fetchone() == (4,)
    other.close()


def test_errors_are_sqlalchemys(engine):
    """A constraint, a missing table and a lost connection are told as for any dialect."""
    with engine.connect() as connection:
        with pytest.raises(sa.exc.IntegrityError, match="UNIQUE"):
            connection.execute(sa.text("INSERT INTO person(id, name) VALUES (1, 'x')"))
        connection.rollback()
        with pytest.raises(sa.exc.OperationalError, match="no such table"):
            connection.execute(sa.text("SELECT * FROM missing"))
    with engine.connect() as connection:
        connection.connection.driver_connection.close()
        with pytest.raises(sa.exc.DBAPIError) as raised:
            connection.execute(sa.text("SELECT 1"))
        assert raised.value.connection_invalidated


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqlite+turso_sync_nb://host/flights.db", "names a host"),
        ("sqlite+turso_sync_nb:///r?auth_token=secret", "connect_args"),
        ("sqlite+turso_sync_nb:///r?remot_url=x", "remot_url is no option"),
    ],
)
def test_a_url_that_makes_no_sense_is_refused(url, reason):
    """In one line, and no value of an option that may be a secret is in it."""
    with pytest.raises(tsn.UsageError, match=reason) as raised:
        sa.create_engine(url).connect()
    assert "secret" not in str(raised.value)


def test_each_connection_without_a_path_is_private():
    """``sqlite+turso_sync_nb://`` needs no folder."""
    engine = sa.create_engine("sqlite+turso_sync_nb://?bootstrap_if_empty=false")
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE t (a)"))
        assert sa.inspect(connection).get_table_names() == ["t"]
        assert connection.execute(sa.text("SELECT 'abc' REGEXP 'b.', floor(1.5)")).one() == (1, 1.0)
    engine.dispose()
