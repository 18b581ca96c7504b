"""The style of the tree that no linter keeps: sizes, names, leftovers, the public surface."""

from __future__ import annotations

import ast
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import turso_sync_nb as tsn
import turso_sync_nb.secret

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
ARCHITECTURE_BYTES_MAX = 6 * 1024
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
LEFTOVERS = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
EXCUSE = re.compile(r"#\s*noqa(?!: [A-Z]+\d+(, [A-Z]+\d+)* +-+ \S)")

BOUND = re.compile(r"_?[A-Z0-9_]+_(MAX|MIN|S|MS|BYTES|SECONDS|DEFAULT|KEPT|TRIES|AT|STEPS|STEP)")

QUESTION = re.compile(r"(What|Who|Whose|Which|How|When|Where)\b")

PUBLIC = {
    "BatchResult", "Binary", "ConflictError", "Connection", "ConnectionSync", "Cursor", "DataError",
    "DatabaseError", "Date", "DateFromTicks", "Error", "FetchBudgetError", "IntegrityError",
    "InterfaceError", "InternalError", "NotSupportedError", "OperationalError", "PartialSyncOpts",
    "PartialSyncPrefixBootstrap", "PartialSyncQueryBootstrap", "ProgrammingError", "ProtocolError",
    "RemoteEncryptionCipher",
    "RemoteError", "RemoteFailedError", "RemoteRefusedError", "RemoteUnreachableError",
    "ReplicaBrokenError", "ReplicaBusyError", "ReplicaError", "RevisionGoneError", "Rewrite", "Row",
    "SKIP", "StoppedError", "SyncError", "Time", "TimeFromTicks", "Timestamp", "TimestampFromTicks",
    "UsageError", "VerifyReport", "Warning", "aio", "apilevel", "connect", "connect_at", "paramstyle",
    "read_metadata", "server", "sqlite_version", "sqlite_version_info", "threadsafety",
}  # fmt: skip


def tracked(*patterns: str) -> list[Path]:
    """Return the files of the tree that match, generated ones left out."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", *patterns],  # noqa: S607 - git of PATH
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    paths = (ROOT / name for name in listed.split("\0") if name)
    return [path for path in paths if path.exists() and "_pb2." not in path.name]


def where(path: Path, line: int) -> str:
    """Return ``path:line`` from the root."""
    return f"{path.relative_to(ROOT)}:{line}"


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function of a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_files_are_small() -> None:
    """No Python file is longer than the limit."""
    lengths = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in tracked("*.py")}
    assert {path: length for path, length in lengths.items() if length > FILE_LINES_MAX} == {}


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function; its decorators and docstring are not counted."""
    first = function.body[0]
    described = first if ast.get_docstring(function) else None
    spoken = described.end_lineno - described.lineno + 1 if described else 0
    return function.end_lineno - function.lineno + 1 - spoken


def test_functions_fit_a_screen() -> None:
    """No function is longer than the limit."""
    long = [
        f"{where(path, function.lineno)} {function.name}: {length(function)} lines"
        for path in tracked("*.py")
        for function in functions(path)
        if length(function) > FUNCTION_LINES_MAX
    ]
    assert not long, "\n".join(long)


def undescribed_bounds(source: str) -> list[tuple[int, str]]:
    """Return line and name of the constants that bound something and do not say what, nor does the next."""
    found, since = [], []
    for node in ast.parse(source).body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            since = []
            continue
        is_number = isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Constant | ast.BinOp)
        if not is_number or (since and node.lineno > since[-1][0] + 1):
            found += since
            since = []
        if is_number and BOUND.fullmatch(ast.unparse(node.target)):
            since.append((node.lineno, ast.unparse(node.target)))
    return found + since


def test_bounds_say_what_they_bound() -> None:
    """Each limit, time and size of a module has a docstring, or stands right above one for both."""
    silent = [
        f"{where(path, line)} {name}"
        for path in tracked("turso_sync_nb/**.py")
        for line, name in undescribed_bounds(path.read_text())
    ]
    assert not silent, "\n".join(silent)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("A_MAX: Final = 1", ["A_MAX"]),
        ('A_MAX: Final = 1\n"""Bytes."""', []),
        ('A_MAX: Final = 1\nB_S: Final = 2\n"""Both."""', []),
        ('A_MAX: Final = 1\n\nB_S: Final = 2\n"""One."""', ["A_MAX"]),
        ("A_MAX: Final = 1\n\n\ndef f(): ...", ["A_MAX"]),
        ("FORMAT: Final = 1", []),
    ],
)
def test_a_silent_bound_is_found(source: str, found: list[str]) -> None:
    """The test above would find it."""
    assert [name for _, name in undescribed_bounds(source)] == found


def test_files_are_named_for_what_they_hold() -> None:
    """No file or folder has a name that says nothing."""
    named = {path: {*path.relative_to(ROOT).parts, path.stem} for path in tracked()}
    vague = [path for path, names in named.items() if names & NAMES_THAT_SAY_NOTHING]
    assert vague == []


def test_modules_of_tests_have_names_of_their_own() -> None:
    """No two folders of tests have a module of one name: the first one imported would be both."""
    files = tracked("tests/*.py")
    twice = Counter(path.name for path in files if path.name != "conftest.py")
    assert [name for name, count in twice.items() if count > 1] == []


def test_nothing_is_left_over() -> None:
    """No file marks work that was put off."""
    left = [
        where(path, number)
        for path in tracked("*.py", "*.md", "*.ipynb", "*.toml", "*.proto", "*.js", "Makefile", ".ci/*")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if LEFTOVERS.search(line)
    ]
    assert not left, "\n".join(left)


def test_silenced_lint_has_a_reason() -> None:
    """Each lint rule that is silenced in place is named, with a reason behind it."""
    silent = [
        where(path, number)
        for path in tracked("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if EXCUSE.search(line)
    ]
    assert not silent, "\n".join(silent)


def test_tests_say_what_holds() -> None:
    """Each test has a docstring that begins with one line."""
    mute = [
        f"{where(path, function.lineno)} {function.name}"
        for path in tracked("tests/**/test_*.py", "tests/test_*.py")
        for function in functions(path)
        if function.name.startswith("test_") and not (ast.get_docstring(function) or "").strip()
    ]
    assert not mute, "\n".join(mute)


def test_tests_have_one_door_to_a_connection() -> None:
    """What a connection keeps to itself is asked for by ``inside.py`` alone."""
    found = [
        where(path, node.lineno)
        for path in tracked("tests/*.py", "tests/**/*.py")
        if path.name != "inside.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in {"_replica", "_session"}
    ]
    assert not found, "\n".join(found)


def left_open(source: str) -> list[int]:
    """Return the lines where plain SQLite is opened and neither ``closing`` nor a refusal ends it."""
    tree = ast.parse(source)
    ended = {
        inner
        for node in ast.walk(tree)
        for outer in [node, *(item.context_expr for item in getattr(node, "items", ()))]
        if isinstance(outer, ast.Call) and ast.unparse(outer.func) in {"closing", "pytest.raises"}
        for inner in ast.walk(outer if ast.unparse(outer.func) == "closing" else node)
    }
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "sqlite3.connect" and node not in ended
    ]


def test_plain_sqlite_is_closed() -> None:
    """From Python 3.13 on an open connection that is collected warns, in whatever test that happens."""
    files = tracked("*/*.py", "tests/**/*.py", "turso_sync_nb/**/*.py")
    found = [
        where(path, line)
        for path in files
        if path.name != "databases.py"
        for line in left_open(path.read_text())
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("db = sqlite3.connect(path)", [1]),
        ("db.backup(sqlite3.connect(path))", [1]),
        ("with sqlite3.connect(path) as db: db.execute(sql)", [1]),
        ("with closing(sqlite3.connect(path)) as db: db.execute(sql)", []),
        ("with pytest.raises(E), closing(sqlite3.connect(path)): pass\nsqlite3.connect(path)", [2]),
        ("with pytest.raises(sqlite3.OperationalError):\n    sqlite3.connect(path)", []),
    ],
)
def test_plain_sqlite_left_open_is_found(source: str, found: list[int]) -> None:
    """Also in a ``with`` of its own, which ends the transaction and not the connection."""
    assert left_open(source) == found


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and text of every docstring of a file, those below fields and constants too."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text)), lineno=line):
                yield line, text


def test_docstrings_name_their_subject() -> None:
    """No docstring of the package begins with a question word."""
    asking = [
        f"{where(path, line)}: {text.splitlines()[0]}"
        for path in tracked("turso_sync_nb/*.py")
        for line, text in docstrings(path)
        if QUESTION.match(text)
    ]
    assert not asking, "\n".join(asking)


def test_documents_name_files_that_exist() -> None:
    """Every path of code that the architecture and the internals name is in the tree."""
    lost = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs/internals").glob("*.md")))
        for name in re.findall(r"`((?:\w+/)+\w+\.(?:py|js))`", path.read_text())
        if not (ROOT / name).exists() and not (ROOT / "turso_sync_nb" / name).exists()
    ]
    assert not lost, "\n".join(lost)


def test_folders_name_their_files() -> None:
    """The docstring of each folder of the package names every module in it, and none that is gone."""
    lost = []
    for path in tracked("turso_sync_nb/*/__init__.py", "turso_sync_nb/*/*/__init__.py"):
        listed = set(re.findall(r"``(\w+)(?:\.py)?``", ast.get_docstring(ast.parse(path.read_text())) or ""))
        there = {
            each.stem
            for each in tracked(f"{path.parent.relative_to(ROOT)}/*.py")
            if each.parent == path.parent
        }
        lost += [f"{path.parent.name}: {name}" for name in sorted(listed ^ (there - {"__init__"}))]
    assert not lost, "\n".join(lost)


def test_secret_names_its_callers() -> None:
    """The docstring of ``secret.py`` names every file that makes a secret or has its text, and no other."""
    text = (tsn.secret.__doc__ or "").partition("Plain text becomes")[2].partition("Plain text leaves")
    for part, pattern in (
        (text[0], r"\bSecret(?:\.of)?\("),
        (text[2], r"\.reveal\(\)|(?<!connections)\.use\("),
    ):
        found = {
            str(path.relative_to(ROOT / "turso_sync_nb"))
            for path in tracked("turso_sync_nb/*.py")
            if re.search(pattern, path.read_text())
        }
        assert found - {"secret.py"} == set(re.findall(r"``((?:\w+/)*\w+\.py)``", part))


def test_architecture_is_short() -> None:
    """A newcomer reads the architecture in a few minutes: details stand in docs/internals and docstrings."""
    assert len((ROOT / "ARCHITECTURE.md").read_bytes()) <= ARCHITECTURE_BYTES_MAX


def test_public_surface() -> None:
    """The public names are the ones that users rely on, each there when it is asked for."""
    assert set(tsn.__all__) == PUBLIC
    assert {name for name in tsn.__all__ if not hasattr(tsn, name)} == set()


def test_public_objects_are_described() -> None:
    """Every public class and function has a docstring of its own."""
    objects = {name: getattr(tsn, name) for name in tsn.__all__}
    mute = [name for name, value in objects.items() if callable(value) and not value.__doc__]
    assert not mute, "\n".join(mute)
