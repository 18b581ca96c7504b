"""Replace ``{name}`` in SQL by identifiers, where a cell says ``--identifiers``.

Rules of this file: a variable's text becomes an identifier in quotes, never SQL; values go by ``:name``.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Any

from turso_sync_nb.errors import UsageError
from turso_sync_nb.jupyter.suggestions import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_HINT = "with --identifiers, {name} stands for a variable, {{ and }} for braces"


def with_identifiers(sql: str, variables: Mapping[str, Any]) -> str:
    """Return ``sql`` with each ``{name}`` replaced by the quoted text of that variable.

    Text is one identifier; a list or tuple of texts, or a pandas Index of columns, is several with commas.

    Raises:
        UsageError: no such variable, one that names nothing, or braces that do not fit.
    """
    try:
        parts = list(string.Formatter().parse(sql))
    except ValueError as error:
        raise UsageError(f"replace {{name}}: {error}".lower(), hint=_HINT) from error
    return "".join(_parts(parts, variables))


def _parts(
    parts: list[tuple[str, str | None, str | None, str | None]], variables: Mapping[str, Any]
) -> Iterator[str]:
    for text, name, form, conversion in parts:
        yield text
        if name is None:
            continue
        if form or conversion or not name.isidentifier():
            raise UsageError("replace {name}: what is in the braces is no variable's name", hint=_HINT)
        if name not in variables:
            public = (key for key in variables if isinstance(key, str) and not key.startswith("_"))
            hint = did_you_mean(name, public) or f"assign it first: {name} = ..."
            raise UsageError(f"replace {{{name}}}: no variable has that name", hint=hint)
        names = _each(variables[name])
        if not names:
            raise UsageError(f"replace {{{name}}}: a list without names", hint="put names into it")
        yield ", ".join(_quoted(name, each) for each in names)


def _each(value: Any) -> list[Any]:
    """Return the names that ``value`` holds, itself if it is one."""
    if isinstance(value, list | tuple) or type(value).__name__ == "Index":
        return list(value)
    return [value]


def _quoted(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        what = (
            "its text is no name"
            if isinstance(value, str)
            else f"a value of type {type(value).__name__} is no name"
        )
        raise UsageError(
            f"replace {{{name}}}: {what}", hint="values go by :name; {name} takes text, or a list of texts"
        )
    return '"' + value.replace('"', '""') + '"'
