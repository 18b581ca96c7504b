"""JupyterLab and the classic notebook in a real browser: a cell of the magics runs, its output is seen."""

from __future__ import annotations

import pytest

LOAD = "%load_ext turso_sync_nb"


@pytest.mark.parametrize("at", ["doc/tree", "notebooks"], ids=["lab", "notebook"])
def test_cell_runs_and_its_output_is_seen(own_page, people, at):
    """A table and its footer, in both front ends; nothing is asked for outside the loopback."""
    own_page.open(f"cell-{at[:3]}.ipynb", [LOAD, f"%turso_sync connect cell-{at[:3]}.db {people}"], at=at)
    own_page.run_all()
    own_page.run("%%turso_sync\nSELECT name, score FROM person WHERE id = 9223372036854775807")
    output = own_page.outputs().last
    output.get_by_text("extreme").wait_for()
    assert "1 row · " in output.inner_text()


def test_page_is_refused_what_is_not_on_the_loopback(notebook):
    """A request to another host ends in an error, and is noted."""
    notebook.open("refused.ipynb", ["1"])
    reached = notebook.page.evaluate(
        """new Promise(done => {
            const image = new Image();
            Object.assign(image, {onload: () => done(true), onerror: () => done(false)});
            image.src = "https://example.org/image.png";
        })"""
    )
    assert not reached
    assert notebook.refused.pop() == "https://example.org/image.png"
