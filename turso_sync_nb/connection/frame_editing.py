"""Edit a table as a DataFrame: rows out, ordinary pandas work, changes back in as one transaction.

A row that a pull (or anybody) changed underneath is flagged, and not overwritten unasked. Columns that only
one side changed merge.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from turso_sync_nb.changes.names import folded, quoted
from turso_sync_nb.collecting import no_collecting
from turso_sync_nb.connection.frame_diff import ATTRIBUTE, FrameBaseline, RowEdit
from turso_sync_nb.connection.frames import frame_of_rows, frame_with_dicts, with_moments
from turso_sync_nb.connection.overrides import as_verb
from turso_sync_nb.connection.rows_now import rows_now
from turso_sync_nb.connection.statements import shortened, split
from turso_sync_nb.errors import ConflictError, Error, ProgrammingError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    import pandas as pd

    from turso_sync_nb.connection.frame_diff import Key
    from turso_sync_nb.connection.parameters import Parameters
    from turso_sync_nb.connection.sql import SqlConnection

EDITS_KEPT: Final = 8
"""Frames of one connection that can be applied; an older one has to be taken again."""

_KIND: Final = "SELECT type FROM pragma_table_list WHERE schema = 'main' AND name = ? COLLATE NOCASE"
_COLUMNS: Final = "SELECT name, type, pk FROM pragma_table_xinfo(?, 'main') WHERE hidden = 0"
_DEFAULTED: Final = "SELECT name FROM pragma_table_info(?, 'main') WHERE dflt_value IS NOT NULL"

_HAS_COLUMN: Final = "SELECT 1 FROM pragma_table_xinfo(?, 'main') WHERE name = ? COLLATE NOCASE"

ROWID_NAMES: Final = ("rowid", "_rowid_", "oid")

OnChanged = Literal["raise", "skip", "overwrite"]


@dataclass(frozen=True)
class EditReport:
    """The counts of what ``apply`` wrote; true if it wrote anything.

    ``skipped`` rows were changed underneath, and left as they are now. ``kept`` rows of the ``taken`` ones
    are not in the frame, and were not deleted.
    """

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    skipped: int = 0
    kept: int = 0
    taken: int = field(default=0, compare=False)

    def __bool__(self) -> bool:
        return bool(self.inserted or self.updated or self.deleted)

    def __str__(self) -> str:
        counts = {each.name: getattr(self, each.name) for each in fields(self)[:4]}
        done = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "nothing changed"
        return f"{done} · {self.note}" if self.note else done

    def __repr__(self) -> str:
        return f"<EditReport: {self}>"

    @property
    def note(self) -> str:
        """Return a note about rows that are not in the frame, or an empty text without any."""
        if not self.kept:
            return ""
        rows = "row is" if self.taken == 1 else "rows are"
        return (
            f"{self.kept:,} of {self.taken:,} {rows} not in this frame; nothing was deleted "
            f"(delete=True deletes {'it' if self.kept == 1 else 'them'})"
        )


class FrameEdits:
    """The frames of one connection that can be applied."""

    def __init__(self) -> None:
        self._baselines: dict[int, FrameBaseline] = {}

    def edit_frame(
        self, db: SqlConnection, table: str, where: str | None = None, parameters: Parameters | None = None
    ) -> pd.DataFrame:
        """Return rows of ``table``; see the method of that name on :class:`Connection`."""
        columns, key, auto_key = editable(db, table, by_rowid=True)
        defaulted = {name for (name,) in db.run(_DEFAULTED, (table,)).rows}
        is_by_rowid = folded(key[0]) in ROWID_NAMES and not db.run(_HAS_COLUMN, (table, key[0])).rows
        listed = ", ".join(map(quoted, columns))
        check_condition(db, table, where, parameters)
        condition = f" WHERE (\n{where}\n)" if where else ""
        result = db.run(f"SELECT {listed} FROM main.{quoted(table)}{condition}", parameters)
        baseline = FrameBaseline(
            table,
            columns,
            key,
            result.rows,
            auto_key=auto_key,
            declared=result.declared,
            defaulted=defaulted,
            is_by_rowid=is_by_rowid,
        )
        frame = frame_of_rows(columns, result.declared, result.rows)
        frame = with_moments(frame, result.declared, db.parse_dates) if db.parse_dates else frame
        frame.attrs[ATTRIBUTE] = baseline.number
        self._baselines[baseline.number] = baseline
        while len(self._baselines) > EDITS_KEPT:
            del self._baselines[next(iter(self._baselines))]
        return frame

    def preview(
        self, db: SqlConnection, frame: pd.DataFrame, *, of: pd.DataFrame | None = None, delete: bool = False
    ) -> pd.DataFrame:
        """Return what :meth:`apply` would write; see the method of that name on :class:`Connection`."""
        baseline = self._baseline_of(frame, of)
        edits = baseline.differences(frame, delete=delete)
        changed = _underneath(baseline, edits, _rows_now(db, baseline, edits))
        rows = [
            (one.operation, dict(zip(baseline.key, one.key, strict=True)), dict(one.old) or None,
             dict(one.new) or None, underneath)
            for one, underneath in zip(edits, changed, strict=True)
        ]  # fmt: skip
        names = ("operation", "key", "old", "new", "changed")
        return frame_with_dicts(names, ("TEXT", None, None, None, None), rows)

    def apply(
        self,
        db: SqlConnection,
        frame: pd.DataFrame,
        *,
        of: pd.DataFrame | None = None,
        delete: bool = False,
        on_changed: OnChanged = "raise",
    ) -> EditReport:
        """Write what was changed; see the method of that name on :class:`Connection`."""
        if on_changed not in ("raise", "skip", "overwrite"):
            raise UsageError(f"apply: on_changed={on_changed!r}", hint="use raise, skip or overwrite")
        baseline = self._baseline_of(frame, of)
        with no_collecting():
            edits = baseline.differences(frame, delete=delete)
            changes = [one for one in edits if one.operation != "kept"]
            report = write_edits(db, baseline, changes, on_changed)
        del self._baselines[baseline.number]
        return replace(report, kept=len(edits) - len(changes), taken=len(baseline.rows))

    def _baseline_of(self, frame: pd.DataFrame, of: pd.DataFrame | None) -> FrameBaseline:
        number = getattr(frame if of is None else of, "attrs", {}).get(ATTRIBUTE)
        if number in self._baselines:
            return self._baselines[number]
        if number is None and of is None:
            raise UsageError(
                "apply: pandas lost track of the frame that this one was made from",
                hint="name it: db.apply(frame, of=the_frame_that_edit_frame_gave)",
            )
        raise UsageError(
            "apply: that frame was applied before, or was taken on another connection or long ago",
            hint="take it again with edit_frame()",
        )


def write_edits(
    db: SqlConnection,
    baseline: FrameBaseline,
    edits: Sequence[RowEdit],
    on_changed: OnChanged,
    about_to: Callable[[RowEdit], None] | None = None,
) -> EditReport:
    """Write ``edits`` as one transaction or not at all; ``about_to`` is called with each before.

    Raises:
        ConflictError: a row was changed underneath, and ``on_changed`` is ``"raise"``.
        IntegrityError: a constraint.
    """
    with as_verb(db), db.atomic():
        now = _rows_now(db, baseline, edits)
        pairs = list(zip(edits, _underneath(baseline, edits, now), strict=True))
        if on_changed == "raise" and (changed := [one for one, moved in pairs if moved is not None]):
            raise _refused(baseline, changed)
        written = [one for one, moved in pairs if on_changed == "overwrite" or moved is None]
        for sql, group in _statements(baseline, written, now.keys()):
            _run(db, baseline, sql, group, about_to)
    counts = Counter(one.operation for one in written)
    return EditReport(counts["insert"], counts["update"], counts["delete"], len(edits) - len(written))


def editable(
    db: SqlConnection, table: str, *, by_rowid: bool = False
) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    """Return the columns of a table, its key, and whether SQLite assigns that.

    ``by_rowid``: a table without a primary key has its rowid as the first column, and as its key.

    Raises:
        UsageError: its rows cannot be named.
    """
    kind = next((kind for (kind,) in db.run(_KIND, (table,)).rows), None)
    if kind != "table":
        what = "there is no such table" if kind is None else f"it is a {kind}, without rows of its own"
        raise UsageError(f"edit {table}: {what}", hint="edit the table that holds the rows")
    rows: list[Any] = db.run(_COLUMNS, (table,)).rows
    keyed = sorted((place, name, kind) for name, kind, place in rows if place)
    names = tuple(name for name, _, _ in rows)
    if not keyed and by_rowid:
        taken = set(map(folded, names))
        if rowid := next((name for name in ROWID_NAMES if name not in taken), None):
            return (rowid, *names), (rowid,), True
    if not keyed:
        raise UsageError(
            f"edit {table}: it has no primary key, so nothing names its rows",
            hint="use INSERT, UPDATE and DELETE",
        )
    auto_key = len(keyed) == 1 and keyed[0][2].upper() == "INTEGER"
    return names, tuple(name for _, name, _ in keyed), auto_key


def check_condition(
    db: SqlConnection, table: str, where: str | None, parameters: Parameters | None = None
) -> None:
    """Refuse a ``where`` that is neither empty nor one SQL condition.

    It has to be one expression twice: in parentheses, where no second one and no clause fits, and without
    them between WHEN and THEN, where nothing can close a parenthesis that it did not open.

    Raises:
        UsageError: it is not.
    """
    if where is None or (isinstance(where, str) and not where):
        return
    if not isinstance(where, str):
        raise UsageError(
            f"edit {table}: where= is SQL, not a {type(where).__name__}",
            hint='write it as text: where="price > 20"; a frame is filtered after it was taken',
        )
    for form in (f"(\n{where}\n)", f"CASE WHEN\n{where}\nTHEN 1 END"):
        probe = f"EXPLAIN SELECT 1 FROM main.{quoted(table)} WHERE {form}"
        try:
            if len(list(split(probe))) > 1:
                raise ProgrammingError("a statement follows")
            db.run(probe, parameters)
        except Error as error:
            raise UsageError(
                f"edit {table}: where= is not one condition: {shortened(str(error))}",
                hint="write what follows WHERE, values as :name with parameters=",
            ) from None


def _rows_now(
    db: SqlConnection, baseline: FrameBaseline, edits: Sequence[RowEdit]
) -> Mapping[Key, tuple[Any, ...]]:
    """Return the rows that ``edits`` are about, as they are now, by key."""
    keys = {one.key for one in edits if one.operation != "kept" and None not in one.key}
    return rows_now(db, baseline.table, baseline.columns, baseline.key, keys)


def _underneath(
    baseline: FrameBaseline, edits: Sequence[RowEdit], now: Mapping[Key, tuple[Any, ...]]
) -> Iterator[dict[str, Any] | None]:
    """Yield the present values that conflict with each edit: empty if its row is gone, None if none do."""
    place = {name: at for at, name in enumerate(baseline.columns)}
    for one in edits:
        row = now.get(one.key)
        if one.operation == "kept":
            yield None
        elif one.operation == "insert":
            yield None if row is None else dict(zip(baseline.columns, row, strict=True))
        elif row is None:
            yield {} if one.operation == "update" else None
        else:
            moved = [name for name, was in one.old.items() if not _alike(row[place[name]], was)]
            if moved and one.operation == "update":
                is_same = all(name in one.new and _alike(row[place[name]], one.new[name]) for name in moved)
                moved = [] if is_same else moved
            yield {name: row[place[name]] for name in moved} or None


def _statements(
    baseline: FrameBaseline, edits: Sequence[RowEdit], there: Collection[Key]
) -> Iterator[tuple[str, list[RowEdit]]]:
    """Yield the statements that write ``edits``, each with the rows that it is for.

    Updates of the same columns go together. Inserts keep their order: SQLite assigns keys by it.
    """
    groups: list[tuple[str, list[RowEdit]]] = []
    known: dict[tuple[str, ...], list[RowEdit]] = {}
    for one in edits:
        if one.operation != "delete" and one.key not in there:
            sql = _insert(baseline, _whole(baseline, one))
            if not groups or groups[-1][0] != sql:
                groups.append((sql, []))
            groups[-1][1].append(one)
            continue
        names = tuple(one.new)
        if names not in known:
            sql = _delete(baseline) if one.operation == "delete" else _update(baseline, names)
            groups.append((sql, known.setdefault(names, [])))
        known[names].append(one)
    yield from groups


def _run(
    db: SqlConnection,
    baseline: FrameBaseline,
    sql: str,
    edits: Sequence[RowEdit],
    about_to: Callable[[RowEdit], None] | None,
) -> None:
    """Write ``edits`` with ``sql``; one whose row is gone, by a trigger or foreign key, is inserted."""
    operation = sql.partition(" ")[0]
    if operation == "INSERT":
        values = [tuple(_whole(baseline, one).values()) for one in edits]
    else:
        values = [(*one.new.values(), *one.key) for one in edits]

    def told(about_to: Callable[[RowEdit], None]) -> Iterator[tuple[Any, ...]]:
        for one, each in zip(edits, values, strict=True):
            about_to(one)
            yield each

    written = db.executemany(sql, values if about_to is None else told(about_to)).rowcount
    if operation == "UPDATE" and written < len(edits):
        there = _rows_now(db, baseline, edits)
        for again, gone in _statements(baseline, [one for one in edits if one.key not in there], there):
            _run(db, baseline, again, gone, about_to)


def _whole(baseline: FrameBaseline, one: RowEdit) -> dict[str, Any]:
    """Return the values that an insert of the row gives."""
    given = {**baseline.row(one.key), **one.new}
    return {
        name: given.get(name) for name in baseline.columns if name in given or name not in baseline.defaulted
    }


def _insert(baseline: FrameBaseline, values: Mapping[str, Any]) -> str:
    names, places = ", ".join(map(quoted, values)), ", ".join("?" * len(values))
    what = f"({names}) VALUES ({places})" if values else "DEFAULT VALUES"
    return f"INSERT INTO main.{quoted(baseline.table)} {what}"


def _update(baseline: FrameBaseline, names: Sequence[str]) -> str:
    settings = ", ".join(f"{quoted(name)} = ?" for name in names)
    return f"UPDATE main.{quoted(baseline.table)} SET {settings} WHERE {_named(baseline.key)}"


def _delete(baseline: FrameBaseline) -> str:
    return f"DELETE FROM main.{quoted(baseline.table)} WHERE {_named(baseline.key)}"


def _named(key: Sequence[str]) -> str:
    return " AND ".join(f"{quoted(name)} = ?" for name in key)


def _alike(one: Any, other: Any) -> bool:
    return bool(type(one) is type(other) and one == other)


def _refused(baseline: FrameBaseline, changed: Sequence[RowEdit]) -> ConflictError:
    rows = "; ".join(baseline.shown(one.key) for one in changed[:3]) + ("; …" if len(changed) > 3 else "")  # noqa: PLR2004 - a line
    return ConflictError(
        f"apply to {baseline.table}: changed underneath since the frame was taken: {rows}",
        hint='preview() shows how; on_changed="skip" leaves them, "overwrite" does not',
    )
