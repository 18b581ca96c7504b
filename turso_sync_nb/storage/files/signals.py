"""Defer SIGINT until a critical section ends."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator


class Deferral:
    """A section during which Ctrl-C waits; ``handler`` is what it does otherwise, if there is one."""

    def __init__(self, handler: Any) -> None:
        self._handler: Final = handler
        self.came = False
        self.is_over = False
        """Whether the section ended: a part of it that was left by a Ctrl-C may be tidied up much later."""

    def begin(self) -> None:
        """Defer from now on, until the section ends."""
        if self._handler is not None and not self.is_over:
            signal.signal(signal.SIGINT, self._note)

    def end(self) -> None:
        """Defer no more."""
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)

    def deliver(self) -> None:
        """Let a Ctrl-C that waits take effect."""
        if self.came:
            self.came = False
            signal.raise_signal(signal.SIGINT)

    def _note(self, _number: int, _frame: object) -> None:
        self.came = True

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Let Ctrl-C take effect within the block, one that waits at its beginning."""
        try:
            self.end()
            self.deliver()
            yield
        finally:
            self.begin()


@contextmanager
def defer_sigint() -> Iterator[Deferral]:
    """Let Ctrl-C take effect after the block, and where it is :meth:`Deferral.allowed`.

    For what must not be left half done, and is short but for those parts. Python delivers it to the main
    thread alone, so elsewhere there is nothing to do. When the block raises, its exception is the answer to
    the Ctrl-C too.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield Deferral(None)
        return
    deferral = Deferral(handler)
    deferral.begin()
    try:
        yield deferral
    finally:
        deferral.is_over = True
        deferral.end()
    deferral.deliver()
