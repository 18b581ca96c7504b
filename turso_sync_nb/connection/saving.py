"""Rows of a query into a CSV or Parquet file as they come: memory holds some of them at a time.

The file is there when all rows are in it; until then, and when something fails, what was there before stays.
"""

from __future__ import annotations

import csv
import os
from contextlib import contextmanager, suppress
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from turso_sync_nb.connection.frames import Columns
from turso_sync_nb.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

    from turso_sync_nb.connection.frames import Declared

Format = Literal["csv", "parquet"]

ROWS_TOGETHER: Final = 50_000
"""Rows of one piece, and of one row group of a Parquet file."""

_AFFINITIES: Final = (("INT", "int64"), ("REAL", "double"), ("FLOA", "double"), ("DOUB", "double"))
"""Arrow's type for a column whose first rows are NULL, by a part of its declared type; else text."""


class SavedRows(Columns):
    """The rows of a query on their way into a file; :func:`saving` makes them."""

    def __init__(self, path: Path, form: Format) -> None:
        super().__init__(0)
        self._path = path
        self._form = form
        self._names: list[str] = []
        self._declared: list[str | None] = []

    def of(self, description: Declared) -> SavedRows:
        """Return this for a statement with these columns: its rows take the place of those before."""
        self._names = [name for name, _ in description]
        self._declared = [declared for _, declared in description]
        self.count = 0
        return self

    def take(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Write ``rows``."""
        if not self._names:
            self.count += sum(1 for _ in rows)
        elif self._form == "csv":
            self._take_csv(rows)
        else:
            self._take_parquet(rows)

    def _pieces(self, rows: Iterable[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
        rest = iter(rows)
        while some := list(islice(rest, ROWS_TOGETHER)):
            yield some
            self.count += len(some)

    def _take_csv(self, rows: Iterable[tuple[Any, ...]]) -> None:
        with self._path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self._names)
            for some in self._pieces(rows):
                if bytes in set(map(type, chain.from_iterable(some))):
                    at = next(at for row in some for at, value in enumerate(row) if type(value) is bytes)
                    raise UsageError(
                        f"save as CSV: column {self._names[at]} holds a blob",
                        hint="hex() makes text of it, or save as Parquet",
                    )
                writer.writerows(some)

    def _take_parquet(self, rows: Iterable[tuple[Any, ...]]) -> None:
        import pyarrow.parquet as pq

        pieces = (self._table(some) for some in self._pieces(rows))
        first = next(pieces, None)
        table = self._with_types(self._table([]) if first is None else first)
        with pq.ParquetWriter(self._path, table.schema) as writer:
            writer.write_table(table)
            for each in pieces:
                writer.write_table(self._as(table.schema, each))

    def _table(self, rows: list[tuple[Any, ...]]) -> pa.Table:
        gathered = Columns(len(self._names))
        gathered.take(rows)
        return gathered.table(self._names, self._declared)

    def _with_types(self, table: pa.Table) -> pa.Table:
        """Return the first rows with a type for columns that hold NULL alone."""
        import pyarrow as pa

        fields = [
            field if field.type != pa.null() else pa.field(field.name, _arrow_type(declared))
            for field, declared in zip(table.schema, self._declared, strict=True)
        ]
        return table.cast(pa.schema(fields))

    def _as(self, schema: pa.Schema, table: pa.Table) -> pa.Table:
        """Return further rows with the types of the first ones; only NULL and exact integers change theirs.

        Raises:
            UsageError: a column holds other values than before.
        """
        import pyarrow as pa

        columns = []
        for field, column in zip(schema, table.columns, strict=True):
            fits = column.type in (field.type, pa.null()) or (
                pa.types.is_integer(column.type) and pa.types.is_floating(field.type)
            )
            if fits:
                with suppress(pa.ArrowInvalid):
                    columns.append(column.cast(field.type))
                    continue
            raise UsageError(
                f"save as Parquet: column {field.name} holds values of type {field.type}, and after row "
                f"{self.count:,} {column.type}",
                hint=f"CAST({field.name} AS TEXT), or REAL, in the query",
            )
        return pa.Table.from_arrays(columns, schema=schema)


def _arrow_type(declared: str | None) -> Any:
    import pyarrow as pa

    kind = (declared or "").upper()
    return pa.type_for_alias(next((name for part, name in _AFFINITIES if part in kind), "string"))


@contextmanager
def saving(path: str | os.PathLike[str], form: Format | None = None) -> Iterator[SavedRows]:
    """Give rows that write themselves into a file, which takes its place when the block is done.

    Raises:
        UsageError: the file cannot be written, or its name says no form.
    """
    wanted = Path(path).expanduser()
    suffix = wanted.suffix.lower()
    if form is None:
        if suffix not in (".csv", ".parquet"):
            raise UsageError(f"save {wanted.name}: which form?", hint="name it .csv or .parquet")
        form = "csv" if suffix == ".csv" else "parquet"
    part = wanted.with_name(f".{wanted.name}.{os.getpid()}.part")
    try:
        part.touch()
        try:
            yield SavedRows(part, form)
            part.replace(wanted)
        finally:
            with suppress(FileNotFoundError):
                part.unlink()
    except OSError as error:
        if error.filename is None or not str(error.filename).startswith(str(wanted.parent)):
            raise
        raise UsageError(
            f"save {wanted.name}: {error.strerror}", hint="name a file in a folder that can be written"
        ) from error
