"""A server that writes a definition anew may spoil it: refused before it is there; else it is no change."""

from __future__ import annotations

import apsw
import pytest
from random_peer import Server, contents, differences

import turso_sync_nb as tsn

PARENT = "CREATE TABLE parent (id INTEGER PRIMARY KEY, v)"

SPOILT = {
    "a column is added beside a parent without columns": (
        (PARENT, "CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES parent ON DELETE CASCADE, v)"),
        "ALTER TABLE c ADD COLUMN w",
    ),
    "a column is dropped beside one": (
        (PARENT, "CREATE TABLE c (id INTEGER PRIMARY KEY, p, v, FOREIGN KEY (p) REFERENCES parent)"),
        "ALTER TABLE c DROP COLUMN v",
    ),
    "a column refers to a parent without columns": (
        (PARENT, "CREATE TABLE c (id INTEGER PRIMARY KEY, v)"),
        "ALTER TABLE c ADD COLUMN p REFERENCES parent",
    ),
    "a reference of a column that is a keyword": (
        (PARENT, "CREATE TABLE c (id INTEGER PRIMARY KEY, [group] REFERENCES parent (id), v)"),
        "ALTER TABLE c ADD COLUMN w",
    ),
    "a parent whose name has a space": (
        ('CREATE TABLE "the parent" (id INTEGER PRIMARY KEY)',
         'CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES "the parent" (id), v)'),
        "ALTER TABLE c ADD COLUMN w",
    ),
    "a key of several columns, one a keyword": (
        ('CREATE TABLE c (a, "order", v, PRIMARY KEY (a, "order"))',),
        "ALTER TABLE c ADD COLUMN w",
    ),
    "a key of several columns, one without a name": (
        ('CREATE TABLE c (a, "", v, PRIMARY KEY (a, ""))',), "ALTER TABLE c ADD COLUMN w"
    ),
    "a key of several columns, and a default with its name": (
        ('CREATE TABLE c (a DEFAULT "order", "order", v, PRIMARY KEY (a, "order"))',),
        "ALTER TABLE c ADD COLUMN w",
    ),
    "a table gets a name that begins with a digit": (
        ("CREATE TABLE c (a, v)",), 'ALTER TABLE c RENAME TO "1c"'
    ),
    "a column does, beside an index": (
        ("CREATE TABLE c (a, v)", "CREATE INDEX i ON c (v)"), 'ALTER TABLE c RENAME COLUMN v TO "2v"'
    ),
    "a column does, in a trigger": (
        ("CREATE TABLE c (a, v)",
         "CREATE TRIGGER g AFTER UPDATE OF v ON c BEGIN DELETE FROM c WHERE v = 3; END"),
        'ALTER TABLE c RENAME COLUMN v TO "2v"',
    ),
}  # fmt: skip
"""What there is, and an ALTER that ``tursodb`` writes so that SQLite cannot read its schema any more."""

LOSSY = {
    "a key that counts down": (
        ("CREATE TABLE c (id INTEGER PRIMARY KEY DESC, v)",), "ALTER TABLE c ADD COLUMN w"
    ),
    "a key of the table that counts down": (
        ("CREATE TABLE c (k, v, PRIMARY KEY (k DESC))",), "ALTER TABLE c ADD COLUMN w"
    ),
    "what a key does with a row in its way": (
        ("CREATE TABLE c (k PRIMARY KEY ON CONFLICT REPLACE, v)",), "ALTER TABLE c ADD COLUMN w"
    ),
    "what a UNIQUE does": (
        ("CREATE TABLE c (k, v, UNIQUE (k) ON CONFLICT IGNORE)",), "ALTER TABLE c ADD COLUMN w"
    ),
    "a collation": (
        ("CREATE TABLE c (k TEXT COLLATE NOCASE, v, PRIMARY KEY (k))",), "ALTER TABLE c ADD COLUMN w"
    ),
}  # fmt: skip
"""Others, in which ``tursodb`` leaves a rule of the table out."""

AT_THE_PUSH = "a key of the table that counts down"
"""The one of them that is not refused as soon as it is made."""

KEPT = {
    "a parent with its column": (
        (PARENT, "CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES parent (id), v DEFAULT (abs(-1)))"),
        "ALTER TABLE c ADD COLUMN w",
    ),
    "names in other quotes": (
        ("CREATE TABLE c (a, [the group] TEXT, `order` INT CHECK (`order` > [the group]), v)",),
        "ALTER TABLE c ADD COLUMN w",
    ),
    "a parent without columns, renamed": (
        (PARENT, "CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES parent, v)"),
        'ALTER TABLE c RENAME COLUMN v TO "the group"',
    ),
    "texts in the quotes of names": (
        ('CREATE TABLE c (a TEXT NOT NULL DEFAULT "", b DEFAULT " ", d DEFAULT "two words", v)',),
        "ALTER TABLE c ADD COLUMN w",
    ),
    "the text of a default is the name of a column": (
        ('CREATE TABLE c (a, "the group" INT DEFAULT "the group", "order" TEXT DEFAULT "order", v)',),
        "ALTER TABLE c ADD COLUMN w",
    ),
    "the same, and a column is dropped": (
        ('CREATE TABLE c (a, "order" TEXT DEFAULT "order", d DEFAULT "", v)',), "ALTER TABLE c DROP COLUMN v"
    ),
    "texts with quotes in the quotes of names, one empty": (
        ("""CREATE TABLE c (a DEFAULT "", b DEFAULT "it's", d DEFAULT "so ""so"" it", e DEFAULT [is], v)""",),
        "ALTER TABLE c ADD COLUMN w",
    ),
    "the same, a column is dropped": (
        ("""CREATE TABLE c (a DEFAULT "", b DEFAULT "it''s", d DEFAULT "'", e DEFAULT `"`, v)""",),
        "ALTER TABLE c DROP COLUMN v",
    ),
    "the same, a column is renamed": (
        ("""CREATE TABLE c (a DEFAULT "", b DEFAULT "it's", "" INT, v)""",),
        "ALTER TABLE c RENAME COLUMN v TO w",
    ),
    "a column without a name": (
        ('CREATE TABLE c (a, "" INT, v)',), "ALTER TABLE c RENAME COLUMN v TO w"
    ),
    "a comment with the name": (
        ('CREATE TABLE c (a, -- in order\n"order" INT /* the order */, v)',), "ALTER TABLE c ADD COLUMN w"
    ),
    "a comment with a parent's parentheses": (
        (PARENT, "CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES parent (id) /* now() */, v)"),
        "ALTER TABLE c ADD COLUMN w",
    ),
    "quotes in names": (
        ('CREATE TABLE "c""1" (a, "x""y" INT, v)',), 'ALTER TABLE "c""1" ADD COLUMN w'
    ),
    "a constraint's name with the column's": (
        ('CREATE TABLE c (a, "order" INT CONSTRAINT in_order CHECK ("order" > 0), v)',),
        "ALTER TABLE c ADD COLUMN w",
    ),
}  # fmt: skip
"""Others beside them that arrive on both servers."""


@pytest.fixture
def far(server):
    """The remote, asked past every replica."""
    remote = Server(server.url)
    yield remote
    remote.close()


def same_everywhere(far, dbs):
    """See that SQLite can read the remote's schema, and that it and its rows are the same everywhere."""
    there = contents(far.run)
    fresh = apsw.Connection(":memory:")
    for kind in ("table", "index", "view", "trigger"):
        for name, sql in far.run(
            f"SELECT name, sql FROM sqlite_schema WHERE type = '{kind}' AND sql IS NOT NULL"
        ):
            if not name.startswith(("sqlite_", "turso_")):
                fresh.execute(sql)
    for db in dbs:
        db.pull()
        here = contents(lambda sql, db=db: db.execute(sql).fetchall())
        assert here == there, differences(here, there)


def pushed_or_refused(db, name, kind):
    """Push, and see that it is refused where it must be; then give it up."""
    if name in KEPT or kind == "embedded":
        assert db.push().transactions == 1
        return
    said = "SQLite cannot read it" if name in SPOILT else "another definition of table c"
    with pytest.raises(tsn.ConflictError, match=said):
        db.push()
    (number,) = set(db.changes()["transaction"])
    db.skip(int(number))


@pytest.mark.parametrize("name", [*SPOILT, *LOSSY, *KEPT])
def test_the_remote_stays_readable(server, replica, far, name):
    """An ALTER after which SQLite could not read the remote is refused, with its reason, and can go."""
    made, alter = (SPOILT | LOSSY | KEPT)[name]
    db = replica("mine")
    for sql in made:
        db.execute(sql)
    db.push()
    db.pull()
    if server.name == "tursodb" and name in LOSSY and name != AT_THE_PUSH:
        with pytest.raises(tsn.UsageError, match="the remote cannot do it so"):
            db.execute(alter)
    else:
        db.execute(alter)
        pushed_or_refused(db, name, server.name)
    db.execute("INSERT INTO kv VALUES ('later', 1)")
    assert db.push().transactions == 1
    same_everywhere(far, [db, replica("yours"), replica("new")])


ANEW = {
    "sizes of types": "(id INTEGER PRIMARY KEY, name VARCHAR(10), v DECIMAL(10, 2))",
    "a key of the table": "(k NUMERIC, name, v, PRIMARY KEY (k))",
    "a reference": "(id INTEGER PRIMARY KEY, name REFERENCES kv (k), v)",
    "the order of rules": "(id INTEGER PRIMARY KEY, name INT DEFAULT 5 NOT NULL, v UNIQUE NOT NULL)",
    "the name of a constraint": "(id INTEGER PRIMARY KEY, name, v, CONSTRAINT one UNIQUE (v))",
}
"""What ``tursodb`` writes in another way when a column is added."""


@pytest.mark.parametrize("name", ANEW)
def test_a_table_that_was_written_anew_can_be_dropped(replica, far, name):
    """An ALTER, pushed; then a DROP, and a pull that brings the table as the server wrote it."""
    db, other = replica("mine"), replica("yours")
    db.execute(f"CREATE TABLE c {ANEW[name]}")
    db.sync()
    db.execute("ALTER TABLE c ADD COLUMN w")
    db.push()
    db.execute("DROP TABLE c")
    other.execute("INSERT INTO kv VALUES ('news', 1)")
    other.push()
    db.pull()
    assert db.push().transactions == 1
    assert not len(db.changes())
    same_everywhere(far, [db, other, replica("new")])


OTHERS = {
    "another type": "(id INTEGER PRIMARY KEY, name TEXT, v DECIMAL(10, 2))",
    "another default": "(id INTEGER PRIMARY KEY, name VARCHAR(10) DEFAULT 1, v DECIMAL(10, 2))",
    "a rule more": "(id INTEGER PRIMARY KEY, name VARCHAR(10), v DECIMAL(10, 2) UNIQUE)",
    "a name": "(id INTEGER PRIMARY KEY, names VARCHAR(10), v DECIMAL(10, 2))",
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_table_of_its_name_is_kept(replica, far, name):
    """Somebody else replaced the table meanwhile: the DROP is set aside, and told."""
    db, other = replica("mine"), replica("yours")
    db.execute("CREATE TABLE c (id INTEGER PRIMARY KEY, name VARCHAR(10), v DECIMAL(10, 2))")
    db.sync()
    other.pull()
    other.execute("DROP TABLE c")
    other.execute(f"CREATE TABLE c {OTHERS[name]}")
    other.push()
    db.execute("DROP TABLE c")
    db.pull()
    assert list(db.changes()["state"]) == ["aside"]
    (conflict,) = db.conflicts().to_dict("records")
    assert conflict["kind"] == "schema"
    same_everywhere(far, [db, other, replica("new")])
