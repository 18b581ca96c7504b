"""Pipeline requests and answers: message and JSON both ways, and hostile bytes refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turso_sync_nb.errors import ProtocolError
from turso_sync_nb.protocol import pipeline as p

STMT = {"sql": "SELECT 1", "args": [], "named_args": [], "want_rows": True}
SELECT = p.Stmt("SELECT 1")

REQUESTS = {
    "execute": (p.Execute(SELECT), {"type": "execute", "stmt": STMT}),
    "arguments": (
        p.Execute(p.Stmt("INSERT", (1,), ((":a", "x"), ("b", None)), want_rows=False)),
        {
            "type": "execute",
            "stmt": {
                "sql": "INSERT",
                "args": [{"type": "integer", "value": "1"}],
                "named_args": [
                    {"name": ":a", "value": {"type": "text", "value": "x"}},
                    {"name": "b", "value": {"type": "null"}},
                ],
                "want_rows": False,
            },
        },
    ),
    "stored text": (
        p.Execute(p.Stmt(None, sql_id=7)),
        {"type": "execute", "stmt": {"sql_id": 7, "args": [], "named_args": [], "want_rows": True}},
    ),
    "batch": (
        p.Batch((p.Step(SELECT), p.Step(SELECT, p.StepOk(0)), p.Step(SELECT, p.StepError(1)))),
        {
            "type": "batch",
            "batch": {
                "steps": [
                    {"stmt": STMT, "condition": None},
                    {"stmt": STMT, "condition": {"type": "ok", "step": 0}},
                    {"stmt": STMT, "condition": {"type": "error", "step": 1}},
                ]
            },
        },
    ),
    "conditions": (
        p.Batch(
            (
                p.Step(SELECT),
                p.Step(SELECT, p.And((p.StepOk(0), p.Not(p.Or((p.IsAutocommit(),)))))),
            )
        ),
        {
            "type": "batch",
            "batch": {
                "steps": [
                    {"stmt": STMT, "condition": None},
                    {
                        "stmt": STMT,
                        "condition": {
                            "type": "and",
                            "conds": [
                                {"type": "ok", "step": 0},
                                {"type": "not", "cond": {"type": "or", "conds": [{"type": "is_autocommit"}]}},
                            ],
                        },
                    },
                ]
            },
        },
    ),
    "sequence": (p.Sequence("a; b"), {"type": "sequence", "sql": "a; b"}),
    "sequence of a stored text": (p.Sequence(sql_id=1), {"type": "sequence", "sql_id": 1}),
    "describe": (p.Describe("a"), {"type": "describe", "sql": "a"}),
    "store_sql": (p.StoreSql(1, "a"), {"type": "store_sql", "sql_id": 1, "sql": "a"}),
    "close_sql": (p.CloseSql(1), {"type": "close_sql", "sql_id": 1}),
    "get_autocommit": (p.GetAutocommit(), {"type": "get_autocommit"}),
    "close": (p.Close(), {"type": "close"}),
}

RESULT = p.Result((p.Column("a", "INT"), p.Column(None)), ((1, b"x"), (None, -0.5)), 2, -3, 4, 5, 0.25)
RESULT_JSON = {
    "cols": [{"name": "a", "decltype": "INT"}, {"name": None, "decltype": None}],
    "rows": [
        [{"type": "integer", "value": "1"}, {"type": "blob", "base64": "eA"}],
        [{"type": "null"}, {"type": "float", "value": -0.5}],
    ],
    "affected_row_count": 2,
    "last_insert_rowid": "-3",
    "rows_read": 4,
    "rows_written": 5,
    "query_duration_ms": 0.25,
}


def ok(response: object) -> object:
    """Return the JSON of an answer that is no error."""
    return {"type": "ok", "response": response}


RESPONSES = {
    "execute": (p.ExecuteResponse(RESULT), ok({"type": "execute", "result": RESULT_JSON})),
    "batch": (
        p.BatchResponse(p.BatchResult((RESULT, None, None), (None, p.SqlError("no", "C"), None))),
        ok(
            {
                "type": "batch",
                "result": {
                    "step_results": [RESULT_JSON, None, None],
                    "step_errors": [None, {"message": "no", "code": "C"}, None],
                },
            }
        ),
    ),
    "sequence": (p.SequenceResponse(), ok({"type": "sequence"})),
    "describe": (
        p.DescribeResponse(
            p.Description((p.Parameter(":a"), p.Parameter()), (p.Column("c", "X"),), False, True)
        ),
        ok(
            {
                "type": "describe",
                "result": {
                    "params": [{"name": ":a"}, {"name": None}],
                    "cols": [{"name": "c", "decltype": "X"}],
                    "is_explain": False,
                    "is_readonly": True,
                },
            }
        ),
    ),
    "store_sql": (p.StoreSqlResponse(), ok({"type": "store_sql"})),
    "close_sql": (p.CloseSqlResponse(), ok({"type": "close_sql"})),
    "get_autocommit": (
        p.GetAutocommitResponse(is_autocommit=True),
        ok({"type": "get_autocommit", "is_autocommit": True}),
    ),
    "close": (p.CloseResponse(), ok({"type": "close"})),
    "error": (p.SqlError("no", "C"), {"type": "error", "error": {"message": "no", "code": "C"}}),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_request_and_json(name):
    """The request is written as this JSON, and this JSON is read as the request."""
    message, wire = REQUESTS[name]
    assert json.loads(p.encode_request([message])) == {"baton": None, "requests": [wire]}
    assert p.decode_request(json.dumps({"requests": [wire]}).encode()) == ([message], None)


@pytest.mark.parametrize("name", RESPONSES)
def test_response_and_json(name):
    """The answer is written as this JSON, and this JSON is read as the answer."""
    message, wire = RESPONSES[name]
    assert json.loads(p.encode_response([message])) == {"baton": None, "base_url": None, "results": [wire]}
    assert p.decode_response(json.dumps({"results": [wire]}).encode()) == ([message], None)


def test_order_is_kept():
    """Several requests, and several answers, in one body stay in order."""
    requests = [message for message, _ in REQUESTS.values()]
    responses = [message for message, _ in RESPONSES.values()]
    for baton in (None, "a baton"):
        assert p.decode_request(p.encode_request(requests, baton)) == (requests, baton)
        assert p.decode_response(p.encode_response(responses, baton)) == (responses, baton)


def test_unknown_fields_are_skipped():
    """Fields of a newer version change nothing, wherever they are."""
    stmt = {**STMT, "replication_index": None, "new": [1]}
    batch = {"steps": [{"stmt": stmt, "new": 1}], "replication_index": None}
    body = {"requests": [{"type": "batch", "batch": batch, "new": {}}], "new": 1}
    assert p.decode_request(json.dumps(body).encode()).requests == [p.Batch((p.Step(SELECT),))]


def test_missing_and_null_fields_mean_the_default():
    """A statement needs nothing but its text; null is as good as missing."""
    for stmt in (
        {"sql": "SELECT 1"},
        dict.fromkeys(["args", "named_args", "want_rows"]) | {"sql": "SELECT 1"},
    ):
        body = {"requests": [{"type": "execute", "stmt": stmt}]}
        assert p.decode_request(json.dumps(body).encode()).requests == [p.Execute(SELECT)]


def nested(depth: int) -> object:
    """Return the JSON of a condition of ``depth`` levels."""
    condition: object = {"type": "is_autocommit"}
    for _ in range(depth - 1):
        condition = {"type": "not", "cond": condition}
    return condition


def steps(*conditions: object) -> bytes:
    """Return a body with a batch of steps that have these conditions."""
    batch = {"steps": [{"stmt": STMT, "condition": condition} for condition in conditions]}
    return json.dumps({"requests": [{"type": "batch", "batch": batch}]}).encode()


VERY_DEEP = steps("X").replace(b'"X"', b'{"type":"not","cond":' * 5000)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(b"", "read pipeline request of 0 bytes", id="nothing"),
        pytest.param(b"<html>", "read pipeline request of 6 bytes", id="a web page"),
        pytest.param(b"[]", "read pipeline request", id="a list"),
        pytest.param(b"{}", "read pipeline request", id="no requests"),
        pytest.param(b'{"requests":[{"type":"drop"}]}', "drop", id="unknown type"),
        pytest.param(b'{"requests":[{"type":"execute"}]}', "stmt", id="no statement"),
        pytest.param(b'{"requests":[{"type":"execute","stmt":{}}]}', "it has no text", id="no text"),
        pytest.param(
            b'{"requests":[{"type":"describe","sql":"a","sql_id":1}]}',
            "it has a text and the id of another",
            id="two texts",
        ),
        pytest.param(b'{"requests":[{"type":"sequence","sql":"\xff"}]}', "(?i)utf-8", id="not UTF-8"),
        pytest.param(b'{"requests":[{"type":"sequence","sql":"\\ud800"}]}', "read", id="lone surrogate"),
        pytest.param(b"[" * 100_000, "read pipeline request", id="deep list"),
        pytest.param(b'{"x":' * 100_000, "read pipeline request", id="deep unknown field"),
        pytest.param(steps({"type": "ok", "step": 0}), "about step 0", id="condition on itself"),
        pytest.param(steps(None, {"type": "error", "step": -1}), "about step -1", id="step below 0"),
        pytest.param(steps(nested(51)), "deeper than 50 levels", id="deep condition"),
        pytest.param(VERY_DEEP, "read pipeline request", id="very deep condition"),
    ],
)
def test_bad_request(body, words):
    """A request that makes no sense raises ProtocolError that says why, with a hint."""
    with pytest.raises(ProtocolError, match=words) as caught:
        p.decode_request(body)
    assert caught.value.hint


def test_conditions_may_nest():
    """A condition of 50 levels is read, and so is one about the step just before."""
    ((batch,), _) = p.decode_request(steps(nested(50), {"type": "ok", "step": 0}))
    assert batch.steps[1].condition == p.StepOk(0)


def result_body(**fields: object) -> bytes:
    """Return an answer to Execute, ``fields`` over a good result."""
    result = ok({"type": "execute", "result": {**RESULT_JSON, **fields}})
    return json.dumps({"results": [result]}).encode()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(b"", "read pipeline response of 0 bytes", id="nothing"),
        pytest.param(b"<!DOCTYPE html>", "read pipeline response", id="a web page"),
        pytest.param(b'{"results":[{"type":"ok"}]}', "response", id="no response"),
        pytest.param(b'{"results":[{"type":"error","error":{}}]}', "message", id="no message"),
        pytest.param(b'{"results":[{"type":"ok","response":{"type":"x"}}]}', "x", id="unknown type"),
        pytest.param(
            result_body(rows=[[{"type": "null"}]]), "read row 0: 1 values for 2 columns", id="narrow row"
        ),
        pytest.param(result_body(last_insert_rowid="x"), "last_insert_rowid: 'x' is no 64-bit", id="row id"),
        pytest.param(
            b'{"results":[{"type":"ok","response":{"type":"batch","result":'
            b'{"step_results":[null],"step_errors":[]}}}]}',
            "1 results, but 0 errors",
            id="steps do not match",
        ),
    ],
)
def test_bad_response(body, words):
    """An answer that makes no sense raises ProtocolError that says why, with a hint."""
    with pytest.raises(ProtocolError, match=words) as caught:
        p.decode_response(body)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (p.Execute(p.Stmt("\ud800")), "write SQL: character 0 of 1 is a lone surrogate"),
        (p.Execute(p.Stmt("x", (), (("\ud800", 1),))), "write argument name"),
        (p.Execute(p.Stmt("x", (), ((":a", 1), (":b", 2**64)))), "write named argument 1"),
        (p.Sequence("\ud800"), "write SQL"),
        (p.Describe("\ud800"), "write SQL"),
        (p.StoreSql(1, "\ud800"), "write SQL"),
    ],
)
def test_request_that_cannot_be_sent(request_, words):
    """A text or number without a JSON form raises ProtocolError that says where it is."""
    with pytest.raises(ProtocolError, match=words) as caught:
        p.encode_request([request_])
    assert caught.value.hint


def test_response_that_cannot_be_sent():
    """A value without a JSON form raises ProtocolError that says which column it is in."""
    result = p.Result((p.Column("a"), p.Column("b")), ((1, float("inf")),))
    with pytest.raises(ProtocolError, match="write column 1: inf"):
        p.encode_response([p.ExecuteResponse(result)])
    with pytest.raises(ProtocolError, match="write pipeline response"):
        p.encode_response([p.SqlError("\ud800")])


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from(["execute", "batch", "ok", "not", "integer", "text", "1", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "stmt", "sql", "args", "value", "batch", "steps", "condition", "response"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.binary(max_size=60) | JSON.map(lambda one: json.dumps({"requests": [one], "results": [one]}).encode())
)
def test_any_bytes_decode_or_raise_our_error(data):
    """Whatever the bytes, only ProtocolError escapes the decoders."""
    for decode in (p.decode_request, p.decode_response):
        try:
            decode(data)
        except ProtocolError as error:
            if not error.hint:
                raise


@given(st.sampled_from(sorted(REQUESTS)), st.sampled_from(sorted(RESPONSES)), st.data())
def test_damaged_bodies_decode_or_raise_our_error(request_name, response_name, data):
    """A good body with bytes changed or cut off is read, or raises ProtocolError."""
    bodies = (
        (p.decode_request, p.encode_request([REQUESTS[request_name][0]])),
        (p.decode_response, p.encode_response([RESPONSES[response_name][0]])),
    )
    for decode, good in bodies:
        body = bytearray(good)
        for _ in range(data.draw(st.integers(1, 3))):
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
        try:
            decode(bytes(body[: data.draw(st.integers(len(body) // 2, len(body)))]))
        except ProtocolError as error:
            if not error.hint:
                raise
