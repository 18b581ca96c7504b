"""Hold a read transaction open, so that recorded revisions stay readable.

While it stands SQLite may not start the WAL anew over frames that it sees, nor move frames into the
database file that are newer than it: old content of a page that changes can still be read then.

Rules of this file: the anchor never lets go before its successor holds.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

    import apsw

    from turso_sync_nb.server.served_file import ServedFile


class Anchor:
    """A standing read transaction on two connections that take turns; close it, or use ``with``.

    It is not safe to use from two threads at once.
    """

    def __init__(self, file: ServedFile) -> None:
        self._held = file.connect()
        try:
            self._spare = file.connect()
            _begin(self._held)
        except BaseException:
            self._held.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go; may be repeated."""
        self._held.close()
        self._spare.close()

    @contextlib.contextmanager
    def moving(self) -> Iterator[None]:
        """Stand on the newest committed state from here on, and on the old one too until the end.

        Inside, record what was committed up to now: once the old state is let go, other programs may
        overwrite in the database file what the frames in between replace. If that fails the anchor
        stays where it was.
        """
        _begin(self._spare)
        try:
            yield
        except BaseException:
            self._spare.execute("ROLLBACK")
            raise
        self._held.execute("ROLLBACK")
        self._held, self._spare = self._spare, self._held

    def db_pages(self) -> int:
        """Return the size of the database in the state that the anchor holds."""
        return int(self._held.pragma("page_count"))


def _begin(connection: apsw.Connection) -> None:
    connection.execute("BEGIN")
    # reads the file's header and no schema, so it works on a database whose schema SQLite refuses
    connection.pragma("user_version")
