"""What pyturso and tursodb said to each other, as record_golden.py wrote it down, means the same to us.

Byte for byte the same when we write it again: pull requests without a selector, headers, pages. The same
in meaning only: selectors (ours pack ranges as runs, theirs list the ids), and JSON (theirs names null
fields and ``replication_index``).
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pyroaring import BitMap

from turso_sync_nb.protocol import pipeline
from turso_sync_nb.protocol.pull_updates import PullDecoder, PullRequest, encode_header, encode_page
from turso_sync_nb.protocol.selector import decode_selector, encode_selector

GOLDEN = Path(__file__).with_name("golden")
EXCHANGES = json.loads((GOLDEN / "exchanges.json").read_text())
PULLS = [one["name"] for one in EXCHANGES if one["path"] == "/pull-updates"]
PIPELINES = [one["name"] for one in EXCHANGES if one["path"] == "/v2/pipeline"]


def asked(name: str) -> bytes:
    """Return the recorded request body."""
    return (GOLDEN / f"{name}.request").read_bytes()


def answered(name: str) -> bytes:
    """Return the recorded answer body."""
    return (GOLDEN / f"{name}.answer").read_bytes()


def decoded(name: str):
    """Return header and pages of a recorded pull answer."""
    decoder = PullDecoder()
    pages = list(decoder.feed(answered(name)))
    decoder.finish()
    return decoder.header, pages


def without_nulls(value: object) -> object:
    """Return JSON without the fields that are null, and with blobs unpadded."""
    if isinstance(value, dict):
        return {
            key: one.rstrip("=") if key == "base64" else without_nulls(one)
            for key, one in value.items()
            if one is not None
        }
    return [without_nulls(one) for one in value] if isinstance(value, list) else value


def test_every_scene_was_recorded():
    """Each kind of exchange is there, answered with 200, and the whole is small."""
    assert {one["scene"] for one in EXCHANGES} == {
        "bootstrap-whole", "bootstrap-prefix", "bootstrap-query", "lazy-read", "pull-nothing", "pull-news",
        "push", "push-refused",
    }  # fmt: skip
    assert {one["status"] for one in EXCHANGES} == {200}
    assert sum(file.stat().st_size for file in GOLDEN.iterdir()) < 300_000


def test_bootstrap_requests():
    """A whole bootstrap asks for nothing special, a prefix for its pages, a query for the query."""
    assert PullRequest.decode(asked("bootstrap-whole-1")) == PullRequest()
    assert PullRequest.decode(asked("bootstrap-prefix-1")) == PullRequest(pages=BitMap([0, 1]))
    query = "SELECT name FROM airport WHERE code = 'A1'"
    assert PullRequest.decode(asked("bootstrap-query-1")) == PullRequest(query=query)


def test_lazy_read_requests():
    """A lazy read asks for pages at the revision of the bootstrap."""
    revision = decoded("bootstrap-prefix-1")[0].revision
    request = PullRequest.decode(asked("lazy-read-1"))
    assert request == PullRequest(server_revision=revision, pages=request.pages)
    assert request.pages


def test_pull_requests():
    """A pull says what the client holds."""
    revision = decoded("bootstrap-whole-1")[0].revision
    for name in ("pull-nothing-1", "pull-news-1"):
        assert PullRequest.decode(asked(name)) == PullRequest(client_revision=revision)


@pytest.mark.parametrize("name", PULLS)
def test_pull_request_is_written_again(name):
    """A recorded request is written again to the same bytes; a selector to the same pages."""
    request = PullRequest.decode(asked(name))
    if request.pages is None:
        assert request.encode() == asked(name)
    else:
        assert PullRequest.decode(request.encode()) == request
        assert decode_selector(encode_selector(request.pages)) == request.pages


@pytest.mark.parametrize("name", PULLS)
def test_pull_answer_is_written_again(name):
    """A recorded answer is read, and written again to the same bytes."""
    header, pages = decoded(name)
    again = encode_header(header) + b"".join(encode_page(page_id, data, "raw") for page_id, data in pages)
    assert again == answered(name)


@pytest.mark.parametrize("name", PULLS)
def test_pull_answer_byte_by_byte(name):
    """A recorded answer gives the same pages when it comes one byte at a time."""
    decoder = PullDecoder()
    body = answered(name)
    pages = [page for at in range(len(body)) for page in decoder.feed(body[at : at + 1])]
    decoder.finish()
    assert (decoder.header, pages) == decoded(name)


def test_answers_hold_what_was_asked():
    """A whole answer is the database; a selector gets its pages; no news is no page."""
    header, pages = decoded("bootstrap-whole-1")
    assert sorted(page_id for page_id, _ in pages) == list(range(header.db_pages))
    assert dict(pages)[0].startswith(b"SQLite format 3\0")
    for name in ("bootstrap-prefix-1", "lazy-read-1"):
        ids = BitMap(page_id for page_id, _ in decoded(name)[1])
        assert ids == PullRequest.decode(asked(name)).pages
    assert decoded("pull-nothing-1")[1] == []
    assert len(decoded("pull-news-1")[1]) >= 1


@pytest.mark.parametrize("name", PIPELINES)
def test_pipeline_request_is_written_again(name):
    """A recorded push means the same when it is written again."""
    again = pipeline.encode_request(*pipeline.decode_request(asked(name)))
    assert without_nulls(json.loads(again)) == without_nulls(json.loads(asked(name)))


@pytest.mark.parametrize("name", PIPELINES)
def test_pipeline_answer_is_written_again(name):
    """A recorded answer to a push means the same when it is written again, step by step."""
    again = pipeline.encode_response(*pipeline.decode_response(answered(name)))
    assert without_nulls(json.loads(again)) == without_nulls(json.loads(answered(name)))


def test_push_values_are_exact():
    """The values of the pushed row are what the client was given."""
    (batch,) = pipeline.decode_request(asked("push-2")).requests
    values = next(step.stmt.args for step in batch.steps if "B1" in step.stmt.args)
    assert values[:2] == ("B1", "näme 🛫")
    assert str(values[2]) == "-0.0"
    assert values[3] == b"\x00\xff\xfe"
    assert batch.steps[1].condition == pipeline.Not(pipeline.IsAutocommit())


def test_failed_step_is_read():
    """A step that failed has an error in its place, and no result."""
    (response,) = pipeline.decode_response(answered("push-refused-2")).responses
    failed = [error for error in response.result.step_errors if error is not None]
    assert [error.code for error in failed] == ["BATCH_STEP_ERROR"]
    assert "no such table" in failed[0].message
    assert response.result.step_results[response.result.step_errors.index(failed[0])] is None
