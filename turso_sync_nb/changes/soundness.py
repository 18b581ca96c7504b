"""Find views, triggers, indexes and foreign keys that name what does not exist.

SQLite checks such names only when the object is used. So a schema change can leave a view that no query can
read, or a trigger that stops every write to its table. A name in double quotes silently becomes a text when
its column is gone; so each definition is compiled twice, the second time with such texts switched off.
"""

from __future__ import annotations

import re
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import apsw

from turso_sync_nb.changes.definitions import concerned, mentions, tokens
from turso_sync_nb.changes.model import Definition
from turso_sync_nb.changes.names import folded, is_internal, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_Key = tuple[str, str]
"""Type and name of an object."""

_LACKING: Final = re.compile(r"no such (table|column|index)|columns?\b|is a view", re.IGNORECASE)
"""SQLite's messages about names that are not there; functions and collations may be missing here alone."""

_TEXTS_AS_NAMES: Final = (apsw.SQLITE_DBCONFIG_DQS_DDL, apsw.SQLITE_DBCONFIG_DQS_DML)
_EVENTS: Final = {
    "insert": "INSERT INTO main.{} DEFAULT VALUES",
    "update": "UPDATE main.{} SET {} = NULL",
    "delete": "DELETE FROM main.{}",
}


class Watched:
    """The views and triggers that name what the statement ``sql`` is about, before it runs."""

    def __init__(self, raw: apsw.Connection, sql: str) -> None:
        self._raw = raw
        name = concerned(sql)
        self._named, self._referring = naming(raw, name), referring(raw, name)
        self._before = unsound(raw, self._named) | without_parents(raw, self._referring)

    def broken_beside(self, made: Iterable[Definition]) -> tuple[str, ...]:
        """Return what of them, and of what the statement ``made``, it left without what they name."""
        keys = [(one.type, one.name) for one in made]
        tables = {*self._referring, *(name for kind, name in keys if kind == "table")}
        now = unsound(self._raw, {*self._named, *keys}) | without_parents(self._raw, tables)
        return tuple(what for what in now if what not in self._before)


def naming(raw: apsw.Connection, name: str) -> list[_Key]:
    """Return the views and triggers that name ``name``, or such a view; none of no name."""
    if not name:
        return []
    rows: list[Any] = raw.execute(
        "SELECT type, name, sql FROM main.sqlite_schema WHERE type IN ('view', 'trigger')"
    ).fetchall()
    waiting = [row for row in rows if not is_internal(row[1])]
    names, found = {folded(name)}, list[_Key]()
    while named := [row for row in waiting if _names_any(row[2], names)]:
        found += [(kind, each) for kind, each, _ in named]
        names |= {folded(each) for kind, each, _ in named if kind == "view"}
        waiting = [row for row in waiting if row not in named]
    return found


def referring(raw: apsw.Connection, name: str) -> list[str]:
    """Return the tables with a FOREIGN KEY that refers to the table ``name``."""
    query = (
        "SELECT DISTINCT t.name FROM main.sqlite_schema AS t, pragma_foreign_key_list(t.name, 'main') AS f "
        "WHERE t.type = 'table' AND f.\"table\" = ? COLLATE NOCASE"
    )
    rows: list[Any] = raw.execute(query, (name,)).fetchall() if name else []
    return [str(table) for (table,) in rows]


def without_parents(raw: apsw.Connection, tables: Iterable[str]) -> dict[str, str]:
    """Return the columns of ``tables`` that refer to what is not there, each with what that is."""
    query = 'SELECT "table", "from", "to" FROM pragma_foreign_key_list(?, \'main\')'
    found: dict[str, str] = {}
    for table in tables:
        rows: list[Any] = raw.execute(query, (table,)).fetchall()
        for parent, column, to in rows:
            names: list[Any] = raw.execute(
                "SELECT name FROM pragma_table_xinfo(?, 'main')", (parent,)
            ).fetchall()
            if not names:
                found[_foreign_key(table, column)] = f"no such table: {parent}"
            elif to is not None and folded(to) not in {folded(name) for (name,) in names}:
                found[_foreign_key(table, column)] = f"no such column: {parent}.{to}"
    return found


def parents_of(table: Definition, column: str) -> list[tuple[str, str, set[str]]]:
    """Return a table with each other one that its foreign keys refer to, and the columns that do.

    ``column``: those of this column alone, unless it is empty.
    """
    found: dict[str, set[str]] = {}
    if table.type == "table" and mentions(table.sql, ("references",)):
        with closing(apsw.Connection(":memory:")) as scratch, suppress(apsw.Error):
            scratch.execute(table.sql)
            query = 'SELECT "table", "from" FROM pragma_foreign_key_list(?)'
            for parent, child in scratch.execute(query, (table.name,)):
                if not column or folded(str(child)) == folded(column):
                    found.setdefault(str(parent), set()).add(_foreign_key(table.name, str(child)))
    return [(table.name, parent, columns) for parent, columns in found.items()]


def _foreign_key(table: str, column: str) -> str:
    return f"column {folded(column)} of table {folded(table)}"


def unsound(raw: apsw.Connection, keys: Iterable[_Key]) -> dict[str, str]:
    """Return those of ``keys`` that are there and name what is not, each with SQLite's message.

    One that is sound but for texts in double quotes has its name followed by that.
    """
    query = (
        "SELECT type, name, tbl_name, sql FROM main.sqlite_schema "
        "WHERE type = ? AND name = ? COLLATE NOCASE AND sql IS NOT NULL"
    )
    rows: list[Any] = [row for key in keys for row in raw.execute(query, key).fetchall()]
    return dict(_lacking(raw, (Definition(*row) for row in rows)))


def unsound_events(raw: apsw.Connection, made: Iterable[Definition]) -> dict[str, str]:
    """Return those of the triggers to be ``made`` before whom what fires them cannot be compiled already."""
    return dict(_lacking(raw, (one for one in made if one.type == "trigger")))


def _lacking(raw: apsw.Connection, definitions: Iterable[Definition]) -> Iterator[tuple[str, str]]:
    for one in definitions:
        what = f"{one.type} {one.name}"
        if reason := _lacks(raw, one, is_strict=False):
            yield what, reason
        elif '"' in one.sql and (reason := _lacks(raw, one, is_strict=True)):
            yield f"{what}, without texts in double quotes,", reason


def _names_any(sql: str, names: set[str]) -> bool:
    text = folded(sql)
    return any(name in text for name in names) and any(token.text in names for token in tokens(sql))


def _lacks(raw: apsw.Connection, one: Definition, *, is_strict: bool) -> str:
    """Return what ``one`` names that is not there, in SQLite's words; empty if it lacks nothing."""
    try:
        if one.type in ("view", "trigger"):
            with _texts_as_names(raw, on=not is_strict):
                raw.execute(f"EXPLAIN {use_of(raw, one)}", can_cache=False).close()
        elif is_strict:
            _make_strictly(raw, one)
    except apsw.SQLError as error:
        return str(error) if _LACKING.search(str(error)) else ""
    except apsw.Error:
        return ""
    return ""


def use_of(raw: apsw.Connection, one: Definition) -> str:
    """Return a statement that has SQLite compile ``one``."""
    if one.type == "view":
        return f"SELECT * FROM main.{quoted(one.name)}"
    words = list(tokens(one.sql))
    at = next(at for at, token in enumerate(words) if token.text in _EVENTS and not token.is_name)
    event = words[at].text
    if event == "update" and words[at + 1].text == "of":
        column = words[at + 2].text
    else:
        query = "SELECT name FROM pragma_table_xinfo(?, 'main') WHERE hidden = 0 LIMIT 1"
        column = raw.execute(query, (one.table,)).get
    return _EVENTS[event].format(quoted(one.table), quoted(str(column)))


def _make_strictly(raw: apsw.Connection, one: Definition) -> None:
    """Make a table, or an index and its table, in an empty database without texts in double quotes."""
    with closing(apsw.Connection(":memory:")) as scratch:
        if one.type == "index":
            query = "SELECT sql FROM main.sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE"
            scratch.execute(str(raw.execute(query, (one.table,)).get))
        with _texts_as_names(scratch, on=False):
            scratch.execute(one.sql)


@contextmanager
def _texts_as_names(raw: apsw.Connection, *, on: bool) -> Iterator[None]:
    """Have names in double quotes of which nothing is there taken for texts, or not."""
    before = [raw.config(option, -1) for option in _TEXTS_AS_NAMES]
    for option in _TEXTS_AS_NAMES:
        raw.config(option, int(on))
    try:
        yield
    finally:
        for option, was in zip(_TEXTS_AS_NAMES, before, strict=True):
            raw.config(option, was)
