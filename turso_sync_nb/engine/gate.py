"""Quiesce a replica's connections before its files are replaced: a shared and exclusive lock.

A verb that publishes other files (pull, checkpoint) takes the gate exclusively. It waits until no connection
runs a statement, has a cursor open or is in a transaction, no longer than a statement would wait for a lock.
Meanwhile idle connections do not begin a statement; one in a transaction may go on, or it would never end.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from turso_sync_nb.errors import ReplicaBusyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from turso_sync_nb.storage.files.signals import Deferral

T = TypeVar("T")

POLL_S: Final = 0.02
"""Seconds between two looks at connections that are waited for: a dropped cursor notifies no thread."""


class Member(Protocol):
    """A connection, as the gate sees it.

    It may run a statement without :meth:`Gate.enter` while :meth:`doing` tells of it, if it looked at
    :attr:`Gate.is_wanted` after it began to tell.
    """

    def doing(self) -> str:
        """Return the SQL that is under way (an open cursor, a transaction); empty when idle."""

    def suspend(self) -> None:
        """Close the files, keeping what :meth:`resume` needs."""

    def resume(self) -> None:
        """Open the files again; no state is lost."""

    def leave_to_parent(self) -> None:
        """In a forked child: never use the files again."""


class Use:
    """One use of a connection.

    Whoever begins it sets ``is_over`` as the first thing in its ``finally``: an assignment, before which no
    Ctrl-C can come, as it can where a function begins, or where a context manager is left.
    """

    __slots__ = ("is_over",)

    def __init__(self) -> None:
        self.is_over = False


class Gate:
    """The gate of one replica; safe to use from several threads."""

    def __init__(self) -> None:
        self.members: set[Member] = set()
        self.is_wanted = False
        """Whether a verb has the gate, or waits for it."""
        self._lock = threading.RLock()  # itself in each with: a condition's own is entered by a function
        self._changed = threading.Condition(self._lock)
        self._uses: dict[Member, list[Use]] = {}
        self._waiting = 0
        self._is_quiesced = False
        self._quiescer = 0

    @property
    def is_anothers(self) -> bool:
        """Whether a verb of another thread has the gate: every connection is idle."""
        return self._is_quiesced and self._quiescer != threading.get_ident()

    def opening(self, member: Member, timeout_s: float, work: Callable[[], T]) -> T:
        """Have ``work`` open or close the files of ``member``: not while another thread's verb has the gate.

        That is waited for no longer than ``timeout_s``: in a forked child it would never end.
        """
        use = Use()
        try:
            with self._lock:
                me = threading.get_ident()
                self._changed.wait_for(lambda: not self._is_quiesced or self._quiescer == me, timeout_s)
                self._uses.setdefault(member, []).append(use)
            return work()
        finally:
            use.is_over = True
            self.leave(member)

    def statement(self, member: Member, work: Callable[[], T]) -> T:
        """Have ``work`` use ``member``; waits while a verb has the gate, or waits for it."""
        use = Use()
        try:
            self.enter(member, use)
            return work()
        finally:
            use.is_over = True
            self.leave(member)

    def enter(self, member: Member, use: Use) -> None:
        """Begin with a use of ``member``; :meth:`leave` is called once it is over, this failed or not.

        Raises:
            ReplicaBusyError: a function that this thread's verb asks (a conflict policy) would wait for it.
        """
        with self._lock:
            if self._is_quiesced and self._quiescer == threading.get_ident():
                raise ReplicaBusyError(
                    "query the replica: a pull has it, and waits for the function that asks",
                    hint="settle a conflict by the rows that the function is given",
                )
            while not self._is_used(member) and (self._is_quiesced or (self._waiting and not member.doing())):
                self._changed.wait(POLL_S)
            self._uses.setdefault(member, []).append(use)

    def leave(self, member: Member) -> None:
        """Notify waiting threads that a use of ``member`` ended; else they look again after ``POLL_S``."""
        with self._lock:
            self._is_used(member)
            self._changed.notify_all()

    def _is_used(self, member: Member) -> bool:
        uses = [use for use in self._uses.get(member, ()) if not use.is_over]
        if uses:
            self._uses[member] = uses
        else:
            self._uses.pop(member, None)  # also where a Ctrl-C came before its first use was noted
        return bool(uses)

    @contextmanager
    def quiesced(
        self, verb: str, caller: Member | None, timeout_s: float, deferral: Deferral
    ) -> Iterator[None]:
        """Keep every connection idle for the block; ``deferral`` keeps Ctrl-C off it, but for the waiting.

        Raises:
            ReplicaBusyError: ``caller`` itself is in the middle of something, or another connection is
                for longer than ``timeout_s``.
        """
        with self._lock:
            self.refuse_caller(verb, caller)
            self._waiting += 1
            self.is_wanted = True
            try:
                with deferral.allowed():
                    self._wait(verb, timeout_s)
                self._is_quiesced = True
                self._quiescer = threading.get_ident()
            finally:
                self._waiting -= 1
                self.is_wanted = self._is_quiesced or self._waiting > 0
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._lock:
                self._is_quiesced = False
                self.is_wanted = self._waiting > 0
                self._changed.notify_all()

    def refuse_caller(self, verb: str, caller: Member | None) -> None:
        """Refuse when ``caller`` is in the middle of something; better before a download than after it.

        Raises:
            ReplicaBusyError: it is.
        """
        if caller is not None and (self._is_used(caller) or caller.doing()):
            raise ReplicaBusyError(
                f"{verb}: this connection is in the middle of {caller.doing() or 'a statement'}",
                hint="commit or roll back, and fetch or close its cursors, then try again",
            )

    def is_used(self, member: object) -> bool:
        """Return whether ``member`` is in use: a statement of it runs."""
        with self._lock:
            return any(one is member and self._is_used(one) for one in list(self._uses))

    def busy(self) -> str:
        """Return what a connection is in the middle of; empty when all are idle."""
        with self._lock:
            return self._busy()

    def _wait(self, verb: str, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while self._is_quiesced or (busy := self._busy()):
            if time.monotonic() > deadline:
                what = "another verb" if self._is_quiesced else busy
                raise ReplicaBusyError(
                    f"{verb}: waited {timeout_s:g} s for another connection here, which is in {what}",
                    hint="end its transaction, close its cursors, and try again",
                )
            self._changed.wait(POLL_S)

    def _busy(self) -> str:
        """Return what a member is doing; empty when all are idle."""
        for member in [*self.members, *self._uses]:
            if self._is_used(member):
                return "a statement"
            if doing := member.doing():
                return doing
        return ""
