"""Ask a user's functions, policies and transforms, while they may use the replica.

A replay keeps every connection waiting, so it never calls these functions itself. It collects its questions,
goes on as if there were no function, and is thrown away. The functions are called afterwards, and a new
replay uses their answers. So a function may query the replica, wait for other threads, and take long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from turso_sync_nb.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

Answer = TypeVar("Answer")

ROUNDS_MAX: Final = 100
"""Replays that may end with new questions: each follows from answers, or from writes in between."""


class UnansweredError(Exception):
    """A replay met questions without an answer so far."""


def at_once(_question: Hashable, ask: Callable[[], Answer], _meanwhile: Answer) -> Answer:
    """Return the answer of ``ask``."""
    return ask()


class Asking:
    """The answers so far, and the questions that are open."""

    def __init__(self) -> None:
        self._answers: dict[Hashable, Any] = {}
        self._open: dict[Hashable, Callable[[], Any]] = {}
        self._rounds = 0

    def __call__(self, question: Hashable, ask: Callable[[], Answer], meanwhile: Answer) -> Answer:
        """Return the answer to ``question``, or ``meanwhile`` if ``ask`` is still to give it."""
        if question in self._answers:
            return self._answers[question]  # type: ignore[no-any-return] # of the same question
        self._open[question] = ask
        return meanwhile

    def refuse_open(self) -> None:
        """Refuse a replay that met open questions.

        Raises:
            UnansweredError: there are any.
        """
        if self._open:
            raise UnansweredError

    def ask(self) -> None:
        """Call the functions of the open questions, and keep their answers.

        Raises:
            UsageError: there is no end of them.
            Exception: as a function's module says.
        """
        self._rounds += 1
        if self._rounds > ROUNDS_MAX:
            raise UsageError(
                f"ask conflict policies and transforms: {ROUNDS_MAX} rounds of answers led to new questions",
                hint="nothing was pulled and every change is kept: what they do may not change rows",
            )
        while self._open:
            question, ask = next(iter(self._open.items()))
            self._answers[question] = ask()
            del self._open[question]
