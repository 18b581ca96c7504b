"""Tell a server that cannot write at all from a statement that it refuses.

The name of the error's kind decides, of servers that give SQLite's. ``tursodb`` gives the same name to all:
its text decides, unless the schema has that text itself, for ``RAISE(ABORT, 'disk I/O error')`` of a trigger
comes in the same words.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from turso_sync_nb.engine import chain
from turso_sync_nb.errors import RemoteFailedError
from turso_sync_nb.protocol.pipeline import Execute, ExecuteResponse, Stmt

if TYPE_CHECKING:
    from turso_sync_nb.engine.push_batch import Failure
    from turso_sync_nb.engine.remote import Remote

_OF_SQLITE: Final = "SQLITE_"
"""The beginning of SQLite's names of errors."""

_SAYS_NOTHING: Final = frozenset({"SQLITE_UNKNOWN", "SQLITE_INTERNAL"})
"""Names of this form that do not tell a kind."""

_CANNOT_WRITE: Final = frozenset(
    f"{_OF_SQLITE}{name}" for name in ("IOERR", "FULL", "READONLY", "CORRUPT", "NOMEM", "CANTOPEN", "NOTADB")
)
"""SQLite's primary names of the errors of a server that cannot write, whatever was sent."""

_SAID: Final = re.compile(
    r"^(?:Runtime error: |SQLite error: )?(?P<what>database or disk is full|disk I/O error|I/O error \("
    r"|attempt to write a readonly database|database disk image is malformed|out of memory)",
    re.IGNORECASE,
)
"""The words of servers that cannot write: SQLite's, and tursodb's ``I/O error (pwritev): ...``."""

_IN_SCHEMA: Final = "SELECT count(*) FROM sqlite_schema WHERE instr(lower(sql), ?)"


def cannot_write(remote: Remote, failure: Failure) -> RemoteFailedError | None:
    """Return the error to raise where the server itself cannot write, whatever was sent; else None.

    It is asked for its schema if that may have the text of the error.
    """
    if failure.code and failure.code.startswith(_OF_SQLITE) and failure.code not in _SAYS_NOTHING:
        primary = "_".join(failure.code.split("_")[:2])  # of SQLITE_IOERR_WRITE
        is_so = primary in _CANNOT_WRITE
    else:
        said = _SAID.match(failure.message)
        is_own = said is not None and failure.statement is not None and _is_of_schema(remote, said["what"])
        is_so = said is not None and not is_own
    if not is_so:
        return None
    return RemoteFailedError(
        f"push: the server cannot write: {failure.message}",
        hint="nothing was applied, every change is kept; push again when it has room and can write",
    )


def _is_of_schema(remote: Remote, text: str) -> bool:
    """Return whether a definition on the remote has ``text``, such as a trigger that raises it.

    Raises:
        RemoteError, ProtocolError: no answer, or one that makes no sense.
    """
    (answer,) = chain.ask(remote, Execute(Stmt(_IN_SCHEMA, (text.lower(),))))
    if not isinstance(answer, ExecuteResponse):  # a server that cannot even read
        return False
    return bool(answer.result.rows[0][0])
