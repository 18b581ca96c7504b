"""A connection whose every verb is awaited, as ``turso.aio.sync`` of Turso's Python package has it.

    from turso_sync_nb import aio

    async with aio.connect("flights.db", "http://127.0.0.1:8080") as db:
        cursor = await db.execute("SELECT count(*) FROM flights")
        await cursor.fetchone()
        await db.push()

Verbs run one after another on a thread of the connection's own, in the order in which they were called, and
so do settings: one that is set between two verbs holds from the second one on.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeAlias, TypeVar, cast

from turso_sync_nb.api import connect as connect_now
from turso_sync_nb.errors import ProgrammingError
from turso_sync_nb.options import (
    PartialSyncOpts,
    PartialSyncPrefixBootstrap,
    PartialSyncQueryBootstrap,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Generator, Iterable

    from turso_sync_nb.connection.batches import BatchResult, Statement
    from turso_sync_nb.connection.cursor import Cursor as BlockingCursor
    from turso_sync_nb.connection.facts import Description
    from turso_sync_nb.connection.parameters import Parameters
    from turso_sync_nb.engine.reports import CheckpointReport, PullReport, PushReport, Stats
    from turso_sync_nb.public_connection import Connection
    from turso_sync_nb.remote.address import Text

    CursorFactory: TypeAlias = Callable[[Connection], BlockingCursor]

__all__ = [
    "ConnectionSync",
    "PartialSyncOpts",
    "PartialSyncPrefixBootstrap",
    "PartialSyncQueryBootstrap",
    "connect",
]

_P = ParamSpec("_P")
_R = TypeVar("_R")

_SETTINGS = ("isolation_level", "row_factory", "text_factory", "autocommit")


def connect(path: str | os.PathLike[str], remote_url: Text = None, **options: Any) -> ConnectionSync:
    """Return a connection to await, or to enter with ``async with``, which closes it at the end.

    Arguments are those of :func:`turso_sync_nb.connect`, which runs in another thread.
    """
    return ConnectionSync(partial(connect_now, path, remote_url, **options))


class ConnectionSync:
    """A connection to a replica whose verbs are awaited; ``blocking`` is the plain one, once it is open."""

    def __init__(self, open_now: Callable[[], Connection]) -> None:
        self.blocking: Connection | None = None
        self._open_now = open_now
        self._opening: asyncio.Future[Connection] | None = None
        self._closed = False
        self._set_before: dict[str, Any] = {}

    def _check_open(self) -> None:
        if self._closed:
            raise ProgrammingError("use connection: it is closed")

    async def _opened(self) -> Connection:
        if self._opening is None:
            self._check_open()
            self._opening = asyncio.ensure_future(asyncio.to_thread(self._open_now))
        opened = await asyncio.shield(self._opening)
        if self.blocking is None:
            self.blocking = opened
            for name, value in self._set_before.items():
                setattr(opened, name, value)
        return opened

    def __await__(self) -> Generator[Any, None, Self]:
        yield from self._opened().__await__()
        return self

    async def __aenter__(self) -> Self:
        return await self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def do(self, verb: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Run ``verb`` on the connection's thread, after what was called before."""
        opened = await self._opened()
        return await opened.aio.do(verb, *args, **kwargs)

    async def _verb(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return await self.do(getattr(await self._opened(), name), *args, **kwargs)

    def cursor(self, factory: CursorFactory | None = None) -> Cursor:
        """Return a new cursor; ``factory`` makes the plain one behind it from the plain connection."""
        self._check_open()
        return Cursor(self, factory)

    async def execute(self, sql: str, parameters: Parameters = ()) -> Cursor:
        """Run one statement on a new cursor and return it."""
        return await self.cursor().execute(sql, parameters)

    async def executemany(self, sql: str, parameters: Iterable[Parameters]) -> Cursor:
        """Run one changing statement many times on a new cursor and return it."""
        return await self.cursor().executemany(sql, parameters)

    async def executescript(self, sql_script: str) -> Cursor:
        """Commit, then run any number of statements; their rows are dropped."""
        return await self.cursor().executescript(sql_script)

    async def batch(self, statements: Iterable[Statement], mode: str | None = None) -> list[BatchResult]:
        """Run several statements; see :meth:`turso_sync_nb.Connection.batch`."""
        return cast("list[BatchResult]", await self._verb("batch", list(statements), mode))

    async def commit(self) -> None:
        """Commit the open transaction."""
        await self._verb("commit")

    async def rollback(self) -> None:
        """Roll the open transaction back."""
        await self._verb("rollback")

    async def pull(self) -> PullReport:
        """Bring what is new on the remote."""
        return cast("PullReport", await self._verb("pull"))

    async def push(self) -> PushReport:
        """Send the changes made here."""
        return cast("PushReport", await self._verb("push"))

    async def checkpoint(self) -> CheckpointReport:
        """Move the log into the database file."""
        return cast("CheckpointReport", await self._verb("checkpoint"))

    async def stats(self) -> Stats:
        """Return the replica's figures."""
        return cast("Stats", await self._verb("stats"))

    async def close(self) -> None:
        """Close the connection after what was called before; may be repeated."""
        self._closed = True
        if self._opening is None:
            return
        opened = await self._opened()
        if not opened.closed:
            await self.do(lambda: None)
            await asyncio.to_thread(opened.close)

    def __getattr__(self, name: str) -> Any:
        if name not in _SETTINGS:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        blocking = self.__dict__.get("blocking")
        return getattr(blocking, name) if blocking else self._set_before.get(name)

    def __setattr__(self, name: str, value: Any) -> None:
        blocking = self.__dict__.get("blocking")
        if name not in _SETTINGS:
            super().__setattr__(name, value)
            return
        self._check_open()
        if blocking is None:
            self._set_before[name] = value
        else:
            setattr(blocking, name, value)


class Cursor:
    """A cursor whose verbs are awaited."""

    def __init__(self, connection: ConnectionSync, factory: CursorFactory | None = None) -> None:
        self.connection = connection
        self._factory = factory
        self.arraysize = 1
        self._blocking: BlockingCursor | None = None
        self._closed = False

    async def _made(self) -> BlockingCursor:
        if self._closed:
            raise ProgrammingError("use cursor: it is closed")
        if self._blocking is None:
            opened = await self.connection
            blocking = cast("Connection", opened.blocking)
            self._blocking = await opened.do(partial(self._factory or type(blocking).cursor, blocking))
        return self._blocking

    async def execute(self, sql: str, parameters: Parameters = ()) -> Self:
        """Run one statement."""
        await self.connection.do((await self._made()).execute, sql, parameters)
        return self

    async def executemany(self, sql: str, parameters: Iterable[Parameters]) -> Self:
        """Run one changing statement once for each item of ``parameters``."""
        await self.connection.do((await self._made()).executemany, sql, parameters)
        return self

    async def executescript(self, sql_script: str) -> Self:
        """Commit, then run any number of statements; their rows are dropped."""
        await self.connection.do((await self._made()).executescript, sql_script)
        return self

    async def fetchone(self) -> Any:
        """Return the next row, or ``None`` when there is none."""
        return await self.connection.do((await self._made()).fetchone)

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return up to ``size`` rows (default ``arraysize``)."""
        wanted = self.arraysize if size is None else size
        return await self.connection.do((await self._made()).fetchmany, wanted)

    async def fetchall(self) -> list[Any]:
        """Return all rows that are left."""
        return await self.connection.do((await self._made()).fetchall)

    async def close(self) -> None:
        """Close the cursor; may be repeated."""
        if self._blocking is not None and not self._closed:
            await self.connection.do(self._blocking.close)
        self._closed = True

    @property
    def description(self) -> Description | None:
        """The columns of the last statement's rows."""
        return self._blocking.description if self._blocking else None

    @property
    def lastrowid(self) -> int | None:
        """As a plain cursor has it."""
        return self._blocking.lastrowid if self._blocking else None

    @property
    def rowcount(self) -> int:
        """As a plain cursor has it."""
        return self._blocking.rowcount if self._blocking else -1

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
