"""Show a result as a table that asks for the rows it shows.

It holds no rows and knows nothing of frames: what a view asks goes to ``answer``, whose replies go back. So a
result of any size costs the page what is on the screen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anywidget

from turso_sync_nb.widgets.live import EXPECTED, STYLE, line_of, script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Content = dict[str, Any]


class ResultTable(anywidget.AnyWidget):
    """Shows rows in pages; sorting, filtering and saving are done where the rows are."""

    _esm = script("result_table")
    _css = STYLE
    title = "result"

    def __init__(self, answer: Callable[[Content], Iterable[Content]]) -> None:
        super().__init__()
        self._answer = answer
        self.on_msg(lambda _widget, content, _buffers: self.receive(content))

    def receive(self, content: Content) -> None:
        """Send what ``answer`` replies to a view; an error is a line at its foot."""
        if "request" in content:
            self.send({"type": "ack", "request": content["request"]})
        try:
            for reply in self._answer(content):
                self.send(reply)
        except EXPECTED as error:
            self.send({"type": "status", "text": line_of(error), "failed": True, "busy": ""})
