"""Run programs of a package and say what came out: in a process of its own, without the other package.

Called with the package's name, the server's address and a folder; reads programs by name as JSON, writes
outcomes by name as JSON.
"""

from __future__ import annotations

import ast
import asyncio
import builtins
import importlib
import itertools
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

BESIDE = {"turso.sync": ("turso", "turso.aio.sync"), "turso_sync_nb": ("turso_sync_nb", "turso_sync_nb.aio")}
"""Where each has ``Row`` and ``BatchResult``, and connections that are awaited."""

SCHEME = {"turso.sync": "turso_sync", "turso_sync_nb": "turso_sync_nb"}
"""How SQLAlchemy names the driver of each."""

PEP249 = {
    "Warning", "Error", "InterfaceError", "DatabaseError", "DataError", "OperationalError", "IntegrityError",
    "InternalError", "ProgrammingError", "NotSupportedError",
}  # fmt: skip


def outcome_of(program: str, names: dict[str, Any]) -> dict[str, Any]:
    """Return what the last expression of ``program`` gives, or the classes of its error."""
    tree = ast.parse(program)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else ast.Expr(ast.Constant(None))
    asked = ast.fix_missing_locations(ast.Expression(last.value))
    try:
        exec(compile(tree, "<program>", "exec"), names)  # noqa: S102 - a program of the table
        value = eval(compile(asked, "<program>", "eval"), names)  # noqa: S307 - as above
    except Exception as error:  # noqa: BLE001 - its classes are the outcome
        classes = {kind.__name__ for kind in type(error).__mro__} - {"Exception", "BaseException", "object"}
        return {"fails": sorted(name for name in classes if name in PEP249 or hasattr(builtins, name))}
    return {"gives": repr(value)}


def main(package: str, url: str, folder: Path) -> None:
    """Run all programs, each with connections of its own."""
    module, top, aio = map(importlib.import_module, (package, *BESIDE[package]))
    numbers = itertools.count()
    outcomes = {}
    for name, program in json.load(sys.stdin).items():
        opened: list[Any] = []

        def path() -> str:
            return str(folder / f"{next(numbers)}.db")

        def connect(*, opened: list[Any] = opened, **options: Any) -> Any:
            opened.append(module.connect(path(), url, **options))
            return opened[-1]

        names = {
            "aio": aio, "asyncio": asyncio, "connect": connect, "module": module, "os": os, "path": path,
            "scheme": SCHEME[package],            "top": top, "url": url,
        }  # fmt: skip
        if "db." in program or "db:" in program:
            names["db"] = connect()
        outcomes[name] = outcome_of(program, names)
        for db in opened:
            with suppress(Exception):
                db.close()
    json.dump(outcomes, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
