"""Run the command line: ``python -m turso_sync_nb serve FILE.db --listen 127.0.0.1:8080``.

Rules of this file: what the user got wrong is one line on stderr and status 2, never a traceback.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from turso_sync_nb.errors import UsageError
from turso_sync_nb.platforms import allow_open_files
from turso_sync_nb.secret import Secret
from turso_sync_nb.server.limits import ACCESS_LOG, DEFAULT_LIMITS
from turso_sync_nb.server.local import LocalServer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

_LISTEN_DEFAULT: Final = "127.0.0.1:8080"
_STATUS_USAGE: Final = 2
"""Exit status of a wrong command line, as argparse has it."""

_STATUS_FAILED: Final = 1
"""Exit status of a server that could not begin."""

_WATCH_SECONDS: Final = 0.5
"""Seconds between two looks at whether somebody stopped it."""

_PORT_MAX: Final = 65535
"""The highest TCP port."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status; ``arguments`` default to the process's own."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="turso-sync-nb: %(levelname)s: %(message)s", level=logging.WARNING)
    try:
        host, port = _address(options.listen)
        token = _token(options.auth_token_env)
        if options.access_log:
            _log_access()
        files = _named(options.file)
        allow_open_files(2 * DEFAULT_LIMITS.connections)
        return _serve(lambda: LocalServer(files, auth_token=token, host=host, port=port))
    except UsageError as error:
        sys.stderr.write(f"turso-sync-nb: {error}\n")
        return _STATUS_USAGE


def _serve(start: Callable[[], LocalServer]) -> int:
    """Serve until SIGINT or SIGTERM, or until the server ends by itself."""
    stopped = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with start() as server:
            for place, path in server.places.items():
                sys.stdout.write(f"serving {path} at {place} (Ctrl-C stops it)\n")
            sys.stdout.flush()
            while not stopped.is_set():
                if server.wait(_WATCH_SECONDS):
                    return _STATUS_FAILED
        return 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m turso_sync_nb", description="Replicas of SQLite.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser(
        "serve",
        help="serve a SQLite file to replicas",
        description="Serve a SQLite file to replicas over HTTP. Older page images are kept in "
        "FILE.db-history. The file is put into WAL mode while it is served, and back at the end.",
    )
    serve.add_argument(
        "file",
        metavar="FILE.db",
        nargs="+",
        help="the database, made if it does not exist; or :memory:. Several are served by their names: "
        "sales.db at .../sales",
    )
    serve.add_argument("--listen", metavar="HOST:PORT", default=_LISTEN_DEFAULT, help="default: %(default)s")
    serve.add_argument(
        "--auth-token-env",
        metavar="NAME",
        help="environment variable with the token that requests must carry",
    )
    serve.add_argument(
        "--access-log", action="store_true", help="a line on stderr for each request: no token, no SQL"
    )
    return parser


def _named(files: Sequence[str]) -> str | dict[str, str | Path | None]:
    """Return the one file, or several by their names without an ending.

    Raises:
        UsageError: two have the same name.
    """
    if len(files) == 1:
        return files[0]
    named: dict[str, str | Path | None] = {Path(file).stem: file for file in files}
    if len(named) < len(files):
        raise UsageError("serve several files: two have the same name", hint="rename one")
    return named


def _log_access() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log = logging.getLogger(ACCESS_LOG)
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) <= _PORT_MAX):
        raise UsageError(
            f"listen on {text!r}: not an address and a port", hint=f"write it like {_LISTEN_DEFAULT}"
        )
    return host.removeprefix("[").removesuffix("]"), int(port)


def _token(variable: str | None) -> Secret | None:
    if variable is None:
        return None
    token = Secret.of(os.environ.get(variable))
    if token is None:
        raise UsageError(
            f"take the token from {variable}: that environment variable is not set, or empty",
            hint=f"export {variable}=... first",
        )
    return token
