"""What differs between systems stands in one module, and is done without where a system lacks it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from turso_sync_nb import platforms

ROOT: Final = Path(__file__).parent.parent
PACKAGE: Final = ROOT / "turso_sync_nb"
ONE_SYSTEM: Final = re.compile(
    r"\bos\.(?:pread|pwrite|preadv|pwritev|fsync|fdatasync|O_CLOEXEC|O_DIRECTORY|fork|register_at_fork|getxattr|"
    r"setxattr|getuid|geteuid|posix_\w+|name)\b|\bsys\.platform\b|\bimport (?:fcntl|ctypes|resource|pwd)\b"
)
WINDOWS: Final = """
import os, sys
sys.modules["fcntl"] = None
for name in "pread pwrite fork register_at_fork getxattr setxattr O_CLOEXEC O_DIRECTORY".split():
    delattr(os, name)
import turso_sync_nb as tsn
for attempt in (lambda: tsn.connect("r.db", "http://127.0.0.1:1"), lambda: tsn.server.LocalServer("s.db")):
    try:
        attempt()
    except tsn.UsageError as error:
        print(error)
import os.path
print(os.path.exists("r.db"), os.path.exists("s.db"))
"""


def test_no_other_module_asks_for_the_system() -> None:
    """Calls that a system may lack are made in ``platforms.py`` alone."""
    sources = {path: path.read_text() for path in PACKAGE.rglob("*.py") if path.name != "platforms.py"}
    found = {path.name: ONE_SYSTEM.findall(text) for path, text in sources.items()}
    assert {name: calls for name, calls in found.items() if calls} == {}
    assert ONE_SYSTEM.search((PACKAGE / "platforms.py").read_text())


def test_import_works_where_nothing_of_posix_is(tmp_path: Path) -> None:
    """Without locks and reads at an offset the import works; a replica or a server is refused in one line."""
    ran = subprocess.run(
        [sys.executable, "-c", WINDOWS],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    *refused, left = ran.stdout.splitlines()
    assert [line.split(":")[0] for line in refused] == ["connect", "serve"]
    for line in refused:
        assert line.endswith("whose files are not those of POSIX (use Linux or macOS; on Windows, WSL)")
    assert left == "False False"


def test_macos_syncs_down_to_the_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where there is ``F_FULLFSYNC``, it is what makes a file durable."""
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr(platforms, "_FULL_SYNC", 51)
    monkeypatch.setattr(platforms.fcntl, "fcntl", lambda *call: calls.append(call))
    monkeypatch.setattr(os, "fsync", lambda _: pytest.fail("fsync leaves data in the disk's cache there"))
    with (tmp_path / "file").open("wb") as file:
        platforms.sync_descriptor(file.fileno())
        assert calls == [(file.fileno(), 51)]


def test_holes_are_refused_where_there_are_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A system without them says so, and the file stays."""
    monkeypatch.setattr(platforms, "_fallocate", None)
    with (tmp_path / "file").open("wb+") as file:
        file.write(b"x" * 8192)
        file.flush()
        with pytest.raises(OSError, match="not supported"):
            platforms.punch_hole(file.fileno(), 0, 4096)
    assert (tmp_path / "file").read_bytes() == b"x" * 8192


@pytest.mark.parametrize("call", [None, platforms._sync_file_range])
def test_a_hint_to_write_changes_nothing(call, tmp_path, monkeypatch) -> None:
    """Also where the system does not take it, or nothing was written there."""
    monkeypatch.setattr(platforms, "_sync_file_range", call)
    with (tmp_path / "file").open("wb+", buffering=0) as file:
        file.write(b"content")
        for length, offset in ((7, 0), (0, 0), (4096, 8192)):
            platforms.start_writing(file.fileno(), length, offset)
        assert (tmp_path / "file").read_bytes() == b"content"
