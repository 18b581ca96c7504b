"""Around the endpoints: web pages, several databases, the access log, a history that is compacted."""

from __future__ import annotations

import logging
from contextlib import closing

import apsw
import httpx
import pytest
from asking import post, pull, sql
from streams import Stream, values
from written import make, pages, write

from turso_sync_nb.errors import UsageError
from turso_sync_nb.protocol.pull_updates import PullRequest
from turso_sync_nb.server import LocalServer

TOKEN = "sesame-open-17"  # noqa: S105 - of a test's own server
AUTHORIZED = {"authorization": f"bearer {TOKEN}"}
PAGE = {"origin": "http://localhost:5173"}
ASKED = PAGE | {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization, content-type",
}
PATHS = (
    "/pull-updates", "/v1/execute", "/v1/batch", "/v2", "/v3", "/v2/pipeline", "/v3/pipeline", "/v3/cursor",
)  # fmt: skip


def test_web_pages_with_a_token():
    """With a token set a page may ask before a request and read what is answered, a refusal too."""
    with LocalServer(auth_token=TOKEN) as server:
        for path in PATHS:
            asked = httpx.options(server.url + path, headers=ASKED)
            assert asked.status_code == 204, path
            assert asked.headers["access-control-allow-origin"] == "*"
            assert "authorization" in asked.headers["access-control-allow-headers"]
        for headers, status in ((PAGE | AUTHORIZED, 200), (PAGE, 401)):
            answer = post(server.url, "/v2/pipeline", content=b'{"requests": []}', headers=headers)
            assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, "*")
        answer = post(server.url, "/v2/pipeline", content=b'{"requests": []}', headers=AUTHORIZED)
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", PATHS)
def test_web_pages_without_a_token(shared_server, path):
    """Without a token no page may ask, nor read what is answered."""
    for answer in (
        httpx.options(shared_server.url + path, headers=ASKED),
        post(shared_server.url, path, content=b"{}", headers=PAGE),
    ):
        assert answer.status_code >= 400
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("kind", [1, 2, 7])
def test_other_kinds_of_stream_are_pages(shared_server, kind):
    """A client that prefers a stream that is not spoken gets pages, and is told so by what is left out."""
    preferring = post(shared_server.url, "/pull-updates", content=bytes([8 << 3, kind]))
    assert preferring.status_code == 200
    plain = post(shared_server.url, "/pull-updates", content=PullRequest().encode())
    assert preferring.content == plain.content


def test_which_versions_are_spoken(shared_server):
    """Versions 2 and 3 in JSON are spoken, not in protobuf; the server says what it is and how it is."""
    got = {path: httpx.get(shared_server.url + path).status_code for path in ("/v2", "/v3", "/v3-protobuf")}
    assert got == {"/v2": 200, "/v3": 200, "/v3-protobuf": 404}
    assert httpx.get(shared_server.url + "/health").status_code == 200
    assert httpx.get(shared_server.url + "/version").text.startswith("turso-sync-nb ")


@pytest.mark.parametrize("before", ["delete", "wal"])
@pytest.mark.parametrize("rows", [1, 300])
def test_a_file_longer_than_its_database(tmp_path, before, rows):
    """Pages behind the last one are not served, before a write, after one, and after a start anew."""
    path = make(tmp_path / "a.db", 20, journal_mode=before)
    with path.open("ab") as file:
        file.write(b"\0" * 11 * 4096)
    for _ in range(2):
        with LocalServer(path) as server:
            assert list(pull(server.url)[1].values()) == pages(path)
            header, _ = pull(server.url)
            sql(server.url, f"INSERT INTO t(b) SELECT zeroblob(100) FROM generate_series(1, {rows})")
            newer, got = pull(server.url)
            assert newer.db_pages == len(got) == len(pages(path))
            assert list(got.values()) == pages(path)
            changed = pull(server.url, client_revision=header.revision)[1]
            assert {page: got[page] for page in changed} == changed


def test_several_databases(tmp_path):
    """Each is served below its name, and its streams, revisions and limits are its own."""
    files = {"sales": make(tmp_path / "s.db", 5), "staff": tmp_path / "t.db", "scratch": None}
    with LocalServer(files) as server:
        assert set(server.places) == {f"{server.url}/{name}" for name in files}
        sql(server.url + "/staff", "CREATE TABLE only_here(x)")
        assert values(server.url + "/sales", "SELECT count(*) FROM t") == [("5",)]
        stream = Stream(server.url + "/sales")
        stream.send()
        other = Stream(server.url + "/staff")
        other.baton = stream.baton
        assert other.post().status_code == 400
        assert list(pull(server.url + "/sales")[1].values()) == pages(tmp_path / "s.db")
        assert post(server.url, "/v2/pipeline", json={"requests": []}).status_code == 404
    assert write(tmp_path / "t.db", "SELECT name FROM sqlite_schema") == [("only_here",)]


@pytest.mark.parametrize("how", ["name", "symbolic link", "hard link"])
def test_one_file_under_two_names(tmp_path, how):
    """A file has one WAL and one history: it is not served twice, whatever it is called."""
    path = make(tmp_path / "a.db", 5)
    other = path if how == "name" else tmp_path / "b.db"
    if how == "symbolic link":
        other.symlink_to(path)
    elif how == "hard link":
        other.hardlink_to(path)
    with pytest.raises(UsageError, match="one file under two names"):
        LocalServer({"one": path, "two": other})


@pytest.mark.parametrize(
    "names", [{}, {"": None}, {"a/b": None}, {"health": None}, {"ž": None}, {"a b": None}]
)
def test_names_of_databases(names):
    """A name that does not do in a URL, or is the server's own, is refused."""
    with pytest.raises(UsageError, match="serve"):
        LocalServer(names)


def test_access_log(caplog):
    """Each request is a line with what was asked and how it went, without token, query or SQL."""
    caplog.set_level(logging.INFO, logger="turso_sync_nb.server.access")
    with LocalServer(auth_token=TOKEN) as server:
        body = {"requests": [{"type": "execute", "stmt": {"sql": "SELECT 'a secret'"}}]}
        post(server.url, "/v2/pipeline?authToken=sesame", json=body, headers=AUTHORIZED)
        post(server.url, "/v2/pipeline", json=body)
        post(server.url, "/none%0Aof%20it", json=body)
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split()[1:4] for line in lines] == [
        ["POST", "/v2/pipeline", "200"],
        ["POST", "/v2/pipeline", "401"],
        ["POST", "/none%0Aof%20it", "404"],
    ]
    assert not any("sesame" in line or "secret" in line for line in lines)


def history_bytes(folder):
    """Return what the history of ``a.db`` takes, its own log included."""
    return sum(file.stat().st_size for file in folder.glob("a.db-history*"))


@pytest.mark.parametrize("how", ["method", "request"])
def test_history_is_compacted(tmp_path, how):
    """Older revisions go and give their space back; their clients are told to fetch anew, and get all."""
    path = make(tmp_path / "a.db", 500)
    with LocalServer(path) as server:
        old = pull(server.url)[0].revision
        for number in range(30):
            sql(server.url, "UPDATE t SET b = printf('%0100d', ?)", number)
            newest = pull(server.url)[0].revision
        size = history_bytes(tmp_path)
        if how == "method":
            server.compact_history()
        else:
            assert post(server.url, "/compact-history").status_code == 204
        assert history_bytes(tmp_path) < size / 2
        header, got = pull(server.url, server_revision=old)
        assert (header.revision, got) == (newest, {})
        assert list(pull(server.url, client_revision=old)[1].values()) == pages(path)
        assert pull(server.url, client_revision=newest)[1] == {}
        sql(server.url, "DELETE FROM t WHERE a = 1")
        assert pull(server.url, server_revision=newest)[0].revision == newest
    with closing(apsw.Connection(str(tmp_path / "a.db-history"))) as history:
        assert history.execute("SELECT count(*) FROM revision").get == 2
