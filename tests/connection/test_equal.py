"""What a replica reads is what plain SQLite reads on the same data, whoever serves it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from replicas import lazily

if TYPE_CHECKING:
    from collections.abc import Callable

QUERIES = (
    "SELECT count(*), sum(length(photo)), total(score) FROM person",
    "SELECT * FROM person ORDER BY id",
    "SELECT city, count(*) FROM person GROUP BY city ORDER BY city",
    "SELECT p.name, v.at FROM person p JOIN visit v ON v.person = p.id WHERE p.city = 'Oslo' ORDER BY 1, 2",
    "SELECT * FROM adult ORDER BY id DESC LIMIT 7",
    'SELECT "a b", "select" FROM "odd ""table"""',
    "SELECT * FROM person WHERE id = 9223372036854775807",
    "PRAGMA integrity_check",
    "PRAGMA table_info(person)",
)


def test_reads_equal(remote_server: Callable, people, connect, kind, oracle) -> None:
    """Every query gives the rows that plain SQLite gives, for each kind of bootstrap on each server."""
    db = connect(remote_server(people).url, **kind)
    for sql in QUERIES:
        assert db.execute(sql).fetchall() == oracle.execute(sql).fetchall(), sql


COLUMNS = st.sampled_from(["id", "name", "city", "score", "born", "length(photo)", "city || name"])
CONDITIONS = st.one_of(
    st.integers(-5, 3100).map(lambda number: (f"id {random.Random(number).choice('<>=')} ?", number)),
    st.sampled_from(["Oslo", "", "東京", "nowhere"]).map(lambda city: ("city = ?", city)),
    st.floats(0, 1).map(lambda score: ("score > ?", score)),
    st.just(("city IS ?", None)),
)


@pytest.fixture
def lazy_db(tursodb: Callable, people, connect):
    """Give a replica of one page on the real server."""
    return connect(tursodb(people).url, **lazily())


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    columns=st.lists(COLUMNS, min_size=1, max_size=3),
    condition=CONDITIONS,
    order=COLUMNS,
    limit=st.integers(0, 40),
)
def test_random_queries(lazy_db, oracle, columns, condition, order, limit) -> None:  # noqa: PLR0917 - Hypothesis names them
    """Random queries on a lazily filled replica read what plain SQLite reads."""
    where, value = condition
    sql = f"SELECT {', '.join(columns)} FROM person WHERE {where} ORDER BY {order}, id LIMIT {limit}"
    assert lazy_db.execute(sql, (value,)).fetchall() == oracle.execute(sql, (value,)).fetchall()
