"""What widgets draw and say stands once: in ``shared.js`` for views, in ``words.py`` for Python."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import turso_sync_nb

PACKAGE = Path(turso_sync_nb.__file__).parent
STATIC = PACKAGE / "widgets" / "static"
MODULES = sorted(path.name for path in STATIC.glob("*.js") if path.name != "shared.js")
IN_SHARED = {
    "makes elements": r"createElement\((?!\"canvas\")",
    "draws tables": r"h\(\"(table|thead)\"",
    "draws buttons": r"h\(\"button\"",
    "draws changes": r"h\(\"(del|ins)\"",
    "writes numbers": r"toLocale\w*\(",
    "writes sizes": r"toFixed\(|log10",
    "counts nouns": r"=== 1 \? \"\" : \"s\"",
    "marks sorting": r"aria-sort",
    "draws shares": r"tsn-(track|full)",
    "says that it is cut off": r"disconnected|run the cell again",
}
IN_WORDS = {
    "writes NULL": r"else \"NULL\"|= \"NULL\"|return \"NULL\"",
    "counts nouns": r"\{'' if \w+ == 1 else 's'\}",
    "says what a blob is": r"blob of",
}
COLOUR = re.compile(r"#[0-9a-f]{3,8}\b|\b(?:rgb|hsl)a?\(|\b(?:orange|darkorange|limegreen|red|green|blue)\b")


@pytest.mark.parametrize("what", IN_SHARED)
def test_each_view_takes_it_from_the_shared_module(what):
    """Of each kind of thing the shared module has the one way to make it."""
    found = {name for name in MODULES if re.search(IN_SHARED[what], (STATIC / name).read_text())}
    assert found == set()
    assert re.search(IN_SHARED[what], (STATIC / "shared.js").read_text())


@pytest.mark.parametrize("what", IN_WORDS)
def test_each_widget_and_line_takes_it_from_the_words(what):
    """Widgets and magics say it in the same words."""
    files = [*PACKAGE.glob("widgets/*.py"), *PACKAGE.glob("jupyter/*.py")]
    found = {path.name for path in files if re.search(IN_WORDS[what], path.read_text())}
    assert found == set()


def test_colours_stand_at_the_top_of_the_style_sheet():
    """Every rule takes its colours from the variables there."""
    rules = re.split(r"\n(?=\S)", (STATIC / "widgets.css").read_text())
    strays = [rule for rule in rules if COLOUR.search(re.sub(r"\n\s+--tsn-[^;]+;", "", rule))]
    assert strays == []


def test_all_static_files_are_small():
    """Together, as each notebook that shows a widget has a copy of some."""
    assert sum(path.stat().st_size for path in STATIC.iterdir()) < 400_000
