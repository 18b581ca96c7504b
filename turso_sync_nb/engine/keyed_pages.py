"""Find the keys of rows WITHOUT ROWID that are on pages which changed.

The b-tree of such a table is an index whose records begin with the key. To find the table of a page, one of
its keys is looked up: SQLite, which knows the collations, then reads the page or not. So only the pages on
the way to a few rows are fetched, whatever the size of the table.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pyroaring import BitMap

from turso_sync_nb.changes.names import quoted
from turso_sync_nb.storage.format.btree import INDEX_INTERIOR, INDEX_LEAF
from turso_sync_nb.storage.format.records import Text, first_values, index_record, value_count
from turso_sync_nb.storage.vfs.snapshot import PageAbsentError
from turso_sync_nb.units import PageId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import apsw

    from turso_sync_nb.changes.model import TableSchema
    from turso_sync_nb.storage.format.btree import Node
    from turso_sync_nb.storage.format.records import Value
    from turso_sync_nb.storage.vfs.snapshot import Snapshot

    Key = tuple[Value, ...]

KINDS: Final = frozenset({INDEX_LEAF, INDEX_INTERIOR})


class KeyedPages:
    """The index pages of one state; ``tables`` are those WITHOUT ROWID, each with its root."""

    def __init__(
        self, snapshot: Snapshot, usable: int, tables: Sequence[tuple[TableSchema, PageId]], roots: BitMap
    ) -> None:
        self._snapshot = snapshot
        self._usable = usable
        self.tables = {shape.table: shape for shape, _ in tables}
        self._numeric = {shape.table: _are_numeric(snapshot.raw, shape) for shape, _ in tables}
        self._owners: dict[int, str | None] = {
            **dict.fromkeys(roots),
            **{root: shape.table for shape, root in tables},
        }
        """Pages of known trees; ``None`` for those of no table here."""

    def owner(self, node: Node) -> str | None:
        """Return the table whose b-tree has the page."""
        if node.page not in self._owners:
            found = first_known(partial(self._owner_if, node, shape) for shape in self.tables.values())
            self._owners[node.page] = found
        return self._owners[node.page]

    def _owner_if(self, node: Node, shape: TableSchema) -> str | None:
        """Return the name of the table ``shape`` if the page is in its b-tree, else None."""
        record = index_record(node, 0, len(shape.key), self._snapshot.read) if node.cell_count else b""
        key = first_values(record, len(shape.key))
        is_own = self._may_be_of(record, key, shape) and self._is_on_way(shape, key, node.page)
        return shape.table if is_own else None

    def _may_be_of(self, record: bytes, key: Key, shape: TableSchema) -> bool:
        """Return whether ``record`` may be of the table, by its number of values and the key's affinities."""
        if not len(shape.key) <= value_count(record) <= len(shape.columns):
            return False
        return None not in key and not any(
            isinstance(value, int | float) and not is_numeric
            for value, is_numeric in zip(key, self._numeric[shape.table], strict=True)
        )

    def _is_on_way(self, shape: TableSchema, key: Key, page: int) -> bool:
        """Look ``key`` up in a table and record it as owner of the pages read; return if ``page`` is one."""
        with self._snapshot.noted() as pages:
            condition, values = condition_of(shape, key)
            sql = f"SELECT 1 FROM {quoted(shape.table)} WHERE {condition}"
            self._snapshot.raw.execute(sql, values).fetchall()
        for read in pages:
            node = self._snapshot.node(PageId(read), self._usable)
            if node.kind in KINDS:
                self._owners[read] = shape.table
                self._owners |= dict.fromkeys(node.children, shape.table)
        return page in pages

    def keys_on(self, node: Node, shape: TableSchema) -> set[Key]:
        """Return the keys of the rows on one page."""
        count = len(shape.key)
        records = (
            index_record(node, number, count, self._snapshot.read) for number in range(node.cell_count)
        )
        return {first_values(record, count) for record in records} if node.kind in KINDS else set()

    def keys_below(self, page: PageId, shape: TableSchema) -> set[Key]:
        """Return the keys of the rows on a page and below it."""
        waiting, seen = [page], BitMap()
        found: set[Key] = set()
        while waiting:
            page = waiting.pop()
            if page in seen or not 0 <= page < self._snapshot.db_pages:
                continue
            seen.add(page)
            node = self._snapshot.node(page, self._usable)
            found |= self.keys_on(node, shape)
            waiting += map(PageId, node.children)
        return found


def first_known(questions: Iterable[Callable[[], Any]]) -> Any:
    """Return the first true answer, or None.

    Raises:
        PageAbsentError: there is none, and a question needs a page that is not here; all were asked.
    """
    absent: PageAbsentError | None = None
    for question in questions:
        try:
            if answer := question():
                return answer
        except PageAbsentError as error:
            absent = error
    if absent:
        raise absent
    return None


def _are_numeric(raw: apsw.Connection, shape: TableSchema) -> list[bool]:
    """Say of each column of the key whether it may hold numbers: not with text affinity (datatype3, 3.1)."""
    declared: list[Any] = raw.execute(
        "SELECT name, upper(type) FROM pragma_table_xinfo(?)", (shape.table,)
    ).fetchall()
    types = dict(declared)
    return [
        "INT" in types[name] or not any(word in types[name] for word in ("CHAR", "CLOB", "TEXT"))
        for name in (shape.columns[at] for at in shape.key)
    ]


def condition_of(shape: TableSchema, key: Key) -> tuple[str, list[int | float | bytes | None]]:
    """Return the SQL that a row has ``key``, and its values: a text is bound as its bytes.

    The ``+`` leaves the cast no affinity, with which SQLite would not use the key.
    """
    forms = ["+CAST(? AS TEXT)" if isinstance(value, Text) else "?" for value in key]
    conditions = [f"{quoted(shape.columns[at])} IS {form}" for at, form in zip(shape.key, forms, strict=True)]
    return " AND ".join(conditions), [value.data if isinstance(value, Text) else value for value in key]
