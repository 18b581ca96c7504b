"""A whole day's work as one test: two analysts, one shop, nothing but what the screen says, in each place."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from contextlib import closing

import apsw
import pytest
from lab import Notebook
from peers import free_port
from places import AXE, OVERFLOWING, violations
from playwright.sync_api import TimeoutError as NothingSaid
from skips import miss

import turso_sync_nb as tsn
from turso_sync_nb.server import LocalServer

SHOP = """
CREATE TABLE customer(id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE orders(
    id INTEGER PRIMARY KEY, customer INTEGER NOT NULL REFERENCES customer(id),
    state TEXT NOT NULL CHECK (state IN ('new', 'paid', 'sent')), price NUMERIC CHECK (price >= 0),
    due DATE, gift BOOLEAN NOT NULL DEFAULT 0, comment TEXT);
INSERT INTO customer VALUES(1, 'Ada'), (2, 'Ben');
WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < 3000)
INSERT INTO orders SELECT v, 1 + v % 2, CASE v % 3 WHEN 0 THEN 'new' WHEN 1 THEN 'paid' ELSE 'sent' END,
    v % 90 + 0.5, date('2026-01-01', '+' || (v % 300) || ' days'), v % 7 = 0,
    CASE WHEN v % 500 = 7 THEN 'leave it with the neighbours' ELSE printf('%0200d', v) END FROM n;
"""
LOAD = "%load_ext turso_sync_nb"
ADA = "%turso_sync connect ada-{place}.db {url} --as ada"
APP = """
import marimo
app = marimo.App()
@app.cell
def _():
    import turso_sync_nb as tsn
    db = tsn.connect({path!r}, {url!r})
    return db,
@app.cell
def _(db):
    db.edit("orders")
    return
@app.cell
def _(db):
    db.review_widget()
    return
@app.cell
def _(db):
    db.dashboard()
    return
"""
BY_BEN = "UPDATE orders SET price = 99, comment = 'by ben' WHERE id = 507"
INSIDER = re.compile(
    r"\b(pages?|wal|revisions?|checkpoints?|resident|hydrat\w*|cdc\w*|tape|rowid|segments?|errno|unix\w*|prefix"
    r"|None|True|False|nan|aside|meets|undefined|NaN|\[object)\b|\{'"
)
"""Words that a person who knows pandas and SQL need not know; a raw dict."""


WAIT_MS = 20_000
START_MS = 60_000
"""Milliseconds in which a front end's server starts and runs every cell; a busy machine took 20 s."""


class Day:
    """A page with widgets as a person finds them; its pictures' names begin with ``place``."""

    def __init__(self, page, shots, place):
        self.page, self.shots, self.place = page, shots, place

    def widget(self, kind):
        """Return a widget."""
        return self.page.locator(f".tsn-{kind}").first

    def press(self, kind, name):
        """Press a button of a widget, by its label, as soon as it is of use."""
        self.widget(kind).get_by_role("button", name=name, exact=True, disabled=False).first.click()

    def says(self, kind, text, wait_ms=WAIT_MS):
        """Wait until a widget shows a text."""
        try:
            self.widget(kind).get_by_text(text).first.wait_for(timeout=wait_ms)
        except NothingSaid:
            said = self.widget(kind).inner_text()
            raise AssertionError(f"{kind} does not say {text}: {said[:1500]}") from None

    def cell(self, key, column):
        """Return the cell of the grid in the row with this key."""
        grid = self.widget("editor")
        names = grid.locator("[role=columnheader]").all_inner_texts()
        row = grid.locator(".tsn-row", has=self.page.locator(f'[aria-label^="id: {key}"]:text-is("{key}")'))
        return row.locator(".tsn-cell").nth(names.index(column))

    def type_into(self, key, column, text):
        """Type into a cell."""
        self.cell(key, column).click()
        self.page.keyboard.type(text)
        self.page.keyboard.press("Enter")

    def looked_at(self, name):
        """Keep pictures at both widths; nothing is wrong with roles, and nothing reaches over the edge."""
        for width in (1400, 700):
            self.page.set_viewport_size({"width": width, "height": 4000})
            self.page.wait_for_timeout(150)
            assert self.page.evaluate(OVERFLOWING) == [], width
        for kind in ("editor", "review", "dashboard"):
            self.widget(kind).screenshot(path=self.shots / f"day-{self.place}-{name}-{kind}.png")
            assert INSIDER.findall(self.widget(kind).inner_text()) == [], kind
            if self.place != "marimo":  # axe-core does not find what is in a shadow root
                assert violations(self.page, f".tsn-{kind}") == []


@pytest.fixture
def shop(tmp_path):
    """Give the server of a shop."""
    with closing(apsw.Connection(str(tmp_path / "shop.db"))) as raw:
        raw.execute(SHOP)
    with LocalServer(tmp_path / "shop.db") as server:
        yield server


@pytest.fixture
def ben(shop, tmp_path):
    """Give another analyst's replica."""
    with closing(tsn.connect(tmp_path / "ben.db", shop.url, isolation_level=None)) as ben:
        yield ben


@pytest.fixture
def lab_day(lab, browser, shop):
    """Give a day and its notebook with every widget of the day, opened in JupyterLab or in Notebook."""
    pages = []

    def start(place):
        pages.append(page := Notebook(lab, browser))
        page.page.set_viewport_size({"width": 1400, "height": 4000})
        cells = [LOAD, ADA.format(place=place, url=shop.url), "%turso_sync edit orders", "%turso_sync review"]
        at = {"lab": "doc/tree", "notebook": "notebooks"}[place]
        page.open(f"day-{place}.ipynb", [*cells, "%turso_sync dashboard"], at=at)
        page.run_all()
        return begun(page.page, lab.shots, place), page

    yield start
    for page in pages:
        page.close()
        assert page.take_complaints() == []


@pytest.fixture
def marimo_page(browser, shop, tmp_path):
    """Give the page of a marimo app with the same widgets."""
    app, port = tmp_path / "day.py", free_port()
    app.write_text(APP.format(path=str(tmp_path / "ada.db"), url=shop.url))
    command = [sys.executable, "-m", "marimo", "run", str(app), "--headless", "--no-token"]
    page = browser.new_page(viewport={"width": 1400, "height": 4000})
    complaints = []
    page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.route(re.compile("^https?://(?!127.0.0.1)"), lambda route: route.abort())
    with (tmp_path / "marimo.log").open("wb") as log:
        marimo = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)], stdout=log, stderr=log
        )
    try:
        while not answers(port):
            assert marimo.poll() is None, (tmp_path / "marimo.log").read_text()
            time.sleep(0.1)
        page.goto(f"http://127.0.0.1:{port}/")
        yield page
        page.close()
    finally:
        marimo.terminate()
        marimo.wait(20)
    assert complaints == []


def answers(port):
    """Return whether a server listens on the port."""
    with closing(socket.socket()) as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def begun(page, shots, place):
    """Return the day, with every widget of it on one screen."""
    if not AXE.exists():
        miss(f"browser: no {AXE}; npm ci --prefix tests")
    day = Day(page, shots, place)
    day.says("editor", re.compile(r"^orders · (about )?[2-4],\d{3} rows · nothing staged$"), START_MS)
    day.says("review", "nothing new from others")
    day.says("dashboard", "What is here, by table")
    return day


def find_and_edit(day):
    """Find among all rows, edit cells of each kind; an error is in its cell, and is put right."""
    page = day.page
    page.get_by_label("find in all columns").fill("neighbours")
    day.says("editor", "6 rows match")
    day.type_into(507, "price", "-3")
    day.type_into(507, "due", "2026-12-24")
    day.cell(7, "gift").dblclick()
    day.cell(1007, "state").dblclick()
    page.get_by_label("state, new value").select_option("paid")
    page.keyboard.press("Enter")
    day.type_into(1507, "due", "tomorrow")
    day.says("editor", "the column is DATE: write it like 2026-11-29")
    day.press("editor", "Apply")
    day.says("editor", re.compile("1 cell holds what cannot be written"))
    day.looked_at("edited")
    day.type_into(1507, "due", "2027-01-02")
    day.press("editor", "Apply")
    day.says("editor", re.compile("CHECK constraint failed"))
    day.type_into(507, "price", "12.5")
    day.press("editor", "Preview")
    day.says("editor", "id 507 changed")


def settle_a_conflict(day, ben):
    """Another analyst is faster; both sides are told before anything moves, and one is chosen."""
    page = day.page
    ben.execute(BY_BEN)
    ben.push()
    day.press("editor", "Apply")
    day.says("editor", "applied: 4 changed")
    day.says("dashboard", re.compile("4 changes wait"))
    day.press("review", "Look again")
    day.says("review", "1 row changed on both sides")
    day.widget("review").get_by_label("Keep theirs").check()
    day.says("review", re.compile("changed on both sides"))
    page.locator(".tsn-clash td:last-child", has_text="99").wait_for(timeout=WAIT_MS)
    day.looked_at("conflict")
    day.press("review", "Pull")
    day.says("review", re.compile("^pull: now up to date"))
    page.get_by_label("go to key").fill("507")
    page.keyboard.press("Enter")
    day.cell(507, "price").filter(has_text="99").wait_for(timeout=WAIT_MS)
    day.press("review", "Push")
    day.says("review", re.compile("^push: .* sent"))


def undo_and_be_offline(day, shop):
    """What was pushed is undone, as a change that waits; the network goes, and that is said."""
    day.widget("review").get_by_text(re.compile("Pushed from here")).click()
    day.press("review", "Undo")
    day.says("review", re.compile("is undone here"))
    day.says("dashboard", re.compile("waits?"))
    shop.close()
    day.press("dashboard", "Push")
    day.says("dashboard", re.compile("no connection"))
    day.says("dashboard", re.compile("^Offline since"))


def back_again(day, ben, shop, tmp_path):
    """The network is back: all goes up, and the other analyst has it."""
    with LocalServer(tmp_path / "shop.db", port=int(shop.url.rsplit(":")[-1])):
        day.press("dashboard", "Sync")
        day.says("dashboard", re.compile("^push: .* sent"))
        day.says("dashboard", re.compile("nothing waits"))
        ben.pull()
    got = ben.execute(
        "SELECT price, comment, due, gift FROM orders WHERE id IN (7, 507) ORDER BY id"
    ).fetchall()
    assert got == [(7.5, "leave it with the neighbours", "2026-01-08", 1), (99, "by ben", "2026-07-27", 0)]


def a_days_work(day, ben, shop, tmp_path):
    """Find, edit, push; meet a conflict, settle it, undo; offline and back."""
    find_and_edit(day)
    settle_a_conflict(day, ben)
    undo_and_be_offline(day, shop)
    back_again(day, ben, shop, tmp_path)


@pytest.mark.parametrize("place", ["lab", "notebook"])
def test_a_days_work(lab_day, ben, shop, tmp_path, place):
    """In JupyterLab and Notebook; at its end the saved notebook is looked at without a kernel."""
    day, notebook = lab_day(place)
    a_days_work(day, ben, shop, tmp_path)
    notebook.page.wait_for_timeout(500)
    notebook.save()
    notebook.command("kernelmenu:shutdown" if place == "notebook" else "notebook:shutdown-kernel")
    notebook.page.reload()  # the saved notebook shows the last state
    notebook.page.locator(".tsn-snapshot").first.wait_for()
    notebook.page.get_by_text(re.compile("nothing waits")).first.wait_for()


def test_a_days_work_in_marimo(marimo_page, lab_shots, ben, shop, tmp_path):
    """The same widgets, in an app of cells in marimo."""
    a_days_work(begun(marimo_page, lab_shots, "marimo"), ben, shop, tmp_path)
