"""Encode SQL requests and decode answers as JSON: Hrana over HTTP, versions 2 and 3.

Rules of this file:

- One body holds all requests, another all answers, in the same order. An answer is a response or a
  :class:`SqlError`; the ``ok``/``error`` wrapping of the wire is not seen outside.
- A body may carry a *baton*, the name of the stream that it goes on with; what it means is not known here.
- Fields that are not known are skipped; types that are not known are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar, cast

import msgspec

from turso_sync_nb.errors import ProtocolError
from turso_sync_nb.protocol.pipeline_json import (
    BatchJson,
    BatchResponseJson,
    BatchResultJson,
    CursorBodyJson,
    CursorErrorJson,
    CursorHeadJson,
    ErrorJson,
    ExecuteJson,
    ExecuteResponseJson,
    NamedArgJson,
    OkJson,
    RequestBodyJson,
    RequestJson,
    ResponseBodyJson,
    ResultJson,
    RowJson,
    StatelessBatchJson,
    StatelessExecuteJson,
    StatelessResultJson,
    StepBeginJson,
    StepEndJson,
    StepErrorJson,
    StepJson,
    StepsJson,
    StmtJson,
)
from turso_sync_nb.protocol.pipeline_messages import (
    And,
    Batch,
    BatchResponse,
    BatchResult,
    Close,
    CloseResponse,
    CloseSql,
    CloseSqlResponse,
    Column,
    Condition,
    Describe,
    DescribeResponse,
    Description,
    Execute,
    ExecuteResponse,
    GetAutocommit,
    GetAutocommitResponse,
    IsAutocommit,
    Not,
    Or,
    Parameter,
    Request,
    Response,
    Result,
    Row,
    Sequence,
    SequenceResponse,
    SqlError,
    Step,
    StepBegin,
    StepEnd,
    StepError,
    StepFailed,
    StepOk,
    Stmt,
    StoreSql,
    StoreSqlResponse,
)
from turso_sync_nb.protocol.sql_value import (
    SqlValue,
    check_text,
    parse_integer,
    values_from_json,
    values_to_json,
)

if TYPE_CHECKING:
    from collections import abc

__all__ = [
    "And", "Batch", "BatchResponse", "BatchResult", "Close", "CloseResponse", "CloseSql", "CloseSqlResponse",
    "Column", "Condition", "Describe", "DescribeResponse", "Description", "Execute", "ExecuteResponse",
    "GetAutocommit", "GetAutocommitResponse", "IsAutocommit", "Not", "Or", "Parameter", "Request",
    "RequestBody", "Response", "ResponseBody", "Result", "Row", "Sequence", "SequenceResponse", "SqlError",
    "SqlValue", "Step", "StepBegin", "StepEnd", "StepError", "StepFailed", "StepOk", "Stmt", "StoreSql",
    "StoreSqlResponse", "decode_cursor", "decode_request", "decode_response", "decode_stateless",
    "encode_cursor_error", "encode_cursor_head", "encode_entry", "encode_error", "encode_request",
    "encode_response", "encode_stateless", "with_errors",
]  # fmt: skip

CONDITION_DEPTH_MAX: Final = 50
"""Deepest nesting of a step's condition, so that whoever evaluates it may recurse."""

NOT_A_CLIENT: Final = "send a JSON body as Hrana over HTTP version 2 describes"
NOT_A_SERVER: Final = "check that the address is a Turso sync server"

Message = TypeVar("Message")

_request_decoder: Final = msgspec.json.Decoder(RequestBodyJson)
_response_decoder: Final = msgspec.json.Decoder(ResponseBodyJson)
_cursor_decoder: Final = msgspec.json.Decoder(CursorBodyJson)
_execute_decoder: Final = msgspec.json.Decoder(StatelessExecuteJson)
_batch_decoder: Final = msgspec.json.Decoder(StatelessBatchJson)


class RequestBody(NamedTuple):
    """A request body; ``baton`` names the stream that it continues, or None for a new one."""

    requests: list[Request]
    baton: str | None = None


class ResponseBody(NamedTuple):
    """An answer body; ``baton`` names the stream for the next body, or None if there is none."""

    responses: list[Response]
    baton: str | None = None


def encode_request(requests: abc.Iterable[Request], baton: str | None = None) -> bytes:
    """Return the body that asks for ``requests``, in order, on the stream that ``baton`` names.

    Raises:
        ProtocolError: a value or a text cannot be sent; the message names it.
    """
    return _to_bytes(RequestBodyJson([_request_to_json(request) for request in requests], baton), "request")


def decode_request(data: bytes) -> RequestBody:
    """Return the requests that the body ``data`` holds, and its baton.

    Raises:
        ProtocolError: it is not a pipeline request.
    """
    body = _from_bytes(_request_decoder, data, "pipeline request", NOT_A_CLIENT)
    return RequestBody([_request_from_json(request) for request in body.requests], body.baton)


def encode_response(responses: abc.Iterable[Response], baton: str | None = None) -> bytes:
    """Return the body that answers with ``responses``, in order, and the stream's next baton.

    Raises:
        ProtocolError: a value or a text cannot be sent; the message names it.
    """
    return _to_bytes(ResponseBodyJson([_response_to_json(one) for one in responses], baton), "response")


def decode_response(data: bytes) -> ResponseBody:
    """Return the answers that the body ``data`` holds, and its baton; one for another address is none.

    Raises:
        ProtocolError: it is not a pipeline response, or its parts contradict each other.
    """
    body = _from_bytes(_response_decoder, data, "pipeline response", NOT_A_SERVER)
    baton = None if body.base_url else body.baton
    return ResponseBody([_response_from_json(result) for result in body.results], baton)


def with_errors(body: ResponseBody, said: abc.Callable[[str], str]) -> ResponseBody:
    """Return ``body``, the text of each error in it as ``said`` returns it."""

    def of_error(error: SqlError) -> SqlError:
        return msgspec.structs.replace(error, message=said(error.message))

    def of_one(response: Response) -> Response:
        if isinstance(response, SqlError):
            return of_error(response)
        if not isinstance(response, BatchResponse):
            return response
        errors = tuple(error and of_error(error) for error in response.result.step_errors)
        return BatchResponse(msgspec.structs.replace(response.result, step_errors=errors))

    return body._replace(responses=[of_one(each) for each in body.responses])


def decode_cursor(data: bytes) -> tuple[Batch, str | None]:
    """Return the batch that the body ``data`` asks a cursor for, and its baton.

    Raises:
        ProtocolError: it is not a cursor request.
    """
    body = _from_bytes(_cursor_decoder, data, "cursor request", NOT_A_CLIENT)
    return _batch_from_json(body.batch), body.baton


def encode_cursor_head(baton: str | None) -> bytes:
    """Return the first line of a cursor's answer."""
    return msgspec.json.encode(CursorHeadJson(baton)) + b"\n"


def encode_entry(entry: StepBegin | Row | StepEnd | StepFailed) -> bytes:
    """Return one further line of a cursor's answer.

    Raises:
        ProtocolError: a value or a text cannot be sent; the message names it.
    """
    return _to_bytes(_entry_to_json(entry), "cursor entry") + b"\n"


def encode_cursor_error(error: SqlError) -> bytes:
    """Return the last line of a cursor's answer that could not go on."""
    return _to_bytes(CursorErrorJson(error), "cursor entry") + b"\n"


def encode_error(error: SqlError) -> bytes:
    """Return the body of a request that was not carried out."""
    return _to_bytes(error, "error")


def decode_stateless(data: bytes, kind: str) -> Execute | Batch:
    """Return what the body ``data`` of a stateless request asks for; ``kind`` is execute or batch.

    Raises:
        ProtocolError: it is not such a request.
    """
    if kind == "execute":
        return Execute(_stmt_from_json(_from_bytes(_execute_decoder, data, kind, NOT_A_CLIENT).stmt))
    return _batch_from_json(_from_bytes(_batch_decoder, data, kind, NOT_A_CLIENT).batch)


def encode_stateless(response: ExecuteResponse | BatchResponse) -> bytes:
    """Return the body that answers a stateless execute or batch.

    Raises:
        ProtocolError: a value or a text cannot be sent; the message names it.
    """
    match response:
        case ExecuteResponse(result):
            return _to_bytes(StatelessResultJson(_result_to_json(result)), "response")
        case BatchResponse(batch):
            return _to_bytes(StatelessResultJson(_batch_result_to_json(batch)), "response")


def _to_bytes(body: msgspec.Struct, what: str) -> bytes:
    try:
        return msgspec.json.encode(body)
    except ValueError as error:  # UnicodeEncodeError: a name or a message that is not Unicode
        raise ProtocolError(f"write pipeline {what}: {error}", hint="texts must be valid Unicode") from error


def _from_bytes(decoder: msgspec.json.Decoder[Message], data: bytes, what: str, hint: str) -> Message:
    try:
        return decoder.decode(data)
    except (ValueError, RecursionError) as error:  # msgspec's errors and bad UTF-8 are ValueErrors
        raise ProtocolError(f"read {what} of {len(data)} bytes: {error}", hint=hint) from error


# ---- requests -------------------------------------------------------------------------------------


def _request_to_json(request: Request) -> RequestJson:
    match request:
        case Execute(stmt):
            return ExecuteJson(_stmt_to_json(stmt))
        case Batch(steps):
            return BatchJson(
                StepsJson([StepJson(_stmt_to_json(step.stmt), step.condition) for step in steps])
            )
        case Sequence(sql) | Describe(sql) | StoreSql(sql=sql):
            check_text(sql or "", "SQL")
            return request
        case _:
            return request


def _request_from_json(request: RequestJson) -> Request:
    match request:
        case ExecuteJson(stmt):
            return Execute(_stmt_from_json(stmt))
        case BatchJson(steps):
            return _batch_from_json(steps)
        case Sequence(sql, sql_id) | Describe(sql, sql_id):
            _check_text_source(sql, sql_id)
            return request
        case _:
            return request


def _batch_from_json(batch: StepsJson) -> Batch:
    for number, step in enumerate(batch.steps):
        _check_condition(step.condition, number)
    return Batch(tuple(Step(_stmt_from_json(step.stmt), step.condition) for step in batch.steps))


def _stmt_to_json(stmt: Stmt) -> StmtJson:
    names = [check_text(name, "argument name") for name, _ in stmt.named_args]
    values = values_to_json((value for _, value in stmt.named_args), "named argument")
    return StmtJson(
        sql=None if stmt.sql is None else check_text(stmt.sql, "SQL"),
        sql_id=stmt.sql_id,
        args=values_to_json(stmt.args, "argument"),
        named_args=[NamedArgJson(name, value) for name, value in zip(names, values, strict=True)],
        want_rows=stmt.want_rows,
    )


def _stmt_from_json(stmt: StmtJson) -> Stmt:
    _check_text_source(stmt.sql, stmt.sql_id)
    named = stmt.named_args or ()
    values = values_from_json((arg.value for arg in named), "named argument")
    return Stmt(
        sql=stmt.sql,
        args=values_from_json(stmt.args or (), "argument"),
        named_args=tuple(zip((arg.name for arg in named), values, strict=True)),
        want_rows=stmt.want_rows is not False,
        sql_id=stmt.sql_id,
    )


def _check_text_source(sql: str | None, sql_id: int | None) -> None:
    if (sql is None) == (sql_id is None):
        which = "no text" if sql is None else "a text and the id of another"
        raise ProtocolError(f"read statement: it has {which}", hint="send either sql or sql_id")


def _check_condition(condition: Condition | None, number: int) -> None:
    """Refuse what cannot be evaluated when step ``number`` is reached."""
    waiting = [(condition, 1)] if condition is not None else []
    while waiting:
        one, depth = waiting.pop()
        if depth > CONDITION_DEPTH_MAX:
            raise ProtocolError(
                f"read condition of step {number}: deeper than {CONDITION_DEPTH_MAX} levels",
                hint="write it flatter",
            )
        match one:
            case StepOk(step) | StepError(step) if not 0 <= step < number:
                raise ProtocolError(
                    f"read condition of step {number}: it is about step {step}",
                    hint="a condition may look at earlier steps only",
                )
            case Not(cond):
                waiting.append((cond, depth + 1))
            case And(conds) | Or(conds):
                waiting.extend((cond, depth + 1) for cond in conds)


# ---- responses ------------------------------------------------------------------------------------


def _response_to_json(response: Response) -> OkJson | ErrorJson:
    match response:
        case SqlError():
            return ErrorJson(response)
        case ExecuteResponse(result):
            return OkJson(ExecuteResponseJson(_result_to_json(result)))
        case BatchResponse(batch):
            return OkJson(BatchResponseJson(_batch_result_to_json(batch)))
        case _:
            return OkJson(response)


def _entry_to_json(entry: StepBegin | Row | StepEnd | StepFailed) -> msgspec.Struct:
    match entry:
        case Row(values):
            return RowJson(values_to_json(values, "column"))
        case StepBegin(step, cols):
            return StepBeginJson(step, cols)
        case StepEnd(affected, rowid):
            return StepEndJson(affected, None if rowid is None else str(rowid))
        case StepFailed(step, error):
            return StepErrorJson(step, error)


def _response_from_json(result: OkJson | ErrorJson) -> Response:
    match result:
        case ErrorJson(error):
            return error
        case OkJson(ExecuteResponseJson(outcome)):
            return ExecuteResponse(_result_from_json(outcome))
        case OkJson(BatchResponseJson(BatchResultJson(results, errors))):
            if len(results) != len(errors):
                raise ProtocolError(
                    f"read batch: {len(results)} results, but {len(errors)} errors", hint=NOT_A_SERVER
                )
            steps = tuple(None if one is None else _result_from_json(one) for one in results)
            return BatchResponse(BatchResult(steps, errors))
        case _:
            return cast("Response", result.response)


def _batch_result_to_json(batch: BatchResult) -> BatchResultJson:
    steps = [None if result is None else _result_to_json(result) for result in batch.step_results]
    return BatchResultJson(steps, batch.step_errors)


def _result_to_json(result: Result) -> ResultJson:
    rowid = result.last_insert_rowid
    return ResultJson(
        cols=result.cols,
        rows=[values_to_json(row, "column") for row in result.rows],
        affected_row_count=result.affected_row_count,
        last_insert_rowid=None if rowid is None else str(rowid),
        rows_read=result.rows_read,
        rows_written=result.rows_written,
        query_duration_ms=result.query_duration_ms,
    )


def _result_from_json(result: ResultJson) -> Result:
    rows = tuple(values_from_json(row, "column") for row in result.rows)
    for number, row in enumerate(rows):
        if len(row) != len(result.cols):
            raise ProtocolError(
                f"read row {number}: {len(row)} values for {len(result.cols)} columns", hint=NOT_A_SERVER
            )
    return Result(
        cols=result.cols,
        rows=rows,
        affected_row_count=result.affected_row_count,
        last_insert_rowid=parse_integer(result.last_insert_rowid, "last_insert_rowid"),
        rows_read=result.rows_read,
        rows_written=result.rows_written,
        query_duration_ms=result.query_duration_ms,
    )
