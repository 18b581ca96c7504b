"""Speaks with the test: lines of JSON out; a line in when the server was started again."""

from __future__ import annotations

import json
import sys
from typing import Any


def begun() -> dict[str, Any]:
    """Return what the test gave."""
    given: dict[str, Any] = json.loads(sys.argv[1])
    return given


def tell(name: str, value: Any = None) -> None:
    """Tell the test what came of a scenario."""
    sys.stdout.write(json.dumps([name, value]) + "\n")
    sys.stdout.flush()


def restarted() -> None:
    """Have the server started again."""
    tell("restart")
    sys.stdin.readline()
