"""The wheel: it holds the whole package, and the package works from it alone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = "turso_sync_nb"


def files_of_package() -> set[str]:
    """Return every file of the package in the tree, code and assets, as a wheel names them."""
    paths = (path for path in (ROOT / PACKAGE).rglob("*") if path.is_file())
    return {path.relative_to(ROOT).as_posix() for path in paths if "__pycache__" not in path.parts}


def run_python(code: str, env: dict[str, str], cwd: Path) -> str:
    """Run ``code`` in a fresh interpreter away from the tree and return what it printed."""
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_wheel_holds_every_file(wheel: Path) -> None:
    """Code, types and assets are all in the wheel, and nothing but them and its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == files_of_package()
    assert f"{PACKAGE}/py.typed" in names


def test_wheel_states_its_license(wheel: Path) -> None:
    """The licence travels with the wheel and is named in its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        licences = [name for name in archive.namelist() if name.endswith("/licenses/LICENSE")]
        stated = archive.read(metadata).decode()
    assert len(licences) == 1
    assert "License-Expression: MIT" in stated
    assert "Requires-Python: >=3.11" in stated


def test_every_module_loads_from_the_wheel(
    wheel_path_env: dict[str, str], installed_wheel: Path, tmp_path: Path
) -> None:
    """With the wheel in front, each module is loaded from it, none from the tree."""
    code = f"""
import importlib, json, pkgutil, sys
import {PACKAGE}
for found in pkgutil.walk_packages({PACKAGE}.__path__, "{PACKAGE}."):
    importlib.import_module(found.name)
ours = [module for name, module in sys.modules.items() if name.split(".")[0] == "{PACKAGE}"]
print(json.dumps([module.__file__ for module in ours]))
"""
    files = [Path(file) for file in json.loads(run_python(code, wheel_path_env, tmp_path))]
    assert len(files) == len(list((ROOT / PACKAGE).rglob("*.py")))
    assert {file for file in files if not file.is_relative_to(installed_wheel)} == set()


def test_wheel_answers_on_the_command_line(wheel_path_env: dict[str, str], tmp_path: Path) -> None:
    """``python -m turso_sync_nb serve --help`` runs from the wheel."""
    code = f"""
import runpy, sys
sys.argv = ["turso_sync_nb", "serve", "--help"]
runpy.run_module("{PACKAGE}", run_name="__main__")
"""
    assert "--listen" in run_python(code, wheel_path_env, tmp_path)


def test_the_wheel_brings_its_sqlalchemy_dialect(wheel_path_env: dict[str, str], tmp_path: Path) -> None:
    """An engine is made from a URL alone, by the entry point that the wheel has."""
    code = """
import sqlalchemy as sa
engine = sa.create_engine("sqlite+turso_sync_nb://?bootstrap_if_empty=false")
with engine.connect() as connection:
    print(type(connection.connection.driver_connection).__name__, engine.dialect.driver)
"""
    assert run_python(code, wheel_path_env, tmp_path).split() == ["Connection", "turso_sync_nb"]


def test_version_is_the_wheels(wheel_path_env: dict[str, str], tmp_path: Path) -> None:
    """The package and its distribution state one version."""
    code = f"import {PACKAGE} as p, importlib.metadata as m; print(p.__version__, m.version('turso-sync-nb'))"
    ours, stated = run_python(code, wheel_path_env, tmp_path).split()
    assert ours == stated


def test_tests_run_from_the_source_package(wheel: Path, tmp_path: Path) -> None:
    """What the wheel was built from holds the tests with what they need, and they run there."""
    (source,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path, filter="data")
    (tree,) = tmp_path.iterdir()
    assert {path.name for path in (ROOT / "tests").rglob("*.py")} <= {
        path.name for path in (tree / "tests").rglob("*.py")
    }
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/protocol"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "TSN_REQUIRE_ALL": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_packages_of_ci_are_those_of_the_project() -> None:
    """Every package that the project names is in CI's list, with hashes (``make lock``)."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    wanted = project["project"]["dependencies"] + groups["demo"] + groups["dev"][1:]
    assert groups["dev"][0] == {"include-group": "demo"}
    names = {re.split(r"[\[<>=]", each)[0].lower().replace("_", "-") for each in wanted}
    lines = (ROOT / ".ci/requirements.txt").read_text().splitlines()
    locked = {line.split("==")[0] for line in lines if "==" in line}
    assert names <= locked
    assert sum("--hash=sha256:" in line for line in lines) > len(locked)
