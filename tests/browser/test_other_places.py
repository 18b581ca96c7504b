"""The widgets in another DOM than JupyterLab's: VS Code's and Colab's, light, dark, of high contrast."""

from __future__ import annotations

import re
from contextlib import closing

import pytest
from places import AXE
from skips import miss

import turso_sync_nb as tsn

PLACES = [
    ("vscode", "light"),
    ("vscode", "dark"),
    ("vscode", "contrast"),
    ("colab", "light"),
    ("colab", "dark"),
]
LAZILY = tsn.PartialSyncOpts(bootstrap_strategy=tsn.PartialSyncPrefixBootstrap(length=4096))
SHOWN = {
    ".tsn-page-map th": "person_city", ".tsn-dashboard dd": "of 536", ".tsn-editor .tsn-cell": "name 1326",
    ".tsn-watch td": "name 1326",
}  # fmt: skip
PIXEL = """
[...document.querySelector('.tsn-page-map canvas').getContext('2d').getImageData(200, 3, 1, 1).data].join()
"""
SWATCHES = """
[...document.querySelectorAll('.tsn-page-map th .tsn-swatch')]
    .map(each => getComputedStyle(each).backgroundColor)
"""

CUT_ERRORS = """(() => {
    const sight = document.querySelector('.tsn-editor .tsn-scroller').getBoundingClientRect();
    return [...document.querySelectorAll('.tsn-error')].map(each => each.getBoundingClientRect()).filter(
        ({left, right, bottom}) => left < sight.left || right > sight.right || bottom > sight.bottom);
})()"""
"""Errors in cells that reach out of the sight of the grid."""


@pytest.fixture
def db(people, tmp_path):
    """A lazy replica."""
    with closing(tsn.connect(tmp_path / "replica", people, partial_sync=LAZILY)) as db:
        yield db


@pytest.fixture
def widgets(db):
    """Every widget of one replica."""
    watched = "SELECT id, name, city FROM person ORDER BY id LIMIT 5"
    return [db.page_map(), db.dashboard(), db.edit("person"), db.watch(watched)]


def show_all(place, widgets):
    """Show every widget, and wait until each is drawn."""
    for widget in widgets:
        place.show(widget)
    for selector, text in SHOWN.items():
        place.wait(place.page.locator(selector, has_text=text))


@pytest.mark.parametrize("look", PLACES, ids="-".join)
@pytest.mark.parametrize("brought", [True, False], ids=["ipywidgets-variables", "bare"])
def test_axe_finds_nothing_wrong_there(place_of, widgets, lab_shots, look, brought):
    """Roles and contrast of every widget, an error in the editor among it; its snapshot hides meanwhile."""
    if not AXE.exists():
        miss(f"browser: no {AXE}; npm ci --prefix tests")
    place = place_of(*look)
    page = place.page
    if not brought:
        page.evaluate("document.getElementById('brought').remove()")
    show_all(place, widgets)
    page.locator(".tsn-editor .tsn-cell").nth(7).click()
    page.keyboard.press("Delete")
    place.wait(page.locator(".tsn-staged"))
    page.get_by_role("button", name="Apply", exact=True).click()
    place.wait(page.locator('.tsn-cell[aria-invalid="true"]'))
    if brought:
        page.screenshot(path=lab_shots / f"{'-'.join(look)}.png", full_page=True)
    assert page.locator(".tsn-snapshot:visible").count() == 0
    assert place.violations("main") == []
    assert place.overflowing() == []


@pytest.mark.parametrize(("kind", "other"), [("vscode", "dark"), ("vscode", "contrast"), ("colab", "dark")])
def test_colours_follow_the_theme_there(place_of, widgets, kind, other):
    """From light to another and back, after everything was drawn."""
    place = place_of(kind, "light")
    show_all(place, widgets)
    text = "getComputedStyle(document.querySelector('.tsn-dashboard dd')).color"
    light = place.page.evaluate(PIXEL), place.page.evaluate(text)
    place.set_theme(other)
    dark = place.page.evaluate(PIXEL), place.page.evaluate(text)
    assert light[0] != dark[0]
    assert light[1] != dark[1]
    place.set_theme("light")
    assert (place.page.evaluate(PIXEL), place.page.evaluate(text)) == light


@pytest.mark.parametrize("kind", ["vscode", "colab"])
def test_widgets_work_there(place_of, widgets, db, kind):
    """A fetch by a button of the page map, an edit that is applied, a push; each view follows."""
    place = place_of(kind, "dark")
    show_all(place, widgets)
    page = place.page
    page.locator("[data-fetch='person']").click()
    place.wait(page.locator(".tsn-page-map .tsn-status", has_text=": downloaded "))
    page.locator(".tsn-editor .tsn-cell").nth(7).click()
    page.keyboard.type("Ada")
    page.keyboard.press("Enter")
    place.wait(page.locator(".tsn-staged", has_text="Ada"))
    page.get_by_role("button", name="Apply", exact=True).click()
    place.wait(page.get_by_text("applied: 1 changed"))
    place.wait(page.locator(".tsn-watch .tsn-new", has_text="Ada"))
    place.wait(page.get_by_role("button", name="Push", exact=True, disabled=False))
    page.get_by_role("button", name="Push", exact=True).click()
    place.wait(page.get_by_text("push: 1 change sent"))
    assert db.query("SELECT name FROM person WHERE id = 2")["name"].tolist() == ["Ada"]


@pytest.mark.parametrize("kind", ["vscode", "colab"])
def test_a_view_that_nobody_answers_leaves_the_snapshot(place_of, widgets, kind):
    """A view restored from saved state has no kernel: the figures are seen, and no empty frame."""
    place = place_of(kind, "light")
    for widget in widgets:
        place.show(widget)
    place.page.wait_for_timeout(300)
    assert place.page.locator(".tsn-snapshot:visible").count() == len(widgets)
    assert place.page.locator(".tsn-widget:visible").count() == 0
    place.carry()
    place.wait(place.page.locator(".tsn-editor .tsn-cell"))
    assert place.page.locator(".tsn-snapshot:visible").count() == 0


@pytest.mark.parametrize(("kind", "theme"), PLACES)
def test_snapshots_alone_are_legible_there(place_of, widgets, lab_shots, kind, theme):
    """A saved notebook without a kernel: the figures are seen, in colours of the place."""
    place = place_of(kind, theme)
    for widget in widgets:
        place.show_snapshot(widget)
    assert place.page.locator(".tsn-snapshot:visible").count() == len(widgets)
    assert place.page.get_by_text(" % of ").count() >= 1
    assert place.violations("main") == []
    place.page.screenshot(path=lab_shots / f"{kind}-{theme}-saved.png", full_page=True)


FOCUSED = """(({dataset, ariaLabel, textContent}) =>
    dataset.fetch ? `fetch ${dataset.fetch}` : ariaLabel ?? textContent)(document.activeElement)"""


def test_keyboard_alone(place_of, widgets, db):
    """Tab reaches everything in order, and the focus stays on a button whose work is done, or redrawn."""
    place = place_of("vscode", "light")
    page = place.page
    show_all(place, widgets)
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(FOCUSED))
    order = [
        "what is here, by table", "fetch person", "Pull", "Push", "Sync", "Add row", "Apply",
        "id: 1", "rows of a watched query",
    ]  # fmt: skip
    places = [reached.index(each) for each in order]
    assert reached[0].startswith("map: ")
    assert places == sorted(places)
    page.locator("[data-fetch='person']").focus()
    db.query("SELECT name FROM person WHERE id = 1500")
    place.wait(
        page.locator(".tsn-page-map .tsn-summary", has_text=re.compile("kB downloaded by the last cell"))
    )
    page.wait_for_timeout(400)
    place.carry()
    assert page.evaluate(FOCUSED) == "fetch person"
    page.keyboard.press("Enter")
    place.wait(page.locator(".tsn-page-map .tsn-status", has_text=": downloaded "))
    place.wait(page.locator(".tsn-page-map tbody:not(:has([data-fetch='person']))"))
    assert page.evaluate(FOCUSED) == "what is here, by table"
    page.get_by_role("button", name="Sync", exact=True).focus()
    page.keyboard.press("Enter")
    place.wait(page.get_by_text("pull: nothing new"))
    assert page.evaluate(FOCUSED) == "Sync"


def test_taken_out_of_the_page_and_put_back(place_of, widgets, db):
    """What arrived and another theme meanwhile are seen, and the editor is where it was."""
    place = place_of("vscode", "light")
    page = place.page
    show_all(place, widgets)
    light = page.evaluate(PIXEL)
    page.locator(".tsn-editor .tsn-scroller").evaluate(
        "each => new Promise(done => {"
        " each.addEventListener('scroll', () => requestAnimationFrame(done), {once: true});"
        " each.scrollTop = 200 })"
    )
    page.evaluate("main = document.querySelector('main'), cells = [...main.children], main.replaceChildren()")
    page.wait_for_timeout(100)
    place.set_theme("dark")
    db.query("SELECT count(*) FROM person")
    for _ in range(10):
        place.carry()
        page.wait_for_timeout(50)
    page.evaluate("main.append(...cells)")
    place.wait(page.locator(".tsn-page-map .tsn-summary", has_text=re.compile(r"^\d\d\.\d kB of")))
    page.wait_for_function(f"{PIXEL.strip()} !== '{light}'")  # drawn at the next frame
    assert page.evaluate(PIXEL) != light
    page.wait_for_function("document.querySelector('.tsn-editor .tsn-scroller').scrollTop === 200")


@pytest.mark.parametrize("width", [400, 1600])
def test_narrow_and_wide_places(place_of, widgets, lab_shots, width):
    """Nothing reaches over the edge, no button and no cell is cut; a wide place is used by the page map."""
    place = place_of("vscode", "light", width)
    show_all(place, widgets)
    place.page.screenshot(path=lab_shots / f"width-{width}.png", full_page=True)
    assert place.overflowing() == []
    canvas = place.page.locator(".tsn-page-map canvas").bounding_box()
    assert canvas["width"] > width / 2
    name = place.page.locator(".tsn-editor .tsn-cell").nth(1)
    assert name.evaluate("each => each.scrollWidth <= each.clientWidth")
    for button in place.page.locator(".tsn-buttons button:visible").all():
        box = button.bounding_box()
        assert 0 <= box["x"] < box["x"] + box["width"] <= width
    for row in (1, 17):
        place.page.locator(".tsn-row").nth(row).locator(".tsn-cell").nth(3).click()
        place.page.keyboard.type("abc")
        place.page.keyboard.press("Enter")
        place.wait(place.page.locator(f".tsn-row:nth-child({row + 1}) .tsn-error"))
    assert place.page.evaluate(CUT_ERRORS) == []


def test_forced_colours(place_of, widgets, lab_shots):
    """With the system's colours alone bars, swatches and what is staged are still seen; nothing moves."""
    place = place_of("vscode", "light")
    page = place.page
    show_all(place, widgets)
    light = page.evaluate(PIXEL)
    page.emulate_media(forced_colors="active", color_scheme="dark", reduced_motion="reduce")
    page.wait_for_timeout(200)
    page.locator(".tsn-editor .tsn-cell").nth(7).click()
    page.keyboard.press("Delete")
    place.wait(page.locator(".tsn-staged"))
    page.screenshot(path=lab_shots / "forced-colours.png", full_page=True)
    style = "(selector, name) => getComputedStyle(document.querySelector(selector))[name]"
    ground = page.evaluate(f"({style})('.tsn-dashboard', 'backgroundColor')")
    assert ground == "rgb(0, 0, 0)"
    assert page.evaluate(f"({style})('.tsn-bars span', 'backgroundColor')") != ground
    assert page.evaluate(f"({style})('.tsn-staged', 'borderLeftWidth')") == "3px"
    assert len(set(page.evaluate(SWATCHES))) > 5
    assert page.evaluate(PIXEL) != light
    assert page.evaluate("document.getAnimations().length") == 0
