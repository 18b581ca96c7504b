"""The grid's requests for rows: another follows before the first is answered, or one fails."""

from __future__ import annotations

from contextlib import closing

import pytest

import turso_sync_nb as tsn
from turso_sync_nb.errors import RemoteUnreachableError


@pytest.fixture
def shown(place_of, people, tmp_path):
    """A grid on a bare page, whose messages go when they are carried."""
    with closing(tsn.connect(tmp_path / "replica", people)) as db:
        place, grid = place_of("vscode", "light"), db.edit("person")
        place.show(grid)
        place.wait(place.page.locator(".tsn-row"))
        yield place, grid


def first_id(place):
    """Return the key of the first row."""
    return place.page.locator(".tsn-row").first.locator(".tsn-cell").first.inner_text()


def settle(place):
    """Carry until nothing more is said."""
    for _ in range(5):
        place.carry()
        place.page.wait_for_timeout(50)


def test_a_key_that_was_gone_to_stays_in_sight_as_rows_change(shown):
    """The answer to an older request for rows is not shown in its place; what changed is."""
    place, grid = shown
    place.page.get_by_label("go to key").fill("1500")
    place.page.get_by_label("go to key").press("Enter")
    grid.send({"type": "stale"})
    settle(place)
    assert first_id(place) == "1500"
    place.page.get_by_label("go to key").fill("70")
    place.page.get_by_label("go to key").press("Enter")
    place.page.get_by_label("go to key").fill("900")
    place.page.get_by_label("go to key").press("Enter")
    grid.db.execute("UPDATE person SET name = 'anew' WHERE id = 901")
    grid.db.commit()
    grid.send({"type": "stale"})
    settle(place)
    assert first_id(place) == "900"
    assert place.page.locator(".tsn-row").nth(1).locator(".tsn-cell").nth(1).inner_text() == "anew"


def test_rows_are_asked_for_again_after_a_request_that_failed(shown, monkeypatch):
    """A grid that was scrolled while there was no connection goes on when there is one."""
    place, grid = shown
    scroller = place.page.locator(".tsn-scroller")
    last = place.page.locator(".tsn-row").last
    before = last.inner_text()

    def refuse(*_):
        raise RemoteUnreachableError("fetch pages: no connection", hint="pull later")

    with monkeypatch.context() as offline:
        offline.setattr(type(grid.rows), "page", refuse)
        scroller.evaluate("each => each.scrollTop = each.scrollHeight")
        place.wait(place.page.locator(".tsn-failed", has_text="no connection"))
    scroller.evaluate("each => each.scrollTop -= 200")
    place.page.wait_for_timeout(50)
    scroller.evaluate("each => each.scrollTop = each.scrollHeight")
    settle(place)
    assert last.inner_text() != before
