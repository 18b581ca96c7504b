"""The ladder of layers: who may import whom, which library has which home, what an import may load."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
PACKAGE = "turso_sync_nb"

GROUND = {
    "collecting", "constructors", "errors", "escaping", "generators", "options", "platforms", "progress",
    "secret", "table_functions", "units", "version", "words",
}  # fmt: skip
OWN_FILES = {"__init__", "__main__", "aio"}
"""Files of the package that give names to users."""
LAYERS = {
    "protocol": set[str](),
    "remote": {"protocol"},
    "storage": set[str](),
    "server": {"protocol"},
    "changes": set[str](),
    "engine": {"protocol", "storage", "changes"},
    "connection": {"protocol", "remote", "storage", "changes", "engine"},
    "widgets": {"changes", "engine", "connection"},
    "public_connection": {"connection", "widgets"},
    "api": {"remote", "storage", "changes", "engine", "connection", "public_connection"},
    "jupyter": {"engine", "connection", "public_connection", "api", "server", "widgets"},
}
"""What each layer imports besides itself and the ground; the package's own files may import any."""

STORAGE = {
    "files": set[str](),
    "format": {"files"},
    "pages": {"files", "format"},
    "prefetch": {"files", "format", "pages"},
    "vfs": {"files", "format", "pages", "prefetch"},
}
"""What each folder of storage imports of storage besides itself."""

HOMES = {
    "httpcore": {"remote"},
    "httpx": {"remote"},
    "starlette": {"server"},
    "uvicorn": {"server"},
    "filelock": {"storage"},
    "google": {"protocol"},
    "zstandard": {"protocol", "storage"},
    "msgspec": {"protocol", "storage", "changes"},
    "pyroaring": {"protocol", "storage", "engine", "remote", "server", "widgets"},
    "apsw": {
        "storage",
        "server",
        "changes",
        "engine",
        "connection",
        "widgets",
        "jupyter",
        "table_functions.py",
        "api.py",
    },
    "sqlalchemy": {"connection/dialect.py"},
    "pandas": {"connection/frames.py", "connection/declared_types.py", "connection/row_frames.py", "jupyter"},
    "pyarrow": {
        "connection/frames.py",
        "connection/declared_types.py",
        "connection/profiling.py",
        "connection/saving.py",
        "jupyter",
    },
    "numpy": {
        "connection/frames.py",
        "connection/column_values.py",
        "connection/profiling.py",
        "widgets",
        "jupyter",
    },
    "IPython": {"widgets", "jupyter"},
    "ipywidgets": {"widgets"},
    "anywidget": {"widgets"},
    "traitlets": {"jupyter", "widgets"},
}
"""The only places a library is used; an import that only type checkers see may be anywhere."""

WAITS_OPENS_OR_ASKS = {
    "asyncio", "concurrent", "datetime", "http", "multiprocessing", "os", "pathlib", "random", "select",
    "selectors", "shutil", "socket", "subprocess", "tempfile", "time",
}  # fmt: skip
"""What a sans-IO layer has no use for."""

LOADED_ON_USE = ("IPython", "ipywidgets", "anywidget", "pandas", "pyarrow", "numpy", "starlette", "uvicorn")


@dataclass(frozen=True)
class Import:
    """One imported module, its full dotted name, and whether only type checkers see it."""

    module: str
    line: int
    typing_only: bool


def imports_of(source: str, package: str) -> Iterator[Import]:
    """Yield every import of a module inside ``package``, those within functions too."""
    tree = ast.parse(source)
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for part in node.body
        for inner in ast.walk(part)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*origin, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
        else:
            continue
        yield from (Import(name, node.lineno, id(node) in typing_only) for name in names)


def python_files() -> Iterator[tuple[Path, str]]:
    """Yield each module of the package with its path inside it."""
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        yield path, path.relative_to(ROOT / PACKAGE).as_posix()


def layer_of(inside: str) -> str:
    """Return the layer that a path inside the package belongs to: a folder, or a file of the ground."""
    return inside.partition("/")[0].removesuffix(".py")


def imported_layer(module: str) -> str | None:
    """Return the layer of an imported module, None when it is not of this package."""
    parts = module.split(".")
    if parts[0] != PACKAGE:
        return None
    return parts[1] if len(parts) > 1 else "__init__"


def broken_ladder(inside: str, source: str) -> Iterator[str]:
    """Yield the imports of a file that climb the ladder."""
    layer = layer_of(inside)
    if layer in OWN_FILES:
        return
    may = GROUND | ({layer} | LAYERS[layer] if layer in LAYERS else set())
    for found in imports_of(source, f"{PACKAGE}.{'.'.join(inside.split('/')[:-1])}".rstrip(".")):
        target = imported_layer(found.module)
        if target is not None and target not in may:
            yield f"{inside}:{found.line} imports {found.module}: {layer} may import {sorted(may)}"


def broken_storage_ladder(inside: str, source: str) -> Iterator[str]:
    """Yield the imports of a file of storage that climb the ladder of its folders."""
    layer, _, rest = inside.partition("/")
    folder = rest.partition("/")[0]
    if layer != "storage" or folder not in STORAGE:
        return
    for found in imports_of(source, f"{PACKAGE}.storage.{folder}"):
        parts = found.module.split(".")
        if parts[:2] == [PACKAGE, "storage"] and parts[2] not in {folder, *STORAGE[folder]}:
            yield f"{inside}:{found.line} imports {found.module}: {folder} may not"


def strayed_libraries(inside: str, source: str) -> Iterator[str]:
    """Yield the imports of a file that use a library away from its home."""
    for found in imports_of(source, PACKAGE):
        homes = HOMES.get(found.module.partition(".")[0])
        if homes is not None and not found.typing_only and not homes & {layer_of(inside), inside}:
            yield f"{inside}:{found.line} imports {found.module}: its home is {sorted(homes)}"


def test_every_folder_is_a_layer() -> None:
    """The package's folders and files are exactly the layers, the ground and the package's own files."""
    there = {layer_of(inside) for _, inside in python_files()}
    assert there == GROUND | set(LAYERS) | OWN_FILES


def test_layers_import_only_those_below() -> None:
    """No module imports a layer that its own may not use, not even inside a function or for types."""
    climbs = [line for path, inside in python_files() for line in broken_ladder(inside, path.read_text())]
    assert not climbs, "\n".join(climbs)


def test_folders_of_storage_import_only_those_below() -> None:
    """No folder of storage imports one above it, not even for types; every module is in a folder."""
    files = [(path, inside) for path, inside in python_files() if layer_of(inside) == "storage"]
    climbs = [line for path, inside in files for line in broken_storage_ladder(inside, path.read_text())]
    assert not climbs, "\n".join(climbs)
    assert {inside.split("/")[1] for _, inside in files} == {*STORAGE, "__init__.py"}


def test_libraries_stay_at_home() -> None:
    """Each library is used in its home alone."""
    strays = [line for path, inside in python_files() for line in strayed_libraries(inside, path.read_text())]
    assert not strays, "\n".join(strays)


def test_protocol_is_sans_io() -> None:
    """The protocol layer imports nothing that can wait, open, or ask the time."""
    broken = [
        f"{inside}:{found.line} imports {found.module}"
        for path, inside in python_files()
        if layer_of(inside) == "protocol"
        for found in imports_of(path.read_text(), PACKAGE)
        if found.module.partition(".")[0] in WAITS_OPENS_OR_ASKS and not found.typing_only
    ]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
    ("inside", "source"),
    [
        ("engine/pull.py", "from turso_sync_nb.remote.http import HttpRemote"),
        ("engine/pull.py", "import turso_sync_nb.connection"),
        ("engine/pull.py", "from turso_sync_nb import connect"),
        ("storage/files/lock.py", "def f():\n    from turso_sync_nb.protocol import selector"),
        ("storage/files/lock.py", "from ...protocol import selector"),
        ("units.py", "from turso_sync_nb.storage.files import lock"),
        ("server/app.py", "if TYPE_CHECKING:\n    from turso_sync_nb.engine import replica"),
        ("server/app.py", "import importlib\nimportlib.import_module('turso_sync_nb.engine')"),
    ],
)
def test_ladder_check_sees(inside: str, source: str) -> None:
    """The check finds each way of climbing."""
    assert list(broken_ladder(inside, source))


@pytest.mark.parametrize(
    ("inside", "source"),
    [
        ("storage/files/lock.py", "from turso_sync_nb.storage.pages import page_map"),
        ("storage/pages/undo.py", "if TYPE_CHECKING:\n    from turso_sync_nb.storage.vfs import lazy_vfs"),
        ("storage/prefetch/read_heads.py", "from ..vfs import snapshot"),
    ],
)
def test_storage_ladder_check_sees(inside: str, source: str) -> None:
    """The check finds each way of climbing within storage."""
    assert list(broken_storage_ladder(inside, source))


@pytest.mark.parametrize(
    ("inside", "source", "strays"),
    [
        ("engine/pull.py", "import httpx", True),
        ("connection/connection.py", "def f():\n    import pandas as pd", True),
        ("connection/connection.py", "if TYPE_CHECKING:\n    import pandas as pd", False),
        ("connection/frames.py", "import pandas as pd", False),
        ("engine/replica.py", "import msgspec", True),
        ("storage/files/lock.py", "import msgspec", False),
        ("remote/http.py", "from google.protobuf import message", True),
    ],
)
def test_library_check_sees(inside: str, source: str, *, strays: bool) -> None:
    """The check finds a library away from home, and lets types pass."""
    assert bool(list(strayed_libraries(inside, source))) == strays


def test_import_loads_no_heavy_library() -> None:
    """``import turso_sync_nb`` loads no IPython, widget, frame or server library."""
    code = f"import sys, {PACKAGE}; print(*sorted(set({LOADED_ON_USE!r}) & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []


LOADED_LATER = {
    *LOADED_ON_USE, "apsw.ext", "asyncio", "filelock", "httpx", "importlib.metadata", "ssl", "statistics",
} - {"IPython", "traitlets"}  # fmt: skip
"""What a kernel's start does not wait for."""

LOOKS_MAX = 10
"""Looks of the garbage collector at what a start makes; unhindered, it looks more than a hundred times."""


def test_load_ext_loads_no_library_that_a_first_cell_may_not_need() -> None:
    """``%load_ext turso_sync_nb`` loads no frame, widget, HTTP or server library: a kernel starts quickly.

    Nor does the garbage collector look at the modules over and over while they come.
    """
    code = (
        "import gc, sys; from IPython.core.interactiveshell import InteractiveShell; s = InteractiveShell();"
        "looked = lambda: sum(each['collections'] for each in gc.get_stats());"
        f"before, looks = set(sys.modules), looked(); s.run_line_magic('load_ext', '{PACKAGE}');"
        f"print(looked() - looks, *sorted({LOADED_LATER!r} & set(sys.modules) - before))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    looks, *loaded = ran.stdout.split()
    assert loaded == []
    assert int(looks) < LOOKS_MAX, "the collector was not held back"
