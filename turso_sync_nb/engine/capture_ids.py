"""Assign ids to transactions and changes that no copy of the replica assigns too.

A restored or copied replica begins in another block of ids than its original, so the remote's bookkeeping
tells the two apart.
"""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Protocol

from turso_sync_nb.changes import conflicts, tape
from turso_sync_nb.storage.format.wal_frames import log_salts

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    import apsw

    from turso_sync_nb.engine.pushed_log import PushedLog


class SaveMetadata(Protocol):
    """The metadata's keeper."""

    def __call__(self, **changes: Any) -> None:
        """Change fields of the metadata, durably."""


class CaptureIds:
    """One for each open replica; safe for threads. ``wal`` is its log."""

    def __init__(self, wal: Path, pushed_log: PushedLog, save: SaveMetadata) -> None:
        self.has_begun = False
        """Whether :meth:`begin` has nothing to do: the log in use is known to the metadata."""
        self.own_ids_from: int | None = None
        """The id above which every change was made by this process; None: it made none yet."""
        self.renewed: dict[int, int] = {}
        """New ids of changes that this process renewed, by those under which they were listed."""
        self._wal = wal
        self._pushed_log = pushed_log
        self._save = save
        self._lock = threading.RLock()
        self._transactions = itertools.count(1)

    def next_transaction(self) -> int:
        """Return a number for a transaction, of which no other is in use."""
        return next(self._transactions)

    def begin(self, raw: apsw.Connection) -> None:
        """Make the tape if there is none, and its next id one of a block of this process, once.

        Done on ``raw``, which has no transaction. Before the first change the metadata know which log it will
        be in.
        """
        with self._lock:  # not the verbs': one may wait for the statement that asks for this
            if self.has_begun:
                return
            self._save(writing=True)
            raw.execute("BEGIN IMMEDIATE")
            try:
                tape.create(raw)
                used = max(
                    tape.last_transaction(raw), conflicts.last_transaction(raw), next(self._transactions)
                )
                self._transactions = itertools.count(used + 1)
                self._pushed_log.begins(used + 1)
                if self.own_ids_from is None:
                    tape.begin_block(raw)
                    self.own_ids_from = tape.last_id(raw)
                raw.execute("COMMIT")
            except BaseException:
                if raw.in_transaction:
                    raw.execute("ROLLBACK")
                raise
            self._save(log=log_salts(self._wal), waiting_id=tape.last_id(raw))
            self.has_begun = True
