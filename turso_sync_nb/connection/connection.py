"""Connection without widgets: the last of a chain in which each class knows the one before it.

``sql`` runs statements, ``functions`` extends SQL, ``fetching`` fetches ahead, ``drop_in`` has the names of
other packages, ``frame_verbs`` gives and takes frames, ``syncing`` pulls and pushes. Here are the rest: its
siblings, and its verbs to await.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, TypeVar

from turso_sync_nb.connection.sql_errors import mapped_sql_errors
from turso_sync_nb.connection.syncing import SyncConnection, SyncOptions
from turso_sync_nb.engine.opening import open_pinned
from turso_sync_nb.storage.files.signals import defer_sigint

if TYPE_CHECKING:
    from turso_sync_nb.connection.async_verbs import AsyncVerbs
    from turso_sync_nb.engine.remote import Remote
    from turso_sync_nb.engine.replica import Replica

_Kind = TypeVar("_Kind", bound="Connection")


class Connection(SyncConnection):
    """A connection without widgets; see :class:`turso_sync_nb.Connection`, its public form."""

    def __init__(
        self,
        replica: Replica,
        isolation_level: str | None = "DEFERRED",
        options: SyncOptions | None = None,
    ) -> None:
        self._async_verbs: AsyncVerbs | None = None
        super().__init__(replica, isolation_level, options)

    def sibling(self) -> Self:
        """Return a further connection to the same replica, for another thread; options are this one's.

        It may be called in any thread. Each is closed by itself, the last one closes the replica.

        Raises:
            ProgrammingError: this connection is closed.
        """
        if self._session.closed:
            self._session.refuse_closed()
        self._replica.retain()
        try:
            made = type(self)(self._replica, self.isolation_level, self._options)
            made.parse_dates = self.parse_dates
            return made  # noqa: TRY300 - the reference is given back where anything before fails
        except BaseException:
            self._replica.release()
            raise

    def at(self, revision: str) -> Self:
        """Return a further connection, which reads the remote as it was at ``revision``; close it by itself.

        It reads lazily and does not write; see :func:`turso_sync_nb.connect_at`.

        Raises:
            RevisionGoneError: the remote does not hold that revision.
            RemoteError, ProtocolError: the remote did not answer, or not as the protocol says.
        """
        self._session.check_open()
        return connect_pinned(type(self), self._replica.need_remote().beside(), revision)

    @property
    def aio(self) -> AsyncVerbs:
        """The verbs to ``await``: ``frame = await db.aio.query(sql)``; widgets answer meanwhile."""
        if self._async_verbs is None:
            from turso_sync_nb.connection.async_verbs import AsyncVerbs  # and asyncio

            self._async_verbs = AsyncVerbs(self)
        return self._async_verbs

    def close(self) -> None:
        """Roll back what is open and let go of the replica; may be repeated, also when it failed."""
        if self.closed:
            return
        with defer_sigint():
            if self._async_verbs is not None:
                self._async_verbs.close()
            super().close()


def connect_pinned(kind: type[_Kind], remote: Remote, revision: str) -> _Kind:
    """Return a connection of the class ``kind`` that reads ``remote`` at ``revision``.

    Raises:
        RevisionGoneError: the remote does not hold that revision.
        RemoteError, ProtocolError: the remote did not answer, or not as the protocol says.
    """
    with mapped_sql_errors():
        replica = open_pinned(remote, revision)
    try:
        return kind(replica, None)
    except BaseException:
        replica.release()
        raise
