"""Places that are not JupyterLab: pages with the DOM of VS Code and Colab, and real widgets in them.

The widgets run here, and what they and their views say is carried to and fro by ``Place.carry``: nothing is
recorded and nothing is made up but the page.
"""

from __future__ import annotations

import time
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator

PAGES = Path(__file__).parent / "places"
AXE = Path(__file__).parent.parent / "node_modules" / "axe-core" / "axe.min.js"
DEADLINE_S = 30.0

DRAWN = """async () => {
    const frame = () => new Promise(requestAnimationFrame);
    await frame(), await frame();
    await Promise.allSettled(document.getAnimations().map(each => each.finished));
    await frame(), await frame(), await frame();
}"""
"""Waits until a theme is drawn: transitions begin in the next frame, and widgets draw after their end."""


class Place:
    """A page ``kind`` (its file's name) in one of its themes; ``complaints`` are what it logged as errors."""

    def __init__(self, browser: Browser, kind: str, theme: str, width: int = 900) -> None:
        self.complaints: list[str] = []
        self.widgets: dict[str, Any] = {}
        self._told: list[tuple[str, Any, list[str]]] = []
        self.page = browser.new_page(viewport={"width": width, "height": 1000})
        self.page.set_default_timeout(DEADLINE_S * 1000)
        self.page.on("console", lambda said: said.type == "error" and self.complaints.append(said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto((PAGES / f"{kind}.html").as_uri())
        self.set_theme(theme)

    def set_theme(self, theme: str) -> None:
        """Change the theme as the place does, and wait until everything was drawn anew."""
        self.page.evaluate("name => setTheme(name)", theme)
        self.page.wait_for_timeout(100)
        self.page.evaluate(DRAWN)  # a busy machine draws later than that

    def show_snapshot(self, widget: Any) -> None:
        """Show what a saved notebook keeps of a widget."""
        html = widget._snapshot_bundle()["text/html"]
        self.page.evaluate("([name, html]) => showSnapshot(name, html)", [_name(widget), html])

    def show(self, widget: Any) -> None:
        """Show a widget after its snapshot, as its cell does."""
        name = _name(widget)
        self.widgets[name] = widget
        widget.send = lambda content, buffers=(): self._told.append(
            (name, content, [b64encode(each).decode() for each in buffers])
        )
        self.show_snapshot(widget)
        given = [name, widget._esm, widget._css]
        self.page.evaluate("([name, script, styles]) => showWidget(name, script, styles)", given)

    def carry(self) -> None:
        """Carry what was said since the last time to the widgets and to their views."""
        for name, content in self.page.evaluate("outbox.splice(0)"):
            self.widgets[name].receive(content)
        told, self._told = self._told, []
        self.page.evaluate("messages => deliver(messages)", told)

    def wait(self, locator: Locator) -> None:
        """Carry until an element is there."""
        for _ in self._until_late():
            self.carry()
            if locator.count():
                return
        raise TimeoutError(f"wait for {locator}: {self.page.locator('body').inner_text()[:500]}")

    def _until_late(self) -> Iterator[None]:
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            yield
            self.page.wait_for_timeout(30)

    def violations(self, selector: str) -> list[str]:
        """Return what axe-core finds wrong."""
        return violations(self.page, selector)

    def overflowing(self) -> list[str]:
        """Return what of the widgets reaches over the right edge of the page, but for what scrolls."""
        found: list[str] = self.page.evaluate(OVERFLOWING)
        return found

    def close(self) -> None:
        """Close the page, and the widgets."""
        self.page.close()
        for widget in self.widgets.values():
            for view in list(widget.views):
                widget.receive({"type": "close", "view": view})
            widget.close()


OVERFLOWING = """
[...document.querySelectorAll('.tsn-widget, .tsn-widget *')]
    .filter(each => each.getClientRects().length && !each.parentElement.closest('.tsn-scroller'))
    .filter(each => each.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5)
    .map(each => each.outerHTML.slice(0, 120))
"""


JUDGED = """
async selector => {
    const {passes, violations} = await axe.run(selector);
    return [passes.length, violations.flatMap(({id, help, nodes}) => nodes.map(
        node => `${id}: ${help}: ${node.html.slice(0, 200)} ${node.failureSummary}`
    ))];
}
"""
"""Its whole result has a line for each element and rule: ten times as long on its way as in the making."""


def violations(page: Any, selector: str) -> list[str]:
    """Return what axe-core finds wrong within ``selector``."""
    page.evaluate(AXE.read_text())
    passes, wrong = page.evaluate(JUDGED, selector)
    assert passes > 3
    return list(wrong)


def _name(widget: Any) -> str:
    return type(widget).__name__
