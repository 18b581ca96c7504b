"""Turn a batch's changes into statements, send them, and tell which failed; ``to_sql`` writes the text."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.changes import images, to_sql
from turso_sync_nb.changes.describe import describe
from turso_sync_nb.changes.model import RawText, RowChange, SchemaChange, is_ignored
from turso_sync_nb.changes.names import folded
from turso_sync_nb.engine import bookkeeping, chain
from turso_sync_nb.engine.chain import Sent
from turso_sync_nb.engine.like_changes import Columns, rows_of_one_kind
from turso_sync_nb.engine.replacing import ALONE, checks, parted, replace_statement
from turso_sync_nb.errors import ProtocolError
from turso_sync_nb.options import SKIP, Rewrite
from turso_sync_nb.protocol.pipeline import Stmt

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Generator, Iterable, Iterator, Sequence

    from turso_sync_nb.changes.model import Change, Image, Transaction
    from turso_sync_nb.engine.bookkeeping import Position
    from turso_sync_nb.engine.remote import Remote
    from turso_sync_nb.engine.replacing import Surroundings
    from turso_sync_nb.options import Transform

ROWS_MAX: Final = 500
"""Rows of one statement, at most; one that is refused is sent again row by row."""

ARGUMENTS_MAX: Final = 30_000
"""Of one statement; SQLite's own limit is 32766 arguments."""

STATEMENT_BYTES_MAX: Final = 2**20
"""Bytes of texts and blobs after which a statement takes no further row: it has to fit into one body."""

_FAIL_UNLESS: Final = f"SELECT {to_sql.one_or_fail('changes() = ?')}"
"""Fails unless the statement before it changed so many rows (counts in answers are 0 on tursodb)."""


class UnsendableError(Exception):
    """A change has a value that cannot cross the wire."""

    def __init__(self, transaction: Transaction, change: Change, reason: str) -> None:
        super().__init__(reason)
        self.transaction = transaction
        self.change = change


@dataclass(frozen=True)
class PushStatement:
    """One statement for one change, or for several of one table."""

    transaction: Transaction
    changes: tuple[Change, ...]
    stmt: Stmt
    rows: int | None = None
    """The number of rows that it has to change, or None for any: it may be done there already."""
    unmet: str = ""
    """Of a statement that only checks a condition: the text to report if the condition does not hold."""
    after: bool = False
    """Whether the check runs after the changes; the others run before them."""


@dataclass(frozen=True)
class Failure:
    """The step that failed: ``statement``, or another one that ``where`` names.

    Built before sending, as the result to return if the step fails; ``message`` is then the server's error.
    """

    where: str
    message: str = ""
    statement: PushStatement | None = None
    is_guard: bool = False
    code: str | None = None
    """The server's name of the error's kind; some servers have one name for all."""


@dataclass(frozen=True)
class Checks:
    """The conditions of a batch: where the bookkeeping is, and statements that fail.

    ``keys`` fail where the remote has used a key that is sent, ``copies`` where a copy sent some of it.
    """

    expected: Position
    keys: Sequence[Stmt] = ()
    copies: Sequence[Stmt] = ()


def statements_of(
    transaction: Transaction,
    changes: Sequence[Change],
    transform: Transform | None,
    split_ids: Container[int] = (),
    around: Surroundings = ALONE,
) -> Iterator[PushStatement]:
    """Yield the statements that do ``changes`` of a transaction on the remote; ignored tables are left out.

    Those whose ids are in ``split_ids`` get a statement each.

    Raises:
        UnsendableError: a value cannot be sent.
    """
    run = StatementMerger(transaction, around)
    if transform or split_ids or around.uniques:
        yield from _one_by_one(run, changes, transform, split_ids)
        yield from run.end()
        return
    rest = iter(changes)
    while block := list(islice(rest, run.room)):
        if not run.takes_all(block):
            yield from _one_by_one(run, block)
        if not run.room:
            yield from run.end()
    yield from run.end()


def _one_by_one(
    run: StatementMerger,
    changes: Sequence[Change],
    transform: Transform | None = None,
    split_ids: Container[int] = (),
) -> Iterator[PushStatement]:
    """Give ``run`` one change after another; yield the statements that are whole then."""
    transaction, around = run.transaction, run.around
    for displaced, change in _with_displaced(changes, transform, around):
        if isinstance(change, RowChange) and change.outcome == "carried":
            volatile = around.volatile.columns(change.shape.table)
            carried = to_sql.carry(change, volatile, is_new=run.is_new)
            run.follow(_carried(transaction, change, carried, rows=None if transform else 1))
            if not to_sql.is_carried_by_key(change):
                yield from run.end()
            continue
        run.is_new = isinstance(change, RowChange) and change.op == "insert"
        if displaced is not None and isinstance(change, RowChange):
            yield from run.end()
            yield from _replacing(transaction, displaced, change, around)
            continue
        joins = transform is None and change.id not in split_ids and run.takes(change)
        if not joins:
            yield from run.end()
        if is_ignored(change):
            continue
        alone = _own_statements(transaction, change, transform, around)
        if isinstance(change, SchemaChange) or alone is not None:
            yield from alone or ()
            continue
        run.add(change)
        if not joins and (transform or change.id in split_ids):
            yield from run.end()


def _with_displaced(
    changes: Sequence[Change], transform: Transform | None, around: Surroundings
) -> Iterator[tuple[list[RowChange] | None, Change]]:
    """Yield each change with the rows that make way for it; ``None``: it is not sent as REPLACE."""
    if not around.uniques:  # which is where rows in the way are looked up
        for one in changes:
            yield None, one
        return
    for displaced, change in parted(changes, around):
        together = (*displaced, change)
        replaces = isinstance(change, RowChange) and around.replaces(displaced, change)
        if not replaces or (transform and any(transform(one) is not None for one in together)):
            yield from ((None, one) for one in together)
        else:
            yield displaced, change


def _own_statements(
    transaction: Transaction, change: Change, transform: Transform | None, around: Surroundings
) -> tuple[PushStatement, ...] | None:
    """Return the statements of a change that goes with no other one; ``None`` if it may go with others."""
    if isinstance(change, SchemaChange):
        return (PushStatement(transaction, (change,), Stmt(change.sql, want_rows=False)),)
    _refuse_raw_text(transaction, change)
    if change.outcome != "changed":
        return (_tried(transaction, change.changed(conflict=around.conflict_of(change)), around),)
    verdict = transform(change) if transform and not change.by_action else None
    if isinstance(verdict, Rewrite):
        return (
            PushStatement(transaction, (change,), Stmt(verdict.sql, verdict.parameters, want_rows=False)),
        )
    return () if verdict is SKIP else None


def _carried(transaction: Transaction, change: RowChange, sql: to_sql.Sql, rows: int | None) -> PushStatement:
    """Return the statement that sets the random values that a trigger made."""
    text, arguments = sql
    stmt = Stmt(text, arguments, want_rows=False)
    return PushStatement(transaction, (change,), stmt, rows)


def _tried(transaction: Transaction, change: RowChange, around: Surroundings) -> PushStatement:
    """Return the statement that fires the triggers of a row that it does not change."""
    sql, arguments = to_sql.attempt(change, around.volatile.of(change))
    stmt = Stmt(sql, arguments, want_rows=False)
    return PushStatement(transaction, (change,), stmt, rows=int(change.outcome == "same"))


def _replacing(
    transaction: Transaction, displaced: list[RowChange], change: RowChange, around: Surroundings
) -> Iterator[PushStatement]:
    """Yield a statement that replaces ``displaced`` on the remote, after its checks."""
    for each in (*displaced, change):
        _refuse_raw_text(transaction, each)
    for sql, arguments in checks(displaced, change, around):
        stmt = Stmt(sql, arguments)
        yield PushStatement(
            transaction, (change,), stmt, unmet=f"other rows are in the way of {describe(change)}"
        )
    if done := replace_statement(change, around):
        stmt = Stmt(done[0], done[1], want_rows=False)
        yield PushStatement(transaction, (change,), stmt, rows=1)


class StatementMerger:
    """Changes of one kind to rows of one table, next to each other, that one statement can do.

    Inserts; deletes, and updates of the same columns, of rows that have a key each. No row comes twice.
    """

    def __init__(self, transaction: Transaction, around: Surroundings) -> None:
        self.transaction = transaction
        self.around = around
        self.is_new = True
        """Whether the last change was an insert; carried ones aside."""
        self._changes: list[RowChange] = []
        self._following: list[PushStatement] = []
        self._places: list[int] = []
        """The places of the columns that an update changes."""
        self._sent: list[int] = []
        """The places of the columns whose values are sent."""
        self._keys: set[Any] = set()
        self._rows_max = ROWS_MAX
        self._bytes = 0
        self._key_of: Callable[[Image], Any] | None = None
        """A function for the values that identify a changed row, or None if no values do."""

    @property
    def room(self) -> int:
        """The number of further rows of the same kind that it may take; at 0 it is to be ended."""
        return self._rows_max - len(self._changes)

    def takes_all(self, changes: Sequence[Change]) -> bool:
        """Take ``changes`` and return true if they surely go together, and there are no others yet."""
        rows = () if self._changes or self._following else rows_of_one_kind(changes)
        if not rows:
            return False
        first, columns = rows[0], Columns(rows)
        rows_max, key_of = _rows_max(first), self._key(first)
        keys, places = set[Any](), list[int]()
        if first.op != "insert":
            keys = columns.keys(first.shape.key) if key_of else set()
        if first.op == "update":
            places = columns.places_set()
        is_of_keys = bool(keys) and set(places).isdisjoint(first.shape.key)
        if len(rows) > rows_max or (first.op != "insert" and not is_of_keys):
            return False
        if first.op == "update" and not places:
            return False
        sent = _sent_places(first, places)
        total = columns.size(sent)
        if total is None or total > STATEMENT_BYTES_MAX:
            return False
        self._changes, self._places, self._sent = list(rows), places, sent
        self._rows_max, self._bytes, self._key_of, self._keys = rows_max, total, key_of, keys
        self.is_new = first.op == "insert"
        return True

    def takes(self, change: Change) -> bool:
        """Return whether ``change`` goes with the others; anything goes with none."""
        if not self._changes:
            return True
        first = self._changes[0]
        if (
            not isinstance(change, RowChange)
            or change.shape is not first.shape
            or change.op != first.op
            or change.outcome != first.outcome
            or change.conflict != first.conflict
        ):
            return False
        if len(self._changes) >= self._rows_max or self._bytes > STATEMENT_BYTES_MAX:
            return False
        if change.op == "insert":
            return True
        return (
            self._key_of is not None
            and _is_joinable(change, self._key_of)
            and self._key_of(_image(change.old)) not in self._keys
            and (change.new is None or self._sets_the_same(_image(change.old), change.new))
        )

    def _sets_the_same(self, old: Image, new: Image) -> bool:
        """Return whether an update changes the columns that the first one changes."""
        return self._places == images.differing_places(old, new)

    def add(self, change: RowChange) -> None:
        """Take ``change``, which goes with the others."""
        if not self._changes:
            self._places, self._bytes = _changed_places(change), 0
            self._sent = _sent_places(change, self._places)
            self._rows_max, self._key_of = _rows_max(change), self._key(change)
        for image in (change.old, change.new):
            if image is None:
                continue
            for at in self._sent:
                value = image[at]
                if type(value) is str or type(value) is bytes:
                    self._bytes += len(value)
        self._changes.append(change)
        if self._key_of is not None:
            self._keys.add(self._key_of(_image(change.old)))

    def _key(self, change: RowChange) -> Callable[[Image], Any] | None:
        keeps_order = folded(change.shape.table) in self.around.triggered
        return None if keeps_order else _telling_apart(change)

    def end(self) -> Iterator[PushStatement]:
        """Yield the statement for the merged changes, and start over."""
        changes, self._changes, self._keys = self._changes, [], set()
        if changes:
            yield from self._joined(changes)
        yield from self._following
        self._following = []

    def follow(self, statement: PushStatement) -> None:
        """Have ``statement`` done after the statement that is being put together."""
        self._following.append(statement)

    def _joined(self, changes: list[RowChange]) -> Iterator[PushStatement]:
        first, shape = changes[0], changes[0].shape
        count: int | None = len(changes)
        sql: to_sql.Sql | None
        if first.op == "insert":
            conflict = self.around.conflict_of(first)
            sql = to_sql.insert(shape, [_image(one.new) for one in changes], conflict=conflict)
        elif len(changes) == 1:
            sql = _alone(first, self.around)
            count = None if first.by_action else count
        elif first.op == "delete":
            sql = to_sql.delete_rows(shape, [_image(one.old) for one in changes])
        elif not self._places:
            sql = None  # they change nothing
        else:
            rows = [(_image(one.old), _image(one.new)) for one in changes]
            sql = to_sql.update_rows(shape, rows, self._places)
        if sql is not None:
            stmt = Stmt(sql[0], sql[1], want_rows=False)
            yield PushStatement(self.transaction, tuple(changes), stmt, count)


def _rows_max(change: RowChange) -> int:
    """Return the number of rows like that of ``change`` that a statement takes."""
    return min(ROWS_MAX, ARGUMENTS_MAX // (2 * len(change.shape.columns)))


def _sent_places(change: RowChange, changed: list[int]) -> list[int]:
    """Return the places of the columns whose values are sent: of an update the key and what it changes."""
    shape = change.shape
    return [at for at in range(len(shape.columns)) if not changed or at in changed or at in shape.key]


def _telling_apart(change: RowChange) -> Callable[[Image], Any] | None:
    """Return what gives the key of an update or delete that can go with others; else ``None``."""
    shape = change.shape
    if change.op == "insert" or not shape.key or (change.op == "delete" and shape.rowid_name is None):
        return None
    if 2 * len(shape.columns) > to_sql.LISTED_COLUMNS_MAX:
        return None
    key_of = itemgetter(*shape.key)
    return key_of if _is_joinable(change, key_of) else None


def _is_joinable(change: RowChange, key_of: Callable[[Image], Any]) -> bool:
    """Return whether an update or delete is of a row that its key names, before and after."""
    key = key_of(_image(change.old))
    if change.by_action or change.derived or change.sets:
        return False
    if key is None or (type(key) is tuple and None in key):
        return False
    return change.new is None or key_of(change.new) == key


def _changed_places(change: RowChange) -> list[int]:
    """Return the places of the columns that an update changes; none for anything else."""
    if change.old is None or change.new is None:
        return []
    return images.differing_places(change.old, change.new)


def _alone(change: RowChange, around: Surroundings) -> to_sql.Sql | None:
    """Return the statement for one update or delete; ``None`` when the update changes nothing."""
    shape, old = change.shape, _image(change.old)
    names = images.differing(shape, old, change.new) if change.new else frozenset(shape.columns)
    guards = frozenset() if change.by_action else names - change.derived
    volatile = around.volatile.of(change)
    if change.new is None:
        return to_sql.guarded_delete(shape, old, guards, volatile)
    conflict = around.conflict_of(change)
    return to_sql.guarded_update(
        shape, old, change.new, guards, conflict=conflict, sets=change.sets, volatile=volatile
    )


def _image(image: Image | None) -> Image:
    if image is None:
        raise AssertionError("a change without the image that its kind has")
    return image


def _refuse_raw_text(transaction: Transaction, change: RowChange) -> None:
    """Refuse a change that writes text that is not UTF-8; one that leaves such a text alone is sent."""
    if change.new is None or RawText not in map(type, change.new):
        return
    written = range(len(change.new)) if change.old is None else _changed_places(change)
    for at, (name, value) in enumerate(zip(change.shape.columns, change.new, strict=True)):
        if type(value) is RawText and at in written:
            raise UnsendableError(
                transaction,
                change,
                f"column {name} holds text that is not UTF-8, which the protocol cannot carry",
            )


def send(
    remote: Remote,
    client_id: str,
    statements: Iterable[PushStatement],
    *,
    must_hold: Checks,
    after: Position,
    notes: Sequence[Stmt] = (),
) -> Failure | None:
    """Do all of it in one transaction on the remote, or nothing; return the step that failed.

    ``must_hold`` are its conditions. The bookkeeping is at ``after`` then, with ``notes``.

    Raises:
        RemoteError, ProtocolError: nobody knows whether it was done.
    """

    def everything() -> Generator[Sent[Failure]]:
        yield from map(Sent, (bookkeeping.CREATE, bookkeeping.guard(client_id, must_hold.expected)))
        yield from (Sent(stmt, Failure("keys")) for stmt in must_hold.keys)
        yield from (Sent(stmt, Failure("copies")) for stmt in must_hold.copies)
        for statement in statements:
            yield Sent(statement.stmt, Failure("change", statement=statement))
            if statement.rows is not None:
                guard = Stmt(_FAIL_UNLESS, (statement.rows,), want_rows=False)
                yield Sent(guard, Failure("change", statement=statement, is_guard=True))
        yield from map(Sent, (*notes, bookkeeping.advance(client_id, after)))

    with closing(everything()) as stmts:
        done = chain.in_transaction(remote, client_id, stmts)
    if isinstance(done, chain.Failure):
        return replace(done.of or Failure(done.where or "bookkeeping"), message=done.message, code=done.code)
    if done != after.change_id:
        raise ProtocolError(
            f"push: the answer is about change {done}, sent was {after.change_id}",
            hint="push again: it finds out first what has arrived",
        )
    return None
