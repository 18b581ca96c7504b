"""Going offline: what is missing is told by table, taken along, and named when a query lacks it."""

from __future__ import annotations

import re

import pytest

import turso_sync_nb as tsn


@pytest.fixture
def lazy(shell, embedded, flights_file):
    """Give the server, and a notebook with a lazy replica of it."""
    server = embedded(flights_file)
    shell.names["url"] = server.url
    shell.good("%turso_sync connect lazy.db {url} --prefix 4KiB")
    return server


def network(shell) -> str:
    """Return what status says of the network."""
    return str(shell.good("%turso_sync status").value["network"].iloc[0])


def test_a_table_that_was_taken_along_is_read_offline(shell, lazy):
    """Sizes are told before; a table comes with its indexes, others do not; then no network is needed."""
    told = shell.good("%turso_sync offline")
    by_table = told.value.set_index("table")
    assert list(by_table.index) == ["flights", "carriers"]
    assert re.fullmatch(r"about 2\.\d MB", by_table["missing"]["flights"])
    assert "%turso_sync offline flights" in told.text
    ran = shell.good("%turso_sync offline FLIGHTS")
    assert re.search(r"downloaded 2\.\d MB · flights can be read and edited offline", ran.text)
    lazy.stop()
    for query in ("SELECT sum(length(remarks)) FROM flights", "SELECT max(origin) FROM flights"):
        assert shell.sql(query).success
    assert shell.good("%turso_sync offline").value.set_index("table")["missing"]["flights"] == "0 B"


def test_everything_is_taken_along(shell, lazy):
    """With --all no page is missing; said again it downloads nothing."""
    assert "everything can be read" in shell.good("%turso_sync offline --all").text
    lazy.stop()
    assert shell.sql("SELECT count(*) FROM flights").value.iloc[0, 0] == 4_000
    assert "everything is here" in shell.good("%turso_sync offline").text


@pytest.mark.parametrize("words", ["nope", "flights --all", "flight"])
def test_what_makes_no_sense_is_refused_before_anything_comes(shell, lazy, words):
    """An unknown table, or two wishes at once: one line, and nothing is downloaded."""
    before = shell.good("%turso_sync offline").value
    error = shell.run(f"%turso_sync offline {words}").error
    assert isinstance(error, tsn.UsageError)
    assert error.hint
    assert shell.good("%turso_sync offline").value.equals(before)


def test_an_offline_query_names_the_tables_that_it_lacks(shell, lazy):
    """Each with how much is missing, and the line that brings them; status says since when it is offline."""
    assert network(shell).startswith("online, asked just now (")
    shell.good("%turso_sync tables")  # upper pages come, which tell sizes
    lazy.stop()
    ran = shell.sql("SELECT count(remarks) FROM flights JOIN carriers USING (carrier)")
    assert isinstance(ran.error, tsn.RemoteUnreachableError)
    assert re.search(r"flights \(2\.\d MB missing\)", ran.line)
    assert re.search(r"%turso_sync offline [a-z ]*flights", ran.line)
    shell.names["code"] = "AA"
    ran = shell.sql("SELECT count(remarks) FROM flights WHERE carrier <> :code")
    assert re.search(r"flights \(2\.\d MB missing\)", ran.line)
    assert network(shell).startswith("offline since just now (")


def test_a_replica_that_asked_nothing_does_not_claim_to_be_online(shell, lazy):
    """Opened again it has asked nothing yet."""
    shell.good("%turso_sync close --all")
    shell.good("%turso_sync connect lazy.db")
    assert network(shell) == "not asked yet"


def test_a_diff_offline_shows_our_own_half(shell, lazy):
    """What waits needs no network; that the rest is not known is said, and why."""
    shell.good("%turso_sync sql UPDATE carriers SET name = 'mine' WHERE carrier = 'UA'")
    lazy.stop()
    ran = shell.good("%turso_sync diff")
    assert ran.value[["by", "operation"]].to_numpy().tolist() == [["push", "update"]]
    assert "push: 1 difference · what a pull would bring is not known" in ran.text
    assert "offline: " in ran.text


@pytest.mark.parametrize("verb", ["push", "sync"])
def test_what_cannot_be_sent_is_said_to_be_kept(shell, lazy, verb):
    """The line about the connection says too that nothing is lost, if there is anything to lose."""
    shell.good("%turso_sync offline carriers")
    lazy.stop()
    assert "nothing is lost" not in shell.run(f"%turso_sync {verb}").line
    shell.good("%turso_sync sql UPDATE carriers SET name = 'mine' WHERE carrier = 'UA'")
    assert "; nothing is lost, 1 change waits here" in shell.run(f"%turso_sync {verb}").line
