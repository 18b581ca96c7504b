"""Define the requests and results of the SQL pipeline with Python values.

The words and fields are those of Hrana over HTTP, versions 2 and 3. Classes that hold no SQL value are their
own JSON; :mod:`turso_sync_nb.protocol.pipeline` gives the others theirs.
"""

from __future__ import annotations

from msgspec import Struct

from turso_sync_nb.protocol.sql_value import SqlValue  # noqa: TC001 - msgspec reads it at run time

# ---- what is asked --------------------------------------------------------------------------------


class Stmt(Struct, frozen=True):
    """One SQL statement and its values.

    ``args`` fill parameters by position, ``named_args`` are pairs of name and value, with or without the
    ``:``, ``@`` or ``$`` of the name. Instead of ``sql``, ``sql_id`` may name a stored text.
    tursodb 0.8.0-pre.4 ignores ``named_args`` (parameters are then NULL) and knows no ``sql_id``.
    """

    sql: str | None
    args: tuple[SqlValue, ...] = ()
    named_args: tuple[tuple[str, SqlValue], ...] = ()
    want_rows: bool = True
    sql_id: int | None = None


class StepOk(Struct, frozen=True, tag="ok"):
    """Step ``step`` of this batch ran without an error."""

    step: int


class StepError(Struct, frozen=True, tag="error"):
    """Step ``step`` of this batch failed."""

    step: int


class Not(Struct, frozen=True, tag="not"):
    """``cond`` does not hold."""

    cond: Condition


class And(Struct, frozen=True, tag="and"):
    """All of ``conds`` hold; none is true."""

    conds: tuple[Condition, ...]


class Or(Struct, frozen=True, tag="or"):
    """One of ``conds`` holds; none is false."""

    conds: tuple[Condition, ...]


class IsAutocommit(Struct, frozen=True, tag="is_autocommit"):
    """No transaction is open."""


Condition = StepOk | StepError | Not | And | Or | IsAutocommit


class Step(Struct, frozen=True):
    """A statement that runs if ``condition`` holds, or always. Steps are counted from 0."""

    stmt: Stmt
    condition: Condition | None = None


class Execute(Struct, frozen=True):
    """Run one statement."""

    stmt: Stmt


class Batch(Struct, frozen=True):
    """Run steps in order; one that fails does not end the batch."""

    steps: tuple[Step, ...]


class Sequence(Struct, frozen=True, tag="sequence", omit_defaults=True):
    """Run all statements of a text, without values and rows."""

    sql: str | None = None
    sql_id: int | None = None


class Describe(Struct, frozen=True, tag="describe", omit_defaults=True):
    """Say what a statement takes and gives, without running it."""

    sql: str | None = None
    sql_id: int | None = None


class StoreSql(Struct, frozen=True, tag="store_sql"):
    """Keep a text under ``sql_id`` for the requests after this one."""

    sql_id: int
    sql: str


class CloseSql(Struct, frozen=True, tag="close_sql"):
    """Forget the text kept under ``sql_id``."""

    sql_id: int


class GetAutocommit(Struct, frozen=True, tag="get_autocommit"):
    """Return whether no transaction is open."""


class Close(Struct, frozen=True, tag="close"):
    """End the stream; nothing is asked on it any more."""


# tursodb 0.8.0-pre.4 knows Execute and Batch; any other request makes it refuse the whole body.
Request = Execute | Batch | Sequence | Describe | StoreSql | CloseSql | GetAutocommit | Close

# ---- what is answered -----------------------------------------------------------------------------


class SqlError(Struct, frozen=True, omit_defaults=True):
    """A request, or a step, that failed.

    ``code`` is SQLite's primary code, as clients compare it; ``extended_code`` is the finer one, where there
    is one.
    """

    message: str
    code: str | None = None
    extended_code: str | None = None


class Column(Struct, frozen=True):
    """A column of a result; ``decltype`` is the declared type, None for an expression."""

    name: str | None
    decltype: str | None = None


class Result(Struct, frozen=True):
    """The result of one statement. A server may leave the counters at 0."""

    cols: tuple[Column, ...] = ()
    rows: tuple[tuple[SqlValue, ...], ...] = ()
    affected_row_count: int = 0
    last_insert_rowid: int | None = None
    rows_read: int = 0
    rows_written: int = 0
    query_duration_ms: float = 0.0


class BatchResult(Struct, frozen=True):
    """The outcome of each step: a result, an error, or neither where its condition did not hold."""

    step_results: tuple[Result | None, ...]
    step_errors: tuple[SqlError | None, ...]


class StepBegin(Struct, frozen=True):
    """A cursor's step begins; rows follow."""

    step: int
    cols: tuple[Column, ...]


class Row(Struct, frozen=True):
    """A row of the step that began last."""

    values: tuple[SqlValue, ...]


class StepEnd(Struct, frozen=True):
    """The step that began last has ended."""

    affected_row_count: int
    last_insert_rowid: int | None


class StepFailed(Struct, frozen=True):
    """A cursor's step failed, before or after it began."""

    step: int
    error: SqlError


class Parameter(Struct, frozen=True):
    """A parameter of a statement; None for one without a name."""

    name: str | None = None


class Description(Struct, frozen=True):
    """The parameters and columns of a statement."""

    params: tuple[Parameter, ...]
    cols: tuple[Column, ...]
    is_explain: bool
    is_readonly: bool


class ExecuteResponse(Struct, frozen=True):
    """Answers Execute."""

    result: Result


class BatchResponse(Struct, frozen=True):
    """Answers Batch."""

    result: BatchResult


class SequenceResponse(Struct, frozen=True, tag="sequence"):
    """Answers Sequence: all of it ran."""


class DescribeResponse(Struct, frozen=True, tag="describe"):
    """Answers Describe."""

    result: Description


class StoreSqlResponse(Struct, frozen=True, tag="store_sql"):
    """Answers StoreSql."""


class CloseSqlResponse(Struct, frozen=True, tag="close_sql"):
    """Answers CloseSql."""


class GetAutocommitResponse(Struct, frozen=True, tag="get_autocommit"):
    """Answers GetAutocommit."""

    is_autocommit: bool


class CloseResponse(Struct, frozen=True, tag="close"):
    """Answers Close."""


Response = (
    ExecuteResponse
    | BatchResponse
    | SequenceResponse
    | DescribeResponse
    | StoreSqlResponse
    | CloseSqlResponse
    | GetAutocommitResponse
    | CloseResponse
    | SqlError
)
