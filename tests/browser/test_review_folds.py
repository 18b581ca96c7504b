"""The review is drawn anew with each change: what was unfolded stays so, and what is clicked is clicked."""

from __future__ import annotations

from contextlib import closing

import turso_sync_nb as tsn

CLICK_THEN_DELIVER = """() => {
    const real = deliver;
    deliver = told => {
        deliver = real;
        document.querySelector(".tsn-review details summary").click();
        return real(told);
    };
}"""
"""Click the first folded part in the same task in which the next messages arrive."""


def test_an_unfolded_part_stays_unfolded(place_of, people, tmp_path):
    """And one that was folded again stays folded."""
    place = place_of("vscode", "light")
    with closing(tsn.connect(tmp_path / "replica", people, isolation_level=None)) as db:
        db.execute("UPDATE person SET name = 'sent' WHERE id = 1")
        db.push()
        review = db.review_widget()
        place.show(review)
        pushed = place.page.locator("details", has_text="Pushed from here")
        place.wait(pushed)
        for opened, name in enumerate(("once", "twice"), start=1):
            pushed.locator("summary").click()
            assert pushed.evaluate("each => each.open") == bool(opened % 2)
            db.execute("UPDATE person SET name = ? WHERE id = ?", (name, 1 + opened))
            review.look_again()  # as at the end of a cell
            place.wait(place.page.locator(".tsn-card ins", has_text=name))
            assert pushed.evaluate("each => each.open") == bool(opened % 2)
        undo = place.page.locator(".tsn-card", has_text="twice").get_by_role("button", name="Undo")
        box = undo.bounding_box()
        place.page.mouse.move(box["x"] + 5, box["y"] + 5)
        place.page.mouse.down()
        db.execute("UPDATE person SET name = 'meanwhile' WHERE id = 9")
        review.look_again()
        for _ in range(5):
            place.carry()
        place.page.mouse.up()
        place.wait(place.page.get_by_text("is undone here"))
        place.wait(place.page.locator(".tsn-card ins", has_text="meanwhile"))


def test_unfolded_just_before_it_is_drawn_anew(place_of, people, tmp_path):
    """A part that is clicked stays so though the browser has not told of it yet when the review is drawn."""
    place = place_of("vscode", "light")
    with closing(tsn.connect(tmp_path / "replica", people, isolation_level=None)) as db:
        db.execute("UPDATE person SET name = 'sent' WHERE id = 1")
        db.push()
        review = db.review_widget()
        place.show(review)
        pushed = place.page.locator("details", has_text="Pushed from here")
        place.wait(pushed)
        for is_open in (True, False):
            db.execute("UPDATE person SET name = ? WHERE id = 2", (f"open {is_open}",))
            review.look_again()
            place.page.evaluate(CLICK_THEN_DELIVER)
            place.wait(place.page.locator(".tsn-card ins", has_text=f"open {is_open}"))
            assert pushed.evaluate("each => each.open") == is_open
