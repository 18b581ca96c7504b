"""Hold the result of a cell's text: the rows of its last statement that has any, and the cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from turso_sync_nb.connection.frames import Columns
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

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """The rows as SQLite gave them."""
        return list(self.gathered.rows())

    def frame(self) -> pd.DataFrame | None:
        """Return the rows as a DataFrame, ``None`` when no statement returns rows."""
        if self.columns is None:
            return None
        return self.gathered.frame(self.columns, self.declared)

    def table(self) -> pa.Table | None:
        """Return the rows as a pyarrow Table, ``None`` when no statement returns rows.

        Raises:
            UsageError: a column holds values of several types.
        """
        return None if self.columns is None else self.gathered.table(self.columns, self.declared)
