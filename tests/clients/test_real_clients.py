"""Turso's and libSQL's own clients against our server: each runs a script and tells what it saw."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from shutil import which

import apsw
import pytest
from peers import EmbeddedThread
from skips import miss

HERE = Path(__file__).parent
TOKEN = "a-token"  # noqa: S105 - a test's
VALUES = [["half", 0.5], ["text", "Zürich 東京"], ["none", None]]
BIG = [["big", {"bigint": "9007199254740993"}], ["least", {"bigint": str(-(2**63))}]]
SQL = {
    "not seen elsewhere": 3,
    "batch": 3,
    "batch undone": "refused",
    "nothing of it": 3,
    "committed": 603,
    "rolled back": 603,
    "values": [*VALUES, ["bytes", [0, 255, 127]]],
    "rows": 20_000,
    "a transaction over a restart": "refused",
    "after the restart": 603,
    "goes on": 623,
}
CLIENTS = {
    "libsql_client.mjs": {
        **SQL,
        "batch undone": "SQLITE_CONSTRAINT",
        "seen inside": 103,
        "values": [*BIG, *SQL["values"]],
        "returning": "returned",
        "no table": "SQLITE_ERROR",
    },
    "serverless.mjs": SQL,
    "libsql_python.py": {**SQL, "one row amid a transaction": 103},
    "libsql_replica.py": {
        "not pulled yet": None,
        "batch": 3,
        "written through it": 103,
        "more than a generation": True,
        "committed": 603,
        "deleted": 0,
        "goes on": 623,
        "integrity": "ok",
    },
    "sqlalchemy_orm.py": {
        **{name: value for name, value in SQL.items() if name != "rows"},
        "tables": ["entry", "kept"],
        "one row amid a transaction": 103,
        "values": VALUES,
    },
    "sync.mjs": {
        "pulled": 3,
        "only a part was fetched": True,
        "fetched as it is read": 2000,
        "news": True,
        "committed": 603,
        "migrated": "migrated",
        "goes on": 623,
    },
}
"""Each script, and the sum of its ledger, or what else it has to see, after each scenario."""

LEFT = [("batch", 3), ("committed", 600), ("after", 20)]


PACKAGES = {
    "libsql_python.py": "libsql",
    "libsql_replica.py": "libsql",
    "sqlalchemy_orm.py": "sqlalchemy_libsql",
}
"""What each script in Python imports; not every one is on the index for every Python."""


def command(script: str) -> list[str]:
    """Return what runs ``script``; skip where it or its client is not installed."""
    if script.endswith(".py"):
        package = PACKAGES[script]
        if importlib.util.find_spec(package) is None:
            miss(f"libsql: {package} is not installed")
        return [sys.executable, str(HERE / script)]
    if which("node") is None or not (HERE.parent / "node_modules/@libsql/client").exists():
        miss("npm: no clients; run npm ci --prefix tests")
    return ["node", str(HERE / script)]


def seen(value: object) -> object:
    """Return a small integer that came as a big one as what it is."""
    if isinstance(value, dict) and len(value["bigint"]) < 10:
        return int(value["bigint"])
    return value


@pytest.mark.parametrize("script", CLIENTS)
def test_client(script: str, tmp_path: Path) -> None:
    """Transactions, batches, values, migrations, partial sync, and a server started again amid one."""
    server = EmbeddedThread(tmp_path, auth_token=TOKEN)
    run = command(script)
    server.start()
    try:
        given = {"url": server.url, "token": TOKEN, "folder": str(tmp_path)}
        with subprocess.Popen(
            [*run, json.dumps(given)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as client:
            told = {}
            for name, value in map(json.loads, client.stdout):
                if name == "restart":
                    server.restart()
                    client.stdin.write("\n")
                    client.stdin.flush()
                else:
                    told[name] = seen(value)
        assert client.returncode == 0
    finally:
        server.stop()
    assert told == CLIENTS[script]
    with apsw.Connection(str(server.path)) as db:
        rows = db.execute("SELECT who, sum(amount) FROM entry GROUP BY who ORDER BY min(id)")
        assert rows.fetchall() == LEFT
        assert db.pragma("integrity_check") == "ok"
