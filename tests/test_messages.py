"""The reference of messages has every error text: those of the source, and those that a user meets."""

from __future__ import annotations

import importlib.util
import re
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

ROOT: Final = Path(__file__).parent.parent
MADE: Final = re.compile(r"\b(?:errors\.)?([A-Z]\w+Error)\(\s*(?:f?[\"'])(?![\"']|\{\w+\}[\"'])")
"""An error made with a text of its own, not with one that is passed on."""


ELSEWHERE: Final = {
    "...: a file is there",  # of the second message in its cell, the end
    "push transaction ...",  # its number is made apart
    "the server at ... refused: status 401",  # of the remote's answer
    "the address was ..., is now ...",  # a note, no error
    "no such table",  # SQLite's
    "database is locked",
}
"""Messages of the troubleshooting page that no error of the source begins with."""


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    """Load the module of the site that makes the page."""
    spec = importlib.util.spec_from_file_location("docs_messages", ROOT / "docs/messages.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def messages(reference: ModuleType) -> list[Any]:
    """Give all messages; to parse the whole source for them takes a second."""
    return list(reference.messages())


def test_texts_of_the_source_are_there(reference: ModuleType, messages: list[Any]) -> None:
    """Counted by a pattern of its own, no error that is made with a text is missing."""
    sources = [path.read_text() for path in (ROOT / "turso_sync_nb").rglob("*.py")]
    made = [name for source in sources for name in MADE.findall(source) if name in reference.CLASSES]
    assert len(made) > 300
    assert len(messages) >= len(made)
    page = reference.page()
    assert all(reference._cell(each.text) in page for each in messages)


def test_messages_of_troubleshooting_are_those_of_the_source(
    reference: ModuleType, messages: list[Any]
) -> None:
    """Each message of that page's tables is the beginning of one that exists, or is told by another place."""
    page = (ROOT / "docs/troubleshooting.md").read_text()
    cells = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    named = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    assert len(named) > 15
    texts = [each.text.replace(reference.VALUE, "...") for each in messages]
    assert {name for name in named if not any(text.startswith(name) for text in texts)} == ELSEWHERE


def _no_folder(_: Path) -> None:
    tsn.connect("http://127.0.0.1:1", "flights.db")


def _file_in_the_way(folder: Path) -> None:
    (folder / "taken.db").write_text("text")
    tsn.connect(folder / "taken.db", "http://127.0.0.1:1")


def _no_server(folder: Path) -> None:
    tsn.connect(folder / "new.db", "http://127.0.0.1:1")


def _no_size(folder: Path) -> None:
    tsn.connect(folder / "new.db", "http://127.0.0.1:1", max_resident=1)


def _on_replica(work: Callable[[tsn.Connection], object]) -> Callable[[Path], None]:
    def run(folder: Path) -> None:
        with tsn.server.LocalServer() as server, closing(tsn.connect(folder / "r.db", server.url)) as db:
            db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
            work(db)

    return run


MET: Final[dict[str, Callable[[Path], None]]] = {
    "URL first": _no_folder,
    "a file": _file_in_the_way,
    "no server": _no_server,
    "no size": _no_size,
    "VACUUM": _on_replica(lambda db: db.execute("VACUUM")),
    "own names": _on_replica(lambda db: db.execute("CREATE TABLE turso_sync_nb_x(a)")),
    "no transaction": _on_replica(lambda db: db.skip(99)),
    "no edits": _on_replica(lambda db: db.edit_frame("nowhere")),
    "closed": _on_replica(lambda db: (db.close(), db.execute("SELECT 1"))),
    "no mode": _on_replica(lambda db: db.write_frame(None, "t", "merge")),  # type: ignore[arg-type]
    "decimal": _on_replica(lambda db: db.execute("INSERT INTO t VALUES (1, ?)", (object(),))),
}


@pytest.mark.parametrize("meet", MET.values(), ids=MET)
def test_messages_that_a_user_meets_are_there(
    meet: Callable[[Path], None], reference: ModuleType, messages: list[Any], tmp_path: Path
) -> None:
    """What is raised is found by its class and words, values aside."""
    with pytest.raises(tsn.Error) as met:
        meet(tmp_path)
    said = met.value.args[0]
    texts = {each.text for each in messages if issubclass(type(met.value), _class(each.error))}
    patterns = [".+".join(map(re.escape, text.split(reference.VALUE))) for text in texts]
    assert any(re.fullmatch(pattern, said, re.DOTALL) for pattern in patterns), said


def _class(name: str) -> type[Exception]:
    """Return a class of errors by its name."""
    found: type[Exception] = getattr(tsn.errors, name)
    return found
