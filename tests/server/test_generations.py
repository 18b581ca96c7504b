"""The legacy protocol on the wire: base files, frames, generations, and what is refused."""

from __future__ import annotations

import httpx
import pytest
from asking import post, sql
from written import make, pages, write

from turso_sync_nb.protocol.legacy import FrameDecoder
from turso_sync_nb.server import Limits, LocalServer
from turso_sync_nb.units import FRAME_BYTES


def get(server, path, **options):
    """Return the response to GET ``path``."""
    return httpx.get(server.url + path, timeout=30, **options)


def current(server):
    """Return the number of the current generation."""
    return get(server, "/info").json()["current_generation"]


def frames(server, generation, first=1, end=10**9):
    """Return the frames of a generation, checked to be as long as announced; None past the last one."""
    response = get(server, f"/sync/{generation}/{first}/{end}")
    if response.status_code == 400:
        return None
    assert response.status_code == 200, response.text
    assert int(response.headers["content-length"]) == len(response.content)
    decoder = FrameDecoder()
    found = list(decoder.feed(response.content))
    decoder.finish()
    return found


def export(server, generation):
    """Return the pages of a base file."""
    body = get(server, f"/export/{generation}").content
    return [body[at : at + 4096] for at in range(0, len(body), 4096)]


def replayed(base, found):
    """Return the pages of a base with the frames on it, as SQLite reads a log."""
    state, log, db_pages = dict(enumerate(base)), {}, len(base)
    for frame in found or ():
        log[frame.page] = frame.data
        if frame.db_pages:
            state, db_pages = state | log, frame.db_pages
    return [state[page] for page in range(db_pages)]


def test_base_and_frames_are_the_database(server):
    """The base file with the frames on it is the database, whoever wrote; also as it grows and shrinks."""
    generation = current(server)
    assert 0 < generation < 2**32  # as libSQL's client takes it
    assert frames(server, generation) is None
    base = export(server, generation)
    assert base == pages(server.path)
    for text in (
        "UPDATE t SET b = 'x' WHERE a = 250",
        "INSERT INTO t(b) VALUES (zeroblob(90000))",
        "DELETE FROM t WHERE a > 100",
        "VACUUM",
    ):
        write(server.path, text)
        assert replayed(base, frames(server, generation)) == pages(server.path), text
    assert export(server, generation) == base


def test_frames_by_number(server):
    """Any range is that part of the whole; each transaction ends with a frame that says the size."""
    generation = current(server)
    for value in ("x", "y"):
        sql(server.url, "UPDATE t SET b = ?", value)
        current(server)  # what was committed until somebody asks is one transaction
    found = frames(server, generation)
    assert [bool(one.db_pages) for one in found].count(True) == 2
    assert found[-1].db_pages == len(pages(server.path))
    assert len({one.salts for one in found}) == 1
    for first, end in ((1, 2), (1, len(found)), (3, 7), (len(found), len(found) + 1), (2, 10**18)):
        assert frames(server, generation, first, end) == found[first - 1 : end - 1]


def test_past_the_last_frame(server):
    """The answer says which generation is current, and how many frames it has."""
    generation = current(server)
    sql(server.url, "UPDATE t SET b = 'x' WHERE a = 1")
    count = len(frames(server, generation))
    response = get(server, f"/sync/{generation}/{count + 1}/{count + 2}")
    assert response.status_code == 400
    said = {"generation": generation, "max_frame_no": count, "baton": None}
    assert response.json() == {"status": "checkpoint_needed", **said}


def test_the_next_generation(tmp_path):
    """Its base file is that of the one before with all its frames; both have the same frames for ever."""
    path = make(tmp_path / "a.db", 500)
    with LocalServer(path, limits=Limits(generation_frames=5)) as server:
        first, seen = current(server), {}
        for number in range(12):
            sql(server.url, "UPDATE t SET b = ? WHERE a % 100 = 1", str(number))
            now = current(server)
            seen[now] = frames(server, now)
        last = now
        assert last - first > 1
        for number in range(first, last):
            assert replayed(export(server, number), frames(server, number)) == export(server, number + 1)
        before = [frames(server, number) for number in range(first, last + 1)]
    with LocalServer(path, limits=Limits(generation_frames=5)) as server:
        assert [frames(server, number) for number in range(first, last)] == before[:-1]
        assert replayed(export(server, last), frames(server, last)) == pages(path)


def test_a_generation_that_is_forgotten(server):
    """It is unknown, and so is one of another history; the next one begins with the database."""
    generation = current(server)
    sql(server.url, "UPDATE t SET b = 'x'")
    assert post(server.url, "/compact-history").status_code == 204
    for path in (
        f"/export/{generation}",
        f"/sync/{generation}/1/2",
        f"/export/{generation + 5}",
        "/sync/1/1/2",
    ):
        assert get(server, path).status_code == 404, path
    assert export(server, current(server)) == pages(server.path)


@pytest.mark.parametrize("path", ["/sync/{}/0/5", "/sync/{}/5/5", "/sync/{}/9/5"])
def test_ranges_without_a_frame(server, path):
    """They are refused, and not as the end of a generation."""
    assert get(server, path.format(current(server))).status_code == 422


def test_other_paths_and_methods(server):
    """Numbers that are none, and frames that are sent here, are not known."""
    for path in ("/sync/x/1/2", "/sync/1/2", "/export/-1", "/export/"):
        assert get(server, path).status_code == 404, path
    assert post(server.url, "/sync/1/1/2").status_code == 405


def test_the_token(tmp_path):
    """Without it nothing is told."""
    with LocalServer(make(tmp_path / "a.db", 5), auth_token="right") as server:  # noqa: S106 - a test's
        for path in ("/info", "/export/1", "/sync/1/1/2"):
            assert get(server, path).status_code == 401
            assert get(server, path, headers={"authorization": "Bearer right"}).status_code in (200, 404)


def test_frames_have_a_size(server):
    """A frame is 24 bytes and a page."""
    generation = current(server)
    sql(server.url, "UPDATE t SET b = 'x' WHERE a = 1")
    body = get(server, f"/sync/{generation}/1/2").content
    assert len(body) == FRAME_BYTES == 24 + 4096
