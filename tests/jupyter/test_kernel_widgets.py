"""Widgets on every kernel that people have: a click while a cell runs is heard, at once or after it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import pytest
from kernels import Kernel
from overlays import overlay
from stalling import StallingRemote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peers import PeerServer

LOAD = "%load_ext turso_sync_nb"
GOES_ON = """
import time
from turso_sync_nb.jupyter import connection
db = connection()
def goes_on():
    if not began:
        began.append(time.monotonic())
        print("started", flush=True)
    return time.monotonic() < began[0] + seconds
db.create_function("goes_on", 0, goes_on)
"""
SLOW = """
began, seconds = [], {}
db.query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE goes_on()) SELECT 1 FROM n")
"""
HEARS = {"6.31.0": False, "7.0.1": True, "7.3.0": True, "7.4.0": True}
"""By version: whether messages have a thread of their own there (a subshell)."""


class Clicking:
    """A kernel that shows the dashboard of a replica, and a view of it; ``heard`` are its messages."""

    def __init__(self, kernel: Kernel, remote: StallingRemote) -> None:
        self.kernel = kernel
        self.remote = remote
        self.heard: list[tuple[float, dict[str, Any]]] = []
        self.wrong: list[dict[str, Any]] = []
        kernel.good(LOAD)
        kernel.good(f"%turso_sync connect flights.db {remote.url}")
        kernel.good(GOES_ON)
        shown = kernel.good("%turso_sync dashboard")
        views = [each["data"] for each in shown if "data" in each]
        view = next(data[kind] for data in views for kind in data if kind.endswith("widget-view+json"))
        self._comm = view["model_id"]
        self.subshell = kernel.subshell()
        self.says("open")
        self.until(lambda: any(said["type"] == "figures" for _, said in self.heard))

    def says(self, kind: str, **content: Any) -> None:
        """Click."""
        content = {"type": kind, "view": "one", **content}
        self.kernel.tell(self._comm, {"method": "custom", "content": content}, self.subshell)

    def slow_cell(self, seconds: float, click: dict[str, Any]) -> float:
        """Run a query that takes so long, click amid it, and return when the cell ended."""
        return self.cell(SLOW.format(seconds), click)

    def cell(self, code: str, click: dict[str, Any] | None = None) -> float:
        """Run a cell, click once it says that it started, and return when it ended."""
        cell = self.kernel.begin(code)
        ended: list[float] = []

        def end(message: dict[str, Any]) -> bool:
            if click and message["msg_type"] == "stream" and "started" in message["content"]["text"]:
                self.says(**click)
            is_ours = message["parent_header"].get("msg_id") == cell
            if is_ours and message["content"].get("execution_state") == "idle":
                ended.append(time.monotonic())
            return bool(ended)

        for message in self.kernel.messages(end):
            self._take(message)
        self.kernel.wait_for_reply(cell)
        return ended[0]

    def until(self, done: Any) -> None:
        """Listen until ``done()``."""
        if not done():
            for message in self.kernel.messages(lambda _message: done()):
                self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        content, kind = message["content"], message["msg_type"]
        if kind == "error" or (kind == "stream" and content["name"] == "stderr"):
            self.wrong.append(content)
        if kind == "comm_msg" and content["data"].get("method") == "custom":
            self.heard.append((time.monotonic(), content["data"]["content"]))

    def last(self, kind: str) -> str:
        """Return the text of the last message of a kind."""
        return str(next((said["text"] for _, said in reversed(self.heard) if said["type"] == kind), ""))

    def when(self, **wanted: Any) -> float:
        """Return when the first message came that has all this; it is waited for."""

        def found() -> list[float]:
            return [at for at, said in self.heard if wanted.items() <= said.items()]

        self.until(found)
        return found()[0]


@pytest.fixture(params=list(HEARS))
def clicking(request, wheel_path_env, tmp_path, embedded, flights_file) -> Iterator[Clicking]:
    """Give a dashboard in a kernel of each version; nothing may have gone wrong in it."""
    version = request.param
    server: PeerServer = embedded(flights_file)
    packages = str(overlay(f"ipykernel-{version}", f"ipykernel=={version}"))
    env = {name: value for name, value in wheel_path_env.items() if name != "TURSO_AUTH_TOKEN"} | {
        "PYTHONPATH": os.pathsep.join([packages, wheel_path_env["PYTHONPATH"]]),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }  # fmt: skip
    with StallingRemote(server.url) as remote, Kernel(tmp_path, env) as kernel:
        clicking = Clicking(kernel, remote)
        assert (clicking.subshell is not None) == HEARS[version]
        yield clicking
        assert clicking.wrong == []
        assert kernel.complaints() == []


def test_a_click_amid_a_query_is_answered_or_waits(clicking):
    """A pull while a cell queries for 3 s: done amid it where the kernel hears, right after it elsewhere."""
    ended_s = clicking.slow_cell(3, {"kind": "do", "verb": "pull", "request": "one"})
    heard_s = clicking.when(type="ack", request="one")
    clicking.until(lambda: clicking.last("status").startswith("pull: nothing new"))
    if clicking.subshell:
        assert heard_s < ended_s - 1
    else:
        assert abs(heard_s - ended_s) < 1
    clicking.kernel.good("%turso_sync sql SELECT count(*) FROM flights")


def test_cancel_amid_a_query_stops_what_a_click_began(clicking):
    """A pull that the remote does not answer is stopped, amid the query or right after it."""
    clicking.remote.stalled.set()
    clicking.says("do", verb="pull")
    clicking.until(lambda: clicking.last("status") == "pull …")
    assert clicking.remote.asked.wait(30)
    ended_s = clicking.slow_cell(2, {"kind": "cancel", "request": "two"})
    assert (clicking.when(type="ack", request="two") < ended_s) == bool(clicking.subshell)
    clicking.until(lambda: clicking.last("status") == "pull: stopped")
    clicking.remote.stalled.clear()
    clicking.kernel.good("%turso_sync pull")


def test_what_happens_in_a_thread_of_the_user_s_is_told(clicking):
    """Pages that arrive by hydration, and news of the remote, are sent from threads of no message."""
    clicking.says("listen", listens=True, pulls=True, request="three")
    clicking.when(type="remote", kind="nothing")
    clicking.cell("hydration = db.hydrate(); hydration.wait(30)")
    clicking.cell("db.execute('UPDATE carriers SET name = carrier'); db.commit(); db.push()")
    clicking.until(lambda: clicking.last("status").startswith("pull: "))
    clicking.cell("db.close()")
    clicking.when(type="remote", kind="off", text="the connection is closed")
