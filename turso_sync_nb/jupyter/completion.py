"""Completion of subcommands, options, connections, tables, columns, functions and ``:variables``.

Rules of this file: nothing is asked of the network, and nothing of the database but the schema that SQLite
parsed when it was opened. A completion that fails is none. Text that is not ours is left to others.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any, Final

import apsw
from IPython.core.completer import SimpleCompletion, context_matcher

from turso_sync_nb.jupyter import cells
from turso_sync_nb.jupyter import schema as schema_of
from turso_sync_nb.jupyter.subcommands import SUBCOMMANDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from IPython.core.completer import CompletionContext, SimpleMatcherResult

    from turso_sync_nb.connection.connection import Connection
    from turso_sync_nb.jupyter.arguments import Grammar
    from turso_sync_nb.jupyter.magics import TursoSyncMagics

    Found = tuple[str, str]
    """A completion, and of what kind it is."""

_LINE: Final = re.compile(r"(?:^|=)\s*%turso_sync\s+(.*)$", re.DOTALL)
_CELL: Final = re.compile(r"\s*%%turso_sync\b([^\n]*)(\n.*)?$", re.DOTALL)
_LAST_WORD: Final = re.compile(r"\S*$")
_FRAGMENT: Final = re.compile(r"(?:(\w+|\"[^\"]+\")\.)?(:?\w*)$")
_LAST_KEYWORD: Final = re.compile(r"(\w+)[\s(]+$")
_NAMED: Final = re.compile(
    r"\b(?:FROM|JOIN|UPDATE|INTO)\s+(\w+|\"[^\"]+\")(?:\s+(?:AS\s+)?(\w+))?", re.IGNORECASE
)
_LITERAL: Final = re.compile(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", re.DOTALL)
_OPEN_LITERAL: Final = re.compile(r"'|--[^\n]*$|/\*")
_PLAIN: Final = re.compile(r"[A-Za-z_]\w*")
_BEFORE_TABLES: Final = frozenset({"FROM", "JOIN", "INTO", "UPDATE", "TABLE"})


def matcher_of(magics: TursoSyncMagics) -> Callable[[CompletionContext], SimpleMatcherResult]:
    """Return the matcher for IPython's completer."""

    @context_matcher(identifier="turso_sync")  # type: ignore[untyped-decorator]
    def turso_sync_matcher(context: CompletionContext) -> SimpleMatcherResult:
        try:
            fragment, found = _completions(magics, context)
        except Exception:  # noqa: BLE001 - a completer never fails
            fragment, found = "", []
        completions = [SimpleCompletion(text=text, type=kind) for text, kind in found]
        return {"completions": completions, "matched_fragment": fragment, "suppress": bool(found)}

    return turso_sync_matcher  # type: ignore[no-any-return]


def _completions(magics: TursoSyncMagics, context: CompletionContext) -> tuple[str, list[Found]]:
    """Return what is to be completed, and with what."""
    lines = context.full_text.split("\n")
    before = "\n".join([*lines[: context.cursor_line], lines[context.cursor_line][: context.cursor_position]])
    if cell := _CELL.match(before):
        if cell[2] is None:
            return _of_words(_Line(magics, cell[1]), cells.CELL, [])
        return _of_sql(magics, _on(cell[1]), cell[2], context.full_text.partition("\n")[2])
    if line := _LINE.search(before.rpartition("\n")[2]):
        return _of_line(magics, line[1])
    return "", []


class _Line:
    """The words of a line up to the cursor, and the one under it."""

    def __init__(self, magics: TursoSyncMagics, text: str) -> None:
        self.magics = magics
        self.fragment = _LAST_WORD.search(text)[0]  # type: ignore[index] # it matches anything
        self.words = text[: len(text) - len(self.fragment)].split()

    def matching(self, found: Iterable[Found]) -> tuple[str, list[Found]]:
        """Return those that begin as the fragment does."""
        lowered = self.fragment.lower()
        return self.fragment, [each for each in found if each[0].lower().startswith(lowered)]

    @property
    def db(self) -> Connection:
        """The connection that the line is about."""
        return _db(self.magics, _on(" ".join(self.words)))


def _of_line(magics: TursoSyncMagics, text: str) -> tuple[str, list[Found]]:
    line = _Line(magics, text)
    if not line.words:
        return line.matching((name, "function") for name in SUBCOMMANDS)
    subcommand = SUBCOMMANDS[line.words[0]]
    if subcommand.takes_sql and not line.fragment.startswith("-") and line.words[-1] != "--on":
        sql = text.split(maxsplit=1)[1] if len(text.split(maxsplit=1)) > 1 else ""
        return _of_sql(magics, _on(text), sql, sql)
    return _of_words(line, subcommand.grammar, line.words[1:], line.words[0])


def _of_words(
    line: _Line, grammar: Grammar, given: list[str], subcommand: str = ""
) -> tuple[str, list[Found]]:
    if line.fragment.startswith("-"):
        flags = (flag for option in grammar.options for flag in option.flags)
        return line.matching((flag, "keyword") for flag in flags if flag not in line.words)
    names = ((named.name, "instance") for named in line.magics.connections)
    if line.words[-1:] == ["--on"] or subcommand in ("use", "close"):
        return line.matching(names)
    place = sum(not word.startswith("-") for word in given)
    if subcommand == "write" and place == 0:
        return line.matching((name, "instance") for name in _frames(line.magics.shell.user_ns))
    if (subcommand in ("schema", "profile") and place == 0) or (subcommand == "write" and place == 1):
        return line.matching((name, "class") for name in schema_of.table_names(line.db))
    if subcommand == "help":
        return line.matching((name, "function") for name in SUBCOMMANDS)
    return "", []


def _of_sql(magics: TursoSyncMagics, on: str | None, before: str, whole: str) -> tuple[str, list[Found]]:
    rest = _LITERAL.sub(" ", before)
    if _OPEN_LITERAL.search(rest):
        return "", []
    match = _FRAGMENT.search(rest)
    qualifier, fragment = (match[1], match[2]) if match else (None, "")
    if fragment.startswith(":"):
        names = (name for name in magics.shell.user_ns if not name.startswith("_"))
        return fragment, _beginning(fragment, ((f":{name}", "instance") for name in names))
    db = _db(magics, on)
    tables = _named_tables(_LITERAL.sub(" ", whole))
    if qualifier is not None:
        table = tables.get(_bare(qualifier), _bare(qualifier))
        return fragment, _beginning(fragment, _columns(db, [table]))
    keyword = _LAST_KEYWORD.search(rest[: len(rest) - len(fragment)])
    if keyword and keyword[1].upper() in _BEFORE_TABLES:
        return fragment, _beginning(fragment, _tables(db))
    if not fragment:
        return "", list(_columns(db, tables.values()))
    return fragment, _beginning(fragment, _anything(db, tables))


def _anything(db: Connection, tables: dict[str, str]) -> Iterator[Found]:
    yield from _columns(db, dict.fromkeys(tables.values()))
    yield from ((name, "instance") for name in tables)
    yield from _tables(db)
    yield from ((word, "keyword") for word in sorted(apsw.keywords))
    yield from ((f"{name}(", "function") for name in schema_of.function_names(db) if _PLAIN.fullmatch(name))


def _beginning(fragment: str, found: Iterable[Found]) -> list[Found]:
    """Return those of ``found`` that begin with ``fragment``, each once."""
    lowered = fragment.lower()
    return list(dict.fromkeys(each for each in found if each[0].strip('"').lower().startswith(lowered)))


def _named_tables(sql: str) -> dict[str, str]:
    """Return the tables that ``sql`` names, by alias and by name."""
    tables = {}
    for name, alias in _NAMED.findall(sql):
        tables[_bare(name)] = _bare(name)
        if alias and alias.upper() not in apsw.keywords:
            tables[alias] = _bare(name)
    return tables


def _columns(db: Connection, tables: Iterable[str]) -> Iterator[Found]:
    for table in tables:
        for name in schema_of.columns_of(db, table):
            yield _written(name), "property"


def _tables(db: Connection) -> Iterator[Found]:
    for name in schema_of.table_names(db):
        yield _written(name), "class"


def _written(name: str) -> str:
    """Return a name as it is written in SQL: in quotes where it needs them."""
    plain = _PLAIN.fullmatch(name) and name.upper() not in apsw.keywords
    return name if plain else '"' + name.replace('"', '""') + '"'


def _bare(name: str) -> str:
    return name[1:-1] if name.startswith('"') else name


def _on(text: str) -> str | None:
    found = re.search(r"--on[=\s]+(\S+)\s", f"{text} ")
    return found[1] if found else None


def _db(magics: TursoSyncMagics, on: str | None) -> Connection:
    return magics.connections.get(on, magics.shell.user_ns).db


def _frames(variables: dict[str, Any]) -> list[str]:
    pandas = sys.modules.get("pandas")
    return [
        name
        for name, value in variables.items()
        if pandas is not None and isinstance(value, pandas.DataFrame) and not name.startswith("_")
    ]
