"""The version of this package: the one place where it stands; ``pyproject.toml`` reads it here."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
