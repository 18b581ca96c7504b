"""Resume the history of the run before, and switch WAL mode on and off.

Rules of this file: a history is continued only on proof; a wrong guess would hand out wrong pages
for ever, a missed one costs each replica one whole fetch.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import apsw

from turso_sync_nb.server.undo_log import State
from turso_sync_nb.units import PageId

if TYPE_CHECKING:
    from turso_sync_nb.server.served_file import FileMark, ServedFile
    from turso_sync_nb.server.undo_log import UndoLog
    from turso_sync_nb.server.wal import Tip

_LOG = logging.getLogger(__name__)
_EPOCH_BYTES: Final = 6
"""Random bytes of a history's name: two servers do not take the same one."""

_NAME_BYTES: Final = 16
"""Of a database's random name: no two are alike."""
_CHANGE_COUNTER: Final = slice(24, 28)


def continues(state: State, mark: FileMark, tip: Tip, checksum: bytes) -> bool:
    """Return whether the files on disk hold the recorded state, or it and newer commits in the WAL.

    Args:
        state: What was recorded.
        mark: The database file now.
        tip: The WAL now.
        checksum: The checksum of the recorded last frame as the WAL has it now.

    If frames follow the recorded one, the database file must be untouched: another program may have
    moved some of them in, and then what they replaced is lost.
    """
    if mark.inode != state.mark.inode:
        return False
    if state.frames > 0 and tip.salts == state.salts:
        if tip.frames < state.frames or checksum != state.checksum:
            return False
        return tip.frames == state.frames or mark.proves(state.mark)
    return state.settled and mark.proves(state.mark)


def begin_state(before: State | None, file: ServedFile, tip: Tip, end: tuple[int, bytes]) -> State:
    """Return the first state of a new history; ``end`` is size in pages and checksum of the last frame."""
    mark = file.mark()
    was_ours = before is not None and before.restore_rollback and before.mark.inode == mark.inode
    return State(
        epoch=secrets.token_hex(_EPOCH_BYTES),
        revision=1,
        db_pages=end[0],
        salts=tip.salts,
        frames=tip.frames,
        checksum=end[1],
        settled=tip.frames == 0,
        mark=mark,
        restore_rollback=file.was_rollback or was_ours,
    )


def identify(undo: UndoLog, file: ServedFile, *, is_continued: bool) -> str:
    """Return the database's name, which replicas remember: the one it had if it is provably the same.

    Without a history that continues, it is so if its file bears the name: one that was edited in place does,
    one that was made again does not.
    """
    known = undo.name()
    name = known if known and (is_continued or file.name_tag() == known) else secrets.token_hex(_NAME_BYTES)
    if name != known:
        undo.give_name(name)
    file.tag(name)
    return name


def return_to_wal_mode(file: ServedFile, undo: UndoLog, connection: apsw.Connection) -> None:
    """Put the database into WAL mode, and record what that changes if the last stop left it.

    Raises:
        UsageError: it cannot be put into WAL mode.
    """
    state = undo.state
    left_by_us = state is not None and state.page_zero is not None and file.mark().proves(state.mark)
    counter = _change_counter(file) if left_by_us else 0
    file.enter_wal_mode(connection)
    if state is None or state.page_zero is None or not left_by_us:
        return
    file.wait_for_mark()
    mark = file.mark()
    if _change_counter(file) == counter + 1:  # else somebody wrote in between
        newest = replace(state, revision=state.revision + 1, mark=mark, page_zero=None)
        undo.save({PageId(0): state.page_zero}, state.revision)
        undo.add_revision(newest)


def leave_wal_mode(file: ServedFile, undo: UndoLog, connection: apsw.Connection, page_zero: bytes) -> None:
    """Put the database back into rollback-journal mode, keeping ``page_zero`` as it is served.

    ``connection`` must be the only one. If another program has the database open it stays in WAL mode.
    """
    counter = _change_counter(file)
    try:
        connection.pragma("journal_mode", "delete")
    except apsw.BusyError:
        _LOG.warning("leave WAL mode of %s: another program has it open", file.path)
        return
    file.wait_for_mark()
    mark = file.mark()
    state = undo.state
    if state is not None and _change_counter(file) == counter + 1:  # else somebody wrote in between
        undo.update_state(replace(state, mark=mark, salts=b"", frames=0, checksum=b"", page_zero=page_zero))


def _change_counter(file: ServedFile) -> int:
    return int.from_bytes(file.pages(0, 1)[_CHANGE_COUNTER], "big")
