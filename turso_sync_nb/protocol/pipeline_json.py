"""Define the JSON shapes of pipeline messages that hold SQL values; the others are their own JSON."""

from __future__ import annotations

from msgspec import Struct

from turso_sync_nb.protocol.pipeline_messages import (
    Close,
    CloseResponse,
    CloseSql,
    CloseSqlResponse,
    Column,
    Condition,
    Describe,
    DescribeResponse,
    GetAutocommit,
    GetAutocommitResponse,
    Sequence,
    SequenceResponse,
    SqlError,
    StoreSql,
    StoreSqlResponse,
)
from turso_sync_nb.protocol.sql_value import ValueJson  # noqa: TC001 - msgspec reads it at run time


class NamedArgJson(Struct, frozen=True):
    """A value that goes to a parameter by name."""

    name: str
    value: ValueJson


class StmtJson(Struct, frozen=True, omit_defaults=True):
    """Fields that are missing and fields that are null mean the same."""

    sql: str | None = None
    sql_id: int | None = None
    args: list[ValueJson] | None = None
    named_args: list[NamedArgJson] | None = None
    want_rows: bool | None = None


class StepJson(Struct, frozen=True):
    """One step of a batch."""

    stmt: StmtJson
    condition: Condition | None = None


class StepsJson(Struct, frozen=True):
    """The steps of ``batch``."""

    steps: list[StepJson]


class ExecuteJson(Struct, frozen=True, tag="execute"):
    """``{"type":"execute"}`` of a request."""

    stmt: StmtJson


class BatchJson(Struct, frozen=True, tag="batch"):
    """``{"type":"batch"}`` of a request."""

    batch: StepsJson


RequestJson = ExecuteJson | BatchJson | Sequence | Describe | StoreSql | CloseSql | GetAutocommit | Close


class RequestBodyJson(Struct, frozen=True):
    """The whole of a request."""

    requests: list[RequestJson]
    baton: str | None = None


class ResultJson(Struct, frozen=True):
    """The result of one statement; ``last_insert_rowid`` is decimal digits."""

    cols: tuple[Column, ...]
    rows: list[list[ValueJson]]
    affected_row_count: int = 0
    last_insert_rowid: str | None = None
    rows_read: int = 0
    rows_written: int = 0
    query_duration_ms: float = 0.0


class BatchResultJson(Struct, frozen=True):
    """The results of each step."""

    step_results: list[ResultJson | None]
    step_errors: tuple[SqlError | None, ...]


class ExecuteResponseJson(Struct, frozen=True, tag="execute"):
    """``{"type":"execute"}`` of a response."""

    result: ResultJson


class BatchResponseJson(Struct, frozen=True, tag="batch"):
    """``{"type":"batch"}`` of a response."""

    result: BatchResultJson


ResponseJson = (
    ExecuteResponseJson
    | BatchResponseJson
    | SequenceResponse
    | DescribeResponse
    | StoreSqlResponse
    | CloseSqlResponse
    | GetAutocommitResponse
    | CloseResponse
)


class OkJson(Struct, frozen=True, tag="ok"):
    """A request that was answered."""

    response: ResponseJson


class ErrorJson(Struct, frozen=True, tag="error"):
    """A request that failed."""

    error: SqlError


class ResponseBodyJson(Struct, frozen=True):
    """The whole of a response."""

    results: list[OkJson | ErrorJson]
    baton: str | None = None
    base_url: str | None = None


class CursorBodyJson(Struct, frozen=True):
    """The whole of a request for a cursor."""

    batch: StepsJson
    baton: str | None = None


class CursorHeadJson(Struct, frozen=True):
    """The first line of a cursor's answer."""

    baton: str | None = None
    base_url: str | None = None


class StepBeginJson(Struct, frozen=True, tag="step_begin"):
    """A step of the batch begins."""

    step: int
    cols: tuple[Column, ...]


class RowJson(Struct, frozen=True, tag="row"):
    """One row of the step that began last."""

    row: list[ValueJson]


class StepEndJson(Struct, frozen=True, tag="step_end"):
    """The step that began last has ended."""

    affected_row_count: int
    last_insert_rowid: str | None


class StepErrorJson(Struct, frozen=True, tag="step_error"):
    """A step failed, before or after it began."""

    step: int
    error: SqlError


class CursorErrorJson(Struct, frozen=True, tag="error"):
    """The cursor cannot go on."""

    error: SqlError


class StatelessExecuteJson(Struct, frozen=True):
    """The body of ``/v1/execute``."""

    stmt: StmtJson


class StatelessBatchJson(Struct, frozen=True):
    """The body of ``/v1/batch``."""

    batch: StepsJson


class StatelessResultJson(Struct, frozen=True):
    """The answer to either."""

    result: ResultJson | BatchResultJson
