"""Random schemas with triggers, and statements of two replicas: the remote is as one database would be.

That is so in the order in which they are pushed, where each replica changes rows of its own and triggers keep
what both add to: logs, counters, totals. Left out are what is excepted: moments, the order of parents' and
children's logs, statements that read what the other one's triggers made, and those that would fail for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import apsw

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from turso_sync_nb import Connection

TABLES = (
    "CREATE TABLE e (id INTEGER PRIMARY KEY, k UNIQUE, v, n DEFAULT 0, slug)",
    "CREATE TABLE log (n INTEGER PRIMARY KEY, m)",
    "CREATE TABLE cnt (k TEXT PRIMARY KEY, n)",
    "CREATE TABLE acc (id INTEGER PRIMARY KEY, total)",
    "INSERT INTO acc VALUES (1, 0)",
    "CREATE VIEW shown AS SELECT id, k, v FROM e",
    (
        "CREATE TRIGGER si INSTEAD OF INSERT ON shown BEGIN "
        "INSERT INTO e (id, k, v) VALUES (new.id, new.k, new.v); END"
    ),
    "CREATE TRIGGER su INSTEAD OF UPDATE ON shown BEGIN UPDATE e SET v = new.v WHERE id = old.id; END",
)
OWN_KEYS = 6
"""Rows that each replica may have: few, so that statements meet them again."""

_BODIES = {
    "insert": (
        "INSERT INTO log (m) VALUES ('{at}i' || new.id || ifnull(new.v, ''))",
        "INSERT INTO cnt VALUES (ifnull(new.v, '-'), 1) ON CONFLICT (k) DO UPDATE SET n = n + 1",
        (
            "INSERT OR IGNORE INTO cnt VALUES ('{at}' || new.id, 0); "
            "UPDATE cnt SET n = n + 1 WHERE k = '{at}' || new.id"
        ),
        "UPDATE acc SET total = total + new.id",
        "UPDATE e SET slug = lower(new.k) WHERE id = new.id",
        "INSERT OR IGNORE INTO e (id, k) VALUES (0, 'first'); INSERT INTO log (m) VALUES ('{at}' || new.k)",
        "SELECT RAISE(IGNORE) WHERE new.v = 'no'",
        "DELETE FROM e WHERE k = new.k AND id <> new.id",
        "UPDATE e SET k = k || '_' || new.id WHERE k = new.k AND id <> new.id",
        "INSERT INTO log (m) SELECT '{at}was' || id || ifnull(v, '') FROM e WHERE id = new.id OR k = new.k",
    ),
    "update": (
        "INSERT INTO log (m) VALUES ('{at}u' || old.id || ifnull(new.v, ''))",
        "UPDATE acc SET total = total + new.id - old.id + 1",
        "UPDATE e SET n = n + 1 WHERE id = new.id",
        (
            "INSERT OR REPLACE INTO cnt SELECT '{at}' || new.id, ifnull(max(n), 0) + 1 FROM cnt "
            "WHERE k = '{at}' || new.id"
        ),
        "SELECT RAISE(IGNORE) WHERE new.v = 'no'",
    ),
    "delete": (
        "INSERT INTO log (m) VALUES ('{at}d' || old.id)",
        "UPDATE acc SET total = total - old.id",
        "DELETE FROM cnt WHERE k = old.v",
        "UPDATE e SET v = 'gone' WHERE id = old.id; SELECT RAISE(IGNORE)",
    ),
}
_WHEN = ("", "", "", "WHEN {row}.v IS NOT NULL ", "WHEN {row}.id % 2 ")


def triggers(rnd: Random) -> list[str]:
    """Return a few triggers on table ``e``."""
    made = []
    for at in range(rnd.randint(1, 5)):
        event = rnd.choice(("insert", "insert", "update", "update", "delete"))
        timing = rnd.choice(("BEFORE", "AFTER", "AFTER"))
        columns = rnd.choice(("", "", " OF v", " OF k, n")) if event == "update" else ""
        when = rnd.choice(_WHEN).format(row="old" if event == "delete" else "new")
        body = rnd.choice(_BODIES[event]).format(at=f"t{at}")
        made.append(f"CREATE TRIGGER t{at} {timing} {event.upper()}{columns} ON e {when}BEGIN {body}; END")
    return made


def statement(rnd: Random, who: int) -> str:
    """Return a statement of the replica ``who``, on rows of its own."""
    first = 100 * (who + 1)
    one, other = first + rnd.randrange(OWN_KEYS), first + rnd.randrange(OWN_KEYS)
    own = f"id BETWEEN {first} AND {first + OWN_KEYS}"
    value = rnd.choice(("'x'", "'y'", "'no'", "NULL"))
    row, second = f"({one}, 'k{other}', {value})", f"({other}, 'k{one}', {value})"
    return rnd.choice(
        (
            f"INSERT INTO e (id, k, v) VALUES {row}",
            f"INSERT OR IGNORE INTO e (id, k, v) VALUES {row}, {second}",
            f"INSERT OR REPLACE INTO e (id, k, v) VALUES {row}",
            f"INSERT INTO e (id, k, v) VALUES {row} ON CONFLICT (id) DO UPDATE SET v = excluded.v, n = e.n",
            f"INSERT INTO e (id, k, v) VALUES {row} ON CONFLICT DO NOTHING",
            f"INSERT INTO shown VALUES {row}",
            f"UPDATE e SET v = {value} WHERE {own}",
            f"UPDATE e SET v = v, n = n WHERE {own}",
            f"UPDATE OR IGNORE e SET k = 'k{other}' WHERE id = {one}",
            f"UPDATE OR REPLACE e SET k = 'k{other}', v = {value} WHERE id = {one}",
            f"UPDATE e SET id = {other} WHERE id = {one}",
            f"UPDATE shown SET v = v WHERE {own}",
            f"UPDATE shown SET v = {value} WHERE id = {one}",
            f"DELETE FROM e WHERE id = {one}",
            f"DELETE FROM e WHERE {own} AND v IS NULL",
        )
    )


def contents(run: Callable[[str], list[tuple[object, ...]]]) -> dict[str, list[tuple[object, ...]]]:
    """Return the rows of every table, in order."""
    return {name: sorted(run(f"SELECT * FROM {name}"), key=repr) for name in ("e", "log", "cnt", "acc")}


def work(rnd: Random, dbs: list[Connection], model: apsw.Connection, said: Callable[[str], object]) -> None:
    """Run rounds of statements, each replica's pushed in some order; ``model`` gets all in that order.

    A statement that is refused here is not done on the model either; the other ones do the same there.
    """
    for _ in range(rnd.randint(1, 3)):
        done: list[list[str]] = [[] for _ in dbs]
        for who, db in enumerate(dbs):
            for _ in range(rnd.randint(1, 5)):
                sql = statement(rnd, who)
                try:
                    db.execute(sql).fetchall()
                except (apsw.ConstraintError, tsn.UsageError) as error:
                    said(f"{who} {sql}: {error}")
                else:
                    said(f"{who} {sql}")
                    done[who].append(sql)
        for who in rnd.sample(range(len(dbs)), len(dbs)):
            said(f"{who} pushes")
            for sql in done[who]:
                model.execute(sql).fetchall()
            if rnd.random() < 0.3:
                dbs[who].pull()
            dbs[who].push()
