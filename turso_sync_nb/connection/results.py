"""Hold the result of a cell's text: the rows of its last statement that has any, and the cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from turso_sync_nb.connection.frames import with_moments

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from turso_sync_nb.connection.frames import Columns, Dates
    from turso_sync_nb.engine.reports import QueryReport


@dataclass(frozen=True)
class QueryResult:
    """Rows of the last statement that returns rows; ``columns`` is ``None`` when none of them does.

    ``declared`` has the declared type of each column, ``None`` for an expression.
    """

    columns: tuple[str, ...] | None
    declared: tuple[str | None, ...]
    gathered: Columns
    report: QueryReport
    parse_dates: bool = False
    """Whether days and moments of declared columns are ``datetime64`` in a frame."""

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """The rows as SQLite gave them."""
        return list(self.gathered.rows())

    def frame(self, *, dates: Dates | None = None) -> pd.DataFrame | None:
        """Return the rows as a DataFrame, ``None`` when no statement returns rows.

        ``dates``: whether days and moments of declared columns are ``datetime64``, or columns of which they
        are; by default what the connection says.

        Raises:
            UsageError: there is no column of a name.
        """
        if self.columns is None:
            return None
        frame = self.gathered.frame(self.columns, self.declared)
        wanted = self.parse_dates if dates is None else dates
        return with_moments(frame, self.declared, wanted) if wanted else frame

    def table(self) -> pa.Table | None:
        """Return the rows as a pyarrow Table, ``None`` when no statement returns rows.

        Raises:
            UsageError: a column holds values of several types.
        """
        return None if self.columns is None else self.gathered.table(self.columns, self.declared)
