"""The generated protobuf module and its stub are what the ``.proto`` says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROTO = "turso_sync_nb/protocol/pull_updates.proto"

GENERATOR_VERSION = re.compile(
    r"^# Protobuf Python Version: .*$|(?<=Domain\.PUBLIC,\n)    \d+,\n    \d+,\n    \d+,$", re.MULTILINE
)


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """Give a folder with what the generator of this environment makes of the ``.proto``."""
    folder = tmp_path_factory.mktemp("generated")
    outputs = [f"--python_out={folder}", f"--pyi_out={folder}"]
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "-I.", *outputs, PROTO],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return folder


def test_module_is_what_the_proto_says(generated):
    """Generating again gives the module in the tree, but for the generator's version in it."""
    path = Path(PROTO).with_name("pull_updates_pb2.py")
    fresh, versions = GENERATOR_VERSION.subn("VERSION", (generated / path).read_text())
    assert versions == 2
    assert GENERATOR_VERSION.sub("VERSION", (ROOT / path).read_text()) == fresh


def test_stub_is_what_the_proto_says(generated):
    """Generating again gives the stub in the tree, byte for byte."""
    path = Path(PROTO).with_name("pull_updates_pb2.pyi")
    assert (ROOT / path).read_bytes() == (generated / path).read_bytes()


def test_module_runs_on_the_oldest_runtime_that_the_project_allows():
    """The version that the module demands is not newer than the lower bound in pyproject.toml."""
    module = (ROOT / PROTO).with_name("pull_updates_pb2.py").read_text()
    demanded = re.search(r"Protobuf Python Version: (\d+)\.(\d+)", module)
    allowed = re.search(r'"protobuf>=(\d+)\.(\d+)', (ROOT / "pyproject.toml").read_text())
    assert demanded is not None
    assert allowed is not None
    assert [int(part) for part in demanded.groups()] <= [int(part) for part in allowed.groups()]
