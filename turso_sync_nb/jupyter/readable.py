"""Say changes, differences and conflicts as a reader has them: keys and values in words, no dicts.

Rules of this file: what a line returns is the frame with its values; these forms are only shown in its place.
"""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.units import format_ago
from turso_sync_nb.words import OPERATIONS, REASONS_TO_STAY, Figure, settled_as, value_of, values_of

if TYPE_CHECKING:
    import pandas as pd

    from turso_sync_nb.public_connection import Connection

OVERWRITTEN_MAX: Final = 5
"""Rows that are named of those that others wrote over."""

_STATES: Final = {"pending": "waits", **REASONS_TO_STAY}
_SIDES: Final = {"push": "yours, to be pushed", "pull": "theirs, to be pulled"}


def changes_seen(frame: pd.DataFrame) -> pd.DataFrame:
    """Return :meth:`Connection.changes` for a reader."""
    import pandas as pd

    rows = [
        {
            "transaction": each["transaction"],
            "table": each["table"],
            "row": row_of(each["key"]),
            "change": OPERATIONS.get(each["operation"], "schema"),
            "values": change_of(each["operation"], each["old"], each["new"]),
            "state": " · ".join(filter(None, (_STATES.get(each["state"], each["state"]), each["reason"]))),
        }
        for each in records(frame)
    ]
    return pd.DataFrame(rows, columns=["transaction", "table", "row", "change", "values", "state"])


def differences_seen(frame: pd.DataFrame) -> pd.DataFrame:
    """Return :meth:`Connection.diff`, or the rows that arrived, for a reader."""
    import pandas as pd

    rows = []
    for each in records(frame):
        row = {"whose": _SIDES.get(each["by"], each["by"])} if "by" in each else {}
        row |= {
            "table": each["table"],
            "row": row_of(each["key"]),
            "change": OPERATIONS.get(each["operation"], "schema"),
            "values": change_of(each["operation"], each["old"], each["new"]),
        }
        if "meets" in each:
            row["clash"] = "both sides changed it" if each["meets"] else ""
        if "overwrote" in each:
            row["overwrote"] = "a value that you had pushed" if each["overwrote"] else ""
        rows.append(row)
    names = [*(["whose"] if "by" in frame else []), "table", "row", "change", "values"]
    names += [*(["clash"] if "meets" in frame else []), *(["overwrote"] if "overwrote" in frame else [])]
    return pd.DataFrame(rows, columns=names)


def conflicts_seen(frame: pd.DataFrame) -> pd.DataFrame:
    """Return :meth:`Connection.conflicts` for a reader: of each side the columns that differ."""
    import pandas as pd

    rows = []
    for each in records(frame):
        sides = [each["base"], each["local"], each["remote"]]
        names = {name for side in sides if isinstance(side, dict) for name in side}
        differ = [name for name in names if len({repr(_get(side, name)) for side in sides}) > 1]
        was, mine, theirs = (_values(side, differ) for side in sides)
        rows.append(
            {
                "table": each["table"], "row": row_of(each["key"]), "what": each["kind"], "was": was,
                "mine": mine, "theirs": theirs,
                "settled": settled_as(each["settled_by"]),
                "when": format_ago(each["time"].timestamp()),
            }
        )  # fmt: skip
    return pd.DataFrame(rows, columns=["table", "row", "what", "was", "mine", "theirs", "settled", "when"])


def history_seen(frame: pd.DataFrame) -> pd.DataFrame:
    """Return :meth:`Connection.history` for a reader, in local time."""
    import pandas as pd

    rows = [
        (each["revision"], format_ago(each["time"].timestamp()), "the replica is here" * each["current"])
        for each in records(frame)
    ]
    return pd.DataFrame(rows, columns=["revision", "since", "now"])


def plainly(frame: pd.DataFrame) -> pd.DataFrame:
    """Return ``frame`` as text: thousands apart, floats short, nothing for what does not apply."""
    import pandas as pd

    return pd.DataFrame({str(name): [_plain(value) for value in frame[name]] for name in frame}, dtype=object)


def _plain(value: Any) -> str:
    value = _or_none(value)
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, Integral):
        return Figure(f"{int(value):,}")
    return Figure(f"{value:.6g}") if isinstance(value, float) else value_of(value)


def overwritten(db: Connection) -> list[str]:
    """Return lines about what others wrote over, of what was pushed from here; nothing is fetched for it."""
    if not db.pushed:
        return []
    with db.fetching(offline=True):
        frame = db.pulled_rows()
    found = frame.loc[frame["overwrote"]]
    lines = [
        f"  {each['table']} {row_of(each['key'])}: {change_of(each['operation'], each['old'], each['new'])}"
        f"{', removed by others' if each['operation'] == 'delete' else ''}"
        for each in records(found.head(OVERWRITTEN_MAX))
    ]
    if not lines:
        return []
    more = f", {len(found) - len(lines):,} more: %turso_sync arrived" if len(found) > len(lines) else ""
    return [f"others changed what you had pushed{more}:", *lines]


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows, each by the names of its columns; what is absent is ``None``."""
    columns = {str(name): frame[name].tolist() for name in frame.columns}
    return [
        {name: _or_none(value) for name, value in zip(columns, row, strict=True)}
        for row in zip(*columns.values(), strict=True)
    ]


def row_of(key: Any) -> str:
    """Return a key for a reader: ``"carrier AA"``."""
    return values_of(key) if isinstance(key, dict) else ""


def change_of(operation: str, old: Any, new: Any) -> str:
    """Return what changed: ``"price 24.50 → 25.73"``; the values of a row that came or went; SQL as it is."""
    if not isinstance(old, dict | None) or not isinstance(new, dict | None):
        return str(new or old or "")
    if operation != "update" or not old or not new:
        return _values(new or old, list(new or old or ()))
    differ = [name for name in new if repr(old.get(name)) != repr(new[name])]
    return ", ".join(f"{name} {value_of(old.get(name))} → {value_of(new[name])}" for name in differ)


def _values(side: Any, names: list[str]) -> str:
    if not isinstance(side, dict):
        return "no row" if side is None else str(side)
    return values_of(side, names)


def _get(side: Any, name: str) -> Any:
    return side.get(name) if isinstance(side, dict) else side


def _or_none(value: Any) -> Any:
    """Return a value, ``None`` in place of what pandas has for an absent one."""
    import pandas as pd

    return None if value is pd.NA or value is pd.NaT or value != value else value  # noqa: PLR0124 - NaN
