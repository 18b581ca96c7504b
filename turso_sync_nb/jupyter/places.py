"""Show paths relative to the notebook or to the home folder, so that no user's name is saved.

Rules of this file: it only rewrites text; nothing is opened, and a path that is shown is not one to open.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def shown_path(path: Path) -> str:
    """Return ``path`` relative to the notebook's folder or to the home folder, where it is inside."""
    try:
        absolute = path.absolute()
    except OSError:  # the working folder is gone
        return str(path)
    for base, prefix in _bases():
        if absolute.is_relative_to(base) and absolute != base:
            return f"{prefix}{absolute.relative_to(base)}"
    return str(absolute)


def without_home(text: str) -> str:
    """Return ``text`` with paths inside the notebook's folder or the home folder shortened likewise."""
    for base, prefix in _bases():
        if base != Path(base.anchor):
            text = text.replace(f"{base}/", prefix)
    return text


def _bases() -> list[tuple[Path, str]]:
    bases = []
    for find, prefix in ((Path.cwd, ""), (Path.home, "~/")):
        with suppress(OSError, RuntimeError):  # a removed folder; a user whom nothing gives a home
            bases.append((find(), prefix))
    return bases
