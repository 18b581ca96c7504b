"""A stream of the remote: several bodies, one after another, in one transaction.

Each answer names the baton for the next body, good for one. A stream that is left without a close is rolled
back by the remote after about ten seconds.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from turso_sync_nb.errors import RemoteFailedError, SyncError
from turso_sync_nb.protocol.pipeline import Close, Execute, Stmt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from turso_sync_nb.protocol.pipeline import Request, Response, ResponseBody

_QUESTION: Final = Execute(Stmt("SELECT 1"))
"""A body that any remote can run; one that keeps streams answers it with a baton."""


class Stream:
    """A stream; ``exchange`` sends one body under a baton. Left open it blocks others for some seconds."""

    def __init__(self, exchange: Callable[[Sequence[Request], str | None], ResponseBody]) -> None:
        self._exchange = exchange
        self._baton: str | None = None

    def begin(self) -> bool:
        """Open it; return False if the remote keeps no streams.

        Raises:
            RemoteError, ProtocolError: no answer, or one that makes no sense.
        """
        self._baton = self._exchange([_QUESTION], None).baton
        return self._baton is not None

    def pipeline(self, requests: Sequence[Request]) -> list[Response]:
        """Run ``requests`` in order, as the next body, and return an answer for each; never repeated.

        Raises:
            RemoteError: no answer, or the stream is gone: what was open in it is rolled back.
            ProtocolError: the answer makes no sense, or a value cannot be sent.
        """
        if self._baton is None:
            raise RemoteFailedError(
                "go on with a stream: the remote closed it, and rolled back what was open",
                hint="push again",
            )
        baton, self._baton = self._baton, None
        answer = self._exchange(requests, baton)
        self._baton = answer.baton
        return answer.responses

    def close(self) -> None:
        """Close it, if its remote can be reached; what is open is rolled back. It may be repeated."""
        if self._baton is not None:
            with suppress(SyncError):
                self.pipeline([Close()])
            self._baton = None
