"""Random triggers that stamp rows and fill them by chance, of tables with and without a key.

What two replicas push is what one database would hold, moments and chance apart; these are the same on the
remote and on both replicas in the end.
"""

from __future__ import annotations

import logging
import os
import random
import re
from contextlib import closing

import apsw
import pytest
from test_triggers_there import served_and_plain

import turso_sync_nb as tsn

_LOG = logging.getLogger(__name__)
"""Says what was done, where a test fails."""

SEEDS = range(200 if os.environ.get("TSN_SOAK") else 8)
OWN = 5
"""Rows of each replica: both change their own alone, for orders across replicas are nobody's."""

NOW = ("strftime('%J','now')", "julianday('now')", "(SELECT strftime('%J'))")
KEYS = ("id", "id UNIQUE", "id INTEGER PRIMARY KEY", "id TEXT PRIMARY KEY")
LOGS = ("(m, at, c)", "(m, at DEFAULT (strftime('%J','now')), c)", "(i INTEGER PRIMARY KEY, m, at, c)")
BODIES = {
    "INSERT": (
        "INSERT INTO log (m, at) VALUES ('i' || new.id, {now})",
        "INSERT INTO log (m, at, c) VALUES ('r' || new.id, {now}, hex(randomblob(4)))",
        "UPDATE e SET at = {now} WHERE id = new.id",
        "UPDATE e SET slug = hex(randomblob(4)) WHERE id = new.id",
        "UPDATE e SET n = n + 1 WHERE id = new.id",
    ),
    "UPDATE": (
        "INSERT INTO log (m, at) VALUES ('u' || old.id, {now})",
        "UPDATE e SET at = {now}, n = n + 1 WHERE id = new.id",
        "UPDATE e SET slug = hex(randomblob(4)) WHERE id = new.id",
        "UPDATE log SET c = new.v, at = {now} WHERE m LIKE '_' || new.id",
        "UPDATE log SET c = hex(randomblob(4)) WHERE m LIKE '_' || new.id",
    ),
    "DELETE": (
        "INSERT INTO log (m, at, c) VALUES ('d' || old.id, {now}, hex(randomblob(4)))",
        "DELETE FROM log WHERE m LIKE '_' || old.id",
    ),
}


def schema(rnd):
    """Return random tables, with some triggers."""
    made = [
        f"CREATE TABLE e ({rnd.choice(KEYS)}, v, n DEFAULT 0, at, slug)",
        f"CREATE TABLE log {rnd.choice(LOGS)}",
    ]
    for number in range(rnd.randint(1, 4)):
        event = rnd.choice(("INSERT", "INSERT", "UPDATE", "UPDATE", "DELETE"))
        when = rnd.choice(("BEFORE", "AFTER", "AFTER"))
        body = rnd.choice(BODIES[event]).format(now=rnd.choice(NOW))
        made.append(f"CREATE TRIGGER t{number} {when} {event} ON e BEGIN {body}; END")
    return made


def statement(rnd, who):
    """Return a random statement on the rows of one replica."""
    first = 100 * (who + 1)
    one, other = first + rnd.randrange(OWN), first + rnd.randrange(OWN)
    value = rnd.choice(("'x'", "'y'", "NULL", "1", "1.0"))
    own = f"CAST(id AS INTEGER) BETWEEN {first} AND {first + OWN}"
    return rnd.choice((
        f"INSERT INTO e (id, v) VALUES ({one}, {value})",
        f"INSERT OR IGNORE INTO e (id, v) VALUES ({one}, {value}), ({other}, 'z')",
        f"INSERT OR REPLACE INTO e (id, v) VALUES ({one}, {value})",
        f"UPDATE e SET v = {value} WHERE {own}",
        f"UPDATE e SET v = v WHERE CAST(id AS INTEGER) = {one}",
        f"UPDATE e SET at = 'hand', slug = {value} WHERE CAST(id AS INTEGER) = {one}",
        f"DELETE FROM e WHERE CAST(id AS INTEGER) = {one}",
        f"UPDATE log SET c = 'seen' WHERE m LIKE '_{one}'",
        f"DELETE FROM log WHERE m LIKE '_{one}'",
        f"INSERT INTO log (m, at, c) VALUES ('h{one}', 'hand', {value})",
    ))  # fmt: skip


def plainly(value):
    """Return a value that one database would have too: moments and chance by these names."""
    text = str(value)
    if re.fullmatch(r"24\d{5}\.\d+", text):
        return "moment"
    return "chance" if isinstance(value, str) and re.fullmatch(r"[0-9A-F]{8}", text) else value


def rows(db, each=lambda value: value):
    """Return the rows of both tables; ``log`` without its key, which goes by the order across replicas."""
    found = {}
    for query in ("SELECT * FROM e", "SELECT m, at, c FROM log"):
        found[query] = sorted((tuple(map(each, row)) for row in db.execute(query)), key=repr)
    return found


def work(rnd, dbs, plain):
    """Run random statements on the replicas, and on plain SQLite in the order of their pushes."""
    for _ in range(rnd.randint(1, 3)):
        done = [[], []]
        for who, db in enumerate(dbs):
            for sql in [statement(rnd, who) for _ in range(rnd.randint(1, 6))]:
                try:
                    db.execute(sql).fetchall()
                except (apsw.ConstraintError, tsn.UsageError) as error:
                    _LOG.warning("%d %s: %s", who, sql, error)
                else:
                    _LOG.warning("%d %s", who, sql)
                    done[who].append(sql)
        for who in rnd.sample(range(2), 2):
            for sql in done[who]:
                plain.execute(sql)
            if rnd.random() < 0.4:
                _LOG.warning("%d pulls", who)
                dbs[who].pull()
            _LOG.warning("%d pushes", who)
            dbs[who].push()


@pytest.mark.parametrize("seed", SEEDS)
def test_two_replicas_and_chance_are_as_one_database(remote_server, tmp_path, seed):
    """Every table of the remote, and of both replicas after a pull, is plain SQLite's; nothing conflicts."""
    rnd = random.Random(seed)
    made = schema(rnd)
    _LOG.warning("%s", "\n".join(made))
    url, plain = served_and_plain(remote_server, tmp_path, made)
    dbs = [tsn.connect(tmp_path / f"replica-{who}", url, isolation_level=None) for who in range(2)]
    try:
        work(rnd, dbs, plain)
        with closing(tsn.connect(tmp_path / "far", url)) as far:
            there = rows(far)
            assert rows(far, plainly) == rows(plain, plainly)
        for db in dbs:
            db.pull()
            assert rows(db) == there
            assert db.changes().empty
            assert db.conflicts().empty
    finally:
        for db in dbs:
            db.close()
