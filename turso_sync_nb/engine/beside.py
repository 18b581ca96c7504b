"""Send the remote a second request on a helper thread while this thread sends its own; wait for both.

The helper acts on behalf of this thread: whoever stops this thread, or gives it less time, means both. An
error of the helper's request comes first: the other request is of no use then, and is ended.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from turso_sync_nb.errors import StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from turso_sync_nb.engine.remote import Remote

_NAME: Final = "turso-sync-nb asking beside"

_LEFT_WITHIN_S: Final = 0.3
"""Seconds that a thread which was stopped waits for the one that asks for it."""


@dataclass
class _Asked:
    error: BaseException | None = None
    """Set, if at all, before the thread has ended."""
    is_awaited: bool = True
    """Whether the caller is still there: what it asks for later has nothing to do with this."""


@contextmanager
def beside(remote: Remote, ask: Callable[[], object], *, first: bool = False) -> Iterator[None]:
    """Call ``ask`` during the block, whose end waits for it; its error goes before one of the block.

    ``first``, of a remote that takes one request at a time, and where no thread begins (at the end of the
    process, or of its allowance): before the block.
    """
    asked, caller = _Asked(), threading.get_ident()
    thread = threading.Thread(target=_work, args=(remote, caller, ask, asked), name=_NAME, daemon=True)
    try:
        with _ending(remote, caller, thread, asked):
            if first or not remote.takes_several or not _begun(thread):
                ask()
            yield
    except Exception as error:
        if asked.error is None or (isinstance(error, StoppedError) and isinstance(asked.error, StoppedError)):
            raise
    if asked.error is not None:
        raise asked.error from None


def _begun(thread: threading.Thread) -> bool:
    try:
        thread.start()
    except RuntimeError:
        return False
    return True


def _work(remote: Remote, caller: int, ask: Callable[[], object], asked: _Asked) -> None:
    try:
        with remote.on_behalf_of(caller):
            ask()
    except BaseException as error:  # noqa: BLE001 - raised where it is waited for
        asked.error = error
        if asked.is_awaited:
            remote.stop(caller)


@contextmanager
def _ending(remote: Remote, caller: int, thread: threading.Thread, asked: _Asked) -> Iterator[None]:
    """Wait for ``thread`` after the block, if it began; end its request where this thread was stopped."""
    try:
        yield
        _join(thread)
    except StoppedError:
        remote.stop(caller)
        _join(thread)
        raise
    except Exception:
        _join(thread)
        raise
    except BaseException:  # Ctrl-C
        asked.is_awaited = False
        remote.stop(caller)
        _join(thread, _LEFT_WITHIN_S)
        raise


def _join(thread: threading.Thread, within_s: float | None = None) -> None:
    with suppress(RuntimeError):  # it did not begin
        thread.join(within_s)
