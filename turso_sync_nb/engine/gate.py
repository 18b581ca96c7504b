"""Quiesce a replica's connections before its files are replaced.

A verb that publishes other files under the connections (pull, checkpoint) waits until no statement runs,
no cursor is open and no transaction is, for as long as a statement would wait for a lock. Meanwhile idle
connections wait with their next statement; those in a transaction may go on, or they would never end it.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from turso_sync_nb.errors import ReplicaBusyError

if TYPE_CHECKING:
    from collections.abc import Iterator

POLL_S: Final = 0.02
"""Seconds between two looks at connections that are waited for: a dropped cursor tells nobody."""


class Member(Protocol):
    """A connection, as the gate sees it.

    It may run a statement without :meth:`Gate.enter` while :meth:`doing` tells of it, if it looked at
    :attr:`Gate.is_wanted` after it began to tell.
    """

    def doing(self) -> str:
        """Return the SQL that is under way (an open cursor, a transaction); empty when idle."""

    def suspend(self) -> None:
        """Let go of the files, keeping what is needed to go on."""

    def resume(self) -> None:
        """Take the files up again; nothing of before is lost."""


class Gate:
    """One for each replica; safe for threads."""

    def __init__(self) -> None:
        self.members: set[Member] = set()
        self.is_wanted = False
        """Whether a verb has the gate, or waits for it."""
        self._changed = threading.Condition()
        self._running: Counter[Member] = Counter()
        self._waiting = 0
        self._is_quiesced = False
        self._quiescer = 0

    @contextmanager
    def opening(self, member: Member, timeout_s: float) -> Iterator[None]:
        """Open or close the files of ``member``: not while another thread's verb has the gate.

        That is waited for no longer than ``timeout_s``: in a forked child it would never end.
        """
        with self._changed:
            quiescer = threading.get_ident()
            self._changed.wait_for(lambda: not self._is_quiesced or self._quiescer == quiescer, timeout_s)
            self._running[member] += 1
        try:
            yield
        finally:
            self.leave(member)

    @contextmanager
    def statement(self, member: Member) -> Iterator[None]:
        """Run a statement of ``member``; waits while a verb has the gate, or waits for it."""
        self.enter(member)
        try:
            yield
        finally:
            self.leave(member)

    def enter(self, member: Member) -> None:
        """Begin with a statement of ``member``, which :meth:`leave` ends.

        Raises:
            ReplicaBusyError: a function that this thread's verb asks (a conflict policy) would wait for it.
        """
        with self._changed:
            if self._is_quiesced and self._quiescer == threading.get_ident():
                raise ReplicaBusyError(
                    "query the replica: a pull has it, and waits for the function that asks",
                    hint="settle a conflict by the rows that the function is given",
                )
            while member not in self._running and (
                self._is_quiesced or (self._waiting and not member.doing())
            ):
                self._changed.wait(POLL_S)
            self._running[member] = self._running.get(member, 0) + 1

    def leave(self, member: Member) -> None:
        """End what :meth:`enter` began."""
        with self._changed:
            self._running[member] -= 1
            if not self._running[member]:
                del self._running[member]
            self._changed.notify_all()

    @contextmanager
    def quiesced(self, verb: str, caller: Member | None, timeout_s: float) -> Iterator[None]:
        """Keep every connection idle for the block.

        Raises:
            ReplicaBusyError: ``caller`` itself is in the middle of something, or another connection is
                for longer than ``timeout_s``.
        """
        with self._changed:
            self.refuse_caller(verb, caller)
            self._waiting += 1
            self.is_wanted = True
            try:
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
            with self._changed:
                self._is_quiesced = False
                self.is_wanted = self._waiting > 0
                self._changed.notify_all()

    def refuse_caller(self, verb: str, caller: Member | None) -> None:
        """Refuse when ``caller`` is in the middle of something; better before a download than after it.

        Raises:
            ReplicaBusyError: it is.
        """
        if caller is not None and (self._running[caller] or caller.doing()):
            raise ReplicaBusyError(
                f"{verb}: this connection is in the middle of {caller.doing() or 'a statement'}",
                hint="commit or roll back, and fetch or close its cursors, then try again",
            )

    def busy(self) -> str:
        """Return what a connection is in the middle of; empty when all are idle."""
        with self._changed:
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
        for member in [*self.members, *self._running]:
            if self._running[member]:
                return "a statement"
            if doing := member.doing():
                return doing
        return ""
