"""What a reader sees of changes and conflicts: words and values, no dicts; the frames keep their values."""

from __future__ import annotations

import re

import pytest

SHOWN = {
    "changes": (
        ("carrier UA", "name United → United, Inc.", "carrier B7, name New", "state", "waits", "schema"), 5,
    ),
    "diff": (("yours, to be pushed", "theirs, to be pulled", "both sides changed it", "delay"), 6),
    "conflicts": (("carrier UA", "name United", "name Theirs", "name United, Inc.", "yours stayed"), 1),
}  # fmt: skip


@pytest.fixture
def both(served):
    """Give two connections whose users changed the same row and others; ``mine`` is in use."""
    served.good("%turso_sync connect theirs.db {url} --as theirs")
    served.good("%turso_sync connect mine.db {url} --as mine")
    served.sql("UPDATE carriers SET name = 'Theirs' WHERE carrier = 'UA'", "--on theirs")
    served.good("%turso_sync push --on theirs")
    served.sql(
        "UPDATE carriers SET name = 'United, Inc.' WHERE carrier = 'UA';"
        "INSERT INTO carriers VALUES('B7', 'New'); DELETE FROM carriers WHERE carrier = 'B7';"
        "INSERT INTO carriers VALUES('B7', 'New'); CREATE TABLE more(x)"
    )
    return served


@pytest.mark.parametrize("line", SHOWN)
def test_lists_are_read_without_dicts(both, line):
    """Each form has the words that it is to have; what the line returns is the frame as Python has it."""
    words, _ = SHOWN[line]
    if line == "conflicts":
        both.good("%turso_sync pull")
    if line == "diff":
        both.sql("UPDATE flights SET delay = 5 WHERE id = 7")
    ran = both.good(f"%turso_sync {line}")
    for word in words:
        assert word in ran.text, ran.text
    for form in ran.displayed:
        assert "{'" not in "".join(form.values())
        assert "&#x27;" not in form.get("text/html", "")
    assert any(isinstance(value, dict) for name in ran.value for value in ran.value[name])


def test_a_pull_says_what_others_wrote_over(both):
    """Whoever pushed a value that is another one now hears of it, with both values; others hear nothing."""
    both.good("%turso_sync pull")
    both.good("%turso_sync push")
    ran = both.good("%turso_sync pull --on theirs")
    assert "others changed what you had pushed" in ran.text
    assert "carriers carrier UA: name Theirs → United, Inc." in ran.text
    both.sql("UPDATE flights SET delay = 5 WHERE id = 7", "--on theirs")
    both.good("%turso_sync push --on theirs")
    assert "others changed" not in both.good("%turso_sync pull").text


def test_a_conflict_about_the_schema_is_said_in_words(both):
    """A definition that waits says why, not how it is kept."""
    both.sql("CREATE TABLE more(x UNIQUE)", "--on theirs")
    both.good("%turso_sync push --on theirs")
    both.good("%turso_sync pull")
    ran = both.good("%turso_sync conflicts")
    assert "yours waits: another table more is there" in ran.text
    assert "aside" not in ran.text


REPORTS = {
    "tables": ({"rows", "size", "columns", "indexes"}, {"name", "kind", "here", "key", "refers to"}),
    "offline": ({"size", "missing"}, {"table", "here"}),
    "profile flights --fetch": (
        {"rows", "nulls", "distinct", "mean", "25%", "median", "75%"},
        {"column", "top"},
    ),
}
"""Columns of a report that stand to the right, and to the left."""


@pytest.mark.parametrize("line", REPORTS)
def test_numbers_of_reports_stand_to_the_right(flights, line):
    """Whatever is said of some of them (about), and though some rows have none (a view, a text)."""
    html = "".join(form.get("text/html", "") for form in flights.good(f"%turso_sync {line}").displayed)
    sides = {name: side for side, name in re.findall('<th style="text-align: (\\w+)">([^<]+)', html)}
    right, left = REPORTS[line]
    assert {name: sides[name] for name in right | left} == dict.fromkeys(right, "right") | dict.fromkeys(
        left, "left"
    )


def test_values_of_a_profile_are_written_as_in_the_table(ready):
    """A year has no thousands; numbers of rows have."""
    ready.sql("CREATE TABLE y(year INTEGER)")
    many = "WITH n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < 2013)"
    ready.sql(f"{many} INSERT INTO y SELECT 2013 FROM n")
    seen = ready.good("%turso_sync profile y").text
    assert seen.count("2,013") == 3, seen  # rows: in all, of the one value, in the line below
    assert " 2013 " in seen


def test_status_has_what_waits_where_it_is_seen(flights):
    """What is asked for most comes first: the paths at the end may be out of sight."""
    names = flights.good("%turso_sync status").value.columns.tolist()
    assert names[:4] == ["connection", "in use", "changes waiting", "conflicts"]
    assert names[-2:] == ["replica", "remote"]
