"""Random work on what waits: lost, late and repeated answers, skip, retry, edit, backup and restore.

Each row carries a token. In the end each that was committed is on the server or listed, and none is there
twice; a child is with its own parent. What a restore took back may be gone, and no more than that.
"""

from __future__ import annotations

import random
import re
import shutil
from collections import Counter, deque
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self
from unittest import mock

import apsw
import httpx
from served import SERVERS, Served
from wire import Wire

import turso_sync_nb as tsn
from turso_sync_nb.remote.http import HttpRemote
from turso_sync_nb.remote.retry import RetryPolicy

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA: Final = """
CREATE TABLE bare (token);
CREATE TABLE p (id INTEGER PRIMARY KEY, token, u UNIQUE);
CREATE TABLE inc (id INTEGER PRIMARY KEY AUTOINCREMENT, token);
CREATE TABLE kv (k TEXT PRIMARY KEY, token);
CREATE TABLE ch (id INTEGER PRIMARY KEY, pid REFERENCES p (id), token, parent);
CREATE TABLE grandchild (id INTEGER PRIMARY KEY, pid REFERENCES ch, token, parent);
CREATE TABLE tree (id INTEGER PRIMARY KEY AUTOINCREMENT, pid REFERENCES tree (id), token, parent);
"""
TABLES: Final = ("bare", "p", "inc", "kv", "ch", "grandchild", "tree")
PARENTS: Final = {"ch": "p", "grandchild": "ch", "tree": "tree"}
REPLICAS: Final = 2
STEPS: Final = (
    *("write", 16), *("change", 5), *("remove", 1), *("push", 6), *("skip_refused", 2), *("pull", 3),
    *("fault", 5), *("late", 2),
    *("skip", 2), *("retry", 3), *("edit", 2), *("reopen", 2), *("backup", 2), *("restore", 2),
)  # fmt: skip
OFTEN: Final = (0.2, 1, 1, 4)
"""How often a run has a kind of steps, of what is usual."""
CACHING: Final = 4
"""Requests that a faulty cache answers."""
EARLIER: Final = 6
"""How far back an answer is that comes again, at most."""
PIPELINE: Final = "/v2/pipeline"


class FaultyWire(Wire):
    """Loses, delays and repeats requests and answers of the pipeline."""

    def __init__(self, served: Served) -> None:
        super().__init__(served)
        self.next: deque[str] = deque()
        self.late: list[httpx.Request] = []
        self.earlier: list[bytes] = []
        self.caching = 0
        """Requests that something in between still answers from what it keeps."""
        self._kept: dict[str, bytes] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer, or do what the fault for this request does."""
        if request.url.path != PIPELINE:
            return self._answered(request)
        if self.caching:
            self.caching -= 1
            if kept := self._kept.get(_statements(request)):
                self.met["cached"] += 1
                return _answer(request, kept)
        if not self.next:
            return self._answered(request)
        fault = self.next.popleft()
        self.met[fault] += 1
        if fault == "cached":
            self.caching = CACHING
        if fault == "lost":
            raise httpx.ConnectError("refused", request=request)
        if fault == "late":
            body = request.read()
            self.late.append(httpx.Request("POST", request.url, headers=request.headers, content=body))
            raise httpx.ReadTimeout("no answer", request=request)
        if fault == "repeated" and self.earlier:
            return _answer(request, self.earlier[-1 - self.met.total() % min(len(self.earlier), EARLIER)])
        response = self._answered(request)
        if fault == "unheard":
            raise httpx.ReadError("reset", request=request)
        return response

    def _answered(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        if request.url.path == PIPELINE:
            self.earlier.append(response.read())
            self._kept[_statements(request)] = self.earlier[-1]
            return _answer(request, self.earlier[-1])
        return response

    def arrive(self) -> None:
        """Have the server do what is late."""
        while self.late:
            super().handle_request(self.late.pop(0))


def _statements(request: httpx.Request) -> str:
    """Return what a request asks for, whatever its values are."""
    return repr(re.findall(r'"sql":"(?:[^"\\\\]|\\\\.)*"', request.read().decode()))


def _answer(request: httpx.Request, body: bytes) -> httpx.Response:
    headers = {"content-type": "application/json", "content-length": str(len(body))}
    return httpx.Response(200, headers=headers, content=iter([body]), request=request)


@dataclass
class Row:
    """A row that was committed: its tokens, the later ones by edits, and whether it must be somewhere."""

    tokens: list[str]
    must: bool = True
    newest: str = ""
    """The token that its user gave it last, which must be somewhere too; empty if that was restored away."""


@dataclass
class User:
    """A replica, the rows that its user wrote, and those that were in its backup."""

    folder: Path
    number: int
    rows: list[Row] = field(default_factory=list)
    saved: int | None = None
    """How many rows were there at the backup; None without one."""

    @property
    def backup(self) -> Path:
        """The folder's copy."""
        return self.folder.with_name(f"{self.folder.name}-backup")

    def open(self) -> None:
        """Connect."""
        self.db = tsn.connect(self.folder, "http://127.0.0.1:1", isolation_level=None)


class World:
    """The server and its replicas."""

    def __init__(self, folder: Path, seed: int, server: str = "embedded") -> None:
        self.folder, self.server = folder, server
        self.chance = random.Random(f"outbox {seed}")
        self.written = 0
        self.met: Counter[str] = Counter()
        self._held = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as held:
            source = self.folder / "source.db"
            raw = apsw.Connection(str(source))
            raw.execute(SCHEMA)
            raw.close()
            self.served: Served = SERVERS[self.server](self.folder, source)
            held.callback(self.served.close)
            self.wire = FaultyWire(self.served)

            def remote(url: Any, *arguments: Any, **options: Any) -> HttpRemote:
                options |= {"transport": self.wire, "retry": RetryPolicy(attempts=1), "compress": False}
                return HttpRemote(url, *arguments, **options)

            held.enter_context(mock.patch("turso_sync_nb.remote.http.HttpRemote", remote))
            held.enter_context(mock.patch("os.fsync", return_value=None))
            self.users = [User(self.folder / f"user-{number}", number) for number in range(REPLICAS)]
            for user in self.users:
                user.open()
            held.callback(lambda: [user.db.close() for user in self.users])
            self._held = held.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    # Steps

    def take(self, kind: str, who: int) -> None:
        """Do one step; errors of ours are told to the user, who goes on."""
        with suppress(
            tsn.RemoteError, tsn.ConflictError, tsn.ReplicaError, tsn.ProtocolError, tsn.UsageError
        ):
            getattr(self, f"_{kind}")(self.users[who])
            self.met[kind] += 1

    def _token(self, user: User) -> str:
        self.written += 1
        return f"{user.number}-{self.written}"

    def _write(self, user: User) -> None:
        for _ in range(self.chance.choice((1, 1, 2))):
            token, table = self._token(user), self.chance.choice(TABLES)
            unique = self.chance.choice((None, None, self.chance.randrange(4)))
            match table:
                case "p":
                    sql, arguments = "INSERT OR ABORT INTO p (token, u) VALUES (?, ?)", (token, unique)
                case "ch" | "grandchild" | "tree":
                    query = f"SELECT id, token FROM {PARENTS[table]} ORDER BY id"
                    parents = user.db.execute(query).fetchall()
                    if not parents and table != "tree":
                        continue
                    pid, parent = self.chance.choice(parents) if parents else (None, None)
                    sql = f"INSERT INTO {table} (pid, token, parent) VALUES (?, ?, ?)"
                    arguments = (pid, token, parent)
                case "kv":
                    sql, arguments = "INSERT INTO kv VALUES (?, ?)", (token, token)
                case _:
                    sql, arguments = f"INSERT INTO {table} (token) VALUES (?)", (token,)
            with suppress(tsn.IntegrityError):
                user.db.execute(sql, arguments)
                user.rows.append(Row([token]))

    def _own_row(self, user: User, tables: tuple[str, ...]) -> tuple[str, Row] | None:
        """Choose a table and a row of it that this user wrote, and that is here."""
        table = self.chance.choice(tables)
        query = f"SELECT token FROM {table} WHERE token LIKE ? ORDER BY token"
        tokens = [token for (token,) in user.db.execute(query, (f"{user.number}-%",))]
        if not tokens:
            return None
        token = self.chance.choice(tokens)
        return table, next(row for row in user.rows if token in row.tokens)

    def _change(self, user: User) -> None:
        if found := self._own_row(
            user, ("p", "inc", "kv", "ch")
        ):  # one without a key is another when changed
            table, row = found
            token, former = self._token(user), tuple(row.tokens)
            row.tokens.append(token)
            places = ", ".join("?" * len(former))
            user.db.execute(f"UPDATE {table} SET token = ? WHERE token IN ({places})", (token, *former))
            row.newest = token

    def _remove(self, user: User) -> None:
        if found := self._own_row(
            user, ("bare", "inc", "kv", "grandchild")
        ):  # a parent's key may be given again
            table, row = found
            row.must = False
            places = ", ".join("?" * len(row.tokens))
            user.db.execute(f"DELETE FROM {table} WHERE token IN ({places})", row.tokens)

    def _push(self, user: User) -> None:
        user.db.push()

    def _skip_refused(self, user: User) -> None:
        user.db.push(skip_refused=True)

    def _pull(self, user: User) -> None:
        user.db.pull()

    def _fault(self, _: User) -> None:
        for _ in range(self.chance.randrange(1, 3)):
            fault = self.chance.choice(("lost", "unheard", "unheard", "late", "repeated", "cached"))
            self.wire.next.extend([*[""] * self.chance.randrange(2), fault])

    def _late(self, _: User) -> None:
        self.wire.arrive()

    def _listed(self, user: User, states: tuple[str, ...]) -> list[dict[str, Any]]:
        return [one for one in user.db.changes().to_dict("records") if one["state"] in states]

    def _skip(self, user: User) -> None:
        if found := self._listed(user, ("pending", "refused", "aside")):
            user.db.skip(int(self.chance.choice(found)["transaction"]))

    def _retry(self, user: User) -> None:
        found = self._listed(user, ("refused", "aside", "skipped"))
        if found := [one for one in found if "has another key" not in one["reason"]]:  # to be edited first
            user.db.retry(int(self.chance.choice(found)["transaction"]))

    def _edit(self, user: User) -> None:
        found = [one for one in self._listed(user, ("pending", "refused")) if one["table"] in ("bare", "inc")]
        found = [one for one in found if one["new"] is not None]
        if found:
            one, token = self.chance.choice(found), self._token(user)
            row = next(row for row in user.rows if one["new"]["token"] in row.tokens)
            is_last = one["new"]["token"] == row.newest or len(row.tokens) == 1
            row.tokens.append(token)
            user.db.edit_change(int(one["change"]), token=token)
            if is_last:
                row.newest = token

    def _reopen(self, user: User) -> None:
        user.db.close()
        user.open()

    def _backup(self, user: User) -> None:
        user.db.close()
        shutil.rmtree(user.backup, ignore_errors=True)
        shutil.copytree(user.folder, user.backup)
        user.saved = len(user.rows)
        user.open()

    def _restore(self, user: User) -> None:
        if user.saved is None:
            return
        self.wire.arrive()  # nothing is on its way as long as it takes to restore a backup
        user.db.close()
        shutil.rmtree(user.folder)
        shutil.copytree(user.backup, user.folder)
        for row in user.rows[user.saved :]:
            row.must = False
        for row in user.rows:
            row.newest = ""
        user.open()

    # The end

    def settle(self) -> None:
        """Without faults everybody pushes and pulls; what cannot be done stays listed."""
        self.wire.next.clear()
        self.wire.caching = 0
        self.wire.arrive()
        for _ in range(3):
            for user in self.users:
                with suppress(tsn.ConflictError):
                    user.db.push(skip_refused=True)
                with suppress(tsn.ConflictError):
                    user.db.pull()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return rows of the served database, past the wire."""
        return self.served.rows(sql)

    def wrong(self) -> list[str]:
        """Return what is not as it must be."""
        there = Counter(token for table in TABLES for (token,) in self.rows(f"SELECT token FROM {table}"))
        found = []
        for user in self.users:
            changes = user.db.changes()
            listed = repr(changes.to_numpy().tolist())
            found += [
                f"{one['new']} was given up, and is on the server"
                for one in changes.to_dict("records")
                if one["state"] == "skipped" and there[(one["new"] or {}).get("token")]
            ]
            for row in user.rows:
                count = sum(there[token] for token in row.tokens)
                is_listed = any(f"'{token}'" in listed for token in row.tokens)
                if count > 1:
                    found.append(f"{row.tokens} is on the server {count} times")
                if row.must and not count and not is_listed:
                    found.append(f"{row.tokens} is gone, and nothing lists it")
                if row.must and row.newest and not there[row.newest] and f"'{row.newest}'" not in listed:
                    found.append(f"{row.newest} of {row.tokens} is gone, and nothing lists it")
            for table in TABLES:
                here = sorted(user.db.execute(f"SELECT * FROM {table}").fetchall(), key=repr)
                pending = any(one["state"] == "refused" for one in user.db.changes().to_dict("records"))
                if not pending and here != sorted(self.rows(f"SELECT * FROM {table}"), key=repr):
                    found.append(f"user {user.number} has another {table} than the server")
        edited = {
            token for user in self.users for row in user.rows for token in row.tokens if len(row.tokens) > 1
        }
        for child, parent in PARENTS.items():
            joined = (
                f"SELECT c.token, c.parent, p.token FROM {child} AS c JOIN {parent} AS p ON p.id = c.pid "
                "WHERE c.parent <> p.token"
            )
            others = [row for row in self.rows(joined) if row[1] not in edited]
            found += [f"{child} {row} has another's parent" for row in others]
        return found


def failure_of(seed: int, count: int, folder: Path, spoil: str = "", server: str = "embedded") -> list[str]:
    """Run ``count`` steps of ``seed``, then the statement ``spoil`` on the server; return what is wrong."""
    with World(folder, seed, server) as world:
        kinds = STEPS[::2]
        weights = [float(weight) * world.chance.choice(OFTEN) for weight in STEPS[1::2]]
        for kind in world.chance.choices(kinds, weights, k=count):
            world.take(str(kind), world.chance.randrange(REPLICAS))
        world.settle()
        if spoil:
            world.rows(spoil)
        return world.wrong()
