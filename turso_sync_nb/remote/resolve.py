"""Resolve host names so that Ctrl-C interrupts the wait; the resolver's C code cannot be interrupted.

A lookup that hangs keeps a daemon thread until the resolver gives up; nothing waits for it.
"""

from __future__ import annotations

import ipaddress
import queue
import socket
import threading
import time
from typing import Final
from urllib.request import getproxies

import httpx

KNOWN_S: Final = 60.0
"""Seconds for which a name that was found is not looked up again."""


class Resolver:
    """Makes sure that a name can be looked up before a connection does so; safe for threads.

    The addresses are not used: the connection asks again, and the system then has the answer at hand.
    """

    def __init__(self) -> None:
        self._found: dict[str, float] = {}

    def check(self, url: httpx.URL, timeout_s: float) -> None:
        """Return once the host of ``url`` is known; at once for an address and behind a proxy.

        Raises:
            httpx.ConnectError: there is no such name.
            httpx.ConnectTimeout: no answer within ``timeout_s``.
        """
        host = url.host
        now = time.monotonic()
        if _needs_no_lookup(url) or now - self._found.get(host, -KNOWN_S) < KNOWN_S:
            return
        answers: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
        looking = threading.Thread(
            target=_look_up, args=(url.raw_host.decode(), answers), name="turso-sync-nb resolver", daemon=True
        )
        try:
            looking.start()
        except RuntimeError:  # no thread begins as the process ends: the connection looks it up
            return
        try:
            failure = answers.get(timeout=timeout_s)
        except queue.Empty:
            raise httpx.ConnectTimeout(f"no address of {host} in time") from None
        if failure is not None:
            raise httpx.ConnectError(str(failure)) from None
        self._found[host] = now


def _needs_no_lookup(url: httpx.URL) -> bool:
    if url.host == "localhost":
        return True
    try:
        ipaddress.ip_address(url.host)
    except ValueError:
        return bool({url.scheme, "all"} & getproxies().keys())
    return True


def _look_up(host: str, answers: queue.SimpleQueue[Exception | None]) -> None:
    try:
        socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        answers.put(error)
    else:
        answers.put(None)
