"""What goes wrong on the way: each fault has its error, its hint, and no token in any of its texts."""

from __future__ import annotations

import json
import random
import socket
import traceback

import pytest
from scripted import HANG, HEADER, PAGES, WHOLE, Scripted, answer, chunked

from turso_sync_nb.errors import (
    ProtocolError,
    RemoteError,
    RemoteFailedError,
    RemoteRefusedError,
    RemoteUnreachableError,
    SyncError,
    UsageError,
)
from turso_sync_nb.protocol.pipeline import Execute, Stmt
from turso_sync_nb.protocol.pull_updates import PullRequest, encode_page
from turso_sync_nb.remote.http import HttpRemote, Timeouts
from turso_sync_nb.remote.retry import RetryPolicy
from turso_sync_nb.units import PageId

TOKEN = "eyJ.secret-of-mine.sig"  # noqa: S105 - no real one
KEY = "a2V5LW9mLW1pbmU="
DONE = b'{"results":[{"type":"ok","response":{"type":"execute","result":{"cols":[],"rows":[]}}}]}'


@pytest.fixture
def slept():
    """Give the list of the waits between tries, which take no time."""
    return []


@pytest.fixture
def connect(slept):
    """Give ``connect(url, ...)``: a remote with a token that tries thrice and waits for nothing."""
    remotes: list[HttpRemote] = []
    retry = RetryPolicy(attempts=3, sleep=slept.append, chance=random.Random(1))

    def make(url, auth_token=TOKEN, **options):
        remotes.append(HttpRemote(url, auth_token, **{"retry": retry, **options}))
        return remotes[-1]

    yield make
    for remote in remotes:
        remote.close()


def pull(remote, into=None):
    """Return the pages of one pull, which are also put ``into`` a list as they come."""
    pages = [] if into is None else into
    with remote.pull_updates(PullRequest()) as response:
        for page_id, data in response.pages():
            assert data == bytes([page_id]) * 4096
            pages.append(page_id)
    return pages


def run(remote):
    """Run one statement."""
    return remote.pipeline([Execute(Stmt("SELECT 1"))])


def fails(kind, act, remote, *args):
    """Return the error of ``act(remote)``, which is a ``kind`` with a hint and shows no secret."""
    with pytest.raises(SyncError) as caught:
        act(remote, *args)
    error = caught.value
    assert type(error) is kind, error
    assert error.hint
    shown = [str(error), repr(error), *traceback.format_exception(error), repr(remote), remote.display_url]
    for text in [*shown, str(remote.saved_url)]:
        assert TOKEN not in text
        assert "secret-of-mine" not in text
        assert KEY not in text
    return error


CUTS = {
    "between pages": (HEADER + PAGES[0] + PAGES[1], [0, 1]),
    "inside a page": (HEADER + PAGES[0] + PAGES[1][:2000], [0]),
    "inside a length": (HEADER + PAGES[0] + PAGES[1][:1], [0]),
    "after the header": (HEADER, []),
}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_cut_answer_fails_after_its_good_pages(connect, cut, framing):
    """Pages before the cut are handed out, then comes RemoteFailedError, and nothing is asked again."""
    body, good = CUTS[cut]
    says = answer(body=body, length=len(WHOLE)) if framing == "length" else chunked(body, ended=False)
    with Scripted(says) as server:
        got: list[int] = []
        fails(RemoteFailedError, pull, connect(server.url), got)
    assert got == good
    assert len(server.asked) == 1


@pytest.mark.parametrize("cut", ["inside a page", "inside a length"])
def test_an_answer_that_ends_inside_a_message_broke_off(connect, cut):
    """An end that HTTP calls good is none when a message is not complete."""
    body, good = CUTS[cut]
    with Scripted(chunked(body)) as server:
        got: list[int] = []
        fails(RemoteFailedError, pull, connect(server.url), got)
    assert got == good


def test_a_cut_before_the_header_is_asked_again(connect):
    """Nothing was handed out yet, so a second try is safe, and its answer counts."""
    with Scripted(answer(body=HEADER[:3], length=len(WHOLE)), answer(body=WHOLE)) as server:
        assert pull(connect(server.url)) == [0, 1, 2, 3]
    assert len(server.asked) == 2


def test_an_answer_in_single_bytes_is_whole(connect):
    """Where chunks begin and end does not matter."""
    parts = [WHOLE[at : at + 1] for at in range(len(HEADER) + 5)] + [WHOLE[len(HEADER) + 5 :]]
    with Scripted(chunked(*parts)) as server:
        remote = connect(server.url)
        assert pull(remote) == [0, 1, 2, 3]
    assert remote.traffic.snapshot().received_bytes == len(WHOLE)


@pytest.mark.parametrize("body", [b"\xff" * 100, b"\x05hello", b"", b"{}", bytes(50)], ids=repr)
def test_nonsense_is_a_protocol_error(connect, body):
    """A body that is no header is refused, and not asked for again."""
    with Scripted(answer(body=body)) as server:
        fails(ProtocolError, pull, connect(server.url))
    assert len(server.asked) == 1


@pytest.mark.parametrize("body", [b"\xff" * 100, b"", b"{}", b"[]", b'{"results":[{}]}'], ids=repr)
def test_nonsense_for_sql_is_a_protocol_error(connect, body):
    """A body that is no pipeline answer is refused."""
    with Scripted(answer(body=body)) as server:
        fails(ProtocolError, run, connect(server.url))


def test_a_page_past_the_end_is_good_at_an_older_revision_alone(connect):
    """The header's size is that of the newest revision, from which a database may have shrunk."""
    with Scripted(answer(body=HEADER + encode_page(PageId(8), bytes(4096), "raw"))) as server:
        remote = connect(server.url)
        with remote.pull_updates(PullRequest(server_revision="rev-0")) as response:
            assert list(response.pages()) == [(8, bytes(4096))]
        fails(ProtocolError, pull, remote)


@pytest.mark.parametrize("act", [pull, run])
def test_a_web_page_is_named_as_one(connect, act):
    """HTML with status 200 is ProtocolError that says "web page"."""
    page = b"<!DOCTYPE html><html>" + b"x" * 9000
    with Scripted(answer(body=page, content_type="text/html")) as server:
        assert "web page" in str(fails(ProtocolError, act, connect(server.url)))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (304, RemoteFailedError),
        (400, RemoteRefusedError),
        (401, RemoteRefusedError),
        (403, RemoteRefusedError),
        (404, RemoteRefusedError),
        (418, RemoteRefusedError),
        (500, RemoteFailedError),
    ],
)
@pytest.mark.parametrize("act", [pull, run])
def test_a_status_has_its_error_and_is_not_repeated(connect, act, status, kind):
    """4xx is a refusal, 5xx a failure; the server's words are shown in one line, the token masked."""
    said = f"bad \x1b[31m{TOKEN}\r\n\0 end".encode() if status != 304 else b""
    with Scripted(answer(status, said)) as server:
        error = fails(kind, act, connect(server.url))
    assert f"status {status}" in str(error)
    assert str(error).isprintable()
    if said:
        assert "***" in str(error)
        assert "end" in str(error)
    assert len(server.asked) == 1


def test_a_long_text_is_cut(connect):
    """A server's own words take at most 200 characters, and a token across the cut stays hidden."""
    with Scripted(answer(500, b"x" * 190 + TOKEN.encode() + b"y" * 99_000)) as server:
        assert len(str(fails(RemoteFailedError, pull, connect(server.url)))) < 400


@pytest.mark.parametrize(("act", "body"), [(pull, WHOLE), (run, DONE)])
def test_too_often_is_repeated_when_the_server_says(connect, slept, act, body):
    """429 waits what Retry-After says and asks again, SQL too: it was surely not run."""
    with Scripted(answer(429, b"slow", retry_after="2"), answer(body=body)) as server:
        act(connect(server.url))
    assert slept == [2.0]
    assert len(server.asked) == 2


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_busy_server_is_asked_three_times(connect, slept, status):
    """A pull is repeated as often as the policy says, then fails with the status."""
    with Scripted(answer(status, b"busy")) as server:
        remote = connect(server.url)
        assert f"status {status}" in str(fails(RemoteFailedError, pull, remote))
    assert len(server.asked) == remote.traffic.snapshot().requests == 3
    assert len(slept) == 2


@pytest.mark.parametrize(
    "says", [answer(503), answer(500), [], answer(body=DONE[:20], length=len(DONE))], ids=repr
)
def test_sql_that_may_have_run_is_not_repeated(connect, says):
    """After 5xx, no answer, or half an answer, SQL was sent once and only once."""
    with Scripted(says) as server:
        fails(RemoteFailedError, run, connect(server.url))
    assert len(server.asked) == 1


def test_no_answer_to_a_pull_is_repeated(connect):
    """A connection that closes without a word is asked again."""
    with Scripted([], answer(body=WHOLE)) as server:
        assert pull(connect(server.url)) == [0, 1, 2, 3]


@pytest.mark.parametrize("act", [pull, run])
def test_a_refused_connection_is_repeated_and_unreachable(connect, slept, act):
    """Where nothing listens nothing ran: SQL is repeated too, then RemoteUnreachableError."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    fails(RemoteUnreachableError, act, connect(f"http://127.0.0.1:{port}"))
    assert len(slept) == 2


@pytest.mark.parametrize("says", [[HANG], [*answer(body=HEADER[:2], length=99), HANG]], ids=["head", "body"])
@pytest.mark.parametrize("act", [pull, run])
def test_a_server_that_falls_silent_is_given_up(connect, act, says):
    """A read that waits longer than it may is RemoteFailedError."""
    with Scripted(says) as server:
        remote = connect(server.url, timeouts=Timeouts(read_s=0.05), retry=RetryPolicy(attempts=1))
        assert "in time" in str(fails(RemoteFailedError, act, remote))


@pytest.mark.parametrize("location", ["/moved/pull-updates", "http://127.0.0.1:{port}/moved/pull-updates"])
def test_a_redirect_on_the_same_host_is_followed(connect, location):
    """307 within a host is followed, with the token and the same body."""

    def moved(_):
        return answer(307, location=location.format(port=server.port))

    with Scripted(moved, answer(body=WHOLE)) as server:
        assert pull(connect(server.url)) == [0, 1, 2, 3]
    first, second = server.asked
    assert second.line == "POST /moved/pull-updates HTTP/1.1"
    assert second.headers["authorization"] == first.headers["authorization"] == f"Bearer {TOKEN}"
    assert second.body == first.body


@pytest.mark.parametrize("act", [pull, run])
def test_a_redirect_elsewhere_is_refused(connect, act):
    """307 to another port is refused, and who listens there sees no request."""
    with Scripted(answer(body=WHOLE)) as other:
        moved = answer(307, location=f"{other.url}/?authToken={TOKEN}")
        with Scripted(moved) as server:
            assert "redirected" in str(fails(RemoteRefusedError, act, connect(server.url)))
    assert other.asked == []


@pytest.mark.parametrize("location", ["http://[", "ftp://127.0.0.1/", "//elsewhere.invalid/", "http:///"])
def test_a_redirect_to_nowhere_is_refused(connect, location):
    """What is no address, or no HTTP, is not followed."""
    with Scripted(answer(308, location=location)) as server:
        fails(RemoteRefusedError, pull, connect(server.url))


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_keeps_the_post(connect, status):
    """Whatever the redirect, it is a POST with the same body that follows."""
    with Scripted(answer(status, location="/x"), answer(body=WHOLE)) as server:
        assert pull(connect(server.url)) == [0, 1, 2, 3]
    assert server.asked[1].line == "POST /x HTTP/1.1"
    assert server.asked[1].body == server.asked[0].body


def test_a_redirect_to_another_page_is_refused(connect):
    """303 leads to something else than what was asked for."""
    with Scripted(answer(303, location="/x"), answer(body=WHOLE)) as server:
        fails(RemoteRefusedError, pull, connect(server.url))
    assert len(server.asked) == 1


def test_redirects_in_a_circle_end(connect):
    """A server that redirects to itself is refused after three."""
    with Scripted(answer(307, location="/pull-updates")) as server:
        fails(RemoteRefusedError, pull, connect(server.url))
    assert len(server.asked) == 4


@pytest.mark.parametrize("url", ["http://a..b", "http://host name", "http://h\x01st", "http://\ud800"])
def test_a_host_that_cannot_be_is_a_sync_error(connect, url):
    """A name that no host has gives one of our errors."""
    with pytest.raises(SyncError):
        pull(connect(url, timeouts=Timeouts(connect_s=0.5), retry=RetryPolicy(attempts=1)))


def test_a_paused_address_is_unreachable(connect):
    """A function that gives None says "not now"."""
    assert "paused" in str(fails(RemoteUnreachableError, pull, connect(lambda: None)))


@pytest.mark.parametrize("which", ["url", "token"])
def test_a_function_that_fails_is_named(connect, which):
    """What a user's function raises is not shown, only its kind; another type is UsageError."""

    def fail():
        raise LookupError(TOKEN)

    with Scripted(answer(body=WHOLE)) as server:
        for function, kind, word in ((fail, RemoteError, "LookupError"), (lambda: 7, UsageError, "int")):
            remote = connect(function) if which == "url" else connect(server.url, function)
            assert word in str(fails(kind, pull, remote))
    assert server.asked == []


def test_functions_are_asked_for_each_request(connect):
    """A new token and a new address count from the next request on."""
    tokens = iter(["one", "two", None])
    with Scripted(answer(body=WHOLE)) as server:
        remote = connect(lambda: server.url, lambda: next(tokens))
        for _ in range(3):
            pull(remote)
    assert [asked.headers.get("authorization") for asked in server.asked] == [
        "Bearer one",
        "Bearer two",
        None,
    ]


@pytest.mark.parametrize("bad", ["\n", "\r\nx: y", " ", "\0", "é", "\u2028"], ids=repr)
@pytest.mark.parametrize("where", ["end", "middle"])
def test_a_token_that_is_no_header_is_refused(connect, bad, where):
    """Line breaks, blanks and other characters are UsageError, and nothing is sent."""
    token = TOKEN + bad if where == "end" else TOKEN[:5] + bad + TOKEN[5:]
    with Scripted(answer(body=WHOLE)) as server:
        fails(UsageError, pull, connect(server.url, token))
    assert server.asked == []


def test_an_encryption_key_that_is_no_header_is_refused():
    """It is refused at once, and not shown."""
    with pytest.raises(UsageError) as caught:
        HttpRemote("http://host", encryption_key=KEY + "\n")
    assert KEY not in str(caught.value)


def test_the_encryption_key_is_sent_and_not_shown(connect):
    """It goes in x-turso-encryption-key, and no error shows it."""
    with Scripted(answer(body=WHOLE), answer(500, KEY.encode())) as server:
        remote = connect(server.url, encryption_key=KEY)
        pull(remote)
        fails(RemoteFailedError, pull, remote)
    assert server.asked[0].headers["x-turso-encryption-key"] == KEY


def test_a_token_in_the_address_is_used_and_not_shown(connect):
    """The parameter goes into the header, and neither into the path nor into what is shown or saved."""
    with Scripted(answer(body=WHOLE), answer(401, TOKEN.encode())) as server:
        remote = connect(f"{server.url}/?authToken={TOKEN}", None)
        pull(remote)
        assert remote.saved_url == remote.display_url == server.url
        fails(RemoteRefusedError, pull, remote)
    assert server.asked[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert server.asked[0].line == "POST /pull-updates HTTP/1.1"


SAYS_THE_TOKEN = f"Authorization: Bearer {TOKEN}".encode()


@pytest.mark.parametrize("act", [pull, run])
@pytest.mark.parametrize(
    "says",
    [
        [SAYS_THE_TOKEN + b"\r\n\r\n"],
        [f"HTTP/1.1 200 OK\r\nBearer {TOKEN}\r\n\r\n".encode()],
        [f"HTTP/1.1 200 OK\r\ncontent-length: {TOKEN}\r\n\r\n".encode()],
        [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + SAYS_THE_TOKEN + b"\r\n"],
        [b"HTTP/1.1 200 OK\r\ntransfer-encoding: " + TOKEN.encode() + b"\r\n\r\n"],
        [SAYS_THE_TOKEN * 10_000],
    ],
    ids=["status", "header", "length", "chunk", "encoding", "endless"],
)
def test_a_server_that_echoes_does_not_get_the_token_shown(connect, act, says):
    """What is no HTTP is RemoteFailedError, and what was sent is not quoted."""
    with Scripted(says) as server:
        fails(RemoteFailedError, act, connect(server.url))


SQL_ERRORS = {
    "of a statement": {"type": "error", "error": {"message": f"bad {TOKEN}", "code": "SQLITE_ERROR"}},
    "of a step": {
        "type": "ok",
        "response": {
            "type": "batch",
            "result": {"step_results": [None], "step_errors": [{"message": f"bad {TOKEN}"}]},
        },
    },
}
"""Answers of status 200 in which an error repeats the token."""


@pytest.mark.parametrize("kind", SQL_ERRORS)
def test_an_sql_error_does_not_repeat_the_token(connect, kind):
    """It reaches messages as any other text of the remote; the code of the error stays."""
    body = json.dumps({"results": [SQL_ERRORS[kind]]}).encode()
    with Scripted(answer(body=body)) as server:
        (said,) = connect(server.url).pipeline([Execute(Stmt("SELECT 1"))])
    assert "bad ***" in repr(said)
    assert TOKEN not in repr(said)
    if kind == "of a statement":
        assert said.code == "SQLITE_ERROR"


@pytest.mark.parametrize(
    "body", [{"results": [{"type": TOKEN}]}, {TOKEN: TOKEN}, {"results": TOKEN}, [TOKEN], TOKEN]
)
def test_an_answer_of_another_form_does_not_show_the_token(connect, body):
    """What is wrong with it is said without its text."""
    with Scripted(answer(body=json.dumps(body).encode())) as server:
        fails(ProtocolError, run, connect(server.url))


def test_rows_that_hold_the_token_are_data(connect):
    """They are given as they are."""
    value = {"type": "text", "value": TOKEN}
    result = {"cols": [{"name": "a"}], "rows": [[value]]}
    ok = {"type": "ok", "response": {"type": "execute", "result": result}}
    with Scripted(answer(body=json.dumps({"results": [ok]}).encode())) as server:
        (said,) = run(connect(server.url))
    assert said.result.rows == ((TOKEN,),)


@pytest.mark.parametrize("length", [8, 12, len(TOKEN) - 1])
def test_a_part_of_the_token_is_masked(connect, length):
    """Servers cut what they quote; the beginning of a token is no more shown than all of it."""
    with Scripted(answer(401, f"bad token {TOKEN[:length]}...".encode())) as server:
        error = fails(RemoteRefusedError, pull, connect(server.url))
    assert "bad token ***..." in str(error)


@pytest.mark.parametrize("act", [pull, run])
def test_an_answer_that_is_compressed_is_named_so(connect, act):
    """Nobody asked for gzip: ProtocolError says what it is."""
    with Scripted(answer(body=b"\x1f\x8b\x08", content_encoding="gzip")) as server:
        assert "gzip" in str(fails(ProtocolError, act, connect(server.url)))
    assert server.asked[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("act", [pull, run])
def test_an_answer_that_does_not_say_where_it_ends(connect, act):
    """Neither length nor chunks: cut between two messages it would look whole, so it is refused."""
    with Scripted([b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", WHOLE]) as server:
        assert "where it ends" in str(fails(ProtocolError, act, connect(server.url)))
