"""Whatever a database holds, what is shown is escaped, bounded, and says what it left out."""

from __future__ import annotations

import html.parser
import unicodedata

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turso_sync_nb.engine.reports import QueryReport
from turso_sync_nb.escaping import visible
from turso_sync_nb.jupyter.rendering import (
    BUNDLE_BYTES_MAX,
    COLUMNS_SHOWN_MAX,
    footer,
    frame_bundle,
    line_bundle,
    lines_bundle,
)

OUTPUT_BYTES_MAX = 200_000
TAGS = {"div", "table", "thead", "tbody", "tr", "th", "td", "em", "small"}
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\x1b[2J\x07\r\n\u202eevil\u2066\x00&amp;\"'"

names_and_values = st.text() | st.text(alphabet="<>&\"'\x00\x1b\u202e\ud800\n$", max_size=300)
cells = st.one_of(st.none(), st.integers(), st.floats(), names_and_values, st.binary())


class _Tags(html.parser.HTMLParser):
    """Collects the tags, the attributes and the text of a document."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.texts.append(data)


def _is_safe(text: str) -> bool:
    return not any(
        unicodedata.category(each) in {"Cc", "Cs", "Zl", "Zp"} or each == "\u202e" for each in text
    )


@given(st.lists(st.tuples(names_and_values, cells), min_size=1, max_size=4))
@settings(max_examples=200)
def test_any_names_and_values_make_a_safe_bundle(columns):
    """No tag, attribute, control character or surrogate of the data gets out of a table."""
    frame = pd.DataFrame({at: pd.Series([value], dtype=object) for at, (_, value) in enumerate(columns)})
    frame.columns = pd.Index([name for name, _ in columns], dtype=object)
    bundle = frame_bundle(frame, 20, notes=[columns[0][0]])
    parsed = _Tags(bundle["text/html"])
    assert parsed.tags <= TAGS
    assert parsed.attributes <= {"style", "class", "border"}
    assert _is_safe(bundle["text/html"])
    assert all(_is_safe(line) for line in bundle["text/plain"].split("\n"))
    assert len(bundle["text/plain"].split("\n")) == 3


def test_hostile_text_is_shown_as_text():
    """Markup appears as the characters it is made of; controls are written out."""
    frame = pd.DataFrame({HOSTILE: [HOSTILE]})
    bundle = frame_bundle(frame, 20, [HOSTILE])
    assert "<script" not in bundle["text/html"]
    assert any("<script>alert(1)</script>" in text for text in _Tags(bundle["text/html"]).texts)
    assert "\\x1b[2J\\x07\\r\\n\\u202eevil\\u2066\\x00" in bundle["text/plain"]
    for shown in (line_bundle(HOSTILE), lines_bundle([HOSTILE])):
        assert list(shown) == ["text/plain"]
        assert _is_safe(shown["text/plain"])


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"x": ["<" * 10_000_000]}),
        pd.DataFrame({"x": [b"\x00" * 10_000_000]}),
        pd.DataFrame([["<&\x00\U0001f600" * 50] * 2000] * 100),
        pd.DataFrame({"\x00" * 10_000_000: [1]}),
        pd.DataFrame([[1] * 2000], columns=["\U0001f600" * 500 + str(at) for at in range(2000)]),
        pd.DataFrame({"x": ["\U0001f600" * 200] * 10_000}),
    ],
    ids=["10 MB of text", "10 MB of bytes", "2000 columns", "10 MB name", "2000 long names", "many rows"],
)
@pytest.mark.parametrize("rows", [20, 100_000])
def test_no_bundle_is_too_large_for_a_notebook(frame, rows):
    """Cells are narrowed and rows left out until the output is small, however many rows are asked for."""
    bundle = frame_bundle(frame, rows)
    size = sum(len(part.encode()) for part in bundle.values())
    assert size <= BUNDLE_BYTES_MAX < OUTPUT_BYTES_MAX


def test_what_is_left_out_is_said():
    """Rows and columns that are not shown are counted under the table, in both forms."""
    frame = pd.DataFrame([[0] * 2000] * 1234)
    for part in frame_bundle(frame, 20).values():
        assert "showing 20 of 1,234 rows" in part
        assert f"showing {COLUMNS_SHOWN_MAX} of 2,000 columns" in part
    small = frame_bundle(pd.DataFrame({"a": [1]}), 20)
    assert "showing" not in small["text/plain"] + small["text/html"]


def test_values_are_told_apart():
    """NULL, the empty text, an integer, a float that is whole and a blob each look like what they are."""
    frame = pd.DataFrame({"x": pd.Series([None, "", 3, 3.0, b"\x01\xff", float("inf")], dtype=object)})
    assert frame_bundle(frame, 20)["text/plain"].split("\n") == [
        "x",
        "NULL",
        "",
        "3",
        "3.0",
        "x'01ff'",
        "inf",
    ]
    assert frame_bundle(frame, 20)["text/html"].count("<em>NULL</em>") == 1


def test_a_null_in_a_column_of_numbers_or_text_is_null():
    """Pandas' NaN, NA and missing text are SQL's NULL."""
    frame = pd.DataFrame(
        {
            "f": [1.5, None],
            "i": pd.array([2**60 + 1, None], dtype="Int64"),
            "t": pd.Series(["a", None], dtype="str"),
        }
    )
    assert frame_bundle(frame, 20)["text/plain"].split("\n")[1:] == [
        " 1.5  1152921504606846977  a",
        "NULL                 NULL  NULL",
    ]


def test_equal_column_names_are_shown_each_with_its_values():
    """A join may give the same name twice."""
    frame = pd.DataFrame([[1, 2]], columns=["id", "id"])
    assert frame_bundle(frame, 20)["text/plain"] == "id  id\n 1   2"


def test_a_frame_without_rows_shows_its_columns():
    """Nothing found is still an answer with columns."""
    assert frame_bundle(pd.DataFrame({"a": [], "b": []}), 20, ["0 rows"])["text/plain"] == "a  b\n0 rows"


@given(st.text(), st.integers(1, 50))
def test_visible_text_is_bounded_and_printable_text_unchanged(text, length):
    """Text is cut to the length asked for, and short printable text stays what it was."""
    shown = visible(text, length)
    assert len(shown) <= length
    assert _is_safe(shown)
    if text.isascii() and text.isprintable() and len(text) <= length:
        assert shown == text


def test_the_footer_says_rows_time_downloads_and_what_waits():
    """One line has every figure, and an open transaction."""
    report = QueryReport(
        seconds=0.25, rows=1234, pages_hit=7, pages_fetched=64, received_bytes=2**18, requests=2
    )
    line = footer(report, in_transaction=True, rows=1234)
    assert line == (
        "1,234 rows · 250 ms · downloaded 262.1 kB in 2 requests · transaction open until COMMIT or ROLLBACK"
    )
    assert footer(QueryReport(seconds=2, requests=1), in_transaction=False, rows=None) == (
        "done · 2.00 s · downloaded 0 B in 1 request"
    )
    assert footer(QueryReport(seconds=0.001), in_transaction=False, rows=1, pending=1) == (
        "1 row · 1 ms · 1 change waits to be pushed"
    )
    assert footer(QueryReport(rows_changed=2), in_transaction=False, rows=None, pending=2) == (
        "2 rows changed · 0 ms · 2 changes wait to be pushed"
    )
    assert "pages: 7 read here, 64 downloaded, 0 of them not read" in footer(
        report, in_transaction=False, rows=1, verbose=True
    )
