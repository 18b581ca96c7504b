"""The magics against both servers: a lazy replica's cells equal plain SQLite's answers."""

from __future__ import annotations

from contextlib import closing

import apsw
import pytest

import turso_sync_nb.jupyter as layer

QUESTIONS = (
    "SELECT carrier, count(*) AS flights, round(avg(delay), 3) AS delay FROM flights GROUP BY 1 ORDER BY 1",
    "SELECT id, remarks FROM flights WHERE id IN (7, 2000, 3999) ORDER BY id",
    (
        "SELECT origin, count(*) AS n FROM flights JOIN carriers USING (carrier)"
        " WHERE delay IS NULL GROUP BY 1 ORDER BY 1"
    ),
    "SELECT count(*) AS n FROM late",
)


@pytest.mark.parametrize(
    "options", ["", "--prefix 16KiB", "--whole", "--bootstrap-query 'SELECT name FROM carriers'"]
)
def test_cells_of_a_replica_equal_plain_sqlite(shell, remote_server, flights_file, options):
    """Whatever was fetched at the start, each cell's rows are the database's."""
    shell.names["url"] = remote_server(flights_file).url
    shell.good(f"%turso_sync connect flights.db {{url}} {options}")
    with closing(apsw.Connection(str(flights_file), flags=apsw.SQLITE_OPEN_READONLY)) as plain:
        for question in QUESTIONS:
            frame = shell.sql(question).value
            rows = [tuple(row) for row in frame.astype(object).itertuples(index=False)]
            assert rows == plain.execute(question).fetchall()


def test_the_footer_of_a_lookup_says_what_it_fetched(shell, remote_server, flights_file):
    """A lookup by key on a fresh replica fetches a little, once."""
    shell.names["url"] = remote_server(flights_file).url
    shell.good("%turso_sync connect flights.db {url} --prefix 4KiB")
    lookup = "SELECT remarks FROM flights WHERE id = 3999"
    assert shell.sql(lookup).success
    report = layer.connection().last_report
    assert 1 <= report.requests <= 3
    assert report.pages_fetched * 4096 <= 400_000
    assert "downloaded" not in shell.sql(lookup).text


def test_a_stop_keeps_or_rolls_back_and_says_which(shell, remote_server, flights_file):
    """A stop while SQL runs: one line, and the connection answers the next cell."""
    shell.names["url"] = remote_server(flights_file).url
    shell.good("%turso_sync connect flights.db {url}")

    def stop():
        raise KeyboardInterrupt

    layer.connection().create_function("stop", 0, stop)
    assert "no transaction was open" in shell.sql("SELECT stop()").line
    shell.sql("BEGIN")
    said = shell.sql("SELECT stop()").line
    assert ("still open" in said) == layer.connection().in_transaction
    assert shell.sql("SELECT count(*) AS n FROM carriers").value["n"].tolist() == [2]
