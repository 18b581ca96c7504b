"""Conditions of a push on the remote's schema, judged inside its transaction.

At its head: every object that the batch changes or removes is as the base image has it, every name that
it takes is free, every table or column that it drops has the rows that the base image has. At its end:
what it made and changed is defined there as it is here, by its text or, of a table, by its columns and
rules. The base image holds the remote's own texts and rows, so what stands at the head is compared
exactly. Where it fails the remote has moved on. A pragma has at the head the value that it had here before
it was set, at the end the one that it has here.

Up to ``LISTED_BYTES_MAX`` of rows are sent to be compared; of more, a digest (see
``changes/rows_seen.py`` for what that can miss).
"""

from __future__ import annotations

import re
from contextlib import closing, contextmanager
from functools import reduce
from typing import TYPE_CHECKING, Any, Final

import apsw

from turso_sync_nb.changes import to_sql
from turso_sync_nb.changes.definitions import SPELLINGS, defaults_as_texts, mentions, tokens, without_comments
from turso_sync_nb.changes.model import Definition, SchemaChange
from turso_sync_nb.changes.names import folded, quoted
from turso_sync_nb.changes.row_conditions import conjunction
from turso_sync_nb.changes.rows_seen import digest_query
from turso_sync_nb.changes.schema import read_schema
from turso_sync_nb.changes.soundness import parents_of
from turso_sync_nb.changes.taped import schema_changes
from turso_sync_nb.engine.conditions_left import IN_SPACE, is_set, not_kept
from turso_sync_nb.engine.push_batch import ARGUMENTS_MAX, ROWS_MAX, PushStatement
from turso_sync_nb.protocol.pipeline import Stmt
from turso_sync_nb.storage.vfs.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from turso_sync_nb.changes.model import Change, Image, TableSchema, Transaction
    from turso_sync_nb.engine.replica import Replica
    from turso_sync_nb.protocol.sql_value import SqlValue

    Values = tuple[SqlValue, ...]

LISTED_BYTES_MAX: Final = 2**20
"""Bytes of rows that are sent to be compared with those of a table to be dropped."""

_SQUEEZED: Final = ("' '", "char(9)", "char(10)", "char(13)", "'\"'", "'`'", "'['", "']'")

_SPELLINGS: Final = (
    *(("".join(words), "".join(other)) for words, other in SPELLINGS), ("<>", "!="), ("==", "="),
)  # fmt: skip

_IN_ONE_QUOTE: Final = "lower(" + reduce(
    lambda text, mark: f"replace({text}, {mark[0]}, {mark[1]})",
    (*((mark, "''") for mark in _SQUEEZED[:4]), *((mark, "'\"'") for mark in ("''''", *_SQUEEZED[5:]))),
    "sql",
) + ")"  # fmt: skip
_PLAIN: Final = re.compile(r"[^\W\d][\w$]*")

_NAMING: Final = (
    "count(*) || ' ' || ifnull(sum(length(sql)), 0) FROM sqlite_schema "
    "WHERE type IN ('view', 'trigger') OR (type = 'table' AND sql LIKE '%references%')"
)
"""Fingerprint of all views, triggers and foreign keys: their number and the length of their SQL, no more."""

_RULES: Final = (
    "collate", "check(", "references", "unique", "primarykey", "default", "autoincrement", "onconflict",
    "primarykeydesc", "desc)",
)  # fmt: skip
"""The rules that a table's definition may not lose. When an ALTER rewrites it, ``tursodb`` omits sizes of
types and names of constraints, and puts a column's rules in another order."""

CHECKS_MAX: Final = 20
"""CHECKs of a table whose texts are compared; of more the number alone."""

_DEFAULT: Final = reduce(
    lambda text, mark: f"replace({text}, {mark}, '')",
    ("' '", "'('", "')'", "''''", "'\"'", "'`'", "'['", "']'"),
    "ifnull(lower(dflt_value), '')",
)
_COLUMNS: Final = (
    "(SELECT group_concat(lower(name) || ' ' || "
    "replace(substr(lower(type), 1, instr(type || '(', '(') - 1), ' ', '') || ' ' || \"notnull\" || ' ' || "
    f"{_DEFAULT}, ',') FROM pragma_table_info(?))"
)

_Key = tuple[bool, str]


class BaseIsOldError(Exception):
    """The base image is not what ``change`` begins with: something was pushed since the last pull."""

    def __init__(self, transaction: Transaction, change: Change) -> None:
        super().__init__()
        self.transaction = transaction
        self.change = change


def conditions(
    replica: Replica, batch: list[Transaction], *, is_old: bool
) -> tuple[list[PushStatement], list[PushStatement]]:
    """Return the conditions at the head and at the end of a batch; none if it changes no schema.

    ``is_old``: something was pushed since the base image was pulled.

    Raises:
        BaseIsOldError: the batch changes what was pushed since the last pull; pull first.
    """
    changes = [
        (one, change)
        for one in batch
        for _, change in schema_changes(one.changes)
        if not change.ignored and (change.was or change.now)
    ]
    if not changes:
        return [], []
    with base_image(replica) as raw:
        run = _Conditions(raw, is_old=is_old)
        for transaction, change in changes:
            run.take(transaction, change)
        return run.head, list(run.end())


@contextmanager
def base_image(replica: Replica) -> Iterator[apsw.Connection | None]:
    """Give a connection to the remote's state as last pulled; ``None`` before the first pull."""
    if not replica.metadata.revision:
        yield None
        return
    store = replica.store
    with Snapshot(replica.metadata.db_pages, store.base_pages, store.base, replica.remote_pages) as base:
        yield base.raw


class _Conditions:
    """Walks over the schema changes of a batch, tracking the object of each name."""

    def __init__(self, raw: apsw.Connection | None, *, is_old: bool) -> None:
        self.head: list[PushStatement] = []
        self._raw = raw
        self._is_old = is_old
        self._base = {_key(one): one for one in _definitions(raw)}
        self._left: dict[_Key, Definition] = {}
        """The objects that the batch leaves, under their last names."""
        self._touched: set[_Key] = set()
        """Names of the base image that the batch took over, or found to be free."""
        self._origin: dict[str, str | None] = {}
        """Tables that the batch made or renamed, with their name in the base image, or None if not in it."""
        self._owners: dict[_Key, tuple[Transaction, SchemaChange]] = {}
        self._was: dict[_Key, tuple[Transaction, SchemaChange, Definition]] = {}
        self._reference_added: set[_Key] = set()
        self._pragmas: dict[str, tuple[Transaction, SchemaChange]] = {}
        """The last change of each pragma."""
        self._is_watching = False
        """Whether views and triggers of others are looked at."""

    def take(self, transaction: Transaction, change: SchemaChange) -> None:
        """Add the conditions for ``change``.

        Raises:
            BaseIsOldError: the base image lacks what it changes.
        """
        if change.kind == "pragma":
            self._require_pragma_unchanged(transaction, change)
            return
        for one in change.was:
            self._require_unchanged(_key(one), transaction, change)
        self._require_rows_unchanged(transaction, change)
        self._require_parents_unchanged(transaction, change)
        if change.kind == "create":
            self._require_dependencies_unchanged(transaction, change)
        else:
            self._require_no_new_dependents(transaction, change)
        for one in change.was:
            self._left.pop(_key(one), None)
            self._was[_key(one)] = transaction, change, one
        for one in change.now:
            self._require_name_free(_key(one), transaction, change)
            self._left[_key(one)] = one
            self._owners[_key(one)] = transaction, change
        name = folded(change.name)
        if change.kind == "add_column" and mentions(change.sql, ("references",)):
            self._reference_added.add((False, name))
        if change.kind == "rename_table":
            self._origin[folded(change.to)] = self._origin.get(name, name)
        if change.kind in ("create", "drop", "rename_table"):
            self._origin[name] = None

    def _require_pragma_unchanged(self, transaction: Transaction, change: SchemaChange) -> None:
        """Require that a pragma has the value that it had before the first change of it in the batch."""
        if change.name not in self._pragmas:
            for one in change.was:
                self._add(*is_set(one), f"{change.name} changed", transaction, change)
        self._pragmas[change.name] = transaction, change

    def _require_unchanged(self, key: _Key, transaction: Transaction, change: SchemaChange) -> None:
        """Require that an object the batch changes or names has the definition that the base image has."""
        if key in self._touched:
            return
        self._touched.add(key)
        base = self._base.get(key)
        if base is None or self._is_old:
            raise BaseIsOldError(transaction, change)
        condition = f"(SELECT sql FROM sqlite_schema WHERE {IN_SPACE}) IS ?"
        arguments = (base.name, int(key[0]), base.sql)
        self._add(condition, arguments, f"{base.type} {base.name} changed", transaction, change)

    def _require_name_free(self, key: _Key, transaction: Transaction, change: SchemaChange) -> None:
        """Require that the name of an object that the batch makes is not taken on the remote."""
        if key in self._touched:
            return
        self._touched.add(key)
        if key in self._base:
            raise BaseIsOldError(transaction, change)
        condition = f"NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE {IN_SPACE})"
        self._add(condition, (key[1], int(key[0])), f"there is another {key[1]}", transaction, change)

    def _require_rows_unchanged(self, transaction: Transaction, change: SchemaChange) -> None:
        """Require that the rows which the batch drops are those of the base image."""
        name = folded(change.name)
        origin = self._origin.get(name, name)
        base = self._base.get((False, origin)) if origin is not None else None
        if self._raw is None or base is None or change.kind not in ("drop", "drop_column"):
            return
        if change.kind == "drop" and not any(_key(one) == (False, name) for one in change.was):
            return  # a trigger of the same name
        if change.kind == "drop" and base.type in ("table", "view"):
            self._require_same_indexes(transaction, change, base)
        if base.type == "table":
            column = change.column if change.kind == "drop_column" else None
            for sql, arguments in _as_in_base(self._raw, base.name, column):
                self._add(sql, arguments, f"rows of {base.name} changed", transaction, change)

    def _require_no_new_dependents(self, transaction: Transaction, change: SchemaChange) -> None:
        """Require that no view, trigger or foreign key is new, as it may name what the batch changes."""
        is_there = any((False, folded(one.name)) in self._base for one in change.was)
        if self._raw is None or self._is_watching or not is_there:
            return
        self._is_watching = True
        query, found = f"SELECT {_NAMING}", "views, triggers or foreign keys changed"
        self._add(f"({query}) = ?", (self._raw.execute(query).get,), found, transaction, change)

    def _require_dependencies_unchanged(self, transaction: Transaction, change: SchemaChange) -> None:
        """Require that what a view, trigger or index of the batch names has the definition of the base image.

        Raises:
            BaseIsOldError: the base image lacks what was pushed.
        """
        (one,) = change.now or (None,)
        if one is None or not (one.type in ("view", "trigger") or (one.type == "index" and '"' in one.sql)):
            return
        if self._is_old:
            raise BaseIsOldError(transaction, change)
        for key in dict.fromkeys((False, token.text) for token in tokens(one.sql)):
            if key in self._base:
                self._require_unchanged(key, transaction, change)

    def _require_parents_unchanged(self, transaction: Transaction, change: SchemaChange) -> None:
        """Require the tables that new foreign keys refer to, if they were there when those were made."""
        if change.kind not in ("create", "add_column") or change.breaks is None:
            return
        for child, parent, columns in (
            found for one in change.now for found in parents_of(one, change.column)
        ):
            key = (False, folded(parent))
            if key in self._touched or key[1] == folded(child) or not columns.isdisjoint(change.breaks):
                continue
            base = None if self._is_old else self._base.get(key)
            condition = f"EXISTS (SELECT 1 FROM sqlite_schema WHERE {IN_SPACE} AND sql = ifnull(?, sql))"
            arguments = (parent, 0, base.sql if base else None)
            self._add(condition, arguments, f"table {parent} changed", transaction, change)

    def _require_same_indexes(self, transaction: Transaction, change: SchemaChange, base: Definition) -> None:
        """Require as many indexes and triggers on a table or view as here: a DROP removes all of them."""
        count = sum(folded(one.table) == folded(base.name) for one in self._base.values())
        condition = (
            "(SELECT count(*) FROM sqlite_schema WHERE tbl_name = ? COLLATE NOCASE AND sql IS NOT NULL) = ?"
        )
        found = f"what is on {base.name} changed"
        self._add(condition, (base.name, count), found, transaction, change)

    def end(self) -> Iterator[PushStatement]:
        """Yield the conditions on what the batch leaves."""
        for name, (transaction, change) in self._pragmas.items():
            found = f"the remote would have another {name} than is here"
            for one in change.now:
                yield _condition_statement(*is_set(one), found, transaction, change, after=True)
        for key, one in self._left.items():
            transaction, change = self._owners[key]
            condition, arguments = defined_so(one, has_reference=key in self._reference_added)
            found = f"the remote would have another definition of {one.type} {one.name} than is here"
            yield _condition_statement(condition, arguments, found, transaction, change, after=True)
            if readable := readable_so(one):
                found = f"the remote would write {one.type} {one.name} so that SQLite cannot read it"
                yield _condition_statement(*readable, found, transaction, change, after=True)

        for key, (transaction, change, was) in self._was.items():
            found = f"the remote would keep {was.type} {was.name} as it was"
            kept = not_kept(was, is_left=key in self._left)
            yield _condition_statement(*kept, found, transaction, change, after=True)

    def _add(
        self, condition: str, arguments: Values, found: str, transaction: Transaction, change: SchemaChange
    ) -> None:
        self.head.append(_condition_statement(condition, arguments, found, transaction, change))


def _condition_statement(
    condition: str, arguments: Values, found: str, transaction: Transaction, change: SchemaChange,
    *, after: bool = False,
) -> PushStatement:  # fmt: skip
    stmt = Stmt(f"SELECT {to_sql.one_or_fail(condition)}", arguments, want_rows=False)
    return PushStatement(transaction, (change,), stmt, unmet=found, after=after)


def defined_so(one: Definition, *, has_reference: bool = False) -> to_sql.Sql:
    """Return the condition that the remote defines ``one`` so, by its text or, of a table, by all its parts.

    ``has_reference``: a column with REFERENCES was added; ``tursodb`` makes it a constraint of the table.
    """
    squeezed = _squeezed("sql")
    text = f"(SELECT {squeezed} FROM sqlite_schema WHERE {IN_SPACE})"
    named, wanted = (one.name, int(one.type == "trigger")), _squeeze(one.sql)
    if has_reference:
        condition = f"length({text}) - length(replace({text}, 'collate', '')) = ?"
        return condition, (*named, *named, len(wanted) - len(wanted.replace("collate", "")))
    condition = f"{text} IN (?, ?)"
    arguments: Values = (*named, wanted, _squeeze(without_comments(one.sql)))
    if one.type != "table" or not (columns := _columns_of(one)):
        return condition, arguments
    counted = " || ' ' || ".join(
        f"((length({squeezed}) - length(replace({squeezed}, '{word}', ''))) / {len(word)})" for word in _RULES
    )
    rules = f"(SELECT {counted} FROM sqlite_schema WHERE {IN_SPACE})"
    checks = list(_checks(wanted))[:CHECKS_MAX]
    has_all = "".join(f" AND instr({text}, ?) > 0" for _ in checks)
    counts = " ".join(str(wanted.count(word)) for word in _RULES)
    # tursodb reads the name as one in quotes; SQLite finds no table so, and has the text as it was sent
    asked = one.name.replace('"', '""')
    parts = (asked, columns, *named, counts, *(part for check in checks for part in (*named, check)))
    return f"({condition} OR ({_COLUMNS} = ? AND {rules} = ?{has_all}))", (*arguments, *parts)


def readable_so(one: Definition) -> to_sql.Sql | None:
    """Return the condition that SQLite can read the remote's text of ``one``; ``None`` where it always can.

    When an ALTER has ``tursodb`` write a table anew, it omits the quotes of names in FOREIGN KEY and PRIMARY
    KEY, of those that begin with a digit anywhere, and writes ``REFERENCES parent()`` for a parent without
    columns. So names that need quotes are counted without them, and empty parentheses, where its text is not
    ours. All quotes count alike: comments are gone there, and texts in the quotes of names get their own.
    """
    bare_sql, where = without_comments(one.sql), (one.name, int(one.type == "trigger"))
    ours, as_texts = _in_one_quote(bare_sql), _in_one_quote(defaults_as_texts(bare_sql))
    there = f"(SELECT {_IN_ONE_QUOTE} FROM sqlite_schema WHERE {IN_SPACE})"
    gone = f"(length({there}) - length(replace({there}, ?, '')))"
    terms: list[str] = []
    arguments: list[SqlValue] = []
    named = {token.text for token in tokens(one.sql) if token.is_name}
    for name in sorted(filter(_needs_quotes, named)):
        bare, safe = _in_one_quote(name), _in_one_quote(f'"{name}"')
        if not bare:  # of an empty name, or of DEFAULT "", nothing is left without its quotes
            terms.append(f"{gone} / 2 IN (?, ?)")
            arguments += [*where, *where, safe, ours.count(safe), as_texts.count(safe)]
            continue
        terms.append(f"{gone} / {len(bare)} - {gone} / {len(safe)} = ?")
        arguments += [*where, *where, bare, *where, *where, safe, ours.count(bare) - ours.count(safe)]
    if mentions(one.sql, ("references",)):
        terms.append(f"{gone} / 2 = ?")
        arguments += [*where, *where, "()", ours.count("()")]
    if not terms:
        return None
    as_here = (*where, ours, _in_one_quote(one.sql))
    return f"({there} IN (?, ?) OR {conjunction(terms)})", (*as_here, *arguments)


def _needs_quotes(name: str) -> bool:
    """Return whether a name is none to SQLite without quotes; of one with a quote in it that is not said."""
    is_plain = _PLAIN.fullmatch(name) and name.upper() not in apsw.keywords
    return not (is_plain or set(name) & set("\"'`[]"))


def _in_one_quote(sql: str) -> str:
    """Return a text in small letters, without space, and with one kind of quotes, for names and texts."""
    marks: dict[str, str | int | None] = {**dict.fromkeys(" \t\n\r"), **dict.fromkeys("'`[]", '"')}
    return sql.translate(str.maketrans(marks)).translate(_LOWER)


def _checks(squeezed: str) -> Iterator[str]:
    """Yield each CHECK with its expression."""
    for found in re.finditer(r"check\(", squeezed):
        depth, is_text = 0, False
        for at in range(found.end() - 1, len(squeezed)):
            is_text ^= squeezed[at] == "'"
            depth += 0 if is_text else {"(": 1, ")": -1}.get(squeezed[at], 0)
            if not depth and not is_text:
                yield squeezed[found.start() : at + 1]
                break


def _squeezed(expression: str) -> str:
    """Return the expression for a definition in small letters without space and quotes."""
    for mark in _SQUEEZED:
        expression = f"replace({expression}, {mark}, '')"
    expression = f"lower({expression})"
    for words, other in _SPELLINGS:
        expression = f"replace({expression}, '{words}', '{other}')"
    return expression


def _key(one: Definition) -> _Key:
    """Return the unique key of an object: a trigger may have the name of a table, a view may not."""
    return one.type == "trigger", folded(one.name)


def _definitions(raw: apsw.Connection | None) -> list[Definition]:
    if raw is None:
        return []
    rows: list[Any] = raw.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE sql IS NOT NULL"
    ).fetchall()
    return [Definition(*row) for row in rows]


def _columns_of(table: Definition) -> str:
    """Return the columns of a table as the remote is asked for them; nothing if only the remote can tell."""
    with closing(apsw.Connection(":memory:")) as scratch:
        try:
            scratch.execute(table.sql)
        except apsw.Error:
            return ""
        rows: list[Any] = scratch.execute(f"SELECT {_COLUMNS}", (table.name,)).fetchall()
    return str(rows[0][0] or "")


def _squeeze(sql: str) -> str:
    """Return a definition as the remote is asked for it: small letters without space and quotes."""
    kept = sql.translate({ord(mark): None for mark in ' \t\n\r"`[]'})
    kept = kept.translate(_LOWER)
    for words, other in _SPELLINGS:
        kept = kept.replace(words, other)
    return kept


_LOWER: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


# Rows


def _as_in_base(raw: apsw.Connection, table: str, column: str | None) -> Iterator[to_sql.Sql]:
    """Yield conditions: the rows of ``table``, or its values in ``column``, are those of the base image."""
    shape = read_schema(raw, ()).tables.get(folded(table))
    if shape is None:
        return
    if column and folded(column) not in {folded(name) for name in shape.columns}:
        column = None  # it was renamed in the same batch: all values are compared
    where = f" WHERE {quoted(column)} IS NOT NULL" if column else ""
    rows = _listed(raw, shape, column, where)
    if rows is None:
        names = [column] if column else list(shape.columns)
        query = digest_query(table, names, where)
        found: Any = next(iter(raw.execute(query).fetchall()))
        count, digest = found
        yield f"({query.replace('count(*), ', '', 1)}) = ?", (digest,)
        yield f"(SELECT count(*) FROM {quoted(table)}{where}) = ?", (count,)
        return
    yield f"(SELECT count(*) FROM {quoted(table)}{where}) = ?", (len(rows),)
    width = len(rows[0]) if rows else 1
    together = max(1, min(ROWS_MAX, ARGUMENTS_MAX // width))
    for first in range(0, len(rows), together):
        part = rows[first : first + together]
        sql, arguments = to_sql.count_rows(shape, part, column)
        yield f"({sql}) = ?", (*arguments, len(part))


def _listed(raw: apsw.Connection, shape: TableSchema, column: str | None, where: str) -> list[Image] | None:
    """Return the rows of the base image, each after what names it; ``None`` if they are too many to send."""
    names = [quoted(name) for name in to_sql.naming_columns(shape)]
    values = [quoted(column)] if column else [quoted(name) for name in shape.columns]
    if not names or len(names) + len(values) > to_sql.LISTED_COLUMNS_MAX:
        return None
    query = f"SELECT {', '.join((*names, *values))} FROM {quoted(shape.table)}{where}"
    rows: list[Image] = []
    size = 0
    try:
        for row in raw.execute(query):
            size += sum(len(value) if isinstance(value, str | bytes) else 8 for value in row)
            if size > LISTED_BYTES_MAX:
                return None
            rows.append(row)
    except UnicodeDecodeError:  # cannot be sent
        return None
    return rows
