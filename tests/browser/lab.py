"""JupyterLab in a real browser: a server of its own, headless Chromium, nothing but the loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import nbformat
from peers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator, Page, Playwright, Route

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_ARGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]  # fmt: skip

NEWS = "@jupyterlab/apputils-extension:announcements"

DEADLINE_S = 90.0
"""Nothing here is expected to take so long; the machine may be busy."""

QUIET = (
    "widget model not found",
    "Failed to load resource",
    "Canceled future",
    "(reading 'schema')",
    "of null (reading 'kernel')",  # ipywidgets' manager, of a notebook left while it opens: not ours
    "Disposed",  # JupyterLab's session, of a notebook that was just left
    "registered.",
    "[anywidget] Failed to initialize model.",  # of a busy browser; the view wakes (test_views_wake)
)
"""What JupyterLab and Notebook themselves complain of on a page that is well."""


class LabServer:
    """A ``jupyter lab`` of ``python`` on a free port of the loopback, its settings in ``folder``."""

    def __init__(self, folder: Path, env: dict[str, str], python: str = sys.executable) -> None:
        self.folder = folder / "work"
        self.folder.mkdir()
        self.url = f"http://127.0.0.1:{free_port()}"
        self.shots = Path(os.environ.get("TSN_SCREENSHOTS", folder))
        """Where tests leave pictures of what they saw."""
        self._log = folder / "lab.log"
        self._python = python
        homes = {name: str(folder / name) for name in ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")}
        self._env = {
            **env,
            **homes,
            "IPYTHONDIR": str(folder / "ipython"),
            "JUPYTER_RUNTIME_DIR": str(folder),
        }

    def __enter__(self) -> Self:
        settings = Path(self._env["JUPYTER_CONFIG_DIR"], "labconfig", "page_config.json")
        settings.parent.mkdir(parents=True)
        settings.write_text(json.dumps({"disabledExtensions": {NEWS: True}}))
        port = str(urlsplit(self.url).port)
        command = [
            self._python, "-m", "jupyterlab", "--no-browser", "--allow-root", "--expose-app-in-browser",
            "--JupyterNotebookApp.expose_app_in_browser=True",
            "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
            "--IdentityProvider.token=", "--ServerApp.password=", f"--ServerApp.root_dir={self.folder}",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.news_url=",
        ]  # fmt: skip
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, env=self._env, stdout=log, stderr=log, cwd=self.folder)
        deadline = time.monotonic() + DEADLINE_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError(f"start jupyter lab: {self.said()[-2000:]}")
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        try:
            with closing(urllib.request.urlopen(f"{self.url}/api")):  # noqa: S310 - our own server
                return True
        except OSError:
            return False

    def set_setting(self, plugin: str, values: dict[str, object]) -> None:
        """Write the user's settings of a plugin (``@package/name:id`` with a slash for the colon)."""
        folder = Path(self._env["JUPYTER_CONFIG_DIR"], "lab", "user-settings")
        path = folder / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))

    def said(self) -> str:
        """Return what the server wrote so far."""
        return self._log.read_text(errors="replace")


@contextmanager
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """Give a headless browser."""
    browser = playwright.chromium.launch(
        executable_path=str(CHROMIUM), args=CHROMIUM_ARGS, headless=True, env={**os.environ, "no_proxy": "*"}
    )
    try:
        yield browser
    finally:
        browser.close()


VIEWPORT = {"width": 1200, "height": 1000}


class Notebook:
    """A page of JupyterLab with one notebook at a time; to load it takes 4 s, another notebook in it 0.5 s.

    ``refused`` are addresses that the page asked for in vain, ``complaints`` the errors that it logged.
    """

    def __init__(self, server: LabServer, browser: Browser) -> None:
        self.server = server
        self.refused: list[str] = []
        self.complaints: list[str] = []
        self.page: Page = browser.new_page(viewport=VIEWPORT)
        self.page.set_default_timeout(DEADLINE_S * 1000)
        self.page.route("**/*", self._only_loopback)
        self.page.on("console", lambda said: said.type == "error" and self._heard(said.text))
        self.page.on("pageerror", lambda error: self._heard(str(error)))

    def _only_loopback(self, route: Route) -> None:
        if urlsplit(route.request.url).hostname in ("127.0.0.1", None):
            route.continue_()
        else:
            self.refused.append(route.request.url)
            route.abort()

    def _heard(self, complaint: str) -> None:
        if not any(known in complaint for known in QUIET):
            self.complaints.append(complaint)

    def open(self, name: str, cells: list[str] | None = None, *, at: str = "doc/tree") -> None:
        """Open the notebook ``name``, written anew with ``cells`` unless there are none.

        ``at`` says where, if the page is still empty.
        """
        if cells is not None:
            notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
            notebook.metadata["kernelspec"] = {
                "name": "python3",
                "display_name": "Python 3",
                "language": "python",
            }
            nbformat.write(notebook, self.server.folder / name)
        if self.page.url == "about:blank":
            self.page.goto(f"{self.server.url}/{at}/{name}?reset")
        else:
            self.command("docmanager:open", path=name)
        self.page.wait_for_function(
            "window.jupyterapp && window.jupyterapp.shell.currentWidget?.sessionContext"
        )
        self.wait("(await w.sessionContext.ready, true)")

    def wait(self, condition: str) -> None:
        """Wait until an expression about ``w``, the notebook panel, is true."""
        self.page.wait_for_function(
            f"(async () => {{ const w = window.jupyterapp.shell.currentWidget; return {condition}; }})()"
        )

    def command(self, name: str, **args: str) -> None:
        """Do one of JupyterLab's commands and wait for its end; its result, such as a panel, stays there."""
        self.page.evaluate(
            "async ([name, args]) => { await window.jupyterapp.commands.execute(name, args); }", [name, args]
        )

    def run_all(self) -> None:
        """Run every cell and wait for the last one."""
        self.command("notebook:run-all-cells")

    def run(self, code: str) -> None:
        """Run ``code`` in a further cell at the end and wait for it."""
        self.begin(code)
        self.wait("w.content.activeCell.model.executionState !== 'running'")
        self.wait("w.sessionContext.session.kernel.status === 'idle'")

    def begin(self, code: str) -> None:
        """Begin to run ``code`` in a further cell at the end."""
        self.page.evaluate(
            """code => {
                const {commands, shell} = window.jupyterapp, notebook = shell.currentWidget.content;
                notebook.activeCellIndex = notebook.widgets.length - 1;
                return commands.execute("notebook:insert-cell-below").then(() => {
                    notebook.activeCell.model.sharedModel.setSource(code);
                    commands.execute("notebook:run-cell");
                });
            }""",
            code,
        )

    def figures(self, line: str) -> None:
        """Keep what was measured beside the pictures."""
        with (self.server.shots / "figures.txt").open("a") as file:
            file.write(f"{line}\n")

    def outputs(self) -> Locator:
        """Return the outputs of all cells."""
        return self.page.locator(".jp-Cell-outputArea")

    def save(self) -> Path:
        """Save the notebook; return its path."""
        self.command("docmanager:save")
        name: str = self.page.evaluate("window.jupyterapp.shell.currentWidget.context.path")
        return self.server.folder / name

    def take_complaints(self) -> list[str]:
        """Return what was refused or logged since the last time."""
        said = [f"refused: {address}" for address in self.refused] + self.complaints
        self.refused.clear()
        self.complaints.clear()
        return said

    def leave(self) -> None:
        """End its kernel and close the notebook, without saving it: another one can be opened then."""
        self.page.set_viewport_size(VIEWPORT)
        self.page.evaluate(
            """async () => {
                const {shell} = window.jupyterapp;
                await shell.currentWidget?.sessionContext?.shutdown();
                [...shell.widgets("main")].forEach(each => each.dispose());
            }"""
        )

    def close(self) -> None:
        """End its kernel and close its page."""
        if not self.page.is_closed():
            self.page.evaluate("window.jupyterapp?.shell.currentWidget?.sessionContext?.shutdown()")
            self.page.close()
