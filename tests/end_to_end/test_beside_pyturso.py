"""The same scripts through pyturso and through us, on one server: what it does right, we do alike.

Each client has its own tables of the same form, and pulls the other's. The scripts keep to what pyturso
does right: tables with a primary key, rows changed one by one, no constraint broken, no schema changed. No
UPSERT: after some of them pyturso 0.8.3, by itself, says "Payload too small for indicated header size".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

import apsw
import pytest

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from peers import PeerServer

FORMS = {
    "numbered": "(id INTEGER PRIMARY KEY, v, w)",
    "named": "(id TEXT PRIMARY KEY, v, w)",
    "paired": "(a INTEGER, id TEXT, v, w, PRIMARY KEY (a, id))",
}
VALUES = (None, 0, -1, 2**53 + 1, -(2**63), 1.5, -0.0, 1e300, "", "a", "ä€", "x" * 5000, b"", b"\0\xff" * 9)
STEPS = 60


@dataclass
class Client:
    """One client, and the prefix of its tables."""

    name: str
    db: Any
    keys: dict[str, list[str]] = field(default_factory=lambda: {form: [] for form in FORMS})

    def do(self, rnd: Random) -> None:
        """Change a row, or make one."""
        form = rnd.choice(list(FORMS))
        table, keys = f"{self.name}_{form}", self.keys[form]
        named = {"numbered": "id = ?", "named": "id = ?", "paired": "a = 7 AND id = ?"}[form]
        value, kind = rnd.choice(VALUES), rnd.choice(("insert", "insert", "update", "delete"))
        if kind == "insert" or not keys:
            key = str(rnd.randint(1, 10**9))
            keys.append(key)
            row = [7, key, value, 0] if form == "paired" else [_key(form, key), value, 0]
            self.db.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
            return
        key = rnd.choice(keys)
        if kind == "delete":
            keys.remove(key)
            self.db.execute(f"DELETE FROM {table} WHERE {named}", [_key(form, key)])
        else:
            self.db.execute(f"UPDATE {table} SET v = ?, w = w + 1 WHERE {named}", [value, _key(form, key)])

    def rows(self, of: str) -> dict[str, list[Any]]:
        """Return what this client sees in the tables of the client ``of``."""
        return {form: self._rows(f"SELECT * FROM {of}_{form}") for form in FORMS}

    def _rows(self, sql: str) -> list[Any]:
        return sorted((tuple(row) for row in self.db.execute(sql).fetchall()), key=repr)


def _key(form: str, key: str) -> int | str:
    return int(key) if form == "numbered" else key


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A database with the tables of both."""
    path = tmp_path / "source.db"
    raw = apsw.Connection(str(path))
    for form, columns in FORMS.items():
        for name in ("ours", "theirs"):
            raw.execute(f"CREATE TABLE {name}_{form} {columns}")
    raw.close()
    return path


@pytest.mark.parametrize("seed", range(6))
def test_the_same_script(
    seed: int, tursodb: Callable[..., PeerServer], empty: Path, pyturso: Any, tmp_path: Path
) -> None:
    """Both clients run one script each with the same choices; all see the same, a third client too."""
    server = tursodb(empty)
    ours = Client("ours", tsn.connect(tmp_path / "ours", server.url, isolation_level=None))
    theirs = Client("theirs", pyturso.connect(str(tmp_path / "theirs.db"), remote_url=server.url))
    choices, order = [Random(seed), Random(seed)], Random(f"order {seed}")
    for _ in range(STEPS):
        verb, size = order.choice(("", "", "push", "pull")), order.randint(1, 5)
        clients = [(ours, choices[0]), (theirs, choices[1])]
        order.shuffle(clients)
        for client, rnd in clients:
            if client is ours:
                client.db.execute("BEGIN")
            for _ in range(size):
                client.do(rnd)
            client.db.commit()
            if verb:
                getattr(client.db, verb)()
    for _ in range(2):
        for client in (ours, theirs):
            client.db.push()
            client.db.pull()
    third = Client("third", tsn.connect(tmp_path / "third", server.url))
    for client in (ours, theirs, third):
        assert client.rows("ours") == client.rows("theirs") == ours.rows("ours"), client.name
    assert any(ours.rows("ours").values())
    assert ours.db.conflicts().empty
    for client in (ours, theirs, third):
        client.db.close()
