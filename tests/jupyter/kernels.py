"""A real Jupyter kernel that imports the built wheel, and a front end's side of a widget in it."""

from __future__ import annotations

import queue
import re
import time
from typing import TYPE_CHECKING, Any, Self

from jupyter_client.manager import KernelManager

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DEADLINE_S = 60.0
"""A kernel that says nothing for this long is broken; nothing here is expected to take seconds."""


class Kernel:
    """One kernel and its client; use it with ``with``."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._manager = KernelManager(kernel_name="python3")
        self._start = {"cwd": str(folder), "env": env}
        self._log = folder / "kernel.log"
        self._stderr = self._log.open("wb")  # the kernels that come after a restart write there too

    def __enter__(self) -> Self:
        self._manager.start_kernel(**self._start, stderr=self._stderr)
        self._connect()
        return self

    def complaints(self) -> list[str]:
        """Return what the kernel logged of errors."""
        logged = self._log.read_text(errors="replace")
        return re.findall(r"^.*(?:ERROR|Error:|Traceback).*$", logged, re.MULTILINE)

    def __exit__(self, *_: object) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._stderr.close()
        self._manager.cleanup_resources()
        self._manager.context.destroy(linger=0)

    def _connect(self) -> None:
        self._client = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=DEADLINE_S)

    def restart(self) -> None:
        """Restart the kernel as the notebook's button does."""
        self._client.stop_channels()
        self._manager.restart_kernel(now=True)
        self._connect()

    def interrupt(self) -> None:
        """Press the stop button."""
        self._manager.interrupt_kernel()

    def subshell(self) -> str | None:
        """Return a new thread of the kernel for messages, as JupyterLab asks for; ``None``: it has none."""
        asked = self._client.kernel_info()
        while (answer := self._client.get_shell_msg(timeout=DEADLINE_S))["parent_header"]["msg_id"] != asked:
            pass
        if "kernel subshells" not in answer["content"].get("supported_features", []):
            return None
        control = self._client.control_channel
        control.send(self._client.session.msg("create_subshell_request", {}))
        while (answer := control.get_msg(timeout=DEADLINE_S))["msg_type"] != "create_subshell_reply":
            pass
        return str(answer["content"]["subshell_id"])

    def tell(self, comm: str, data: dict[str, Any], subshell: str | None = None) -> None:
        """Send a comm a message."""
        message = self._client.session.msg("comm_msg", {"comm_id": comm, "data": data})
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        self._client.shell_channel.send(message)

    def messages(self, end: Callable[[dict[str, Any]], bool]) -> Iterator[dict[str, Any]]:
        """Yield everything the kernel says until ``end`` is true of a message, which is the last one."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            message = self._client.get_iopub_msg(timeout=max(deadline - time.monotonic(), 0.01))
            yield message
            if end(message):
                return

    def begin(self, code: str) -> str:
        """Send a cell; return its id."""
        return str(self._client.execute(code))

    def finish(self, cell: str, seen: Callable[[dict[str, Any]], None] | None = None) -> list[dict[str, Any]]:
        """Return a cell's outputs once it is idle; ``seen`` is called with each as it arrives."""
        outputs = []
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                message = self._client.get_iopub_msg(timeout=max(deadline - time.monotonic(), 0.01))
            except queue.Empty:
                raise TimeoutError(
                    f"wait for the kernel: not idle within {DEADLINE_S} s: {outputs}"
                ) from None
            if message["parent_header"].get("msg_id") != cell:
                continue
            content, kind = message["content"], message["msg_type"]
            if kind == "status" and content["execution_state"] == "idle":
                self.wait_for_reply(cell)
                return outputs
            if kind in ("stream", "display_data", "execute_result", "error"):
                outputs.append({"kind": kind, **content})
                if seen:
                    seen(outputs[-1])

    def wait_for_reply(self, cell: str) -> None:
        """Wait for the answer to a cell, which comes after its last output, before anything else is asked.

        ipykernel 7 may never notice a request that arrives while it answers (ipython/ipykernel#1554).
        """
        while self._client.get_shell_msg(timeout=DEADLINE_S)["parent_header"]["msg_id"] != cell:
            pass

    def run(self, code: str) -> list[dict[str, Any]]:
        """Run a cell and return its outputs."""
        return self.finish(self.begin(code))

    def good(self, code: str) -> list[dict[str, Any]]:
        """Run a cell that has to succeed."""
        outputs = self.run(code)
        assert not [each for each in outputs if each["kind"] == "error"], outputs
        return outputs


def error_line(outputs: list[dict[str, Any]]) -> str:
    """Return the error of a cell, which has to be one line and the last output."""
    assert outputs, "the cell said nothing"
    assert outputs[-1]["kind"] == "error", outputs
    (line,) = outputs[-1]["traceback"]
    assert "\n" not in line
    assert not re.search(r"[\x00-\x1f]", line)
    return str(line)
