"""Parts of a remote on their own: errors by status and connection, a stream's batons, an answer's pages."""

from __future__ import annotations

import httpx
import pytest

from turso_sync_nb.errors import (
    ProtocolError,
    RemoteFailedError,
    RemoteRefusedError,
    RemoteUnreachableError,
    UsageError,
)
from turso_sync_nb.protocol.pipeline import Close, Execute, ResponseBody, Stmt
from turso_sync_nb.protocol.pull_updates import PullDecoder, PullHeader, encode_header, encode_page
from turso_sync_nb.remote import answers
from turso_sync_nb.remote.pull_response import PullResponse
from turso_sync_nb.remote.stream import Stream
from turso_sync_nb.secret import Secret

HUSHED = "hushed-token-0123"
REQUEST = httpx.Request("POST", "http://there/")


@pytest.mark.parametrize(
    ("status", "text", "kind", "said", "hint"),
    [
        (400, "", RemoteRefusedError, "the server at there refused: status 400", "does not understand"),
        (401, "no\n  such\ttoken\x07", RemoteRefusedError, "status 401, no such token", "valid token"),
        (401, f"bad {HUSHED}, {HUSHED[:9]}", RemoteRefusedError, "status 401, bad ***, ***", "valid token"),
        (403, "", RemoteRefusedError, "status 403", "rights for this database"),
        (404, "<!doctype html><p>no", RemoteRefusedError, "status 404, a web page", "a web server answers"),
        (409, "", RemoteRefusedError, "status 409", "check address and token"),
        (
            400,
            "Encryption key missing",
            RemoteRefusedError,
            "400, Encryption key missing",
            "remote_encryption_key",
        ),
        (500, "an encrypted file", RemoteRefusedError, "an encrypted file", "remote_encryption_key"),
        (500, "x" * 300, RemoteFailedError, f"status 500, {'x' * 199}…", "server's log"),
        (503, "", RemoteFailedError, "status 503", "server's log"),
    ],
)
def test_an_error_of_a_status(status, text, kind, said, hint) -> None:
    """Its class, what is told of the server's words, and the hint; a secret is masked, its beginning too."""
    error = answers.of_status(status, text, "there", [Secret(HUSHED)])
    assert type(error) is kind
    assert str(error.args[0]).endswith(said)
    assert hint in error.hint
    assert error.status == status
    assert HUSHED[:8] not in str(error)


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (httpx.LocalProtocolError(f"Illegal header {HUSHED}"), RemoteFailedError, "could not be sent"),
        (httpx.ConnectTimeout("t"), RemoteUnreachableError, "no connection in time to there"),
        (httpx.PoolTimeout("t"), RemoteUnreachableError, "no connection in time to there"),
        (httpx.ReadTimeout("t"), RemoteFailedError, "no answer in time from there"),
        (httpx.WriteTimeout("t"), RemoteFailedError, "no answer in time from there"),
        (httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] x"), RemoteUnreachableError, "certificate"),
        (
            httpx.ConnectError("[Errno 111] refused"),
            RemoteUnreachableError,
            "connection to there: refused",
        ),
        (httpx.ProxyError("[Errno -2] no proxy"), RemoteUnreachableError, "no connection to there: no proxy"),
        (httpx.ReadError(""), RemoteFailedError, "broke off (ReadError)"),
        (httpx.RemoteProtocolError(f"illegal line: {HUSHED}"), RemoteFailedError, "off (illegal line)"),
    ],
)
def test_an_error_of_a_connection(error, kind, said) -> None:
    """Its class and words: none that a request or the server's bytes brought in."""
    ours = answers.of_transport(error, "there")
    assert type(ours) is kind
    assert said in str(ours)
    assert HUSHED not in str(ours)


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"content-length": "1"}, None),
        ({"transfer-encoding": "chunked", "content-encoding": " Identity "}, None),
        ({"content-length": "1", "content-encoding": "gzip"}, "compressed (gzip)"),
        ({"content-length": "1", "content-type": "text/html; charset=utf-8"}, "a web page"),
        ({}, "does not say where it ends"),
    ],
)
def test_an_answer_of_another_form(headers, said) -> None:
    """One that is compressed unasked, is a web page, or has no end is refused."""
    response = httpx.Response(200, headers=headers, request=REQUEST)
    if said is None:
        answers.refuse_other_forms(response, "there")
    else:
        with pytest.raises(ProtocolError) as refused:
            answers.refuse_other_forms(response, "there")
        assert said in str(refused.value)


class Exchange:
    """Answers each body with the next baton; ``asked`` are the bodies and the batons that came with them."""

    def __init__(self, *batons: str | Exception | None) -> None:
        self.batons = list(batons)
        self.asked: list[tuple[list[object], str | None]] = []

    def __call__(self, requests, baton) -> ResponseBody:
        """Answer one body."""
        self.asked.append((list(requests), baton))
        answer = self.batons.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return ResponseBody([], answer)


WORK = [Execute(Stmt("BEGIN"))]


def test_each_body_of_a_stream_goes_under_the_baton_before() -> None:
    """The close too; a second close asks nothing."""
    exchange = Exchange("one", "two", "three", None)
    stream = Stream(exchange)
    assert stream.begin()
    stream.pipeline(WORK)
    stream.pipeline(WORK)
    stream.close()
    stream.close()
    assert [baton for _, baton in exchange.asked] == [None, "one", "two", "three"]
    assert exchange.asked[-1] == ([Close()], "three")


@pytest.mark.parametrize("lost", [None, RemoteFailedError("lost", hint="")])
def test_a_stream_that_is_gone_is_not_gone_on_with(lost) -> None:
    """After an answer without a baton, or none at all, a body is refused here and nothing is closed there."""
    exchange = Exchange("one", lost)
    stream = Stream(exchange)
    stream.begin()
    if lost is None:
        stream.pipeline(WORK)
    else:
        with pytest.raises(RemoteFailedError, match="lost"):
            stream.pipeline(WORK)
    with pytest.raises(RemoteFailedError, match="rolled back what was open"):
        stream.pipeline(WORK)
    stream.close()
    assert len(exchange.asked) == 2


def test_a_remote_without_streams_and_a_close_that_fails() -> None:
    """The first is told by ``begin``; the second is no error: the remote rolls back by itself."""
    assert not Stream(Exchange(None)).begin()
    stream = Stream(Exchange("one", RemoteFailedError("lost", hint="")))
    stream.begin()
    stream.close()


PAGES = [(number, bytes([number]) * 4096) for number in (1, 2, 5)]


def answer(cut: int | None = None, ended: list[bool] | None = None) -> PullResponse:
    """Return an answer of three pages whose header is here, its body cut after so many bytes."""
    decoder, head = PullDecoder(), encode_header(PullHeader("r", 9))
    *first, last = [encode_page(page, data, "raw") for page, data in PAGES]
    list(decoder.feed(head))
    decoder.take(b"".join(first))  # came with the header

    def chunks():
        try:
            yield last[:cut]
        finally:
            if ended is not None:
                ended.append(True)

    return PullResponse(decoder.header, decoder, chunks())


def test_pages_of_an_answer() -> None:
    """Those that came with the header first; neighbours together if that is asked for."""
    assert list(answer().pages()) == PAGES
    assert [(page, len(data)) for page, data in answer().pages(8)] == [(1, 8192), (5, 4096)]


def test_an_answer_that_breaks_off_or_is_closed() -> None:
    """What came is good, then it is told; after its block nothing is read, and the body is let go of."""
    pages = answer(cut=100, ended=(told := [])).pages()
    assert [next(pages), next(pages)] == PAGES[:2]
    with pytest.raises(RemoteFailedError, match="broke off"):
        list(pages)
    assert told == [True]
    response = answer(ended=(told := []))
    pages = response.pages()
    next(pages)
    response.close()
    with pytest.raises(UsageError, match="it is closed"):
        next(pages)
    assert told == []  # its body was not begun
