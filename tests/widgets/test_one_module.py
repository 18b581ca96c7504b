"""What widgets draw and say stands once: for views in a module of ``static/``, else in ``words.py``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import turso_sync_nb
from turso_sync_nb.engine.reports import PullReport
from turso_sync_nb.errors import UsageError
from turso_sync_nb.widgets.listening import line_of_pull
from turso_sync_nb.widgets.live import line_of, script

PACKAGE = Path(turso_sync_nb.__file__).parent
STATIC = PACKAGE / "widgets" / "static"
MODULES = {path.stem: path.read_text() for path in sorted(STATIC.glob("*.js"))}
IMPORTS = [
    (name, imported, each.strip())
    for name, text in MODULES.items()
    for names, imported in re.findall(r"^import {(.+)} from \"\./(\w+)\.js\";$", text, re.MULTILINE)
    for each in names.split(",")
]
ONCE = {
    "makes elements": ("elements", r"createElement\((?!\"canvas\")"),
    "draws tables": ("elements", r"h\(\"(table|thead)\""),
    "draws buttons": ("elements", r"h\(\"button\""),
    "draws changes": ("changes", r"h\(\"(del|ins)\""),
    "writes numbers": ("elements", r"toLocaleString\("),
    "writes times": ("figures", r"toLocale(Date|Time)String\("),
    "writes sizes": ("figures", r"toFixed\(|log10"),
    "counts nouns": ("elements", r"=== 1 \? \"\" : \"s\""),
    "marks sorting": ("sorting", r"aria-sort"),
    "draws shares": ("figures", r"tsn-(track|full)"),
    "says that it is cut off": ("view", r"disconnected|run the cell again"),
}
IN_WORDS = {
    "writes NULL": r"else \"NULL\"|= \"NULL\"|return \"NULL\"",
    "counts nouns": r"\{'' if \w+ == 1 else 's'\}",
    "says what a blob is": r"blob of",
}
COLOUR = re.compile(r"#[0-9a-f]{3,8}\b|\b(?:rgb|hsl)a?\(|\b(?:orange|darkorange|limegreen|red|green|blue)\b")


@pytest.mark.parametrize("what", ONCE)
def test_one_module_does_it(what):
    """All others import it from there."""
    where, pattern = ONCE[what]
    assert {name for name, text in MODULES.items() if re.search(pattern, text)} == {where}


def test_imports_are_there_and_used():
    """What a module imports another exports, and nothing is imported that it does not use."""
    assert len(IMPORTS) > 20
    for name, imported, each in IMPORTS:
        assert re.search(rf"^export (function|const) {each}\b", MODULES[imported], re.MULTILINE), (name, each)
        body = re.sub(r"^import .+|//.*|\"[^\"]*\"", "", MODULES[name], flags=re.MULTILINE)
        assert re.search(rf"\b{each}\b", body), (name, each)


def test_script_is_one_text():
    """A widget's script holds each module once, before what imports it, and imports nothing."""
    text = script("editor")
    assert text.count("function connect(") == text.count("function h(") == 1
    assert text.index("function h(") < text.index("function shownValue(") < text.index("function render(")
    assert "watchTheme" not in text
    assert not re.search(r"^(import|export (?!default))", text, re.MULTILINE)


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


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            UsageError("apply: 1 cell holds text", hint="each says why"),
            "apply: 1 cell holds text (each says why)",
        ),
        (FileNotFoundError(2, "No such file"), "[Errno 2] No such file"),
        (OSError(), "OSError"),
    ],
)
def test_an_error_is_a_sentence(error, said):
    """A reader of a widget has no use for a class; where there is nothing else, it is named."""
    assert line_of(error) == said


def test_a_pull_is_told_without_python():
    """Whoever pressed a button knows no methods."""
    report = PullReport(
        1,
        applied=True,
        replayed=1,
        conflicts=2,
        set_aside=1,
        received_bytes=0,
        sent_bytes=0,
        requests=1,
        seconds=0,
    )
    assert "2 conflicts settled" in line_of_pull(report)
    assert "()" not in line_of_pull(report)
