"""Programs for each row of the drop-in table (``docs/from_turso_sync.md``), and what differs on purpose.

A program is text whose last expression is its outcome. ``module`` is the package, ``connect`` makes a new
replica of a database with ``t (id INTEGER PRIMARY KEY, a TEXT)`` of two rows, and ``db`` is one of these.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Differs:
    """A program that ends otherwise on purpose; the row of the table says how and why."""

    program: str
    theirs: str
    ours: str


ROWS = "db.execute('SELECT * FROM t ORDER BY id').fetchall()"
"""All rows."""

PREFIX = "module.PartialSyncOpts(module.PartialSyncPrefixBootstrap(4096), segment_size=8192, prefetch=True)"
QUERY = "module.PartialSyncOpts(module.PartialSyncQueryBootstrap('SELECT * FROM t'))"


def connected(options: str) -> str:
    """Return a program that connects with ``options`` and reads all rows."""
    return f"db = connect({options})\n{ROWS}"


def awaited(*lines: str) -> str:
    """Return a program that runs ``lines`` with ``db``, a connection that is awaited."""
    body = "".join(f"        {line}\n" for line in lines)
    head = "async def run():\n    db = await aio.connect(path(), url)\n    try:\n"
    return f"{head}{body}    finally:\n        await db.close()\nasyncio.run(run())"


def class_of(name: str) -> str:
    """Return a program that looks at an error's class, on the module and on the connection."""
    bases = f"[kind.__name__ for kind in module.{name}.__mro__]"
    return f"{bases}, db.{name} is module.{name}, str(module.{name}('text'))"


MODULE: dict[str, dict[str, str | Differs]] = {
    "connect": {
        "whole": connected(""),
        "by keyword": "db = module.connect(path=path(), remote_url=url)\n" + ROWS,
        "further by position": "module.connect(path(), url, 'token')",
        "no server": "module.connect(path(), 'http://127.0.0.1:9')",
        "no such place": "module.connect(path(), url + '/nothing')",
        "again, and without the address": (
            "place = path()\ndb = module.connect(place, url)\ndb.close()\n"
            "db = module.connect(place, bootstrap_if_empty=False)\n" + ROWS
        ),
        "unknown option": Differs("connect(nothing=1)", "fails TypeError", "fails DatabaseError Error"),
        "what is there": Differs(
            "place = path()\nmodule.connect(place, url)\nos.path.isdir(place)", "False", "True"
        ),
    },
    "ConnectionSync": {
        "kind": "isinstance(db, module.ConnectionSync), db.execute('SELECT 1').fetchone()",
        "name": Differs("module.ConnectionSync.__name__", "'ConnectionSync'", "'Connection'"),
    },
    "PartialSyncOpts": {
        "rows": connected(f"partial_sync_experimental={PREFIX}"),
        "fields": f"one = {PREFIX}\none.segment_size, one.prefetch, one.bootstrap_strategy.length, repr(one)",
        "equal": f"{PREFIX} == {PREFIX}, {PREFIX} == {QUERY}",
        "nothing": "module.PartialSyncOpts()",
        "no strategy": Differs(
            connected("partial_sync_experimental=module.PartialSyncOpts(None)"),
            "[(1, 'one'), (2, None)]",
            "fails DatabaseError Error",
        ),
        "changed": Differs(f"one = {PREFIX}\none.segment_size = 4096\n0", "0", "fails AttributeError"),
    },
    "PartialSyncPrefixBootstrap": {
        "rows": connected(f"partial_sync_experimental={PREFIX}"),
        "no whole page": connected(f"partial_sync_experimental={PREFIX}".replace("4096", "length=5000")),
        "more than there is": connected(f"partial_sync_experimental={PREFIX}".replace("4096", "2**40")),
        "no number": Differs(
            connected(f"partial_sync_experimental={PREFIX}".replace("4096", "'x'")),
            "fails ValueError",
            "fails DatabaseError Error",
        ),
    },
    "PartialSyncQueryBootstrap": {
        "rows": connected(f"partial_sync_experimental={QUERY}"),
        "field": "module.PartialSyncQueryBootstrap(query='SELECT 1').query",
        "one that fails": Differs(
            connected(f"partial_sync_experimental={QUERY}".replace("SELECT * FROM t", "nonsense")),
            "[(1, 'one'), (2, None)]",
            "fails DatabaseError Error OperationalError",
        ),
    },
    "RemoteEncryptionCipher": {
        "names": "sorted(name for name in dir(module.RemoteEncryptionCipher) if name[0].isupper())",
        "equal": (
            "kind = module.RemoteEncryptionCipher\n"
            "kind.Aes256Gcm == kind.Aes256Gcm, kind.Aes256Gcm == kind.Aegis256"
        ),
        "as text": Differs(
            "db = connect(remote_encryption_cipher='Aes256Gcm')\n" + ROWS,
            "fails TypeError",
            "[(1, 'one'), (2, None)]",
        ),
    },
    "apilevel": {"value": "module.apilevel"},
    "paramstyle": {"value": "module.paramstyle"},
    "threadsafety": {
        "value": "module.threadsafety",
        "module shared": (
            "import threading\nsaid = []\ndb.execute('SELECT 1')\n"
            "ask = lambda: said.extend(connect().execute('SELECT count(*) FROM t').fetchall())\n"
            "thread = threading.Thread(target=ask)\nthread.start()\nthread.join()\nsaid"
        ),
    },
    "sqlite_version": {
        "form": "[part.isdigit() for part in module.sqlite_version.split('.')]",
        "asked": "db.execute('SELECT sqlite_version()').fetchone() == (module.sqlite_version,)",
    },
    "sqlite_version_info": {
        "value": "'.'.join(map(str, module.sqlite_version_info)) == module.sqlite_version",
        "compared": "module.sqlite_version_info > (3, 40)",
    },
    "Warning": {"class": class_of("Warning")},
    "Error": {"class": class_of("Error"), "caught": "db.execute('nonsense')"},
    "InterfaceError": {
        "class": class_of("InterfaceError"),
        "too many values": Differs(
            "db.execute('SELECT ?', (1, 2))",
            "fails Error InterfaceError",
            "fails DatabaseError Error ProgrammingError",
        ),
    },
    "DatabaseError": {
        "class": class_of("DatabaseError"),
        "no table": "db.execute('SELECT * FROM nothing')",
        "no column": "db.execute('SELECT nothing FROM t')",
        "table twice": "db.execute('CREATE TABLE t (a)')",
        "nothing to commit": "db.execute('COMMIT')",
        "overflow": "db.execute('SELECT abs(-9223372036854775808)').fetchall()",
    },
    "DataError": {"class": class_of("DataError")},
    "OperationalError": {
        "class": class_of("OperationalError"),
        "limit of time": (
            "db.set_query_timeout(20)\n"
            "many = 'WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n'\n"
            "db.execute(many).fetchall()"
        ),
    },
    "IntegrityError": {
        "class": class_of("IntegrityError"),
        "key": "db.execute(\"INSERT INTO t VALUES (1, 'again')\")",
        "key, and a transaction after it": (
            "try:\n    db.execute(\"INSERT INTO t VALUES (1, 'again')\")\nexcept module.IntegrityError:\n"
            "    pass\ndb.in_transaction"
        ),
        "not null": "db.execute('INSERT INTO checked VALUES (2, NULL)')",
        "check": "db.execute(\"INSERT INTO checked VALUES (2, 'bad')\")",
        "kind of value": "db.execute(\"INSERT INTO t VALUES ('x', 1)\")",
    },
    "InternalError": {"class": class_of("InternalError")},
    "ProgrammingError": {
        "class": class_of("ProgrammingError"),
        "two statements": "db.execute('SELECT 1; SELECT 2')",
        "not to be repeated": "db.executemany('SELECT ?', [(1,)])",
        "closed cursor": "cursor = db.cursor()\ncursor.close()\ncursor.execute('SELECT 1')",
    },
    "NotSupportedError": {"class": class_of("NotSupportedError")},
    "Row": {
        "rows": (
            "db.row_factory = top.Row\none, two = db.execute("
            "\"SELECT 1 AS a, 'x' AS B UNION ALL SELECT 2, 'y'\").fetchall()\n"
            "[one.keys(), one['a'], one['B'], one[-1], one[1:], len(one), list(one), list(reversed(one)),\n"
            " one == two, one != two, one < two, one <= two, one > two, one >= two, one == (1, 'x'),\n"
            " 1 in one, one.index('x'), one.count(1), dict(one), hash(one) == hash(one)]"
        ),
        "derived": (
            "class Mine(top.Row):\n    def double(self):\n        return 2 * self['a']\n"
            "db.row_factory = Mine\ndb.execute('SELECT 4 AS a').fetchone().double()"
        ),
        "made": "top.Row(db.execute('SELECT 1 AS a'), (5,))['a']",
        "unknown": "db.row_factory = top.Row\ndb.execute('SELECT 1 AS a').fetchone()['b']",
        "too far": "db.row_factory = top.Row\ndb.execute('SELECT 1 AS a').fetchone()[1]",
        "other than a tuple": "db.row_factory = top.Row\ndb.execute('SELECT 1').fetchone() < (2,)",
        "case": Differs(
            "db.row_factory = top.Row\ndb.execute('SELECT 1 AS a').fetchone()['A']",
            "fails KeyError LookupError",
            "1",
        ),
        "alike": Differs(
            "db.row_factory = top.Row\ndb.execute('SELECT 1 AS a, 2 AS a').fetchone()['a']", "2", "1"
        ),
    },
    "BatchResult": {
        "fields": "repr(top.BatchResult([(1,)], None, -1, None))",
        "equal": "top.BatchResult([], None, 1, 2) == top.BatchResult([], None, 1, 2)",
        "given": "[vars(one) for one in db.batch(['SELECT 1 AS a', 'UPDATE t SET a = a'])]",
    },
    "turso.aio.sync": {
        "kind": awaited("return type(db).__name__"),
        "by keyword": awaited(
            "one = await db.execute(sql='SELECT ?', parameters=(1,))",
            "two = await db.executemany(sql='INSERT INTO t VALUES (?, ?)', parameters=[(9, 1)])",
            "three = await db.executescript(sql_script='SELECT 1')",
            "return await one.fetchall(), two.rowcount, three.description, await three.fetchall()",
        ),
        "facts": awaited(
            "cursor = db.cursor()",
            "said = [cursor.description, cursor.lastrowid, cursor.rowcount, cursor.arraysize]",
            "await cursor.execute('INSERT INTO t VALUES (9, 1)')",
            "return said, cursor.connection is db, cursor.lastrowid, cursor.rowcount",
        ),
        "fetches": awaited(
            "cursor = await db.execute('SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3')",
            "return await cursor.fetchone(), await cursor.fetchmany(), await cursor.fetchmany(size=5), "
            "await cursor.fetchall(), await cursor.fetchone(), await db.cursor().fetchone()",
        ),
        "arraysize": awaited(
            "cursor = db.cursor()",
            "cursor.arraysize = 2",
            "await cursor.execute('SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3')",
            "return await cursor.fetchmany()",
        ),
        "cursor of one's own": awaited(
            "async with db.cursor(lambda blocking: blocking.cursor()) as cursor:",
            "    await cursor.execute('SELECT 1')",
            "    return await cursor.fetchall()",
        ),
        "closed cursor": awaited(
            "cursor = db.cursor()", "await cursor.close()", "await cursor.close()", "await cursor.fetchone()"
        ),
        "settings": awaited(
            "db.isolation_level = None",
            "db.row_factory = lambda _, row: list(row)",
            "db.autocommit = True",
            "await db.execute('UPDATE t SET a = a')",
            "return db.isolation_level, db.autocommit, await (await db.execute('SELECT 1')).fetchall()",
        ),
        "verbs": awaited(
            "await db.execute('UPDATE t SET a = a')",
            "await db.rollback()",
            "await db.execute('UPDATE t SET a = a')",
            "await db.commit()",
            "await db.push()",
            "await db.checkpoint()",
            "said = [vars(one) for one in await db.batch(statements=['SELECT 1'], mode='deferred')]",
            "return said, bool(await db.pull()), (await db.stats()).cdc_operations",
        ),
        "one after another": awaited(
            "sql = 'INSERT INTO t VALUES (?, ?)'",
            "await asyncio.gather(*(db.execute(sql, (at, at)) for at in range(10, 15)))",
            "return await (await db.execute('SELECT count(*) FROM t')).fetchone()",
        ),
        "error": awaited("await db.execute('nonsense')"),
        "constraint": awaited("await db.execute(\"INSERT INTO t VALUES (1, 'again')\")"),
        "not awaited": (
            "async def run():\n    db = aio.connect(path(), url)\n"
            "    db.row_factory = lambda _, row: list(row)\n"
            "    cursor = await db.execute('SELECT 1')\n    said = await cursor.fetchall()\n"
            "    await db.close()\n    return said\nasyncio.run(run())"
        ),
        "no server": (
            "async def run():\n    await aio.connect(path(), 'http://127.0.0.1:9')\nasyncio.run(run())"
        ),
        "closed": awaited("await db.close()", "await db.close()"),
        **{
            f"closed, then {verb}": awaited("await db.close()", verb)
            for verb in (
                "await db.execute('SELECT 1')",
                "await db.pull()",
                "db.cursor()",
                "db.row_factory = None",
            )
        },
        "closed before it was open": (
            "async def run():\n    db = aio.connect(path(), url)\n    await db.close()\n    await db.pull()\n"
            "asyncio.run(run())"
        ),
        "settings at first": Differs(
            awaited("return db.isolation_level, db.autocommit"), "(None, None)", "('DEFERRED', 'LEGACY')"
        ),
        "unknown level": Differs(
            awaited("db.isolation_level = 'bad'", "return 'not told'"),
            "'not told'",
            "fails DatabaseError Error ProgrammingError",
        ),
    },
}

ARGUMENTS: dict[str, dict[str, str | Differs]] = {
    "path": {
        "memory": "db = module.connect(':memory:', url)\n" + ROWS,
        "kept": (
            "place = path()\ndb = module.connect(place, url)\n"
            "db.execute(\"INSERT INTO t VALUES (9, 'kept')\")\n"
            "db.commit()\ndb.close()\ndb = module.connect(place, url)\n" + ROWS
        ),
        "not committed": (
            "place = path()\ndb = module.connect(place, url)\n"
            "db.execute(\"INSERT INTO t VALUES (9, 'lost')\")\n"
            "db.close()\ndb = module.connect(place, url)\n" + ROWS
        ),
        "twice at once": (
            "place = path()\none = module.connect(place, url)\ndb = module.connect(place, url)\n" + ROWS
        ),
        "a Path": Differs(
            "from pathlib import Path\ndb = module.connect(Path(path()), url)\n" + ROWS,
            "fails TypeError",
            "[(1, 'one'), (2, None)]",
        ),
    },
    "remote_url": {
        "slash": "db = module.connect(path(), url + '/')\n" + ROWS,
        "none": "module.connect(path())",
        "no address": "module.connect(path(), 'nonsense')",
        "callable": Differs(
            "db = module.connect(path(), lambda: url)\n" + ROWS, "fails TypeError", "[(1, 'one'), (2, None)]"
        ),
    },
    "auth_token": {
        "text": connected("auth_token='token'"),
        "callable": connected("auth_token=lambda: 'token'"),
        "callable without one": connected("auth_token=lambda: None"),
        "callable that fails": "connect(auth_token=lambda: 1 / 0)",
    },
    "client_name": {
        "any": connected("client_name='analysis of ä'"),
        "none": connected("client_name=None"),
        "seen there": (
            "db = connect(client_name='seen-there')\ndb.execute('UPDATE t SET a = a')\n"
            "db.commit()\ndb.push()\n"
            "db.pull()\n"
            "sql = \"SELECT client_id FROM turso_sync_last_change_id WHERE client_id LIKE 'seen%'\"\n"
            "{name[:10] for (name,) in db.execute(sql)}"
        ),
        "empty": Differs(
            "db = connect(client_name='')\n" + ROWS, "[(1, 'one'), (2, None)]", "fails DatabaseError Error"
        ),
    },
    "long_poll_timeout_ms": {
        "none": connected("long_poll_timeout_ms=None"),
        "soon": "db = connect(long_poll_timeout_ms=1)\nbool(db.pull())",
        "negative": Differs(
            "connect(long_poll_timeout_ms=-1)",
            "fails ArithmeticError OverflowError",
            "fails DatabaseError Error",
        ),
    },
    "bootstrap_if_empty": {
        "later": (
            "db = connect(bootstrap_if_empty=False)\n"
            "before = db.execute('SELECT count(*) FROM sqlite_master WHERE name = ?', ('t',)).fetchone()\n"
            f"before, bool(db.pull()), {ROWS}"
        ),
        "written before": (
            "db = connect(bootstrap_if_empty=False)\ndb.execute('CREATE TABLE new (a INTEGER PRIMARY KEY)')\n"
            "db.execute('INSERT INTO new VALUES (5)')\ndb.commit()\ndb.pull()\n"
            f"db.execute('SELECT * FROM new').fetchall(), {ROWS}"
        ),
    },
    "partial_sync_experimental": {
        "prefix": connected(f"partial_sync_experimental={PREFIX}"),
        "query": connected(f"partial_sync_experimental={QUERY}"),
        "written and pulled": (
            f"db = connect(partial_sync_experimental={PREFIX})\n"
            f"db.execute('UPDATE t SET a = a WHERE id = 1')\n"
            f"db.commit()\ndb.push()\ndb.pull()\n{ROWS}"
        ),
        "none": connected("partial_sync_experimental=None"),
    },
    "isolation_level": {
        **{
            f"{level}": (
                f"db = connect(isolation_level={level!r})\nbefore = db.isolation_level\n"
                "db.execute('UPDATE t SET a = 1')\nopen = db.in_transaction\ndb.rollback()\n"
                f"before, open, {ROWS}"
            )
            for level in ("DEFERRED", "IMMEDIATE", "EXCLUSIVE", None)
        },
        "changed": (
            "db.isolation_level = None\ndb.execute('UPDATE t SET a = a')\nat_once = db.in_transaction\n"
            "db.isolation_level = 'IMMEDIATE'\ndb.execute('UPDATE t SET a = a')\nat_once, db.in_transaction"
        ),
        "only before a change": "db.execute('SELECT 1')\ndb.execute('CREATE TABLE u (a)')\ndb.in_transaction",
        "unknown": "db = connect(isolation_level='bad')\ndb.execute('UPDATE t SET a = a')",
        "lower case": Differs(
            "connect(isolation_level='immediate').isolation_level", "'immediate'", "'IMMEDIATE'"
        ),
    },
    "push_operations_threshold": {
        "one": (
            "db = connect(push_operations_threshold=1)\nfor at in (71, 72):\n"
            "    db.execute('INSERT INTO checked VALUES (?, ?)', (at, 'x'))\n    db.commit()\n"
            "db.push()\nother = connect()\n"
            "other.execute('SELECT count(*) FROM checked WHERE a IN (71, 72)').fetchall()"
        ),
        "no number of changes": Differs(
            "db = connect(push_operations_threshold=0)\n" + ROWS,
            "[(1, 'one'), (2, None)]",
            "fails DatabaseError Error",
        ),
    },
    "pull_bytes_threshold": {
        "page": connected("pull_bytes_threshold=4096"),
        "no whole page": connected("pull_bytes_threshold=5000"),
        "less than a page": Differs(
            "db = connect(pull_bytes_threshold=1)\n" + ROWS,
            "[(1, 'one'), (2, None)]",
            "fails DatabaseError Error",
        ),
    },
    "remote_encryption_key": {
        "base64": connected("remote_encryption_key='bm90IGEga2V5'"),
        "not to be sent": Differs(
            "db = connect(remote_encryption_key='two words')\n" + ROWS,
            "[(1, 'one'), (2, None)]",
            "fails DatabaseError Error",
        ),
    },
    "remote_encryption_cipher": {
        "each": (
            "kind = module.RemoteEncryptionCipher\n"
            "names = [name for name in dir(kind) if name[0].isupper()]\n"
            "said = []\nfor name in names:\n"
            "    db = connect(remote_encryption_cipher=getattr(kind, name), bootstrap_if_empty=False)\n"
            "    db.execute('CREATE TABLE new (a)')\n    db.execute('INSERT INTO new VALUES (1)')\n"
            "    said.append((name, db.execute('SELECT * FROM new').fetchall()))\nsaid"
        ),
    },
    "experimental_features": {
        "none": connected("experimental_features=None"),
        "empty": connected("experimental_features=''"),
        "one": Differs(
            "db = connect(experimental_features='views')\n" + ROWS,
            "[(1, 'one'), (2, None)]",
            "fails DatabaseError Error",
        ),
    },
    "logical_mvcc_pull": {
        "none": connected("logical_mvcc_pull=None"),
        "no": connected("logical_mvcc_pull=False"),
        "yes": Differs(
            "db = connect(logical_mvcc_pull=True)\n" + ROWS,
            "[(1, 'one'), (2, None)]",
            "fails DatabaseError Error",
        ),
    },
}
