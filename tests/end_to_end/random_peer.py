"""One replica under random work, and what must be true of it at any moment.

Its model is a plain SQLite database that gets the same statements: until news arrive, what a user wrote is
what a user reads. A partial replica has a model only after it was looked at whole: a look takes all pages.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import apsw
import hypothesis
from inside import replica_of

import turso_sync_nb as tsn
from turso_sync_nb.changes.names import is_internal, quoted
from turso_sync_nb.protocol.pipeline import Execute, ExecuteResponse, Stmt
from turso_sync_nb.remote.http import HttpRemote

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    Run = Callable[[str], list[tuple[Any, ...]]]
    Contents = dict[str, list[str]]

APPLIED = ("pending", "refused")


def note(text: str) -> None:
    """Tell what is done: to Hypothesis for its failing case, or to pytest in an ordinary test."""
    if hypothesis.currently_in_test_context():
        hypothesis.note(text)
    else:
        print(text)  # noqa: T201 - to be read


def contents(run: Run) -> Contents:
    """Return the user's schema, and the rows of every table."""
    found = run("SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
    schema = [row for row in found if not is_internal(row[1]) and not is_internal(row[2])]
    # tursodb keeps IF NOT EXISTS in the text
    state = {"(schema)": sorted(repr(row).replace("IF NOT EXISTS ", "") for row in schema)}
    for kind, name, _, _ in schema:
        if kind == "table":
            state[name] = sorted(map(repr, run(f"SELECT * FROM {quoted(name)}")))
    return state


def differences(one: Contents, other: Contents) -> dict[str, tuple[list[str], list[str]]]:
    """Return what only one of two states has, by table."""
    found = {}
    for name in one.keys() | other.keys():
        here, there = list(one.get(name, ["(no table)"])), list(other.get(name, ["(no table)"]))
        for row in list(here):
            if row in there:
                here.remove(row)
                there.remove(row)
        if here or there:
            found[name] = ([row[:200] for row in here], [row[:200] for row in there])
    return found


class Server:
    """The remote, asked over the pipeline."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.remote = HttpRemote(url)

    def run(self, sql: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement; an error is an :class:`apsw.SQLError`."""
        (answer,) = self.remote.pipeline([Execute(Stmt(sql, tuple(arguments)))])
        if isinstance(answer, ExecuteResponse):
            return list(answer.result.rows)
        raise apsw.SQLError(str(answer))

    def close(self) -> None:
        """Let go of connections."""
        self.remote.close()


class Peer:
    """A replica, its model, and the rows that it alone makes: tokens and labels."""

    def __init__(self, number: int, folder: Path, server: Server, options: dict[str, Any]) -> None:
        self.number = number
        self.folder = folder
        self.server = server
        self.options = options
        self.is_partial = "partial_sync" in options
        self.model: apsw.Connection | None = None
        self.tokens: set[int] = set()
        self.labels: set[str] = set()
        self.open()
        self.look()

    def open(self) -> None:
        """Connect, twice: connections of one process share a replica."""
        connect = {"isolation_level": None, **self.options}
        self.dbs = [tsn.connect(self.folder, self.server.url, **connect) for _ in range(2)]

    @property
    def db(self) -> tsn.Connection:
        """The first connection."""
        return self.dbs[0]

    def close(self) -> None:
        """Close both connections."""
        for db in self.dbs:
            db.close()

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return list(self.db.execute(sql).fetchall())

    # Statements

    def execute(self, db: tsn.Connection, sql: str, arguments: Sequence[Any] = ()) -> bool:
        """Run a statement here and on the model: both do the same, or both refuse; say whether they did."""
        note(f"peer {self.number} conn {self.dbs.index(db)}: {sql!r} {_short(arguments)}")
        both = "SELECT changes(), last_insert_rowid()"
        rowid = db.execute(both).fetchall()[0][1]
        refused, wanted = _attempt(db.execute, sql, arguments), None
        if isinstance(refused, tsn.UsageError):
            note(f"  refused: {refused}")
            return False
        if self.model is not None:
            self.model.set_last_insert_rowid(rowid)
            wanted = _attempt(self.model.execute, sql, arguments)
            assert (refused is None) == (wanted is None), (refused, wanted)
            assert wanted is None or str(wanted) in str(refused)
            assert db.in_transaction == self.model.in_transaction
            if refused is None and sql.startswith(("INSERT", "UPDATE", "DELETE")):
                assert db.execute(both).fetchall() == self.model.execute(both).fetchall()
        if refused is not None:
            note(f"  failed: {refused}")
        return refused is None

    # What holds

    def forget_model(self) -> None:
        """News may have arrived: take the model anew; from a partial replica only when it is looked at."""
        if self.model is not None:
            self.model.close()
            self.model = None
        if not self.is_partial:
            self.look()

    def look(self) -> None:
        """See that the database is sound and as it must be; take a model of it if there is none."""
        assert self.run("PRAGMA integrity_check") == [("ok",)]
        state = contents(self.run)
        if self.model is None:
            self.model = self._copied()
        wanted = contents(lambda sql: self.model.execute(sql).fetchall())  # type: ignore[union-attr]
        assert state == wanted, differences(state, wanted)
        self.check_own()

    def check(self) -> None:
        """See what can be seen without taking pages that are not here."""
        if self.model is not None:
            self.look()
        else:
            self.check_own()

    def check_own(self) -> None:
        """Every token and label made here is there once, unless its transaction waits unapplied."""
        unapplied_tokens, unapplied_labels = self.unapplied()
        rows = self.run(f"SELECT k FROM tokens WHERE who = {self.number}")
        assert sorted(k for (k,) in rows) == sorted(self.tokens - unapplied_tokens)
        rows = self.run(f"SELECT label FROM labels WHERE who = {self.number}")
        assert sorted(label for (label,) in rows) == sorted(self.labels - unapplied_labels)

    def unapplied(self) -> tuple[set[int], set[str]]:
        """Return tokens and labels of transactions that were set aside or given up."""
        tokens, labels = set(), set()
        for one in self.waiting():
            if one["state"] not in APPLIED and one["operation"] == "insert":
                if one["table"] == "tokens":
                    tokens.add(one["new"]["k"])
                if one["table"] == "labels":
                    labels.add(one["new"]["label"])
        return tokens, labels

    def waiting(self) -> list[dict[str, Any]]:
        """Return what waits, change by change."""
        if not self.run("SELECT 1 FROM sqlite_schema WHERE name = 'turso_sync_nb_changes'"):
            return []
        return list(self.db.changes().to_dict("records"))

    def is_pending(self) -> bool:
        """Say whether changes made here are not on the remote, and stand here."""
        return any(one["state"] in APPLIED for one in self.waiting())

    def _copied(self) -> apsw.Connection:
        """Return a plain database of the same contents, rowids too."""
        model = apsw.Connection(":memory:")
        schema = self.run("SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
        kept = [row for row in schema if not is_internal(row[1]) and not is_internal(row[2])]
        for kind in ("table", "index", "view", "trigger"):
            for _, name, _, sql in (row for row in kept if row[0] == kind):
                model.execute(sql)
                if kind == "table":
                    self._copy_rows(model, name)
        there = model.execute("SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'").fetchall()
        if there and any(name == "sqlite_sequence" for _, name, _, _ in schema):
            model.execute("DELETE FROM sqlite_sequence")
            model.executemany(
                "INSERT INTO sqlite_sequence VALUES (?, ?)", self.run("SELECT * FROM sqlite_sequence")
            )
        return model

    def _copy_rows(self, model: apsw.Connection, table: str) -> None:
        columns = [
            name for (name,) in self.run(f"SELECT name FROM pragma_table_xinfo('{table}') WHERE hidden = 0")
        ]
        ((without_rowid,),) = self.run(
            f"SELECT wr FROM pragma_table_list WHERE name = '{table}' AND schema = 'main'"
        )
        names = ", ".join([*([] if without_rowid else ["rowid"]), *(f'"{column}"' for column in columns)])
        for row in self.run(f'SELECT {names} FROM "{table}"'):
            model.execute(f'INSERT INTO "{table}" ({names}) VALUES ({", ".join("?" * len(row))})', row)

    # Verbs

    def verb(self, name: str, *arguments: Any) -> bool:
        """Do a verb; say whether it went through. A conflict is the only reason for which it may not."""
        before = self.db.stats().revision
        note(f"peer {self.number}: {name} {arguments}")
        try:
            report = getattr(self.db, name)(*arguments)
            note(f"  {report}")
        except tsn.UsageError as error:
            note(f"  {error}")
            if "find transaction" not in str(error):  # that it had reached the remote is no failure
                raise
            self.after_verb(before, revised=True)
            return True
        except tsn.ConflictError as conflict:
            note(f"  {conflict}")
            self.after_verb(before, revised=bool(arguments))
            self.refusal = conflict
            return False
        except tsn.RemoteFailedError:
            self.after_verb(before, revised=False)  # a push may have pulled before its answer was lost
            raise
        self.after_verb(before, revised=bool(arguments))
        if name == "pull" and self.model is not None and not self.is_pending():
            here, there = contents(self.run), contents(self.server.run)
            assert here == there, differences(here, there)
        return True

    def push_unanswered(self, *, executed: bool) -> None:
        """Push; the answer is lost, after the remote did what it was asked or before."""
        remote = replica_of(self.db).need_remote()
        pipeline = remote.pipeline

        def lose(requests: Any) -> Any:
            if any(type(one).__name__ == "Batch" for one in requests):
                if executed:
                    pipeline(requests)
                raise tsn.RemoteFailedError("lose an answer", hint="none")
            return pipeline(requests)

        remote.pipeline = lose  # type: ignore[method-assign]
        note(f"peer {self.number}: the answer will be lost, {executed=}")
        try:
            with suppress(tsn.RemoteFailedError):
                self.verb("push")
        finally:
            remote.pipeline = pipeline  # type: ignore[method-assign]

    def after_verb(self, revision_before: str | None, *, revised: bool) -> None:
        """Check everything; the model stays good if no news arrived."""
        if revised or self.db.stats().revision != revision_before:
            self.forget_model()
        self.check()

    def settle(self) -> None:
        """Push and pull until nothing waits; give up what is in the way."""
        for _ in range(60):
            if self.verb("push") and self.verb("pull"):
                return
            self.give_up(self.refusal)
        raise AssertionError(f"peer {self.number} does not settle: {self.refusal}")

    def give_up(self, refusal: tsn.ConflictError) -> None:
        """Skip the transaction that ``refusal`` names; those first that cannot do without it."""
        for _ in range(30):
            named = re.search(r"transaction (\d+)", str(refusal))
            assert named, refusal
            if self.verb("skip", int(named[1])):
                return
            refusal = self.refusal
        raise AssertionError(f"peer {self.number} cannot give up: {refusal}")


def _attempt(
    execute: Callable[..., Any], sql: str, arguments: Sequence[Any]
) -> tsn.Error | apsw.Error | None:
    """Run a statement; return the error that it ended with."""
    try:
        execute(sql, arguments).fetchall()
    except (tsn.Error, apsw.Error) as error:
        return error
    return None


def _short(arguments: Sequence[Any]) -> str:
    return repr(
        [f"'x' * {len(each)}" if isinstance(each, str) and len(each) > 50 else each for each in arguments]
    )
