"""Read settings from ``[tool.turso_sync_nb]`` of the project's pyproject.toml and from the user's own file.

    [tool.turso_sync_nb]
    rows_shown = 50
    rich = false           # results as static tables, also where widgets run

    [tool.turso_sync_nb.connections.flights]
    path = "data/flights.db"
    url = "libsql://flights-me.turso.io"
    token_env = "FLIGHTS_TOKEN"
    prefix = "1MiB"

The user's file is ``turso_sync_nb.toml`` in ``$XDG_CONFIG_HOME`` (``~/.config``), without
``tool.turso_sync_nb`` in front; what the project says goes before it. ``rows_shown`` and ``rich`` are
read when the extension is loaded, connections when one is opened. Tokens have no place in files: a key for
one is refused.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from turso_sync_nb.api import holds_secret
from turso_sync_nb.errors import UsageError
from turso_sync_nb.jupyter.places import shown_path
from turso_sync_nb.jupyter.suggestions import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

_FILE: Final = "turso_sync_nb.toml"
_TOOL: Final = "turso_sync_nb"
_SECRETS: Final = frozenset({"token", "auth_token", "password"})


@dataclass(frozen=True)
class ConfiguredConnection:
    """One connection as a file has it; ``path`` is relative to the file. Fields as the options of connect."""

    path: str | None = None
    url: str | None = None
    token_env: str | None = None
    prefix: str | None = None
    whole: bool = False
    bootstrap_query: str | None = None
    max_resident: str | None = None
    read_only: bool = False
    parse_dates: bool = False

    def options(self) -> dict[str, str]:
        """Return it as options of ``%turso_sync connect``; a flag's value is empty."""
        named = ("token_env", "prefix", "bootstrap_query", "max_resident")
        options = {name: getattr(self, name) for name in named if getattr(self, name) is not None}
        return options | {name: "" for name in ("whole", "read_only", "parse_dates") if getattr(self, name)}


@dataclass(frozen=True)
class Settings:
    """The settings of the files."""

    rows_shown: int | None = None
    rich: bool | None = None
    connections: Mapping[str, ConfiguredConnection] = field(default_factory=dict)


def load_settings() -> Settings:
    """Return the settings in force in the working folder.

    Raises:
        UsageError: a file is no TOML, or has a key or value that means nothing.
    """
    user, project = _settings(_user_file(), ()), _settings(_project_file(), ("tool", _TOOL))
    return Settings(
        user.rows_shown if project.rows_shown is None else project.rows_shown,
        user.rich if project.rich is None else project.rich,
        {**user.connections, **project.connections},
    )


def _user_file() -> Path | None:
    try:
        path = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / _FILE
    except RuntimeError:  # nothing gives this user a home
        return None
    return path if path.is_file() else None


def _project_file() -> Path | None:
    """Return the nearest pyproject.toml, from the working folder upwards."""
    try:
        here = Path.cwd()
    except OSError:  # it was removed
        return None
    candidates = (folder / "pyproject.toml" for folder in (here, *here.parents))
    return next((path for path in candidates if path.is_file()), None)


def _settings(path: Path | None, below: tuple[str, ...]) -> Settings:
    if path is None:
        return Settings()
    import tomllib

    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        table: Any = tomllib.loads(text)
    except (OSError, ValueError) as error:
        if below and _TOOL not in text:
            return Settings()  # somebody else's affair
        raise UsageError(f"read {shown_path(path)}: {error}", hint="correct the file") from error
    for name in below:
        table = table.get(name, {}) if isinstance(table, dict) else {}
    checked = _checked(Settings, table, path, f"[{'.'.join(below)}]" if below else "the file")
    connections = checked.get("connections", {})
    if not isinstance(connections, dict):
        raise UsageError(f"read {shown_path(path)}: connections is no table", hint="[…connections.NAME]")
    return Settings(
        checked.get("rows_shown"),
        checked.get("rich"),
        {name: _connection(entry, path, name) for name, entry in connections.items()},
    )


def _connection(entry: Any, path: Path, name: str) -> ConfiguredConnection:
    given = _checked(ConfiguredConnection, entry, path, f"connection {name}")
    if holds_secret(given.get("url") or ""):
        raise UsageError(
            f"read {shown_path(path)}: the url of connection {name} holds a token, "
            "and secrets have no place in files",
            hint="put it in the environment or the keyring, and name the variable: token_env",
        )
    place = Path(given.get("path") or f"{name}.db").expanduser()
    return ConfiguredConnection(**{**given, "path": str(path.parent / place)})


def _checked(kind: type[Any], table: Any, path: Path, where: str) -> dict[str, Any]:
    """Return ``table``, all of whose keys are fields of ``kind`` with values of the right type."""
    known = {each.name: str(each.type) for each in fields(kind)}
    if not isinstance(table, dict):
        raise UsageError(f"read {shown_path(path)}: {where} is no table", hint="write it as [a.table]")
    for name, value in table.items():
        if name in _SECRETS:
            raise UsageError(
                f"read {shown_path(path)}: {where} has a key {name!r}, and secrets have no place in files",
                hint="put it in the environment or the keyring, and name the variable: token_env",
            )
        if name not in known:
            raise UsageError(
                f"read {shown_path(path)}: {where} has an unknown key {name[:60]!r}",
                hint=did_you_mean(name, known) or f"known: {', '.join(known)}",
            )
        if not _fits(value, known[name]):
            raise UsageError(
                f"read {shown_path(path)}: {name} in {where} is a {type(value).__name__}",
                hint=f"it is to be: {known[name].removesuffix(' | None')}",
            )
    return table


def _fits(value: Any, declared: str) -> bool:
    if declared.startswith("str"):
        return isinstance(value, str)
    if declared.startswith("int"):
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return isinstance(value, bool) if declared.startswith("bool") else True
