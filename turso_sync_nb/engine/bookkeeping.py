"""Keep the remote's bookkeeping: the last change of each client, written with the changes themselves.

All Turso clients share the table, one row each. ``change_id`` is the client's last change that the remote
has. ``pull_gen`` counts how often the client had replayed local changes by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from turso_sync_nb.changes.names import BOOKKEEPING, has_table
from turso_sync_nb.changes.to_sql import one_or_fail
from turso_sync_nb.engine.chain import Failure, Sent, ask, in_transaction
from turso_sync_nb.errors import ProtocolError, RemoteFailedError
from turso_sync_nb.protocol.pipeline import Execute, ExecuteResponse, SqlError, Stmt

if TYPE_CHECKING:
    import apsw

    from turso_sync_nb.engine.remote import Remote

CREATE: Final = Stmt(
    f"CREATE TABLE IF NOT EXISTS {BOOKKEEPING} "
    "(client_id TEXT PRIMARY KEY, pull_gen INTEGER, change_id INTEGER)"
)


class CopiedError(Exception):
    """The remote has changes of this client that are not ours: this replica was restored or copied.

    A pull settles which of those that wait here it has.
    """


class Position(NamedTuple):
    """The last change of one client that the remote has; zeros if it has none."""

    pull_gen: int = 0
    change_id: int = 0


def read_remote(remote: Remote, client_id: str) -> Position:
    """Ask the remote how far it is.

    Raises:
        RemoteError: no answer.
        ProtocolError: an answer that makes no sense.
    """
    sql = f"SELECT pull_gen, change_id FROM {BOOKKEEPING} WHERE client_id = ?"
    (answer,) = ask(remote, Execute(Stmt(sql, (client_id,))))
    if isinstance(answer, SqlError):
        if "no such table" in answer.message:
            return Position()
        raise RemoteFailedError(f"ask what was pushed: {answer.message}", hint="try again")
    if not isinstance(answer, ExecuteResponse):
        raise ProtocolError(
            "ask what was pushed: the answer is about something else", hint="check the address"
        )
    for row in answer.result.rows:
        if len(row) == len(Position._fields) and all(isinstance(value, int) for value in row):
            return Position(*row)  # type: ignore[arg-type] # two integers
        raise ProtocolError(
            f"ask what was pushed: {BOOKKEEPING} holds {row!r}", hint="another program wrote to that table"
        )
    return Position()


def read_local(raw: apsw.Connection, client_id: str) -> Position:
    """Return how far the remote was in the state that ``raw`` shows."""
    if not has_table(raw, BOOKKEEPING):
        return Position()
    sql = f"SELECT pull_gen, change_id FROM {BOOKKEEPING} WHERE client_id = ?"
    return Position(*next(iter(raw.execute(sql, (client_id,))), ()))


def clients(raw: apsw.Connection) -> dict[str, int]:
    """Return every client of the bookkeeping that ``raw`` shows, and how far the remote was with it."""
    if not has_table(raw, BOOKKEEPING):
        return {}
    rows: list[Any] = raw.execute(f"SELECT client_id, change_id FROM {BOOKKEEPING}").fetchall()
    return {str(client): change_id for client, change_id in rows if isinstance(change_id, int)}


def guard(client_id: str, expected: Position) -> Stmt:
    """Return the statement that fails when the remote is not at ``expected`` any more.

    It fails too at a later generation: then this request was given up (:func:`fence`).
    """
    is_there = one_or_fail("ifnull(max(change_id), 0) = ? AND ifnull(max(pull_gen), 0) <= ?")
    sql = f"SELECT {is_there} FROM {BOOKKEEPING} WHERE client_id = ?"
    return Stmt(sql, (expected.change_id, expected.pull_gen, client_id))


def advance(client_id: str, position: Position) -> Stmt:
    """Return the statement that notes ``position``."""
    sql = (
        f"INSERT INTO {BOOKKEEPING} (client_id, pull_gen, change_id) VALUES (?, ?, ?) "
        "ON CONFLICT (client_id) DO UPDATE SET pull_gen = excluded.pull_gen, change_id = excluded.change_id"
    )
    return Stmt(sql, (client_id, *position))


def fence(remote: Remote, client_id: str, pull_gen: int) -> bool:
    """Have requests of earlier generations fail that are still on their way; say whether the remote did.

    Raises:
        RemoteError, ProtocolError: no answer, or one that makes no sense.
    """
    sql = (
        f"INSERT INTO {BOOKKEEPING} (client_id, pull_gen, change_id) VALUES (?, ?, 0) "
        "ON CONFLICT (client_id) DO UPDATE SET pull_gen = excluded.pull_gen"
    )
    stmts = [Sent[None](CREATE), Sent[None](Stmt(sql, (client_id, pull_gen)))]
    done = in_transaction(remote, client_id, stmts)
    return not isinstance(done, Failure)
