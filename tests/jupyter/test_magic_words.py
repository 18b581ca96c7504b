"""What a default screen says is read without a question by whoever knows pandas and SQL."""

from __future__ import annotations

import html
import re

import pytest

INSIDER = re.compile(
    r"\b(pages?|wal|revisions?|resident|hydrat\w*|cdc\w*|tape|rowid|segments?|errno|unix\w*"
    r"|None|True|False|nan|aside|meets)\b|\{'"
)
"""Words of this package or of SQLite's files; values as Python writes them; a raw dict."""

LINES = (
    "status", "tables", "schema flights", "profile carriers", "stats", "verify", "checkpoint", "changes",
    "diff", "conflicts", "offline", "pull", "push", "sync", "arrived", "pages", "dashboard", "review",
    "explore", "edit carriers", "watch SELECT 1 AS one",
)  # fmt: skip


@pytest.fixture
def opened(served):
    """Give a shell with a replica in which changes wait."""
    served.good("%turso_sync connect words.db {url} --as words")
    served.sql("UPDATE carriers SET name = 'United, Inc.' WHERE carrier = 'UA'; CREATE TABLE more(x)")
    return served


def test_no_insider_word_is_left_on_a_default_screen(opened):
    """Of every line, in text and in HTML."""
    found = {}
    for line in LINES:
        ran = opened.good(f"%turso_sync {line}")
        for form in [*ran.displayed, {"text/plain": ran.text}]:
            for kind in ("text/plain", "text/html"):
                text = html.unescape(re.sub(r"<style>.*?</style>|<[^>]*>", " ", str(form.get(kind, ""))))
                if words := set(INSIDER.findall(text)):
                    found[line, kind] = words
    assert found == {}
    ran = opened.sql("SELECT count(*) FROM flights", "--dry-run")
    assert INSIDER.findall(ran.text) == []
