"""Send the remote a second request on a helper thread while this thread sends its own; wait for both.

The helper acts on behalf of this thread: whoever stops this thread, or gives it less time, means both. An
error of the helper's request comes first: the other request is of no use then, and is ended. This thread's
own request goes out first: ``tursodb`` answers one at a time, and its answer is what takes work here.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from turso_sync_nb.errors import StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from turso_sync_nb.engine.remote import Remote

_NAME: Final = "turso-sync-nb asking beside"

_LEFT_WITHIN_S: Final = 0.3
"""Seconds that a thread which was stopped waits for the one that asks for it."""


HEAD_START_S: Final = 0.002
"""Seconds that this thread's own request has to go out before the helper's."""


@dataclass
class Asked:
    """The request that is under way beside this thread's."""

    error: BaseException | None = None
    """Set, if at all, before it has ended."""
    left: threading.Event = field(default_factory=threading.Event)
    """Set where the caller was stopped: what it asks for later has nothing to do with this."""
    ended: threading.Event = field(default_factory=threading.Event)
    """Set once there is an answer or an error."""

    def wait(self, within_s: float | None = None) -> bool:
        """Wait so long for the answer, without ``within_s`` to its end; return whether it is here.

        Raises:
            Exception: the request's error.
        """
        if not self.ended.wait(within_s):
            return False
        if self.error is not None:
            raise self.error
        return True


def answered() -> Asked:
    """Return a request that needs no answer any more."""
    asked = Asked()
    asked.ended.set()
    return asked


@contextmanager
def beside(remote: Remote, ask: Callable[[], object], *, first: bool = False) -> Iterator[Asked]:
    """Call ``ask`` during the block, whose end waits for it; its error goes before one of the block.

    ``first``, of a remote that takes one request at a time, and where no thread begins (at the end of the
    process, or of its allowance): before the block.
    """
    asked, caller = Asked(), threading.get_ident()
    thread = threading.Thread(target=_work, args=(remote, caller, ask, asked), name=_NAME, daemon=True)
    try:
        with _ending(remote, caller, thread, asked):
            if first or not remote.takes_several or not _begun(thread):
                ask()
                asked.ended.set()
            yield asked
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


def _work(remote: Remote, caller: int, ask: Callable[[], object], asked: Asked) -> None:
    try:
        if asked.left.wait(HEAD_START_S):
            return
        with remote.on_behalf_of(caller):
            ask()
    except BaseException as error:  # noqa: BLE001 - raised where it is waited for
        asked.error = error
        if not asked.left.is_set():
            remote.stop(caller)
    finally:
        asked.ended.set()


@contextmanager
def _ending(remote: Remote, caller: int, thread: threading.Thread, asked: Asked) -> Iterator[None]:
    """Wait for ``thread`` after the block, if it began; end its request where this thread was stopped."""
    try:
        yield
        _join(thread)
    except StoppedError:
        asked.left.set()
        remote.stop(caller)
        _join(thread)
        raise
    except Exception:
        _join(thread)
        raise
    except BaseException:  # Ctrl-C
        asked.left.set()
        remote.stop(caller)
        _join(thread, _LEFT_WITHIN_S)
        raise


def _join(thread: threading.Thread, within_s: float | None = None) -> None:
    with suppress(RuntimeError):  # it did not begin
        thread.join(within_s)
