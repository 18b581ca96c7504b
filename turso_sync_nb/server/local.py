"""Run a server inside this process, on a thread of its own.

Rules of this file: the socket is bound before anything is served, so that a taken port or an unsafe
address is an error of the constructor's caller; uvicorn is loaded only when a server starts.
"""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import re
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from turso_sync_nb.errors import UsageError
from turso_sync_nb.platforms import check_supported
from turso_sync_nb.secret import Secret
from turso_sync_nb.server.limits import DEFAULT_LIMITS

if TYPE_CHECKING:
    from turso_sync_nb.server.limits import Limits

_BACKLOG: Final = 128
"""Connections that wait to be accepted: the usual limit of Linux."""

_MEMORY: Final = ":memory:"
_PLACE: Final = re.compile(r"|/[A-Za-z0-9_-]+")
_TAKEN: Final = frozenset({"/health", "/version"})


class LocalServer:
    """Serve a database until ``close``, or the end of the ``with`` block.

    Args:
        path: The SQLite file, created when it does not exist; None or ``":memory:"`` for a private
            temporary file that is removed at the end. A mapping serves several: each file by its name, at
            ``url + "/" + name``.
        auth_token: The bearer token that every request must carry; None for none.
        host: The address to listen on; one that other machines reach needs a token.
        port: The port to listen on; 0 for any free one.
        limits: What the server may use.
        latency_ms: Milliseconds by which each round trip is made longer, to see what a far server costs.
        loss: The part of the requests (0 to 1) that get no answer, to see what becomes of them.

    Attributes:
        network: ``latency_ms`` and ``loss``, to be changed while it serves.

    Raises:
        UsageError: a file cannot be served, or the address cannot be listened on.
    """

    def __init__(
        self,
        path: str | Path | Mapping[str, str | Path | None] | None = None,
        *,
        auth_token: str | Secret | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        limits: Limits = DEFAULT_LIMITS,
        latency_ms: float = 0,
        loss: float = 0,
    ) -> None:
        from turso_sync_nb.server.app import Site
        from turso_sync_nb.server.database import Database
        from turso_sync_nb.server.edge import behind_edge
        from turso_sync_nb.server.http_server import HttpServer
        from turso_sync_nb.server.network import Network

        check_supported("serve")
        auth_token = None if auth_token is None else Secret(auth_token)
        _check_token(auth_token)
        _check_address(host, has_token=auth_token is not None)
        self.network = Network(latency_ms, loss)
        self._ended = threading.Event()
        with contextlib.ExitStack() as opened:
            self._socket = opened.enter_context(_listen(host, port))
            self._databases = {
                place: opened.enter_context(Database(file, limits)) for place, file in _files(path).items()
            }
            self.url = _url(self._socket)
            site = Site(self._databases, limits, auth_token)
            opened.callback(site.close)
            self._server = HttpServer(
                behind_edge(site.app, for_pages=auth_token is not None),
                self.network,
                limits,
                interrupt=self._stop_requests,
            )
            self._thread = threading.Thread(target=self._serve, name="turso-sync-nb server", daemon=True)
            self._thread.start()
            self._opened = opened.pop_all()

    def __repr__(self) -> str:
        files = ", ".join(str(database.path) for database in self._databases.values())
        return f"LocalServer({files!r}, url={self.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """The database file that is served; of several, the first."""
        return next(iter(self._databases.values())).path

    @property
    def places(self) -> dict[str, Path]:
        """Each file that is served, by its address."""
        return {self.url + place: database.path for place, database in self._databases.items()}

    def compact_history(self) -> None:
        """Forget every older revision of what is served, and give the space back.

        Replicas of older revisions fetch what they have anew. ``POST /compact-history`` does the same.
        """
        for database in self._databases.values():
            database.history.compact()

    def wait(self, timeout: float | None = None) -> bool:
        """Return once the server stopped by itself (True), or after ``timeout`` seconds (False)."""
        return self._ended.wait(timeout)

    def close(self) -> None:
        """Stop: finish what is being answered (for a few seconds), then close the database.

        It may be repeated. What the clients wrote is in the file afterwards.
        """
        self._server.stop()
        self._thread.join()
        self._opened.close()

    def _stop_requests(self) -> None:
        for database in self._databases.values():
            database.stop_requests()

    def _serve(self) -> None:
        try:
            # clients may connect from now on: the socket listens already
            self._server.run(sockets=[self._socket])
        finally:
            self._ended.set()


def _files(path: str | Path | Mapping[str, str | Path | None] | None) -> dict[str, Path | None]:
    """Return the files to serve by the path of their endpoints, None for a private one.

    Raises:
        UsageError: a name does not do in a URL, or two names are one file.
    """
    named = {f"/{name}": file for name, file in path.items()} if isinstance(path, Mapping) else {"": path}
    files = {
        place: None if file is None or str(file) == _MEMORY else Path(file) for place, file in named.items()
    }
    for place in files:
        if not (_PLACE.fullmatch(place) and place not in _TAKEN):
            raise UsageError(
                f"serve {place[1:]!r}: not a name for a URL, or a name of the server's own",
                hint="letters, digits, - and _",
            )
    for one, other in itertools.combinations([file for file in files.values() if file is not None], 2):
        if one.resolve() == other.resolve() or (one.exists() and other.exists() and one.samefile(other)):
            raise UsageError(
                f"serve {one} and {other}: they are one file under two names",
                hint="serve it under one of them",
            )
    if not files:
        raise UsageError("serve no database: none is named", hint="name a file, or none for a private one")
    return files


def _check_token(token: Secret | None) -> None:
    if token is None:
        return
    if token.kind != "text":
        raise UsageError(f"start a server: the token is of kind {token.kind}", hint="give text, or no token")
    if not token.use(len):
        raise UsageError("start a server: the token is empty", hint="give a token, or none at all")


def _check_address(host: str, *, has_token: bool) -> None:
    if has_token or host == "localhost":
        return
    with contextlib.suppress(ValueError):  # a name, not an address: it may mean any machine
        if ipaddress.ip_address(host).is_loopback:
            return
    raise UsageError(
        f"listen on {host}: other machines may reach it, and there is no token",
        hint="set a token (--auth-token-env NAME, or auth_token=), or listen on 127.0.0.1",
    )


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"listen on {host}:{port}: {error}", hint="use an address of this machine"
        ) from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listening.close()
        raise UsageError(
            f"listen on {host}:{port}: {error}", hint="choose another port, or 0 for any free one"
        ) from error
    return listening


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    address = ipaddress.ip_address(host)
    if address.is_unspecified:  # every address of this machine: the one that surely works from here
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")  # noqa: PLR2004 - IPv4
    return f"http://[{address}]:{port}" if address.version == 6 else f"http://{address}:{port}"  # noqa: PLR2004 - IPv6
