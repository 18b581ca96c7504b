"""Complete subcommands, options, connections, tables, columns, functions and ``:variables``.

Rules of this file: nothing is asked of the network. A replica that is not whole is asked about its schema on
a connection of its own, on which a page that is not here is an error: SQLite reads pages to parse a schema
it has not parsed yet and to connect virtual tables, and an error on the user's connection could cost an open
transaction. A completion that fails is none. Text that is not ours is left to others.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import apsw
from IPython.core.completer import SimpleCompletion, context_matcher

from turso_sync_nb.engine.gate import Use
from turso_sync_nb.jupyter import cells
from turso_sync_nb.jupyter import schema as schema_of
from turso_sync_nb.jupyter.subcommands import SUBCOMMANDS
from turso_sync_nb.jupyter.writing import is_frame_variable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from IPython.core.completer import CompletionContext, SimpleMatcherResult

    from turso_sync_nb.jupyter.arguments import Grammar
    from turso_sync_nb.jupyter.magics import TursoSyncMagics
    from turso_sync_nb.public_connection import Connection

    Found = tuple[str, str]
    """A completion, and of what kind it is."""

_LINE: Final = re.compile(r"(?:^|=)\s*%turso_sync\s+(.*)$", re.DOTALL)
_CELL: Final = re.compile(r"\s*%%turso_sync(?!\S)([^\n]*)(?:\n(.*))?$", re.DOTALL)
_OTHER_CELL: Final = re.compile(r"\s*%%(?!(?:time|timeit|capture|prun)\b)")
"""A cell whose body is not Python, as far as we know."""

_LAST_WORD: Final = re.compile(r"\S*$")
_NAME: Final = r"""(?:[^\W\d]\w*|"(?:[^"]|"")*"|\[[^\]]*\]|`(?:[^`]|``)*`)"""
_TOKEN: Final = re.compile(
    rf"""(?P<space>\s+|'(?:[^']|'')*'|--[^\n]*\n|/\*.*?\*/)|(?P<closed>(?:'|--|/\*).*)|(?P<name>{_NAME})"""
    r"""|(?P<half>["`\[].*)|(?P<parameter>:\w*)|(?P<other>\d\w*|.)""",
    re.DOTALL,
)
_NAMED: Final = re.compile(
    rf"(?:\b(?:FROM|JOIN|UPDATE|INTO|TABLE)|,)\s*(?:{_NAME}\s*\.\s*)?({_NAME})"
    rf"(?:\s+(?:AS\s+)?(?!(?:{'|'.join(apsw.keywords)})\b)({_NAME}))?",
    re.IGNORECASE,
)
_QUOTES: Final = {'"': '"', "`": "`", "[": "]"}
_PLAIN: Final = re.compile(r"[A-Za-z_]\w*")
_BEFORE_TABLES: Final = frozenset({"FROM", "JOIN", "INTO", "UPDATE", "TABLE"})
_IN_SCHEMA: Final = """
SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')
    AND name COLLATE NOCASE NOT BETWEEN 'sqlite_' AND 'sqlite_~'
"""


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
    after = context.full_text[len(before) :]
    if cell := _CELL.match(before):
        if cell[2] is None:
            return _of_words(_Line(magics, cell[1]), cells.CELL, [])
        return _of_sql(magics, _on(cell[1]), cell[2], after)
    line = _LINE.search(before.rpartition("\n")[2])
    if line is None or _OTHER_CELL.match(before):
        return "", []
    return _of_line(magics, line[1], after.partition("\n")[0])


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


def _of_line(magics: TursoSyncMagics, text: str, after: str) -> tuple[str, list[Found]]:
    line = _Line(magics, text)
    if not line.words:
        return line.matching((name, "function") for name in SUBCOMMANDS)
    name, *given = line.words
    subcommand = SUBCOMMANDS[name]
    if subcommand.takes_sql:  # parsed as if one more letter were there: what is empty or a space stays
        begun = subcommand.parse(" ".join([*given, "x"])).rest
        if len(begun) > 1 or (begun and not line.fragment.startswith("-")):
            arguments = subcommand.parse(text.partition(name)[2] + "x")
            return _of_sql(magics, arguments.get("on"), arguments.rest[:-1], after)
    return _of_words(line, subcommand.grammar, given, name)


def _of_words(
    line: _Line, grammar: Grammar, given: list[str], subcommand: str = ""
) -> tuple[str, list[Found]]:
    names = [named.name for named in line.magics.connections]
    if line.fragment.startswith("--on="):
        return line.matching((f"--on={name}", "instance") for name in names)
    if line.fragment.startswith("-"):
        flags = (flag for option in grammar.options for flag in option.flags if flag not in line.words)
        return line.matching((flag, "keyword") for flag in flags)
    if line.words[-1:] == ["--on"]:
        return line.matching((name, "instance") for name in names)
    valued = {flag for option in grammar.options if option.value for flag in option.flags}
    if line.words and line.words[-1] in valued:
        return "", []
    place = sum(not word.startswith("-") and prior not in valued for prior, word in pairwise(["", *given]))
    return line.matching(_words_at(line, subcommand, place, names))


def _words_at(line: _Line, subcommand: str, place: int, names: list[str]) -> Iterable[Found]:
    """Return what may stand as the word number ``place`` after a subcommand."""
    match subcommand, place:
        case (("use" | "close"), 0):
            return [(name, "instance") for name in names]
        case ("schema" | "profile" | "edit" | "arrived", 0) | ("write", 1):
            with _here(line.db) as db:
                return [(name, "class") for name in _table_names(db)]
        case "write", 0:
            return [(name, "instance") for name in _frames(line.magics.shell.user_ns)]
        case "help", 0:
            return [(name, "function") for name in SUBCOMMANDS]
    return []


class _Token(NamedTuple):
    kind: str | None
    text: str


@dataclass(frozen=True)
class _Place:
    """The cursor's place in a statement: the word under it, the name before its dot, the word before."""

    fragment: str
    qualifier: str | None
    previous: str


def _of_sql(magics: TursoSyncMagics, on: str | None, before: str, after: str) -> tuple[str, list[Found]]:
    tokens = _statement(before)
    place = _place_at_end(tokens)
    if place is None:
        return "", []
    fragment = place.fragment
    if fragment.startswith(":"):
        variables = (f":{name}" for name in magics.shell.user_ns if not name.startswith("_"))
        return fragment, _beginning(fragment, ((text, "instance") for text in variables))
    rest = _statement(after.partition(";")[0])
    text = "".join(" " if token.kind in ("space", "closed") else token.text for token in [*tokens, *rest])
    with _here(_db(magics, on)) as db:
        return fragment, _beginning(fragment, _names_at(db, place, _named_tables(db, text)))


def _statement(sql: str) -> list[_Token]:
    """Return the tokens of the last statement in ``sql``."""
    tokens = [_Token(found.lastgroup, found[0]) for found in _TOKEN.finditer(sql)]
    starts = [index + 1 for index, token in enumerate(tokens) if token.text == ";"]
    return tokens[starts[-1] if starts else 0 :]


def _place_at_end(tokens: list[_Token]) -> _Place | None:
    """Return what is to be completed after ``tokens``; None inside text and comments."""
    last = tokens[-1] if tokens else _Token(None, "")
    if last.kind == "closed":
        return None
    under = last.kind in ("name", "half", "parameter")
    words = [token for token in (tokens[:-1] if under else tokens) if token.kind != "space"]
    dotted = len(words) > 1 and words[-1].text == "." and words[-2].kind == "name"
    return _Place(
        last.text if under else "",
        _bare(words[-2].text) if dotted else None,
        words[-1].text.upper() if words else "",
    )


def _names_at(db: Connection, place: _Place, tables: dict[str, str]) -> Iterator[Found]:
    """Yield what fits at a place in a statement; ``tables`` are those it names, by name and alias."""
    if place.qualifier is not None:
        qualifier = place.qualifier.lower()
        of = {alias.lower(): table for alias, table in tables.items()}
        if qualifier == "main" and qualifier not in of:
            return _tables(db)
        return _columns(db, [of.get(qualifier, qualifier)])
    if place.previous in _BEFORE_TABLES:
        return _tables(db)
    if not place.fragment:
        return _columns(db, dict.fromkeys(tables.values()))
    return _anything(db, tables, half=place.fragment[0] in '"`[')


def _anything(db: Connection, tables: dict[str, str], *, half: bool) -> Iterator[Found]:
    """Yield all that an expression may hold; only names after the quote that begins one."""
    yield from _columns(db, dict.fromkeys(tables.values()))
    yield from ((_written(name), "instance") for name in tables)
    yield from _tables(db)
    if not half:
        yield from ((word, "keyword") for word in sorted(apsw.keywords))
        names = schema_of.function_names(db)
        yield from ((f"{name}(", "function") for name in names if _PLAIN.fullmatch(name))


def _beginning(fragment: str, found: Iterable[Found]) -> list[Found]:
    """Return those of ``found`` that begin with ``fragment``, each once; in quotes if it begins with one."""
    lowered = _bare(fragment).lower()
    fitting = dict.fromkeys(each for each in found if _bare(each[0]).lower().startswith(lowered))
    opening = fragment[:1]
    if opening not in _QUOTES:
        return list(fitting)
    return [(opening + _bare(text) + _QUOTES[opening], kind) for text, kind in fitting]


def _named_tables(db: Connection, sql: str) -> dict[str, str]:
    """Return the tables that ``sql`` names, by alias where it gives one."""
    known = {name.lower(): name for name in _table_names(db)}
    return {
        _bare(alias or name): known[_bare(name).lower()]
        for name, alias in _NAMED.findall(sql)
        if _bare(name).lower() in known
    }


def _columns(db: Connection, tables: Iterable[str]) -> Iterator[Found]:
    for table in tables:
        for name in schema_of.columns_of(db, table):
            yield _written(name), "property"


def _tables(db: Connection) -> Iterator[Found]:
    for name in _table_names(db):
        yield _written(name), "class"


def _table_names(db: Connection) -> list[str]:
    """Return the names of tables and views, shadow tables too where a virtual table's pages are not here."""
    try:
        return schema_of.table_names(db)
    except apsw.Error:
        return [name for (name,) in db.execute(_IN_SCHEMA)]


def _written(name: str) -> str:
    """Return a name as it is written in SQL: in quotes where it needs them."""
    plain = _PLAIN.fullmatch(name) and name.upper() not in apsw.keywords
    return name if plain else '"' + name.replace('"', '""') + '"'


def _bare(name: str) -> str:
    """Return a name without its quotes, closed or not."""
    closing = _QUOTES.get(name[:1])
    return name[1:].removesuffix(closing) if closing else name


def _on(text: str) -> str | None:
    found = re.search(r"--on[=\s]+(\S+)\s", f"{text} ")
    return found[1] if found else None


def _db(magics: TursoSyncMagics, on: str | None) -> Connection:
    return magics.connections.get(on, magics.shell.user_ns).db


@contextmanager
def _here(db: Connection) -> Iterator[Connection]:
    """Give what the schema can be asked of without a fetch: ``db`` when all is here, or one beside it."""
    replica = db._replica  # noqa: SLF001 - no other way to read only what is here
    if replica.is_whole:
        yield db
        return
    session, use = db._session, Use()  # noqa: SLF001 - as above
    try:
        replica.gate.enter(session, use)
        raw = replica.databases.open(offline=True)
        try:
            yield cast("Connection", raw)
        finally:
            replica.databases.close(raw)
    finally:
        use.is_over = True
        replica.gate.leave(session)


def _frames(variables: dict[str, Any]) -> list[str]:
    return [name for name, value in variables.items() if is_frame_variable(name, value)]
