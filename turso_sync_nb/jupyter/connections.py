"""Keep the notebook's connections by name, and the one in use.

Rules of this file: a connection that was opened here is closed here; one that a variable brought is
only forgotten. Names are the user's; nothing is printed. Closing a connection ends its transaction.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from turso_sync_nb.errors import UsageError
from turso_sync_nb.jupyter.arguments import showable
from turso_sync_nb.jupyter.suggestions import did_you_mean
from turso_sync_nb.public_connection import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True)
class Named:
    """One connection under its name; ``owned`` says whether closing it is up to the notebook layer."""

    name: str
    db: Connection
    owned: bool = True


class Connections:
    """Named connections; the one in use serves a cell that names none."""

    def __init__(self) -> None:
        self._by_name: dict[str, Named] = {}
        self._current: str | None = None

    def __iter__(self) -> Iterator[Named]:
        return iter(list(self._by_name.values()))

    def __len__(self) -> int:
        return len(self._by_name)

    @property
    def current(self) -> str | None:
        """The name in use, or None when there is none."""
        return self._current

    def put(self, named: Named) -> None:
        """Keep a connection under its name and use it; one that had the name is closed first."""
        if named.name in self._by_name and self._by_name[named.name].db is not named.db:
            self.close(named.name)
        self._by_name[named.name] = named
        self._current = named.name

    def get(self, name: str | None, variables: Mapping[str, Any]) -> Named:
        """Return the connection called ``name`` (None: the one in use).

        A variable that holds a ``Connection`` is found by its name too. One that was closed elsewhere is
        forgotten and reported.

        Raises:
            UsageError: there is none of that name, none is in use, or it was closed.
        """
        wanted = name if name is not None else self._current
        if wanted is None:
            names = ", ".join(map(showable, self._by_name))
            raise UsageError(
                "find a connection: " + (f"none is in use; open: {names}" if names else "none is open"),
                hint="%turso_sync use NAME" if names else "%turso_sync connect PATH [URL] --as NAME",
            )
        named = self._by_name.get(wanted) or _variable(wanted, variables)
        if named is None:
            raise UsageError(
                f"find connection {showable(wanted)}: none has that name", hint=self._hint(wanted)
            )
        if named.db.closed:
            self._forget(wanted)
            raise UsageError(
                f"find connection {showable(wanted)}: it was closed",
                hint=f"%turso_sync connect PATH --as {wanted}",
            )
        return named

    def known(self, name: str) -> Named | None:
        """Return the connection kept under ``name``, open or closed, or None."""
        return self._by_name.get(name)

    def use(self, name: str, variables: Mapping[str, Any]) -> Named:
        """Make ``name`` the connection in use; a variable's connection is kept under the variable's name."""
        named = self.get(name, variables)
        self._by_name[named.name] = named
        self._current = named.name
        return named

    def close(self, name: str) -> None:
        """Close the connection (if it was opened here) and forget it; no other comes into use."""
        named = self._by_name[name]
        try:
            if named.owned:
                named.db.close()
        finally:
            self._forget(name)

    def close_all(self) -> None:
        """Close every connection that was opened here, even when closing one fails; may be repeated."""
        with contextlib.ExitStack() as stack:
            for name in self._by_name:
                stack.callback(self.close, name)

    def _forget(self, name: str) -> None:
        self._by_name.pop(name, None)
        if self._current == name:
            self._current = None

    def _hint(self, wanted: str) -> str:
        if guess := did_you_mean(wanted, self._by_name):
            return guess
        if self._by_name:
            return f"open: {', '.join(self._by_name)}"
        return "%turso_sync connect PATH [URL] --as NAME"


def _variable(name: str, variables: Mapping[str, Any]) -> Named | None:
    value = variables.get(name)
    return Named(name, value, owned=False) if isinstance(value, Connection) else None
