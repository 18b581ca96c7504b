"""Bind ``:name`` parameters to the notebook's variables when SQLite's binder asks for them.

Rules of this file: no SQL text is ever changed or searched but for one that is a variable's name; which
names a statement has is SQLite's answer, and what a value becomes is the connection's
(``connection/parameters.py``). This file only finds the variables and says what to write instead when one
does not fit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from turso_sync_nb.connection.parameters import bindable
from turso_sync_nb.errors import ProgrammingError, UsageError
from turso_sync_nb.jupyter.suggestions import did_you_mean

UNNAMED_HINT: Final = "a cell's parameters are the notebook's variables: write :name in place of ?"

_INSTEAD: Final = {
    "Decimal": "choose float(x) or str(x)",
    "UUID": "use str(x) or x.bytes, whichever the column holds",
    "PosixPath": "use str(x)",
    "timedelta": "use x.total_seconds()",
    "Timedelta": "use x.total_seconds()",
    "int": "bind it as text with str(x)",
    "str": "decode the text with errors='replace' where it was read",
}
_MANY: Final = frozenset(
    {"list", "tuple", "set", "frozenset", "range", "dict_keys", "ndarray", "Series", "Index", "DataFrame"}
)


_WHOLE_SQL: Final = re.compile(r"\s*(?:\$([^\W\d]\w*)|\{\{\s*([^\W\d]\w*)\s*\}\})\s*;?\s*")


def sql_in_variable(sql: str, namespace: Mapping[str, Any]) -> str:
    """Return the text of the variable that is all of ``sql`` (``$name``, ``{{name}}``), else ``sql`` itself.

    A name amid other SQL is left alone: nothing is ever spliced into SQL.

    Raises:
        UsageError: there is no such variable, or it holds no text.
    """
    found = _WHOLE_SQL.fullmatch(sql)
    if found is None:
        return sql
    name = found[1] or found[2]
    if name not in namespace:
        raise UsageError(f"run the SQL in {name}: no variable has that name", hint=_close(name, namespace))
    text = namespace[name]
    if not isinstance(text, str):
        raise UsageError(
            f"run the SQL in {name}: it is of type {type(text).__name__}", hint=f"{name} = 'SELECT ...'"
        )
    return text


def _close(name: str, namespace: Mapping[str, Any]) -> str:
    visible = (key for key in namespace if isinstance(key, str) and not key.startswith("_"))
    return did_you_mean(name, visible) or f"assign it first: {name} = ..."


class Variables(Mapping[str, Any]):
    """The notebook's variables as SQLite's binder takes them, converted when it asks for one.

    Asking for a name raises ``UsageError`` when it is no variable, or holds what SQLite cannot hold.
    """

    def __init__(self, namespace: Mapping[str, Any]) -> None:
        self._namespace = namespace
        self.taken: dict[str, Any] = {}
        """The names that were asked for."""

    @property
    def raw(self) -> Mapping[str, Any]:
        """The variables as they are: frames and lists are tables, not parameters."""
        return self._namespace

    def __getitem__(self, name: str) -> Any:
        if not name.isidentifier():  # ?1 asks for the name "1"
            raise UsageError("bind a parameter without a name", hint=UNNAMED_HINT)
        if name not in self._namespace:
            raise UsageError(f"bind :{name}: no variable has that name", hint=_close(name, self._namespace))
        value = self._namespace[name]
        try:
            self.taken[name] = bindable(value, f":{name}")
        except ProgrammingError as error:
            raise UsageError(str(error), hint=_instead(name, value)) from error
        return self.taken[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._namespace)

    def __len__(self) -> int:
        return len(self._namespace)


def _instead(name: str, value: Any) -> str:
    kind = type(value).__name__
    if kind in _MANY:
        return f"a list or frame is a table: write IN :{name}, or FROM :{name}"
    return _INSTEAD.get(kind, "use a number, text, bytes, a date or time, or None")
