"""A view without a browser: what it is sent, and what it says."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class View:
    """A view of ``widget``; ``messages`` are those it was sent, each with its buffers."""

    def __init__(self, widget: Any) -> None:
        self.widget = widget
        self.messages: list[tuple[dict[str, Any], list[bytes]]] = []
        widget.send = lambda content, buffers=(): self.messages.append((content, list(buffers)))

    def says(self, kind: str, **content: Any) -> None:
        """Send the widget a message."""
        self.widget.receive({"type": kind, "view": "one", **content})

    def wait_until_done(self) -> dict[str, Any]:
        """Wait for the end of what is done in a thread; return the line about it."""
        self.wait_for(
            lambda: self.of("status") and not self.of("status")[-1][0]["busy"] and not self.widget.doing
        )
        return self.of("status")[-1][0]

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds."""
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline, self.of("status")
            time.sleep(0.01)

    def of(self, kind: str) -> list[tuple[dict[str, Any], list[bytes]]]:
        """Return the messages of one kind."""
        return [each for each in self.messages if each[0]["type"] == kind]


@contextmanager
def view_of(widget: Any, kind: type[View] = View) -> Iterator[Any]:
    """Give a view of ``widget`` that is open; both are closed at the end."""
    view = kind(widget)
    view.says("open")
    yield view
    view.says("close")
    widget.close()


def numbers(data: bytes) -> list[int]:
    """Return unsigned LEB128 numbers."""
    found, value, shift = [], 0, 0
    for byte in data:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            found.append(value)
            value = shift = 0
    return found


def read_whole(data: bytes) -> list[int]:
    """Return the values of a whole."""
    read = numbers(data)
    return [value for length, value in zip(read[::2], read[1::2], strict=True) for _ in range(length)]


def read_delta(data: bytes, values: list[int]) -> list[int]:
    """Return ``values`` with a delta applied."""
    read = iter(numbers(data))
    now = list(values)
    for value in read:
        at = 0
        for _ in range(next(read)):
            at += next(read)
            length = next(read)
            now[at : at + length] = [value] * length
            at += length
    return now
