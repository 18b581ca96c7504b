"""List the outbox: changes that wait, were refused, set aside or skipped; revise it for the user."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import apsw

from turso_sync_nb.changes import conflicts as conflict_list
from turso_sync_nb.changes import images, tape
from turso_sync_nb.changes.model import RowChange, SchemaChange, is_ignored, is_shown
from turso_sync_nb.changes.names import folded
from turso_sync_nb.changes.net import net
from turso_sync_nb.changes.read_row import read_row
from turso_sync_nb.changes.tape_reader import Reader
from turso_sync_nb.changes.tape_rows import image_rows, table_schemas
from turso_sync_nb.engine import lineage
from turso_sync_nb.engine.bookkeeping import CopiedError
from turso_sync_nb.engine.databases import BUSY_TIMEOUT_MS
from turso_sync_nb.engine.depending import ForeignKeys, depending_by_row, depending_by_table
from turso_sync_nb.engine.pushed_log import CHANGES_KEPT
from turso_sync_nb.errors import ConflictError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from turso_sync_nb.changes.conflicts import Conflict
    from turso_sync_nb.changes.derived import DerivedColumns
    from turso_sync_nb.changes.model import Change, Image, State, Transaction
    from turso_sync_nb.engine.replay import Replayed
    from turso_sync_nb.engine.replica import Replica


STANDS: Final = "it stands here until a pull undoes it"
"""The reason of a skipped transaction from when it was given up until a replay left it out."""


def transactions(replica: Replica) -> list[Transaction]:
    """Return the transactions that are not on the remote, tables that are never pushed left out."""
    found = []
    for one in transactions_as_made(replica):
        pushed = tuple(change for change in one.changes if is_shown(change))
        if pushed:
            found.append(one.changed(changes=pushed))
    return found


def to_send(replica: Replica) -> list[Change]:
    """Return what a push would send, several changes of a row as one."""
    return net(change for one in transactions(replica) if one.state == "pending" for change in one.changes)


def not_here_yet(replica: Replica, changes: Iterable[Change]) -> list[Change]:
    """Return those of ``changes`` that would change this replica, with the old values that are here now.

    A change with no effect is left out: it was pushed from here, or the same was done here.
    """
    with replica.databases.reading() as raw:
        rows: list[Any] = raw.execute("SELECT name, sql FROM sqlite_schema").fetchall()
        objects: dict[str, str] = dict(rows)
        return [seen for change in changes if (seen := _seen(raw, objects, change))]


def _seen(raw: apsw.Connection, objects: dict[str, str], change: Change) -> Change | None:
    if isinstance(change, SchemaChange):
        done = objects.get(change.name) == (None if change.kind == "drop" else change.sql)
        return None if done else change
    if change.outcome != "changed":
        return None
    image = change.new if change.old is None else change.old
    if image is None or not images.usable_key(change.shape, image):
        return change
    try:
        there = read_row(raw, change.shape, image)
    except apsw.SQLError:  # the table, or a column of it, is not here
        return change
    if change.new is None:
        return None if there is None else change.changed(old=there)
    return change if there is None else _seen_update(change, there, change.new)


def _seen_update(change: RowChange, there: Any, new: Image) -> RowChange | None:
    """Return the change as an update of the row that is ``there``, in the columns that it sets."""
    names = change.shape.columns
    moved = names if change.old is None else images.differing(change.shape, change.old, new)
    old = tuple(was if name in moved else now for name, was, now in zip(names, there, new, strict=True))
    return change.changed(op="update", old=old) if images.differing(change.shape, old, new) else None


def pending(replica: Replica) -> int:
    """Return how many changes a push would send."""
    with replica.databases.reading() as raw:
        return tape.count(raw) if tape.exists(raw) else 0


def conflicts(replica: Replica) -> list[Conflict]:
    """Return the conflicts that were seen, the oldest first."""
    with replica.databases.reading() as raw:
        return list(conflict_list.recorded(raw))


def waiting(replica: Replica) -> list[Transaction]:
    """Return what a push sends: pending transactions, except those of ignored tables alone."""
    return sent_of(transactions_as_made(replica))


def sent_of(everything: Iterable[Transaction]) -> list[Transaction]:
    """Return the transactions of ``everything`` that a push sends."""
    return [one for one in everything if one.state == "pending" and _is_sent(one)]


def applied_of(everything: Iterable[Transaction]) -> list[Transaction]:
    """Return the transactions of ``everything`` that are applied here."""
    return [one for one in everything if one.state in ("pending", "refused")]


def refused(replica: Replica) -> list[Transaction]:
    """Return the transactions that the remote would not take."""
    with replica.databases.reading() as raw:
        if not tape.is_any_refused(raw):
            return []
        return [one for one in tape.transactions(raw) if one.state == "refused"]


def transactions_as_made(replica: Replica, *, lazily: bool = False) -> list[Transaction]:
    """Return every transaction on the tape, whole.

    ``lazily``: changes of large ones are read each time they are needed, as long as they are on the tape.
    """
    with replica.databases.reading() as raw:
        if not tape.exists(raw):
            return []
        opened = replica.databases.reading if lazily else None
        return list(tape.transactions(raw, held_max=CHANGES_KEPT, opened=opened))


def _is_sent(transaction: Transaction) -> bool:
    return not all(map(is_ignored, transaction.changes))


def take_up_refused(replica: Replica) -> None:
    """Make refused transactions pending again; the caller knows what the remote has acknowledged."""
    for one in refused(replica):
        make_pending(replica, one.number)


def depending_on_refused(replica: Replica) -> dict[int, int]:
    """Return the pending transactions that depend on a refused one, each with that one."""
    with replica.databases.reading() as raw:
        if not tape.is_any_refused(raw):
            return {}
        everything = list(tape.transactions(raw))
        numbers = {one.number for one in everything if one.state == "refused"}
        return depending_by_row(ForeignKeys(raw), everything, numbers)


def hold_back(replica: Replica) -> int:
    """Hold the transactions that depend on refused ones; return their number.

    The caller knows what the remote has acknowledged: what is not pending is not removed from the tape later.
    """
    held = depending_on_refused(replica)
    hold(replica, held, "which was refused")
    return len(held)


def hold(replica: Replica, held: dict[int, int], because: str) -> None:
    """Hold transactions, each with the one that it depends on; the caller knows what is acknowledged."""
    for number, needed in held.items():
        set_state(replica, number, "refused", f"it goes on from what transaction {needed} did, {because}")


def depending_on_applied_skips(replica: Replica, everything: list[Transaction]) -> dict[int, int]:
    """Return pending transactions that depend on a skipped one still applied here, each with that one."""
    standing = {one.number for one in everything if one.state == "skipped" and one.reason == STANDS}
    if not standing:
        return {}
    with replica.databases.reading() as raw:
        return depending_by_row(ForeignKeys(raw), everything, standing)


def set_state(replica: Replica, number: int, state: State, reason: str = "") -> None:
    """Put the transaction ``number`` into ``state``."""
    with changing(replica) as raw:
        tape.set_state(raw, number, state, reason)


def give_up(replica: Replica, number: int) -> None:
    """Skip the transaction ``number``; the replay that follows undoes it here."""
    set_state(replica, number, "skipped", STANDS)


def make_pending(replica: Replica, number: int) -> None:
    """Make the transaction ``number`` pending.

    If what was acknowledged is past it, it comes after all others, and what may go on from it after it.
    """
    with changing(replica) as raw:
        everything = list(tape.transactions(raw))
        one = next(each for each in everything if each.number == number)
        if one.last_id > tape.acknowledged(raw):
            tape.set_state(raw, number, "pending")
            return
        following = depending_by_table(ForeignKeys(raw), everything, one)
        moved = [one.changed(state="pending", reason=""), *following]
        _note_former(replica, moved)
        numbers = {each.number for each in moved}
        kept = [each for each in everything if each.number not in numbers]
        replica.capture_ids.renewed |= _write(raw, kept, renewed=moved)


def _note_former(replica: Replica, moved: Iterable[Transaction]) -> None:
    """Save the present ids of transactions that are about to get new ones: copies know them by these."""
    borders = ((each.number, each.last_id) for each in moved)
    replica.save(former_borders=(*replica.metadata.former_borders, *borders))


def edit(replica: Replica, change_id: int, new: dict[str, Any]) -> None:
    """Put ``new`` values into what the change ``change_id`` writes.

    Raises:
        UsageError: there is no such change or column, or it writes nothing.
    """
    with changing(replica) as raw:
        everything = list(tape.transactions(raw)) if tape.exists(raw) else []
        change_id = _id_now(replica, everything, change_id)
        for at, one in enumerate(everything):
            for position, change in enumerate(one.changes):
                if change.id == change_id and isinstance(change, RowChange):
                    edited = _edited(change, new)
                    followed = _following(change, edited)
                    later = [followed(each) for each in one.changes[position + 1 :]]
                    everything[at] = one.changed(changes=(*one.changes[:position], edited, *later))
                    for behind, other in enumerate(everything[at + 1 :], at + 1):
                        everything[behind] = other.changed(changes=tuple(map(followed, other.changes)))
                    _write_edited(replica, raw, everything, at)
                    return
        raise UsageError(f"edit change {change_id}: no such change of a row waits", hint="see db.changes()")


def _id_now(replica: Replica, everything: list[Transaction], change_id: int) -> int:
    """Return the present id of a change that was listed as ``change_id``, perhaps before it got another."""
    renewed, listed = replica.capture_ids.renewed, {change.id for one in everything for change in one.changes}
    while change_id not in listed and change_id in renewed:
        change_id = renewed[change_id]
    return change_id


def _write_edited(replica: Replica, raw: apsw.Connection, everything: list[Transaction], at: int) -> None:
    """Rewrite the tape; the transaction at ``at`` and all later ones get ids that no copy has sent."""
    (one, *following) = everything[at:]
    metadata, number = replica.metadata, one.number
    own = [each for each in metadata.former_borders if each[0] == number]
    replica.save(
        former_borders=tuple(each for each in metadata.former_borders if each[0] != number),
        edited_borders=(*metadata.edited_borders, *own, (number, one.last_id)),
    )
    _note_former(replica, following)
    replica.capture_ids.renewed |= _write(raw, everything[:at], renewed=(one, *following))


def _edited(change: RowChange, new: dict[str, Any]) -> RowChange:
    columns = {folded(name): at for at, name in enumerate(change.shape.columns)}
    unknown = [name for name in new if folded(name) not in columns]
    if change.new is None or change.outcome != "changed" or unknown or not new:
        writes_nothing = change.new is None or change.outcome != "changed"
        what = (
            f"{change.shape.table} has no column {unknown[0]!r}"
            if unknown and not writes_nothing
            else "it writes nothing to edit"
        )
        raise UsageError(
            f"edit change {change.id}: {what}", hint="name columns: edit_change(17, email='a@b.c')"
        )
    image = list(change.new)
    for name, value in new.items():
        image[columns[folded(name)]] = value
    return change.changed(new=tuple(image))


def _following(change: RowChange, edited: RowChange) -> Callable[[Change], Change]:
    """Return a function that adapts each later change, called in order, to the row as it was ``edited``."""
    was, now = change.new, edited.new
    table, columns = folded(change.shape.table), change.shape.columns

    def followed(later: Change) -> Change:
        nonlocal was, now
        if was is None or now is None or not isinstance(later, RowChange) or later.old != was:
            return later
        if folded(later.shape.table) != table or later.shape.columns != columns:
            return later
        new = later.new and tuple(
            value if value != before else after
            for before, value, after in zip(was, later.new, now, strict=True)
        )
        done = later.changed(old=now, new=new)
        was, now = later.new, new
        return done

    return followed


def _write(
    raw: apsw.Connection, everything: list[Transaction], renewed: Iterable[Transaction] = ()
) -> dict[int, int]:
    """Rewrite the tape; ``renewed`` transactions come last under new ids, which are returned by former id."""
    floor, last = tape.acknowledged(raw), tape.last_id(raw)
    new_ids: dict[int, int] = {}
    for one in renewed:
        changes = tuple(change.changed(id=last + 2 * at) for at, change in enumerate(one.changes, 2))
        new_ids |= {former.id: change.id for former, change in zip(one.changes, changes, strict=True)}
        last = changes[-1].id
        everything.append(one.changed(changes=changes, last_id=last))
    derived = _made_by_triggers(raw)
    tape.clear(raw)
    tape.write(raw, everything, floor, derived)
    tape.jump(raw, last)
    return new_ids


def _made_by_triggers(raw: apsw.Connection) -> DerivedColumns:
    """Return the columns that triggers filled, as the whole tape tells."""
    reader = Reader(table_schemas(raw))
    deque(reader.transactions(image_rows(raw)), maxlen=0)
    return reader.derived


def revised(
    replica: Replica,
    number: int | None,
    revise: Callable[[], None],
    *,
    find_out: Callable[[Replica], None],
    rebase: Callable[[int | None], Replayed],
) -> None:
    """Do ``revise`` and then ``rebase``; when that fails the tape is as it was.

    ``rebase`` is given the number of the transaction that is undone here, if one is.

    What was sent since the last pull may be on the remote, whatever was heard of it: that is found out first.
    What was given up stays so when another transaction conflicts: that one can be given up next.

    Raises:
        UsageError: there is no transaction ``number``, or it is on the remote.
        ConflictError: the transaction cannot be done on the present state.
        RemoteError: something was sent since the last pull, and the remote does not answer now.
    """
    with replica.verb():
        if replica.metadata.pushed_since_pull:
            try:
                find_out(replica)
            except CopiedError:
                try:
                    rebase(None)
                except ConflictError:
                    if not _was_never_pushed(replica, number):
                        raise  # it may be on the remote; else it may be just what is in the way
        with replica.databases.reading() as raw:
            before = list(tape.transactions(raw)) if tape.exists(raw) else []
        states = {one.number: one.state for one in before}
        if number is not None and number not in states:
            raise UsageError(
                f"find transaction {number}: no such one waits",
                hint="what reached the remote is undone by another change; see db.changes()",
            )
        revise()
        try:
            replayed = rebase(number if states.get(number or 0) in ("pending", "refused") else None)
        except BaseException as error:
            if isinstance(error, ConflictError) and _is_given_up(replica, number):
                raise ConflictError(
                    f"skip transaction {number}: it is not sent, a pull undoes it here; first: {error}",
                    hint=error.hint,
                ) from error
            with changing(replica) as raw:
                _write(raw, before)
            raise
        for one in replayed.transactions:
            if one.number == number and one.state == "aside":
                raise ConflictError(f"retry transaction {number}: {one.reason}", hint="see db.changes()")


def _was_never_pushed(replica: Replica, number: int | None) -> bool:
    """Return whether it is certain that no copy of this replica pushed the transaction ``number``."""
    pushed = lineage.read_remote(replica.need_remote(), replica.metadata)
    found = [one for one in transactions_as_made(replica) if one.number == number]
    return bool(found) and all(pushed.knows(one) and not pushed.has(one) for one in found)


def _is_given_up(replica: Replica, number: int | None) -> bool:
    return any(one.number == number and one.state == "skipped" for one in transactions_as_made(replica))


@contextmanager
def database(replica: Replica) -> Iterator[apsw.Connection]:
    """Give a connection of our own, past the capture."""
    raw = replica.databases.open()
    try:
        yield raw
    finally:
        replica.databases.close(raw)


@contextmanager
def changing(replica: Replica) -> Iterator[apsw.Connection]:
    """Give such a connection, in a transaction that ends with the block."""
    with database(replica) as raw, replica.write_turns.turn(BUSY_TIMEOUT_MS / 1000):
        replica.capture_ids.begin(raw)
        with raw:
            yield raw
