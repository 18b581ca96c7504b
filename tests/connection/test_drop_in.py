"""Programs for Turso's package and for Python's sqlite3 run here with equal results, name by name."""

from __future__ import annotations

import asyncio
import datetime as dt
import inspect
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw
import pytest
from databases import plain_sqlite

import turso_sync_nb as tsn
from turso_sync_nb import aio

if TYPE_CHECKING:
    from collections.abc import Callable

    Program = Callable[[Any, Any, Any], Any]

DOCS = Path(__file__).parents[2] / "docs" / "from_turso_sync.md"

TURSO: dict[str, Program] = {}
"""What is tried on Turso's package and here: by the name that it is about."""

SQLITE3: dict[str, Program] = {}
"""What is tried on Python's sqlite3 and here."""


def tried(programs: dict[str, Program], *names: str) -> Callable[[Program], Program]:
    """Try the function under each of ``names``."""

    def listed(program: Program) -> Program:
        programs.update(dict.fromkeys(names, program))
        return program

    return listed


def error_of(program: Callable[[], object]) -> list[str]:
    """Return the names of PEP 249's classes that the error of ``program`` is of."""
    pep249 = {"IntegrityError", "OperationalError", "ProgrammingError", "DatabaseError", "Error"}
    try:
        program()
    except Exception as error:  # noqa: BLE001 - its class is looked at
        return sorted({one.__name__ for one in type(error).__mro__} & pep249)
    return []


@tried(TURSO, "connect", "auth_token", "client_name", "isolation_level", "bootstrap_if_empty")
def connecting(turso, connect, _db) -> Any:
    """Connect with every plain option, and put off the first pages."""
    with closing(connect("later", bootstrap_if_empty=False, client_name="one", auth_token=lambda: "t")) as db:
        before = db.execute("SELECT count(*) FROM sqlite_master WHERE name = 't'").fetchall()
        pulled = bool(db.pull())
        return before, pulled, db.execute("SELECT count(*) FROM t").fetchall(), db.isolation_level


@tried(
    TURSO, "PartialSyncOpts", "PartialSyncPrefixBootstrap", "partial_sync_experimental",
    "push_operations_threshold", "pull_bytes_threshold", "long_poll_timeout_ms", "experimental_features",
    "logical_mvcc_pull", "remote_encryption_key", "remote_encryption_cipher",
)  # fmt: skip
def other_options(turso, connect, _db) -> Any:
    """Connect with the options of fetching and pushing, and the others at their defaults."""
    lazily = turso.PartialSyncOpts(turso.PartialSyncPrefixBootstrap(4096), segment_size=8192, prefetch=True)
    defaults = dict.fromkeys(
        ("experimental_features", "logical_mvcc_pull", "remote_encryption_key", "remote_encryption_cipher")
    )
    sizes = {"push_operations_threshold": 10, "pull_bytes_threshold": 65536, "long_poll_timeout_ms": 1}
    with closing(connect("lazy", partial_sync_experimental=lazily, **defaults, **sizes)) as db:
        return db.execute("SELECT * FROM t").fetchall()


@tried(TURSO, "PartialSyncQueryBootstrap")
def by_query(turso, connect, _db) -> Any:
    """Begin with the pages of a query."""
    lazily = turso.PartialSyncOpts(turso.PartialSyncQueryBootstrap("SELECT * FROM t"))
    with closing(connect("query", partial_sync_experimental=lazily)) as db:
        return db.execute("SELECT * FROM t").fetchall()


@tried(TURSO, "pull", "push", "checkpoint", "stats")
def synchronizing(_turso, connect, db) -> Any:
    """Push, pull in another replica, look at the figures, move the log."""
    with closing(connect("other")) as other:
        db.execute("INSERT INTO t VALUES (10, 'pushed')")
        db.commit()
        waiting = db.stats().cdc_operations > 0
        db.push()
        told = bool(other.pull()), bool(other.pull())
        db.checkpoint()
        figures = other.stats()
        named = [figures.last_pull_unix_time > 0, figures.last_push_unix_time, figures.revision != ""]
        sizes = [figures.main_wal_size >= 0, figures.revert_wal_size >= 0]
        network = [figures.network_sent_bytes > 0, figures.network_received_bytes > 0]
        rows = other.execute("SELECT * FROM t ORDER BY id").fetchall()
        return waiting, told, named, sizes, network, rows, db.stats().last_push_unix_time > 0


@tried(TURSO, "apilevel", "paramstyle", "threadsafety", "sqlite_version", "sqlite_version_info")
def module_facts(turso, _connect, _db) -> Any:
    """Read the facts of the module."""
    version = turso.sqlite_version
    same = tuple(map(int, version.split("."))) == turso.sqlite_version_info
    return turso.apilevel, turso.paramstyle, turso.threadsafety, same, turso.sqlite_version_info > (3, 40)


@tried(TURSO, "Error", "DatabaseError", "IntegrityError", "OperationalError", "ProgrammingError",
       "InterfaceError", "DataError", "InternalError", "NotSupportedError", "Warning")  # fmt: skip
def errors(turso, _connect, db) -> Any:
    """Meet errors, and find their classes on the module and on the connection."""
    names = ["Error", "DatabaseError", "IntegrityError", "OperationalError", "ProgrammingError",
             "InterfaceError", "DataError", "InternalError", "NotSupportedError", "Warning"]  # fmt: skip
    on_connection = [getattr(db, name) is getattr(turso, name) for name in names]
    classes = [[base.__name__ for base in getattr(turso, name).__mro__[:-3]] for name in names]
    met = [
        error_of(lambda: db.execute("INSERT INTO t VALUES (1, 'again')")),
        error_of(lambda: db.executemany("SELECT ?", [(1,)])),
        error_of(lambda: db.execute("SELECT 1; SELECT 2")),
    ]
    db.rollback()
    return on_connection, classes, met


@tried(TURSO, "ConnectionSync")
def kind(turso, _connect, db) -> Any:
    """Look at the kind of a connection."""
    return isinstance(db, turso.ConnectionSync)


@tried(TURSO, "execute", "executemany", "executescript", "cursor", "commit", "rollback", "in_transaction",
       "description", "rowcount", "lastrowid", "fetchone", "fetchmany", "fetchall", "arraysize",
       "setinputsizes", "setoutputsize", "close", "with")  # fmt: skip
def running(_turso, _connect, db) -> Any:
    """Run statements every way, and look at all that a cursor says."""
    said: list[Any] = []
    cursor = db.cursor()
    said += [cursor.lastrowid, cursor.rowcount, cursor.arraysize, cursor.description]
    cursor.execute("INSERT INTO t VALUES (?, ?)", (20, "x"))
    said += [cursor.lastrowid, cursor.rowcount, db.in_transaction]
    cursor.executemany("INSERT INTO t VALUES (?, ?)", [(21, "y"), (22, "z")])
    said += [cursor.lastrowid, cursor.rowcount]
    db.rollback()
    said += [db.in_transaction, db.execute("SELECT count(*) FROM t WHERE id >= 20").fetchone()]
    with db:
        db.execute("INSERT INTO t VALUES (:id, :a)", {"id": 30, "a": "named"})
    db.executescript("INSERT INTO t VALUES (31, 's'); UPDATE t SET a = 'S' WHERE id = 31;")
    cursor = db.cursor()
    cursor.setinputsizes([1])
    cursor.setoutputsize(1)
    cursor.execute("SELECT id, a AS named FROM t WHERE id >= 30 ORDER BY id")
    said += [[column[0] for column in cursor.description], cursor.connection is db]
    said += [cursor.fetchone(), cursor.fetchmany(5), cursor.fetchall(), cursor.fetchone()]
    said += [[row for row in db.execute("SELECT 1 UNION ALL SELECT 2")]]  # noqa: C416 - it is iterated
    cursor.close()
    said += [error_of(lambda: cursor.execute("SELECT 1"))]
    return said


@tried(TURSO, "Row", "row_factory")
def rows(turso, _connect, db) -> Any:
    """Read rows by place and name; ``turso.Row`` is not among the names of ``turso.sync`` itself."""
    row_class = tsn.Row if turso is tsn else __import__("turso").Row
    db.row_factory = row_class
    one, two = db.execute("SELECT 1 AS a, 'x' AS b UNION ALL SELECT 1, 'x'").fetchall()
    plain = [one.keys(), one["a"], one[1], one[-1], one[:1], list(one), len(one)]
    plain += [one == two, hash(one) == hash(two)]
    db.row_factory = lambda cursor, row: {column[0]: row[at] for at, column in enumerate(cursor.description)}
    made = db.execute("SELECT 1 AS a").fetchone()
    db.row_factory = None
    return plain, one == (1, "x"), one >= two, error_of_lookup(lambda: one["no"]), made


def error_of_lookup(program: Callable[[], object]) -> bool:
    """Say whether ``program`` fails as a dict's lookup does."""
    try:
        program()
    except KeyError:
        return True
    return False


@tried(TURSO, "batch", "BatchResult")
def batches(_turso, _connect, db) -> Any:
    """Run batches with and without a transaction, and one that fails."""
    results = db.batch(["INSERT INTO t VALUES (40, 'b')", ("SELECT a FROM t WHERE id = ?", (40,))])
    said = [vars(one) for one in results]
    said += [vars(one) for one in db.batch([("UPDATE t SET a = :a WHERE id = 40", {"a": "c"})], "immediate")]
    for mode in (None, "deferred"):
        try:
            db.batch(["INSERT INTO t VALUES (41, 'b')", "INSERT INTO t VALUES (1, 2)", "SELECT 1"], mode)
        except Exception as error:  # noqa: BLE001 - what it carries is looked at
            carried = [one and vars(one) for one in error.batch_results]
            said += [error.batch_index, carried, "batch statement 1 failed" in str(error)]
            said += [error_of(lambda error=error: throw(error))]
        said += [db.in_transaction, db.execute("SELECT count(*) FROM t WHERE id = 41").fetchall()]
        db.execute("DELETE FROM t WHERE id = 41")
        db.commit()
    said += [db.batch([]), error_of(lambda: db.batch(["SELECT 1"], "sometimes"))]
    return [*said, error_of(lambda: db.batch([5])), error_of(lambda: db.batch(["BEGIN"], "deferred"))]


def throw(error: Exception) -> None:
    """Raise it."""
    raise error


@tried(TURSO, "set_query_timeout", "get_query_timeout", "interrupt")
def limits(_turso, _connect, db) -> Any:
    """Set a limit to statements, and take it away."""
    db.interrupt()
    long = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    db.set_query_timeout(20)
    said = [db.get_query_timeout(), error_of(lambda: db.execute(long).fetchall())]
    db.set_query_timeout(0)
    said += [db.get_query_timeout(), db.execute("SELECT 1").fetchall()]
    return [*said, error_of(lambda: db.set_query_timeout(-1))]


@tried(TURSO, "autocommit")
def autocommit(_turso, _connect, db) -> Any:
    """Switch to SQLite's own transactions and back."""
    said = [db.autocommit]
    db.autocommit = True
    db.execute("INSERT INTO t VALUES (50, 'at once')") if db.isolation_level is None else None
    said += [db.autocommit]
    db.rollback()
    db.autocommit = "LEGACY"
    return [*said, db.autocommit, error_of(lambda: setattr(db, "autocommit", "no"))]


@tried(TURSO, "text_factory")
def texts(_turso, _connect, db) -> Any:
    """Look at what makes texts."""
    return db.text_factory is str, db.execute("SELECT 'a'").fetchone()


@tried(SQLITE3, "text_factory")
def texts_made(_module, db, _target) -> Any:
    """Have texts as bytes, or made by a function."""
    said = []
    for factory in (str, bytes, bytearray, lambda data: data.decode().upper()):
        db.text_factory = factory
        sql = "SELECT 'zürich', 1, x'00', NULL, '' UNION ALL SELECT 2, 'b', 1, 1, 1"
        said.append(db.execute(sql).fetchall())
    db.text_factory = str
    return said


@tried(SQLITE3, "Row", "sqlite3.Row")
def rows_of_sqlite3(_module, db, _target) -> Any:
    """Use ``sqlite3.Row`` itself."""
    db.row_factory = sqlite3.Row
    one, two = db.execute("SELECT 1 AS a, 2 AS B, 3 AS a UNION ALL SELECT 1, 2, 3").fetchall()
    cursor = db.cursor()
    cursor.row_factory = sqlite3.Row
    other = cursor.execute("SELECT 1 AS c").fetchone()
    db.row_factory = None
    lookups = [one["A"], one["b"], one[0], one[-1], one[:2], tuple(one), dict(other), len(one), other["c"]]
    try:
        one["no"]
    except IndexError as error:
        lookups.append(isinstance(error, IndexError))
    return lookups, one.keys(), one == two, one == other, hash(one) == hash(two), one == (1, 2, 3)


@tried(SQLITE3, "Binary", "Date", "Time", "Timestamp", "DateFromTicks", "TimeFromTicks", "TimestampFromTicks")
def constructors(module, db, _target) -> Any:
    """Make values with PEP 249's constructors."""
    bound = db.execute("SELECT ?", (module.Binary(b"\0\1"),)).fetchone()
    made = [module.Date(2024, 2, 29), module.Time(1, 2, 3), module.Timestamp(2024, 2, 29, 1, 2, 3)]
    ticks = dt.datetime(2024, 7, 1, 12, 30, 5).timestamp()  # noqa: DTZ001 - local, as PEP 249 has it
    made += [module.DateFromTicks(ticks), module.TimeFromTicks(ticks), module.TimestampFromTicks(ticks)]
    return bound, made


@tried(SQLITE3, "lastrowid")
def last_rowids(_module, db, _target) -> Any:
    """Ask for the last rowid after statements of every kind."""
    db.execute("CREATE TEMP TABLE numbered (a INTEGER PRIMARY KEY, b UNIQUE)")
    cursor, other = db.cursor(), db.cursor()
    said = [cursor.lastrowid]
    statements = (
        "INSERT INTO numbered VALUES (7, 1)",
        "INSERT OR IGNORE INTO numbered VALUES (8, 1)",
        "SELECT 1",
        "REPLACE INTO numbered VALUES (9, 1)",
        "WITH w(a) AS (SELECT 30) INSERT INTO numbered SELECT a, a FROM w",
        "UPDATE numbered SET b = b",
    )
    said += [cursor.execute(sql).lastrowid for sql in statements]
    said += [cursor.executemany("INSERT INTO numbered VALUES (?, ?)", [(40, 40)]).lastrowid, other.lastrowid]
    said += [error_of(lambda: cursor.execute("INSERT INTO numbered VALUES (99, 1)")), cursor.lastrowid]
    said.append(cursor.executescript("INSERT INTO numbered VALUES (50, 50)").lastrowid)
    return [*said, other.execute("SELECT 1").lastrowid]


@tried(SQLITE3, "iterdump", "backup")
def copies(_module, db, target) -> Any:
    """Copy the database as SQL, and into another connection."""
    script = "\n".join(line for line in db.iterdump() if "turso_sync" not in line)
    with closing(sqlite3.connect(":memory:")) as again:
        again.executescript(script)
        from_text = list(again.iterdump())
    steps: list[tuple[int, int, int]] = []
    db.backup(target, pages=1, progress=lambda *step: steps.append(step))
    copied = [line for line in target.iterdump() if "turso_sync" not in line]
    return from_text, copied, steps[-1][:2], len(steps) > 1


SOURCE = '''
CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT);
INSERT INTO t VALUES (1, 'one'), (2, 'two'), (3, NULL);
CREATE TABLE "odd ""name""" ("a b" BLOB, c REAL, d AS (c + 1));
INSERT INTO "odd ""name""" VALUES (x'00ff', 1.5), ('it''s', 1e300), (NULL, -0.0);
CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, v);
INSERT INTO counted (v) VALUES (1), (2);
CREATE INDEX t_a ON t(a);
CREATE VIEW seen AS SELECT a FROM t;
CREATE TRIGGER counts AFTER DELETE ON t BEGIN DELETE FROM counted; END;
'''


@pytest.fixture
def plain(tmp_path) -> Path:
    """A database with every kind of object."""
    path = tmp_path / "plain.db"
    with closing(sqlite3.connect(path)) as raw:
        raw.executescript(SOURCE)
    return path


@pytest.fixture
def simple(tmp_path) -> Path:
    """A database that Turso's engine reads."""
    path = tmp_path / "simple.db"
    with closing(sqlite3.connect(path)) as raw:
        raw.executescript(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t VALUES (1, 'one'), (2, NULL)"
        )
    return path


def test_programs_for_turso_sync(tursodb, simple, tmp_path, pyturso):
    """Each name of ``turso.sync`` does here what it does there, on a real server."""
    said: dict[str, dict[str, Any]] = {}
    for module in (pyturso, tsn):
        url, said[module.__name__] = tursodb(simple).url, {}
        folder = tmp_path / module.__name__
        folder.mkdir()

        def connect(name: str, folder=folder, module=module, url=url, **options: Any) -> Any:
            return module.connect(str(folder / f"{name}.db"), url, **options)

        with closing(connect("main")) as db:
            for program in dict.fromkeys(TURSO.values()):
                said[module.__name__][program.__name__] = program(module, connect, db)
    assert said["turso_sync_nb"] == said["turso.sync"]


def test_programs_for_sqlite3(embedded, plain, connect):
    """Each name of Python's sqlite3 does here what it does there."""
    db = connect(embedded(plain).url)
    said = {}
    with closing(sqlite3.connect(plain)) as theirs:
        for module, tried_on in ((sqlite3, theirs), (tsn, db)):
            target, programs = plain_sqlite(), dict.fromkeys(SQLITE3.values())
            said[module] = {program.__name__: program(module, tried_on, target) for program in programs}
    assert said[tsn] == said[sqlite3]


async def awaited(module: Any, path: str, url: str) -> Any:
    """Use every name of a connection that is awaited."""
    db = await module.connect(path, url, isolation_level="IMMEDIATE", client_name="awaiting")
    cursor = await db.execute("INSERT INTO t VALUES (?, ?)", (60, "awaited"))
    said: list[Any] = [cursor.rowcount, cursor.lastrowid, cursor.description]
    await db.commit()
    await db.executemany("INSERT INTO t VALUES (?, ?)", [(61, "x"), (62, "y")])
    await db.rollback()
    await db.executescript("INSERT INTO t VALUES (63, 's');")
    await db.push()
    said += [bool(await db.pull()), (await db.stats()).network_sent_bytes > 0]
    db.row_factory = lambda _cursor, row: list(row)
    async with db.cursor() as cursor:
        await cursor.execute("SELECT id FROM t ORDER BY id")
        said += [await cursor.fetchone(), await cursor.fetchmany(), await cursor.fetchmany(2)]
        said += [await cursor.fetchall()]
        said += [[column[0] for column in cursor.description]]
    db.row_factory = None
    said += [vars(one) for one in await db.batch(["INSERT INTO t VALUES (64, 'b')"], mode="immediate")]
    db.text_factory = str
    said += [db.row_factory, db.text_factory is str]
    await db.checkpoint()
    await db.close()
    await db.close()
    async with module.connect(path, url) as again:
        return [*said, await (await again.execute("SELECT count(*) FROM t")).fetchone()]


def test_programs_for_turso_aio_sync(tursodb, simple, tmp_path, pyturso):
    """Connections that are awaited, as ``turso.aio.sync`` has them."""
    theirs = pytest.importorskip("turso.lib_sync_aio", reason="pyturso")
    names = {"turso": theirs.connect_sync, "ours": aio.connect}

    async def run(name: str) -> Any:
        face = type("Face", (), {"connect": staticmethod(names[name])})
        return await awaited(face, str(tmp_path / f"{name}.db"), tursodb(simple).url)

    assert asyncio.run(run("ours")) == asyncio.run(run("turso"))


def test_verbs_that_are_awaited_together_keep_their_order(embedded, simple, tmp_path):
    """Tasks of one connection run one after another; settings before it is open are kept."""

    async def run() -> list[Any]:
        db = aio.connect(tmp_path / "together", embedded(simple).url)
        db.isolation_level = None
        insert = "INSERT INTO t VALUES (?, 'x')"
        await asyncio.gather(*(db.execute(insert, (number,)) for number in range(10, 20)))
        found = await (await db.execute("SELECT count(*) FROM t WHERE id >= 10")).fetchone()
        level = db.isolation_level
        await db.close()
        return [found, level]

    assert asyncio.run(run()) == [(10,), None]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"experimental_features": "views"}, "Turso's own engine"),
        ({"logical_mvcc_pull": True}, "MVCC"),
        ({"protocol": "v2"}, "protocol is none that is known"),
        ({"wal_pull_batch_size": 100}, "legacy protocol"),
        ({"protocol": "legacy", "wal_pull_batch_size": 0}, "no number of frames"),
        ({"unknown": 1}, "there is no option 'unknown'"),
        ({"client_name": ""}, "client_name"),
        ({"client_name": 5}, "client_name"),
    ],
)
def test_options_that_are_refused(tmp_path, options, reason):
    """Each with its reason, before anything is made."""
    with pytest.raises(tsn.UsageError, match=reason):
        tsn.connect(tmp_path / "r", "http://127.0.0.1:9", **options)
    assert not (tmp_path / "r").exists()


def test_row_factories_that_are_refused(embedded, simple, connect, tmp_path):
    """A class made from ``sqlite3.Row`` cannot work, nor can what is not called; the hint says what does."""
    db = connect(embedded(simple).url)
    for factory in (type("Mine", (sqlite3.Row,), {}), 5):
        with pytest.raises(tsn.UsageError, match=r"turso_sync_nb\.Row"):
            db.row_factory = factory
    with pytest.raises(tsn.NotSupportedError, match="hold back every pull"):
        db.autocommit = False
    with pytest.raises(tsn.UsageError, match="sqlite3"):
        db.backup(db)
    with pytest.raises(tsn.UsageError, match="only main"):
        db.backup(plain_sqlite(), name="temp")
    target = apsw.Connection(str(tmp_path / "target.db"))
    db.backup(target)
    assert target.execute("SELECT count(*) FROM t").get == 2
    target.close()


def test_every_name_is_in_the_table():
    """The table in the docs has all names of ``turso.sync``, its connections and options; each was tried."""
    tables, _ = DOCS.read_text().split("## Options of the sync engine")
    tables = re.sub(
        r"## SQLAlchemy\n.*?(?=\n## )", "", tables, flags=re.DOTALL
    )  # test_drop_in_rows has these
    listed = set(re.findall(r"^\| `([^`]+)`", tables, re.MULTILINE))
    theirs = pytest.importorskip("turso.sync", reason="pyturso")
    assert set(pytest.importorskip("turso.aio.sync", reason="pyturso").__all__) <= set(aio.__all__)
    cursor, connection = __import__("turso").Cursor, theirs.ConnectionSync
    known = {
        *theirs.__all__,
        *inspect.signature(theirs.connect).parameters,
        *(name for kind in (connection, cursor) for name in dir(kind) if not name.startswith("_")),
        "Row", "BatchResult", "row_factory", "text_factory", "arraysize",
    }  # fmt: skip
    assert known <= listed, known - listed
    tried_elsewhere = {"path", "remote_url", "connection", "turso.aio.sync", "RemoteEncryptionCipher"}
    assert listed == set(TURSO) | set(SQLITE3) | tried_elsewhere
