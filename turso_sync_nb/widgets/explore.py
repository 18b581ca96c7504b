"""Explore: the tables of a database, their size and the share that is here, and what their columns hold.

The list costs the requests of :meth:`Connection.table_sizes`, never a row. Rows are read when a user asks
for a profile or the first rows; if much of them is not here, the size is said first.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.changes.names import is_internal, quoted
from turso_sync_nb.connection.fetching import ASKED_FROM_PAGES
from turso_sync_nb.connection.index_labels import index_line
from turso_sync_nb.connection.profiling import profile_table
from turso_sync_nb.errors import UsageError
from turso_sync_nb.units import PAGE_SIZE, format_share_bar, format_size
from turso_sync_nb.widgets.live import LiveWidget, script
from turso_sync_nb.widgets.snapshots import line, table
from turso_sync_nb.widgets.values import wire
from turso_sync_nb.words import Figure, count_of, value_of

if TYPE_CHECKING:
    from turso_sync_nb.connection.connection import Connection
    from turso_sync_nb.connection.profiling import ColumnProfile
    from turso_sync_nb.engine.replica import Replica
    from turso_sync_nb.widgets.live import Content, Message
    from turso_sync_nb.widgets.snapshots import Block

FIRST_ROWS: Final = 10
"""Rows shown of a table that is looked at."""

SAMPLE_ROWS: Final = 1_000
"""Rows that a profile reads of a table of which much is absent."""

_OBJECTS: Final = """
SELECT name, type, CASE WHEN type = 'table' THEN (SELECT group_concat(c.name, ', ' ORDER BY c.pk)
    FROM pragma_table_info(t.name, 'main') AS c WHERE c.pk) END
FROM pragma_table_list AS t WHERE schema = 'main' AND type <> 'shadow'
    AND name COLLATE NOCASE NOT BETWEEN 'sqlite_' AND 'sqlite_~'
"""
_COLUMNS: Final = """
SELECT name, type, pk, "notnull", hidden FROM pragma_table_xinfo(?, 'main') WHERE hidden <> 1 ORDER BY cid
"""
_INDEXES: Final = """
SELECT CASE i.origin WHEN 'c' THEN i.name END, i."unique",
    group_concat(CASE WHEN c.name IS NULL THEN 'an expression' ELSE c.name END, ', ' ORDER BY c.seqno)
FROM pragma_index_list(?, 'main') AS i, pragma_index_info(i.name, 'main') AS c
WHERE i.origin <> 'pk' GROUP BY i.name ORDER BY i.seq
"""
_FOREIGN_KEYS: Final = """
SELECT f."table", group_concat(f."from", ', ' ORDER BY f.seq) FROM pragma_foreign_key_list(?, 'main') AS f
GROUP BY f.id ORDER BY f.id
"""


@dataclass(frozen=True)
class Listed:
    """A table or view of the list; sizes are ``None`` where nothing tells."""

    name: str
    kind: str
    key: str | None
    rows: int | None = None
    counted: bool = False
    total: int | None = None
    here: int = 0


class Explore(LiveWidget):
    """Shows tables, columns, profiles, first rows and definitions; fetches a table when asked."""

    _esm = script("explore")
    title = "explore"

    def __init__(self, db: Connection, replica: Replica) -> None:
        super().__init__(db, replica)
        self._listed: list[Listed] = []
        self._seen: tuple[object, ...] = ()
        self.handlers |= {
            "columns": self._columns,
            "profile": self._profile,
            "first": self._first,
            "fetch": lambda content: self._fetch(str(content["name"]), sure=bool(content["sure"])),
        }

    def full_message(self, db: Connection) -> Message:
        """Return the list of tables, read anew."""
        self._seen = self._seen_now()
        self._listed = _listed(db)
        path, remote = self.replica.path.name, self.replica.remote_url
        tables = [vars(each) for each in self._listed]
        return {"type": "tables", "tables": tables, "path": path, "remote": remote}, ()

    def update_message(self) -> None:
        """Return nothing: the list is made anew after cells and work."""

    def look_message(self, db: Connection) -> Message:
        """Return what :meth:`full_message` does."""
        return self.full_message(db)

    def has_changed(self) -> bool:
        """Return whether pages arrived, or something was written or pulled, since the list was made."""
        return self._seen != self._seen_now()

    def _seen_now(self) -> tuple[object, ...]:
        log = self.replica.folder.wal
        written = (log.stat().st_size, log.stat().st_mtime_ns) if log.exists() else None
        return self.replica.metadata.revision, len(self.replica.store.page_map.resident), written

    # One table

    def _columns(self, content: Content) -> None:
        name = str(content["name"])
        with closing(self.db.sibling()) as db:
            columns: list[Any] = db.run(_COLUMNS, (name,)).rows
            indexes: list[Any] = db.run(_INDEXES, (name,)).rows
            foreign: list[Any] = db.run(_FOREIGN_KEYS, (name,)).rows
            sql = db.run("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)).rows
        if not columns:
            raise UsageError(f"explore {name}: it is gone", hint="%turso_sync tables lists what is there")
        lines = [index_line(*each) for each in indexes]
        lines += [f"{own} refers to {other}" for other, own in foreign]
        self.send(
            {
                "type": "columns",
                "name": name,
                "columns": [
                    {
                        "name": each,
                        "type": kind,
                        "key": bool(pk),
                        "notnull": bool(notnull),
                        "made": bool(hidden),
                    }
                    for each, kind, pk, notnull, hidden in columns
                ],
                "lines": lines,
                "sql": sql[0][0] if sql else "",
            }
        )

    def _is_asked(self, name: str, content: Content, what: str) -> bool:
        """Say first how much would be fetched, unless it is little or the user is sure."""
        of_table = next((each for each in self._listed if each.name == name), None)
        absent = (of_table.total or 0) - of_table.here if of_table else 0
        if content.get("sure") or absent <= ASKED_FROM_PAGES * PAGE_SIZE:
            return False
        self.send(
            {"type": "ask", "what": what, "name": name, "column": content.get("column"), "bytes": absent}
        )
        return True

    def _profile(self, content: Content) -> None:
        name, column = str(content["name"]), str(content["column"])
        sample = SAMPLE_ROWS if content.get("sample") else None
        if sample is None and self._is_asked(name, content, "profile"):
            return

        def profile(db: Connection) -> str:
            declared = {each: str(kind) for each, kind, *_ in db.run(_COLUMNS, (name,)).rows}
            if column not in declared:
                raise UsageError(f"profile {name}.{column}: it is gone")
            found = profile_table(db, name, [(column, declared[column])], sample)
            self.send(
                {"type": "profile", "name": name, "sampled": found.sampled, **_profile_of(found.columns[0])}
            )
            return _cost_of(f"{name}.{column}: {found.columns[0].rows:,} rows read", db)

        self.work(f"profile {name}.{column}", profile)

    def _first(self, content: Content) -> None:
        name = str(content["name"])

        def first(db: Connection) -> str:
            with closing(db.cursor()) as cursor:
                cursor.execute(f"SELECT * FROM main.{quoted(name)} LIMIT {FIRST_ROWS}")
                names = [each[0] for each in cursor.description or ()]
                rows = [[wire(value) for value in row] for row in cursor.fetchall()]
            self.send({"type": "first", "name": name, "names": names, "rows": rows})
            return f"{name}: its first {len(rows)} rows"

        self.work(f"read {name}", first)

    def _fetch(self, name: str, *, sure: bool) -> None:
        if self._is_asked(name, {"sure": sure}, "fetch"):
            return

        def fetch(db: Connection) -> str:
            count, _ = db.fetch_owned(name)
            return f"{name}: downloaded {format_size(count * PAGE_SIZE)}"

        self.work(f"fetch {name}", fetch)

    # Without a kernel

    def snapshot(self, db: Connection) -> Block:
        """Return the list."""
        listed = self._listed or _listed(db)
        rows = [(each.name, each.kind, *_told(each), each.key or "") for each in listed]
        views = sum(each.kind == "view" for each in listed)
        counts = [count_of(len(listed) - views, "table"), *([count_of(views, "view")] if views else [])]
        said = line(", ".join(counts))
        return said + table(("name", "kind", "rows", "size", "here", "key"), rows)


def _listed(db: Connection) -> list[Listed]:
    """Return tables, the largest first, then views."""
    sizes = {size.name: size for size in db.table_sizes()}
    found = []
    for name, kind, key in db.run(_OBJECTS).rows:
        if is_internal(name):
            continue
        size = sizes.get(name)
        if size is None:
            found.append(Listed(name, kind, key))
        else:
            found.append(
                Listed(name, kind, key, size.rows, size.is_counted, size.total_bytes, size.resident_bytes)
            )
    return sorted(found, key=lambda each: (each.kind == "view", -(each.total or 0), each.name))


def _told(each: Listed) -> tuple[str, str, str]:
    """Return rows, size and share for a reader."""
    about = "" if each.counted else "about "
    rows = "" if each.rows is None else f"{about}{each.rows:,}"
    if each.total is None:
        return Figure(rows), Figure(""), ""
    return Figure(rows), Figure(f"{about}{format_size(each.total)}"), format_share_bar(each.here, each.total)


def _profile_of(found: ColumnProfile) -> Content:
    """Return a profile for a view: values as text."""
    facts = [("rows", f"{found.rows:,}"), ("NULL", f"{found.nulls:,}"), ("distinct", f"{found.distinct:,}")]
    facts += [
        (name, _text(value)) for name, value in (("min", found.low), ("max", found.high)) if value is not None
    ]
    if found.mean is not None:
        facts.append(("mean", _text(found.mean)))
    facts += [
        (name, _text(each)) for name, each in zip(("25 %", "median", "75 %"), found.quartiles, strict=False)
    ]
    if found.longest is not None:
        facts.append(("length", f"{found.shortest:,} to {found.longest:,}"))
    top = [(_text(value), times) for value, times in found.top]
    return {"column": found.name, "facts": facts, "bars": found.bars, "ends": found.bar_ends, "top": top}


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else value_of(value)


def _cost_of(text: str, db: Connection) -> str:
    report = db.last_report
    return f"{text} · downloaded {format_size(report.received_bytes)}" if report.requests else text
