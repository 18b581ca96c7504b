"""A grid's filters, its search and its order as SQL: run on a table, whatever the values are."""

from __future__ import annotations

import apsw
import pytest

from turso_sync_nb.errors import UsageError
from turso_sync_nb.widgets.arrangement import Arrangement, beyond

ROWS = [
    (1, "Ana", 2.5), (2, "ben", None), (3, "100%", 7), (4, None, 7), (5, "a_b", -1), (6, "", 10),
    (7, "aXb", 2.5), (8, "back\\slash", None),
]  # fmt: skip
DECLARED = {"id": "INTEGER", 'n"m': "TEXT", "x": "REAL", "free": ""}

FILTERS = {
    ('n"m', "A"): [1, 5, 7, 8],
    ('n"m', "a_b"): [5],
    ('n"m', "0%"): [3],
    ('n"m', "k\\s"): [8],
    ('n"m', "= ben"): [2],
    ('n"m', "=BEN"): [],
    ('n"m', "null"): [4],
    ('n"m', " Not NULL "): [1, 2, 3, 5, 6, 7, 8],
    ('n"m', "> b"): [2, 8],
    ("x", "> 2.5"): [3, 4, 6],
    ("x", ">=2.5"): [1, 3, 4, 6, 7],
    ("x", "<= -1"): [5],
    ("x", "!= 7"): [1, 5, 6, 7],
    ("x", "null"): [2, 8],
    ("x", "7"): [3, 4],
    ("id", "<3"): [1, 2],
    ("free", "= 4"): [4],
    ("free", "= f4"): [],
}
"""A column and what stands in its filter, and the keys of the rows that are left."""

REFUSED = [("x", "> much"), ("id", "= 1,5"), ("id", "> 99999999999999999999")]


@pytest.fixture(scope="module")
def raw():
    """Give the table of all rows; the last column has no type, and holds the key."""
    raw = apsw.Connection(":memory:")
    raw.execute('CREATE TABLE t (id INTEGER PRIMARY KEY, "n""m" TEXT, x REAL, free)')
    raw.executemany("INSERT INTO t VALUES (?1, ?2, ?3, ?1)", ROWS)
    return raw


def keys(raw, condition, values, order="id"):
    """Return the keys of the rows that meet a condition."""
    return [key for (key,) in raw.execute(f"SELECT id FROM t WHERE {condition} ORDER BY {order}", values)]


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter(raw, name):
    """A part of the text, a comparison by the column's type, or whether there is a value."""
    assert keys(raw, *Arrangement(filters=(name,)).condition(DECLARED)) == FILTERS[name]


@pytest.mark.parametrize("name", REFUSED)
def test_a_filter_that_makes_no_sense(name):
    """Its error names the column and what was written."""
    with pytest.raises(UsageError, match=name[0]) as caught:
        Arrangement(filters=(name,)).condition(DECLARED)
    assert name[1] in str(caught.value)


@pytest.mark.parametrize(
    ("text", "found"), [("B", [2, 5, 7, 8]), ("2.5", [1, 7]), ("%", [3]), ("", range(1, 9))]
)
def test_a_text_in_any_column(raw, text, found):
    """Case does not count, and no letter has a meaning of its own."""
    assert keys(raw, *Arrangement(search=text).condition(DECLARED)) == list(found)


def test_filters_and_search_together(raw):
    """A row meets all of them."""
    arrangement = Arrangement(filters=(("x", "> 2"), ('n"m', "a")), search="7")
    assert keys(raw, *arrangement.condition(DECLARED)) == [7]


ORDERS = [
    Arrangement(),
    Arrangement(sort="x"),
    Arrangement(sort="x", descending=True),
    Arrangement(sort='n"m'),
    Arrangement(sort='n"m', descending=True),
    Arrangement(sort="id", descending=True),
]


@pytest.mark.parametrize("arrangement", ORDERS, ids=lambda one: f"{one.sort} {one.descending}")
@pytest.mark.parametrize("sign", [">", ">=", "<", "<="])
def test_what_comes_beyond_a_place(raw, arrangement, sign):
    """From each row on, forward or back, just the rows that the order has there; NULL comes last."""
    order = arrangement.order(["id"])
    sql = ", ".join(f"{term} {'DESC' if descends else 'ASC'}" for term, descends in order)
    everything = keys(raw, "1", (), sql)
    sorted_by = [row[("id", 'n"m', "x").index(arrangement.sort or "id")] for row in ROWS]
    missing = [key for key, value in enumerate(sorted_by, 1) if value is None]
    assert everything[len(everything) - len(missing) :] == missing
    for at, key in enumerate(everything):
        terms = ", ".join(term for term, _ in order)
        place = raw.execute(f"SELECT {terms} FROM t WHERE id = ?", (key,)).fetchone()
        own = at + sign.endswith("=")
        wanted = everything[at + 1 - sign.endswith("=") :] if sign[0] == ">" else everything[:own]
        assert keys(raw, *beyond(order, place, sign), sql) == wanted
