"""Frames of which some values are rows, as dicts by column: shown in words, kept as they are.

pandas is imported with this module, so it is imported where the first such frame is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from turso_sync_nb.words import values_of

if TYPE_CHECKING:
    from collections.abc import Callable


class RowsFrame(pd.DataFrame):
    """A DataFrame that shows a dict as ``name value, name value``; what is taken from it does so too."""

    @property
    def _constructor(self) -> Callable[..., pd.DataFrame]:
        return RowsFrame

    def in_words(self) -> pd.DataFrame:
        """Return the frame with text in place of each dict."""
        frame = pd.DataFrame(self, copy=True)
        for at in range(frame.shape[1]):
            column = frame.iloc[:, at]
            if column.dtype == object and any(isinstance(value, dict) for value in column):
                frame.isetitem(
                    at, [values_of(value) if isinstance(value, dict) else value for value in column]
                )
        return frame

    def __repr__(self) -> str:
        return repr(self.in_words())

    def _repr_html_(self) -> str | None:
        html: str | None = self.in_words()._repr_html_()  # type: ignore[operator]
        return html
