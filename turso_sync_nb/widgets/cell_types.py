"""Tell what kind of value a column is declared to hold, what it may be, and what an input to it means."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from turso_sync_nb.changes.names import quoted
from turso_sync_nb.errors import UsageError
from turso_sync_nb.widgets.values import typed

if TYPE_CHECKING:
    from turso_sync_nb.connection.connection import Connection

Kind = Literal["boolean", "date", "moment", "number", "text"]

CHOICES_MAX: Final = 200
"""Values of a referred table that are offered."""

_TRUTHS: Final = {"true": 1, "t": 1, "yes": 1, "y": 1, "false": 0, "f": 0, "no": 0, "n": 0}
_NUMBERS: Final = re.compile(r"INT|REAL|FLOA|DOUB|NUM|DEC", re.IGNORECASE)
_TEXTS: Final = re.compile(r"CHAR|CLOB|TEXT", re.IGNORECASE)
_STRING: Final = r"'(?:[^']|'')*'"
_NAME: Final = r'"(?:[^"]|"")+"|`[^`]+`|\[[^\]]+\]|[^\W\d]\w*'
_CHECK_IN: Final = re.compile(
    rf"CHECK\s*\(\s*({_NAME})\s+IN\s*\(\s*({_STRING}(?:\s*,\s*{_STRING})*)\s*\)\s*\)", re.IGNORECASE
)
_REFERS: Final = """
SELECT "table", "to" FROM pragma_foreign_key_list(?, 'main') WHERE "from" = ? COLLATE NOCASE
    AND id NOT IN (SELECT id FROM pragma_foreign_key_list(?, 'main') WHERE seq > 0)
"""
_KEY: Final = "SELECT name FROM pragma_table_info(?, 'main') WHERE pk = 1"


def kind_of(declared: str) -> Kind:
    """Return the kind of value that a declared type means to a reader."""
    word = declared.upper().partition("(")[0].strip()
    if word in ("BOOL", "BOOLEAN"):
        return "boolean"
    if word == "DATE":
        return "date"
    if word in ("TIMESTAMP", "DATETIME"):
        return "moment"
    return "number" if _NUMBERS.search(declared) and not _TEXTS.search(declared) else "text"


def choices_of(db: Connection, table: str) -> dict[str, list[str]]:
    """Return the texts that columns may hold by ``CHECK (x IN (..))``; names are in small letters."""
    found = db.run("SELECT sql FROM main.sqlite_schema WHERE type = 'table' AND name = ?", (table,)).rows
    sql = str(found[0][0] or "") if found else ""
    return {
        name.strip('"`[]').replace('""', '"').lower(): [
            each[1:-1].replace("''", "'") for each in re.findall(_STRING, texts)
        ]
        for name, texts in _CHECK_IN.findall(sql)
    }


def referred(db: Connection, table: str, column: str) -> list[Any]:
    """Return values that a foreign key may hold, as far as they are here; none for any other column."""
    for parent, named in db.run(_REFERS, (table, column, table)).rows:
        to = named or next((name for (name,) in db.run(_KEY, (parent,)).rows), None)
        if to is None:
            continue
        sql = f"SELECT DISTINCT {quoted(to)} FROM main.{quoted(parent)} ORDER BY 1 LIMIT {CHOICES_MAX}"
        return [value for (value,) in db.run(sql, offline=True).rows]
    return []


def meant(text: str | None, declared: str, was: Any = None) -> Any:
    """Return the value that ``text`` (``None``: NULL) means in a column; nothing typed is NULL but in text.

    A date and a moment are written as ISO has them, unless another text was there before.

    Raises:
        UsageError: it means nothing there.
    """
    kind = kind_of(declared)
    if text is None or (kind != "text" and not text.strip()):
        return None
    if kind == "boolean" and text.strip().lower() in _TRUTHS:
        return _TRUTHS[text.strip().lower()]
    if kind == "boolean" and was in (0, 1, None) and text.strip() not in ("0", "1"):
        raise UsageError("the column is BOOLEAN: true or false, or NULL")
    if kind in ("date", "moment"):
        example = "2026-11-29" if kind == "date" else "2026-11-29 13:45:00"
        if (was is None or _is_iso(was, kind)) and not _is_iso(text, kind):
            raise UsageError(f"the column is {declared.upper()}: write it like {example}")
        return text
    return typed(text, declared, was)


def _is_iso(value: Any, kind: Kind) -> bool:
    if not isinstance(value, str):
        return False
    try:
        (date if kind == "date" else datetime).fromisoformat(value)
    except ValueError:
        return False
    return True
