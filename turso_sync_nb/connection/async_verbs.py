"""Offer a connection's verbs as coroutines: ``frame = await db.aio.query(sql)``.

Each runs on the connection's own thread, one after another in the order they were called, while the event
loop goes on: widgets answer, other cells' tasks move. No event loop is started. A task that is cancelled (the
stop button does that) stops what it waits for.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from turso_sync_nb.engine.verbs import busy_with_function

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from turso_sync_nb.connection.cursor import Cursor
    from turso_sync_nb.connection.frame_editing import EditReport
    from turso_sync_nb.connection.parameters import Parameters
    from turso_sync_nb.connection.results import QueryResult
    from turso_sync_nb.connection.syncing import SyncConnection
    from turso_sync_nb.connection.writing import Mode
    from turso_sync_nb.engine.reports import CheckpointReport, PullReport, PushReport

STOPPED_WITHIN_S: Final = 0.4
"""Seconds that a cancelled task waits for its verb to stop; a connection that is being made outlasts it."""

AWAKE_S: Final = 0.1
"""Seconds between wake-ups of the event loop: a kernel's stop cancels a task without waking its loop."""

ASKED_AGAIN_S: Final = 0.05
"""Seconds between two interrupts of a cancelled verb, which may be between two things that can be stopped."""

_P = ParamSpec("_P")
_R = TypeVar("_R")


class AsyncVerbs:
    """The verbs; made by a connection. Arguments, results and errors are those of the plain ones."""

    def __init__(self, db: SyncConnection) -> None:
        self._db = db
        self._session = db._session  # noqa: SLF001 - one unit with its connection
        self._verbs = db._replica.verbs  # noqa: SLF001 - one unit with its connection
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="turso-sync-nb await")
        self._running = threading.Lock()

    async def query(self, sql: str, parameters: Parameters | None = None) -> pd.DataFrame:
        """Run ``sql`` and return its rows as a DataFrame."""
        return await self.do(self._db.query, sql, parameters)

    async def run(
        self, sql: str, parameters: Parameters | None = None, *, timeout_s: float | None = None
    ) -> QueryResult:
        """Run any number of statements, no transaction opened unasked."""
        return await self.do(self._db.run, sql, parameters, timeout_s=timeout_s)

    async def execute(self, sql: str, parameters: Parameters = ()) -> Cursor:
        """Run one statement; rows are to be fetched from its cursor when nothing else is awaited."""
        return await self.do(self._db.execute, sql, parameters)

    async def write_frame(
        self,
        frame: pd.DataFrame,
        table: str,
        mode: Mode = "append",
        *,
        key: str | Sequence[str] | None = None,
    ) -> int:
        """Write the rows of ``frame`` into ``table``; all of them or none."""
        return await self.do(self._db.write_frame, frame, table, mode, key=key)

    async def apply(self, frame: pd.DataFrame, *, delete: bool = False) -> EditReport:
        """Write what was changed in ``frame`` since ``edit_frame``; ``delete`` the rows that it lacks."""
        return await self.do(self._db.apply, frame, delete=delete)

    async def pull(self, *, same_database: bool = False) -> PullReport:
        """Bring what is new on the remote."""
        return await self.do(self._db.pull, same_database=same_database)

    async def push(self, *, skip_refused: bool = False) -> PushReport:
        """Send the changes made here; one that was cancelled is found out about by the next."""
        return await self.do(self._db.push, skip_refused=skip_refused)

    async def sync(self) -> tuple[PushReport, PullReport]:
        """Push, then pull."""
        return await self.do(self._db.sync)

    async def checkpoint(self) -> CheckpointReport:
        """Move the log into the database file."""
        return await self.do(self._db.checkpoint)

    async def do(self, verb: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Run ``verb`` on the connection's thread, after what was called before; stop it when cancelled."""
        if self._session.closed:
            self._session.check_open()
        token = object()
        self._session.awaited.add(token)
        context = copy_context()

        def work() -> _R:
            return context.run(self._run, token, lambda: verb(*args, **kwargs))

        job = self._executor.submit(work)
        future = asyncio.wrap_future(job)
        try:
            while not (await asyncio.wait([future], timeout=AWAKE_S))[0]:
                self._refuse_if_waited_for(job, token)
            return future.result()
        except asyncio.CancelledError:
            if job.cancel():
                self._session.awaited.discard(token)
            else:
                await self._stopped(future)
            raise

    def _refuse_if_waited_for(self, job: Future[Any], token: object) -> None:
        """Cancel a verb that has not begun if a function of the running verb may be waiting for it.

        Raises:
            ReplicaBusyError: it was cancelled.
        """
        if self._verbs.waits_for_function and job.cancel():
            self._session.awaited.discard(token)
            raise busy_with_function()

    async def _stopped(self, future: asyncio.Future[Any]) -> None:
        """Interrupt the verb until it stops, more than once: it may be between two interruptible calls."""
        for _ in range(int(STOPPED_WITHIN_S / ASKED_AGAIN_S)):
            self._session.interrupt()
            if (await asyncio.wait([future], timeout=ASKED_AGAIN_S))[0]:
                break
        future.add_done_callback(lambda done: done.cancelled() or done.exception())  # it was heard of

    def _run(self, token: object, verb: Callable[[], _R]) -> _R:
        self._session.awaiting_thread = threading.get_ident()
        with self._running:
            try:
                return verb()
            finally:
                self._session.awaited.discard(token)

    def close(self) -> None:
        """Stop what is running, forget what is not, and end the thread."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        while not self._running.acquire(timeout=ASKED_AGAIN_S):
            self._session.interrupt()
        self._session.awaited.clear()
