"""Rows as data frames, and data frames as rows: a connection's verbs for pandas, Arrow and files."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from turso_sync_nb.connection.drop_in import DropInConnection
from turso_sync_nb.connection.frame_editing import FrameEdits
from turso_sync_nb.connection.frames import frame_of_rows, with_moments
from turso_sync_nb.connection.saving import saving
from turso_sync_nb.connection.writing import Mode, write_frame
from turso_sync_nb.errors import ProgrammingError

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Iterable, Iterator, Sequence

    import pandas as pd
    import pyarrow as pa

    from turso_sync_nb.connection.frame_editing import EditReport, OnChanged
    from turso_sync_nb.connection.parameters import Parameters
    from turso_sync_nb.engine.replica import Replica


class FrameConnection(DropInConnection):
    """A connection that gives and takes frames."""

    def __init__(
        self,
        replica: Replica,
        isolation_level: str | None = "DEFERRED",
        tables_ignore: Collection[str] = (),
    ) -> None:
        self._frame_edits = FrameEdits()
        super().__init__(replica, isolation_level, tables_ignore)

    # Reading

    def query(
        self,
        sql: str,
        parameters: Parameters | None = None,
        *,
        parse_dates: bool | Collection[str] | None = None,
    ) -> pd.DataFrame:
        """Run ``sql`` and return its rows as a DataFrame (the rules are in ``frames``).

        ``parse_dates``: days and moments of columns that are declared as such are ``datetime64``, whatever
        their form; or those of the columns named. :attr:`parse_dates` of the connection is the default.

        Raises:
            UsageError: ``parse_dates`` names a column that is not there.
            ProgrammingError: no statement of ``sql`` returns rows.
        """
        frame = self.run(sql, parameters).frame(dates=parse_dates)
        if frame is None:
            raise ProgrammingError("query: the statement returns no rows; use execute() for it")
        return frame

    def arrow(self, sql: str, parameters: Parameters | None = None) -> pa.Table:
        """Run ``sql`` and return its rows as a pyarrow Table, which DuckDB and polars read without a copy.

        Booleans, dates and moments have their Arrow types where ``query`` knows them too.

        Raises:
            ProgrammingError: no statement of ``sql`` returns rows.
            UsageError: a column holds values of several types.
        """
        table = self.run(sql, parameters).table()
        if table is None:
            raise ProgrammingError("query: the statement returns no rows; use execute() for it")
        return table

    def query_in_chunks(
        self, sql: str, parameters: Parameters | None = None, *, chunksize: int = 100_000
    ) -> Iterator[pd.DataFrame]:
        """Yield the rows of ``sql`` as DataFrames of up to ``chunksize`` rows: memory holds one at a time.

        Types follow the rows of each chunk. At least one frame comes. Its statement stays open between two
        of them, and a pull waits for it.

        Raises:
            ProgrammingError: the statement returns no rows, or ``chunksize`` is not positive.
        """
        if chunksize < 1:
            raise ProgrammingError(f"query in chunks of {chunksize}: at least one row goes into a chunk")
        with closing(self.cursor()) as cursor:
            cursor.row_factory = None
            cursor.execute(sql, () if parameters is None else parameters)
            if cursor.description is None:
                raise ProgrammingError("query: the statement returns no rows; use execute() for it")
            names = [column[0] for column in cursor.description]
            rows = cursor.fetchmany(chunksize)
            while True:
                frame = frame_of_rows(names, cursor.declared, rows)
                yield with_moments(frame, cursor.declared, self.parse_dates) if self.parse_dates else frame
                if not (rows := cursor.fetchmany(chunksize)):
                    return

    def query_to_file(
        self, sql: str, path: str | os.PathLike[str], parameters: Parameters | None = None
    ) -> int:
        """Write the rows of ``sql`` into a ``.csv`` or ``.parquet`` file as they come; return how many.

        Memory holds some rows at a time. A file of that name is replaced once all of them are there.

        Raises:
            UsageError: the file cannot be written, or a column holds values that it has no one type for.
            ProgrammingError: no statement of ``sql`` returns rows.
        """
        with saving(path) as rows:
            if self.run(sql, parameters, gather=rows.of).columns is None:
                raise ProgrammingError("query: the statement returns no rows; use execute() for it")
        return rows.count

    # Editing and writing

    def edit_frame(
        self, table: str, where: str | None = None, parameters: Parameters | None = None
    ) -> pd.DataFrame:
        """Return rows of ``table`` to be edited with pandas and given to :meth:`apply`.

        ``where`` is SQL: ``edit_frame("person", where="city = :city", parameters={"city": "Bern"})``. Rows
        outside it are never touched. Generated columns are left out; a table without a primary key comes with
        its rowid, and the whole old row guards an edit. Types follow the rules of ``query``.

        Raises:
            UsageError: no such table, or one without rows of its own: views, virtual tables.
        """
        return self._frame_edits.edit_frame(self, table, where, parameters)

    def preview(
        self, frame: pd.DataFrame, *, of: pd.DataFrame | None = None, delete: bool = False
    ) -> pd.DataFrame:
        """Return what :meth:`apply` would write, one row for each row; nothing is written.

        Columns: operation, key, old, new (dicts by column), changed: what was changed underneath, as a dict,
        or ``None``. Rows that ``frame`` lacks are ``kept``, with ``delete`` they are a ``delete``. Arguments
        and errors as for :meth:`apply`.
        """
        return self._frame_edits.preview(self, frame, of=of, delete=delete)

    def apply(
        self,
        frame: pd.DataFrame,
        *,
        of: pd.DataFrame | None = None,
        delete: bool = False,
        on_changed: OnChanged = "raise",
    ) -> EditReport:
        """Write what was changed in ``frame`` since :meth:`edit_frame`, as one transaction or not at all.

        Rows are found by their key: new ones are inserted, and of the others the columns that differ are
        set. Rows that are not in ``frame`` (a filter left them out) stay, and the report counts them; with
        ``delete`` they are deleted. An open transaction is joined. Where pandas lost track of
        what ``frame`` came from (``concat`` of unlike frames), ``of`` names the frame that was taken. A
        frame is applied once. ``on_changed`` says what to do with a row of which the same columns were
        changed underneath meanwhile.

        Raises:
            ConflictError: there is such a row, and ``on_changed`` is ``"raise"``; nothing was written.
            UsageError: not a frame of :meth:`edit_frame`, or one with rows that cannot be written.
            IntegrityError: a constraint; nothing was written.
        """
        return self._frame_edits.apply(self, frame, of=of, delete=delete, on_changed=on_changed)

    def write_frame(
        self,
        frame: pd.DataFrame | Iterable[pd.DataFrame],
        table: str,
        mode: Mode = "append",
        *,
        key: str | Sequence[str] | None = None,
    ) -> int:
        """Write the rows of ``frame`` into ``table`` and return how many; all of them or none.

        ``frame`` is one of pandas, polars or Arrow, or an iterator of such, as ``read_csv(chunksize=)``
        gives. ``append`` inserts; ``upsert`` inserts, or updates the row with the same ``key``: columns that
        were chosen, else the primary key, else the one UNIQUE that the frame has; ``replace`` deletes every
        row first and keeps the table. Columns go by name; those that the frame lacks get
        their defaults. A table that is not there is made, without a key. An index that is data is
        a column, named as pandas' ``to_sql`` names it. Missing values are NULL, booleans 0 and 1, dates and
        times text in the form of their column.

        Raises:
            UsageError: a column that the table lacks, a value that SQLite has not (``Decimal`` among
                them), no key to upsert by; the message names column and row.
            IntegrityError: a constraint.
        """
        return write_frame(self, frame, table, mode, key)
