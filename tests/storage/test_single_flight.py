"""SingleFlight: each absent page is asked for once, whoever needs it and whatever fails."""

from __future__ import annotations

import threading

import pytest
from pyroaring import BitMap

from turso_sync_nb.errors import RemoteFailedError
from turso_sync_nb.storage.pages.single_flight import SingleFlight

SOON_S = 20.0


@pytest.fixture
def flights(partial):
    """Give what makes a SingleFlight on a replica that has page 0 alone."""
    replica = partial(here=[0])
    return SingleFlight(replica.store, replica.source), replica


@pytest.mark.parametrize(
    ("page", "window", "asked"),
    [
        (0, [0, 1, 2], []),
        (3, None, [[3]]),
        (3, [2, 3, 4], [[2, 3, 4]]),
        (3, [0, 3], [[3]]),
    ],
    ids=["resident", "alone", "with a window", "a resident page of the window"],
)
def test_what_is_asked_for(flights, page, window, asked) -> None:
    """Absent pages alone, those of the window with the one that is needed."""
    loader, replica = flights
    fetched = loader.load(page, None if window is None else lambda: BitMap(window))
    assert [list(each) for each in replica.source.asked] == asked
    assert list(fetched) == [each for request in asked for each in request]
    assert replica.store.has(page)
    assert not loader.is_busy


class Landing:
    """Holds the source back at its first page until it is let go."""

    def __init__(self, source) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        source.before = self.wait

    def wait(self, _page: int) -> None:
        """Say that the fetch is under way, and wait."""
        self.begun.set()
        assert self.go.wait(SOON_S)


def in_thread(work):
    """Run ``work`` in a thread; return it and what it returns or raises."""
    done = []

    def run() -> None:
        try:
            done.append(work())
        except RemoteFailedError as error:
            done.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, done


def test_a_second_reader_waits_for_the_first(flights) -> None:
    """It asks for nothing, and its window is not even made."""
    loader, replica = flights
    landing = Landing(replica.source)
    first, fetched = in_thread(lambda: loader.load(5, lambda: BitMap([5, 6])))
    assert landing.begun.wait(SOON_S)
    assert loader.is_busy
    assert list(loader.in_flight) == [5, 6]
    second, waited = in_thread(lambda: loader.load(6, lambda: pytest.fail("asked for a window")))
    landing.go.set()
    first.join(SOON_S)
    second.join(SOON_S)
    assert [list(each) for each in (*fetched, *waited)] == [[5, 6], []]
    assert [list(each) for each in replica.source.asked] == [[5, 6]]


def test_pages_in_flight_are_left_out_of_another_fetch(flights) -> None:
    """A fill asks for the rest alone, and does not wait."""
    loader, replica = flights
    landing = Landing(replica.source)
    first, _ = in_thread(lambda: loader.load(5, lambda: BitMap([5, 6])))
    assert landing.begun.wait(SOON_S)
    replica.source.before = lambda _page: None
    assert list(loader.fill(BitMap([4, 5, 6, 7]))) == [4, 7]
    assert replica.store.has(7)
    assert not replica.store.has(5)
    landing.go.set()
    first.join(SOON_S)
    assert [list(each) for each in replica.source.asked] == [[5, 6], [4, 7]]


def test_a_reader_tries_itself_when_the_fetch_it_waits_for_fails(flights) -> None:
    """The error is the first reader's alone."""
    loader, replica = flights
    landing = Landing(replica.source)
    hold = replica.source.before

    def fail(page: int) -> None:
        hold(page)
        replica.source.before = lambda _page: None
        raise RemoteFailedError("gone", hint="")

    replica.source.before = fail
    first, failed = in_thread(lambda: loader.load(5))
    assert landing.begun.wait(SOON_S)
    second, fetched = in_thread(lambda: loader.load(5))
    landing.go.set()
    first.join(SOON_S)
    second.join(SOON_S)
    assert isinstance(failed[0], RemoteFailedError)
    assert list(fetched[0]) == [5]
    assert [list(each) for each in replica.source.asked] == [[5], [5]]
    assert not loader.is_busy


def test_a_page_that_the_remote_leaves_out(flights) -> None:
    """It is an error, and what came stays."""
    loader, replica = flights
    fetch = replica.source.fetch
    replica.source.fetch = lambda pages: (each for each in fetch(pages) if each[0] != 5)
    with pytest.raises(RemoteFailedError, match="fetch page 5"):
        loader.load(5, lambda: BitMap([4, 5]))
    assert replica.store.has(4)
    assert not replica.store.has(5)


def test_a_fill_that_is_stopped_keeps_what_came(flights) -> None:
    """It ends after the page that came last, and its request is closed."""
    loader, replica = flights
    stopped = iter([False, True])
    loader.fill(BitMap([4, 5, 6]), lambda: next(stopped))
    assert [page for page in (4, 5, 6) if replica.store.has(page)] == [4, 5]
    assert replica.source.given == [4, 5]
