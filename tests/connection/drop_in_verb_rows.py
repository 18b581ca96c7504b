"""Programs for the rows of the drop-in table about connections and cursors; see ``drop_in_rows``."""

from __future__ import annotations

from drop_in_rows import ROWS, Differs

TWO = "SELECT 1 UNION ALL SELECT 2"
MANY = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
CURSOR = "cursor = db.cursor()\n"
FAILS = "fails DatabaseError Error ProgrammingError"


def facts(*statements: str, fact: str) -> str:
    """Return a program that asks a cursor for ``fact`` after each statement."""
    return f"{CURSOR}[cursor.execute(sql).{fact} for sql in {list(statements)!r}]"


def bound(sql: str, parameters: str) -> str:
    """Return a program that binds ``parameters``."""
    return f"db.execute({sql!r}, {parameters}).fetchall()"


VERBS: dict[str, dict[str, str | Differs]] = {
    "pull": {
        "news": (
            "other = connect()\ndb.execute(\"INSERT INTO checked VALUES (100, 'new')\")\n"
            "db.commit()\ndb.push()\n"
            "bool(other.pull()), bool(other.pull()), "
            "other.execute('SELECT b FROM checked WHERE a = 100').fetchall()"
        ),
        "what was changed here stays": (
            "db.execute(\"INSERT INTO checked VALUES (101, 'here')\")\ndb.commit()\ndb.pull()\n"
            "db.execute('SELECT b FROM checked WHERE a = 101').fetchall(), db.in_transaction"
        ),
        "result": Differs("db.pull() is False", "True", "False"),
        "amid a transaction": Differs(
            "db.execute('UPDATE t SET a = a')\nbool(db.pull())", "False", "fails DatabaseError Error"
        ),
        "amid a query": Differs(
            f"cursor = db.execute({TWO!r})\ncursor.fetchone()\nbool(db.pull())",
            "False",
            "fails DatabaseError Error",
        ),
    },
    "push": {
        "twice": (
            "db.execute(\"INSERT INTO checked VALUES (110, 'once')\")\ndb.commit()\ndb.push()\ndb.push()\n"
            "connect().execute('SELECT count(*) FROM checked WHERE a = 110').fetchall()"
        ),
        "nothing": "db.push()\n" + ROWS,
        "a table": (
            "db.execute('CREATE TABLE made (a INTEGER PRIMARY KEY, b)')\n"
            "db.execute('INSERT INTO made VALUES (1, 1.5)')\ndb.commit()\ndb.push()\n"
            "connect().execute('SELECT * FROM made').fetchall()"
        ),
        "result": Differs("db.push() is None", "True", "False"),
        "amid a transaction": Differs(
            "db.execute('UPDATE t SET a = a')\ndb.push()", "None", "fails DatabaseError Error"
        ),
    },
    "checkpoint": {
        "rows": (
            "db.execute('UPDATE t SET a = a')\ndb.commit()\ndb.checkpoint()\n"
            f"{ROWS}, db.stats().main_wal_size >= 0"
        ),
        "twice": "db.checkpoint()\ndb.checkpoint()\n" + ROWS,
        "result": Differs("db.checkpoint() is None", "True", "False"),
    },
    "stats": {
        "figures": (
            "one = db.stats()\n{name: type(getattr(one, name)).__name__ for name in ("
            "'cdc_operations', 'last_pull_unix_time', 'last_push_unix_time', 'main_wal_size', "
            "'network_received_bytes', 'network_sent_bytes', 'revert_wal_size', 'revision')}"
        ),
        "waiting": (
            "said = [db.stats().cdc_operations]\nfor sql in ("
            "\"INSERT INTO checked VALUES (120, 'a')\", \"UPDATE checked SET b = 'b' WHERE a = 120\", "
            "'DELETE FROM checked WHERE a = 120'):\n    db.execute(sql)\n    db.commit()\n"
            "    said.append(db.stats().cdc_operations)\n"
            "db.push()\n[*said, db.stats().cdc_operations, db.stats().last_push_unix_time > 0]"
        ),
        "not committed": Differs(
            "db.execute('UPDATE t SET a = a')\ndb.stats().cdc_operations > 0", "False", "True"
        ),
        "further": Differs("hasattr(db.stats(), 'pages_resident')", "False", "True"),
    },
    "execute": {
        "by keyword": (
            "db.execute(sql='SELECT ?', parameters=(1,)).fetchall(), "
            "db.cursor().execute(sql='SELECT ?', parameters=(2,)).fetchall()"
        ),
        "comments": "db.execute('/* a */ SELECT 1; -- b').fetchall(), db.execute('SELECT 2;;').fetchall()",
        "values": bound(
            "SELECT ?, ?, ?, ?, ?, ?, typeof(?)",
            "[None, 2**63 - 1, -0.0, 'ä\\0', b'\\0a', float('inf'), True]",
        ),
        "not a number": bound("SELECT ?", "(float('nan'),)"),
        "numbered": bound("SELECT ?2, ?1", "(1, 2)"),
        "named": bound("SELECT :a, @b, $c, :a", "{'a': 1, 'b': 2, 'c': 3, 'more': 4}"),
        "named, by place": bound("SELECT :a, :b", "(1, 2)"),
        "iterators": bound("SELECT ?", "iter([1])"),
        "range": bound("SELECT ?, ?", "range(2)"),
        "object": bound("SELECT ?", "(object(),)"),
        "list in a list": bound("SELECT ?", "([1],)"),
        "half of a pair": bound("SELECT ?", "('\\ud800',)"),
        "functions": (
            "db.execute(\"SELECT upper('ä'), length('ä'), date('2024-01-31', '+1 month'), "
            "json_extract('[1, 2]', '$[1]'), printf('%d %s', 1, 'a')\").fetchall()"
        ),
        "empty": Differs("db.execute('').fetchall()", FAILS, "[]"),
        "too few values": Differs(bound("SELECT ?, ?", "(1,)"), "[(1, None)]", FAILS),
        "name without a value": Differs(bound("SELECT :a, :b", "{'a': 1}"), "[(1, None)]", FAILS),
        "text for values": Differs(bound("SELECT ?, ?", "'ab'"), "[('a', 'b')]", FAILS),
        "too large": Differs(bound("SELECT typeof(?)", "(2**63,)"), "[('real',)]", FAILS),
        "decimal": Differs(bound("SELECT ?", "(__import__('decimal').Decimal('1.5'),)"), "[(1.5,)]", FAILS),
        "date": Differs(
            bound("SELECT ?", "(__import__('datetime').date(2024, 1, 2),)"),
            "fails DatabaseError Error",
            "[('2024-01-02',)]",
        ),
        "bytearray": Differs(
            bound("SELECT ?", "(bytearray(b'a'),)"), "fails DatabaseError Error", "[(b'a',)]"
        ),
        "no text": Differs("db.execute(5)", "fails TypeError", FAILS),
        "attach": Differs(
            "db.execute(\"ATTACH ':memory:' AS other\").fetchall()", "fails DatabaseError Error", "[]"
        ),
    },
    "executemany": {
        "by keyword": (
            "sql = 'INSERT INTO t VALUES (?, ?)'\n"
            "db.executemany(sql=sql, parameters=[(201, 1)]).rowcount, "
            "db.cursor().executemany(sql=sql, seq_of_parameters=[(202, 2)]).rowcount"
        ),
        "generator": (
            "db.executemany('INSERT INTO t VALUES (?, ?)', ((at, 'x') for at in (203, 204))).rowcount, "
            + ROWS
        ),
        "named": "db.executemany('INSERT INTO t VALUES (:id, :a)', [{'id': 205, 'a': 1}]).rowcount, " + ROWS,
        "returning": (
            "cursor = db.executemany('INSERT INTO t VALUES (?, ?) RETURNING id', [(206, 1)])\n"
            "cursor.description, cursor.fetchall()"
        ),
        "with": "db.executemany('WITH w AS (SELECT 1) INSERT INTO t SELECT ?, ?', [(1, 1)])",
        "definition": "db.executemany('CREATE TABLE u (a)', [()])",
        "two statements": "db.executemany('INSERT INTO t VALUES (?, ?); SELECT 1', [(207, 1)])",
        "one that fails": Differs(
            "try:\n    db.executemany('INSERT INTO t VALUES (?, ?)', [(208, 1), (208, 1)])\n"
            "except module.IntegrityError:\n    pass\ndb.execute('SELECT id FROM t').fetchall()",
            "[(1,), (2,), (208,)]",
            "[(1,), (2,)]",
        ),
        "none": Differs(
            "db.executemany('INSERT INTO t VALUES (?, ?)', []).rowcount, db.in_transaction",
            "(-1, True)",
            "(0, True)",
        ),
    },
    "executescript": {
        "by keyword": "db.executescript(sql_script='SELECT 1').rowcount",
        "empty": "db.executescript('').rowcount, db.executescript('-- nothing').rowcount",
        "rows": f"cursor = db.executescript({TWO!r})\ncursor.description, cursor.fetchall(), cursor.rowcount",
        "commits before": (
            "db.execute(\"INSERT INTO t VALUES (301, 'x')\")\ndb.executescript('SELECT 1')\n"
            f"said = db.in_transaction\ndb.rollback()\nsaid, {ROWS}"
        ),
        "a transaction in it": (
            "db.executescript(\"BEGIN; INSERT INTO t VALUES (302, 'x')\")\nsaid = db.in_transaction\n"
            f"db.rollback()\nsaid, {ROWS}"
        ),
        "trigger": (
            "db.executescript('CREATE TRIGGER g AFTER DELETE ON checked BEGIN SELECT 1; SELECT 2; END;"
            " SELECT 3').fetchall()"
        ),
        "one that fails": (
            "try:\n    db.executescript(\"INSERT INTO t VALUES (303, 'x'); nonsense\")\n"
            f"except module.DatabaseError:\n    pass\ndb.in_transaction, {ROWS}"
        ),
        "value that is not given": Differs(
            'db.executescript("INSERT INTO t VALUES (304, ?)")\n' + ROWS,
            "[(1, 'one'), (2, None), (304, None)]",
            FAILS,
        ),
    },
    "batch": {
        "by keyword": "vars(db.batch(statements=['SELECT 1 AS a'], mode='deferred')[0])",
        "forms": (
            "[one.rows for one in db.batch(iter(['SELECT 1', ('SELECT ?', (2,)), ['SELECT ?', [3]], "
            "('SELECT :a', {'a': 4})]))]"
        ),
        "joins a transaction": (
            "db.execute(\"INSERT INTO t VALUES (401, 'x')\")\n"
            "db.batch([\"INSERT INTO t VALUES (402, 'x')\"], "
            f"'immediate')\nsaid = db.in_transaction\ndb.rollback()\nsaid, {ROWS}"
        ),
        "transaction in it": (
            f"db.batch(['BEGIN', \"INSERT INTO t VALUES (403, 'x')\", 'ROLLBACK'])\ndb.in_transaction, {ROWS}"
        ),
        "transaction in one": "db.batch(['/* a */ BEGIN'], 'deferred')",
        "no statement": "db.batch([5])",
        "no statements": "db.batch([]), db.batch([], 'deferred')",
        "three": "db.batch([('SELECT ?', (1,), 2)])",
        "case of the mode": "db.batch(['SELECT 1'], 'IMMEDIATE')[0].rows, db.in_transaction",
        "unknown mode": "db.batch(['SELECT 1'], 'sometimes')",
        "mode of another kind": "db.batch(['SELECT 1'], 5)",
        "what failed": (
            "said = None\ntry:\n    db.batch(['SELECT 1 AS a', 'nonsense', 'SELECT 2'])\n"
            "except module.DatabaseError as error:\n"
            "    said = error.batch_index, [one and vars(one) for one in error.batch_results]\nsaid"
        ),
        "concurrent": "db.batch(['SELECT 1'], 'concurrent')",
        "infinite": Differs(
            "db.batch([('SELECT ?', (float('inf'),))])[0].rows", "fails ValueError", "[(inf,)]"
        ),
    },
    "cursor": {
        "class": (
            "class Mine(type(db.cursor())):\n    pass\n"
            "type(db.cursor(Mine)).__name__, type(db.cursor(factory=Mine)).__name__, db.cursor(None) is None"
        ),
        "several": (
            f"one, two = db.execute({TWO!r}), db.execute({TWO!r})\n"
            "one.fetchone(), two.fetchone(), one.fetchone(), two.fetchone()"
        ),
        "iterated": f"cursor = db.execute({TWO!r})\niter(cursor) is cursor, next(cursor), list(cursor)",
    },
    "commit": {
        "nothing": "db.commit(), db.in_transaction",
        "savepoint": (
            "db.execute('SAVEPOINT a')\ndb.execute(\"INSERT INTO t VALUES (501, 'x')\")\n"
            f"db.execute('ROLLBACK TO a')\ndb.execute('RELEASE a')\ndb.in_transaction, {ROWS}"
        ),
        "begun": "db.execute('BEGIN')\nsaid = db.in_transaction\ndb.commit()\nsaid, db.in_transaction",
        "begun twice": "db.execute('BEGIN')\ndb.execute('BEGIN')",
        "amid a query": f"cursor = db.execute({TWO!r})\ncursor.fetchone()\ndb.commit()\ncursor.fetchall()",
    },
    "rollback": {
        "nothing": "db.rollback(), db.in_transaction",
        "a table": (
            "db.execute(\"INSERT INTO t VALUES (502, 'x')\")\n"
            "db.execute('CREATE TABLE u (a)')\ndb.rollback()\n"
            f"{ROWS}, db.execute(\"SELECT count(*) FROM sqlite_master WHERE name = 'u'\").fetchone()"
        ),
    },
    "close": {
        "twice": "db.close(), db.close()",
        "statement": "db.close()\ndb.execute('SELECT 1').fetchall()",
        "interrupt": "db.close()\ndb.interrupt()",
        "cursor": (
            f"cursor = db.execute({TWO!r})\ncursor.close()\ncursor.close()\n"
            "cursor.connection is db, cursor.setinputsizes([1])"
        ),
        "fetch": "cursor = db.execute('SELECT 1')\ncursor.close()\ncursor.fetchone()",
        "commit": Differs("db.close()\ndb.commit()", "None", FAILS),
        "pull": Differs("db.close()\nbool(db.pull())", "False", FAILS),
    },
    "with": {
        "done": (
            "with db as same:\n    db.execute(\"INSERT INTO t VALUES (601, 'x')\")\n"
            f"same is db, db.in_transaction, {ROWS}"
        ),
        "error": "with db:\n    db.execute(\"INSERT INTO t VALUES (602, 'x')\")\n    raise KeyError",
        "after an error": (
            "try:\n    with db:\n        db.execute(\"INSERT INTO t VALUES (603, 'x')\")\n"
            "        raise KeyError\n"
            f"except KeyError:\n    pass\ndb.in_transaction, {ROWS}"
        ),
        "commit that fails": Differs(
            "db.execute('PRAGMA foreign_keys = ON')\n"
            "db.execute('CREATE TABLE c (t REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED)')\n"
            "with db:\n    db.execute('INSERT INTO c VALUES (99)')\n'not told'",
            "'not told'",
            "fails DatabaseError Error IntegrityError",
        ),
    },
    "in_transaction": {
        "read": "db.execute('SELECT * FROM t').fetchall()\ndb.in_transaction",
        "changed": "db.execute('UPDATE t SET a = a')\ndb.in_transaction",
        "failed": "try:\n    db.execute('nonsense')\nexcept module.Error:\n    pass\ndb.in_transaction",
    },
    "autocommit": {
        "at first": "db.autocommit",
        "yes": "db.autocommit = True\ndb.execute('UPDATE t SET a = a')\ndb.autocommit, db.in_transaction",
        "and back": (
            "db.autocommit = True\ndb.autocommit = 'LEGACY'\n"
            "db.execute('UPDATE t SET a = a')\ndb.in_transaction"
        ),
        "unknown": "db.autocommit = 'no'",
        "no": Differs(
            "db.autocommit = False\ndb.in_transaction", "True", "fails DatabaseError Error NotSupportedError"
        ),
        "commit of a BEGIN": Differs(
            "db.autocommit = True\ndb.execute('BEGIN')\ndb.commit()\ndb.in_transaction", "True", "False"
        ),
        "level": Differs("db.autocommit = True\ndb.isolation_level", "'DEFERRED'", "None"),
    },
    "interrupt": {
        "nothing": "db.interrupt(), db.execute('SELECT 1').fetchall()",
        "from a thread": (
            f"import threading\nthreading.Timer(0.3, db.interrupt).start()\ndb.execute({MANY!r}).fetchall()"
        ),
        "afterwards": (
            "import threading\nthreading.Timer(0.3, db.interrupt).start()\n"
            f"try:\n    db.execute({MANY!r}).fetchall()\nexcept module.OperationalError:\n    pass\n{ROWS}"
        ),
    },
    "set_query_timeout": {
        "by keyword": "db.set_query_timeout(milliseconds=5)\ndb.get_query_timeout()",
        "reached": f"db.set_query_timeout(20)\ndb.execute({MANY!r}).fetchall()",
        "negative": "db.set_query_timeout(-1)",
        "amid a change": Differs(
            "db.set_query_timeout(50)\ntry:\n"
            "    db.execute('INSERT INTO t SELECT 1000 + x, x FROM (WITH RECURSIVE "
            "n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n)')\n"
            "except module.OperationalError:\n    pass\ndb.in_transaction",
            "True",
            "False",
        ),
        "no number": Differs("db.set_query_timeout('x')", "fails TypeError", FAILS),
    },
    "get_query_timeout": {
        "values": "[(db.set_query_timeout(at), db.get_query_timeout()) for at in (0, 1, 1500, 0)]",
    },
    "row_factory": {
        "function": (
            "db.row_factory = lambda cursor, row: dict(zip([one[0] for one in cursor.description], row))\n"
            "db.execute('SELECT 1 AS a, 2 AS b').fetchone(), db.execute('SELECT 3 AS a').fetchall(), "
            "db.execute('SELECT 4 AS a').fetchmany(1), list(db.execute('SELECT 5 AS a'))"
        ),
        "of a cursor": (
            "cursor = db.cursor()\ncursor.row_factory = lambda cursor, row: row[0]\n"
            "cursor.execute('SELECT 1').fetchone(), db.execute('SELECT 1').fetchone()"
        ),
        "of its connection before": (
            "db.row_factory = lambda cursor, row: row[0]\ncursor = db.cursor()\ndb.row_factory = None\n"
            "cursor.execute('SELECT 1').fetchone()"
        ),
        "not of a batch": "db.row_factory = lambda cursor, row: 0\ndb.batch(['SELECT 1'])[0].rows",
        "by name": Differs(
            "db.row_factory = lambda cursor, row: row['a']\ndb.execute('SELECT 1 AS a').fetchone()",
            "1",
            "fails TypeError",
        ),
        "nothing to call": Differs(
            "db.row_factory = 5\ndb.execute('SELECT 1').fetchone()", "(1,)", "fails DatabaseError Error"
        ),
    },
    "text_factory": {
        "at first": "db.text_factory is str, db.execute(\"SELECT 'ä'\").fetchone()",
        "bytes": Differs(
            "db.text_factory = bytes\ndb.execute(\"SELECT 'a', 1\").fetchone()", "('a', 1)", "(b'a', 1)"
        ),
        "no UTF-8": Differs(
            "db.execute(\"SELECT CAST(x'ff' AS TEXT)\").fetchone()",
            "('\ufffd',)",
            "fails DatabaseError Error OperationalError",
        ),
    },
    "connection": {"same": "db.cursor().connection is db, db.execute('SELECT 1').connection is db"},
    "description": {
        "statements": facts(
            "SELECT 1",
            'SELECT id, a AS b, t.id, "a", id + 1, count(*) FROM t',
            "SELECT * FROM t WHERE 0",
            "UPDATE t SET a = a",
            "INSERT INTO t VALUES (9, 'x') RETURNING id, a AS z",
            "PRAGMA user_version",
            "PRAGMA table_info(t)",
            "VALUES (1, 2)",
            "WITH x(a) AS (SELECT 1) SELECT * FROM x",
            "CREATE TABLE u (a)",
            fact="description",
        ),
    },
    "rowcount": {
        "statements": facts(
            "SELECT 1",
            "UPDATE t SET a = a",
            "UPDATE t SET a = 1 WHERE 0",
            "INSERT INTO t VALUES (9, 'x'), (10, 'y')",
            "INSERT INTO t SELECT id + 100, a FROM t",
            "INSERT OR IGNORE INTO t VALUES (1, 'x')",
            "REPLACE INTO t VALUES (1, 'x')",
            "DELETE FROM t WHERE id = 9",
            "INSERT INTO t VALUES (1, 'x') ON CONFLICT DO UPDATE SET a = 'y'",
            "PRAGMA user_version",
            fact="rowcount",
        ),
        "before": "db.cursor().rowcount",
        "returning": Differs(
            facts("INSERT INTO t VALUES (9, 'x') RETURNING id", fact="rowcount"), "[-1]", "[1]"
        ),
        "definition": Differs(
            facts("CREATE TABLE u (a)", "DROP TABLE checked", fact="rowcount"), "[0, 1]", "[-1, -1]"
        ),
        "with": Differs(
            facts("WITH w AS (SELECT 9) INSERT INTO t SELECT 9, 9 FROM w", fact="rowcount"), "[1]", "[-1]"
        ),
    },
    "lastrowid": {
        "statements": facts(
            "INSERT INTO t VALUES (801, 'x')",
            "SELECT 1",
            "UPDATE t SET a = 1 WHERE id = 801",
            "INSERT OR IGNORE INTO t VALUES (801, 'x')",
            "REPLACE INTO t VALUES (802, 'x')",
            "DELETE FROM t WHERE id = 802",
            "INSERT INTO t(a) VALUES ('y')",
            "INSERT INTO t SELECT 910, 1 UNION ALL SELECT 911, 1",
            fact="lastrowid",
        ),
        "before": "db.execute(\"INSERT INTO t VALUES (803, 'x')\")\ndb.cursor().lastrowid",
        "many": "db.executemany('INSERT INTO t VALUES (?, ?)', [(804, 'x')]).lastrowid",
        "of a query": Differs(
            "db.execute(\"INSERT INTO t VALUES (805, 'x')\")\ndb.execute('SELECT 1').lastrowid", "None", "805"
        ),
        "returning": Differs(
            facts("INSERT INTO t VALUES (9, 'x') RETURNING id", fact="lastrowid"), "[None]", "[9]"
        ),
    },
    "arraysize": {
        "values": (
            f"cursor = db.execute({TWO!r} || ' UNION ALL SELECT 3')\n".replace("' || ' ", " ")
            + "said = [cursor.arraysize, cursor.fetchmany()]\ncursor.arraysize = 2\n"
            "[*said, cursor.fetchmany(), cursor.fetchmany()]"
        ),
    },
    "fetchone": {
        "past the end": "cursor = db.execute('SELECT 1')\n[cursor.fetchone() for _ in range(3)]",
        "before any": "db.cursor().fetchone()",
        "after a change": "db.execute('UPDATE t SET a = a').fetchone()",
    },
    "fetchmany": {
        "sizes": f"[db.execute({TWO!r}).fetchmany(size) for size in (None, 0, 1, 2, 5)]",
        "by keyword": f"db.execute({TWO!r}).fetchmany(size=1)",
        "before any": "db.cursor().fetchmany(), db.execute('UPDATE t SET a = a').fetchmany(2)",
        "no number": f"db.execute({TWO!r}).fetchmany('x')",
        "negative": Differs(f"db.execute({TWO!r}).fetchmany(-1)", "fails ValueError", FAILS),
    },
    "fetchall": {
        "rest": f"cursor = db.execute({TWO!r})\ncursor.fetchone(), cursor.fetchall(), cursor.fetchall()",
        "before any": "db.cursor().fetchall(), db.execute('UPDATE t SET a = a').fetchall()",
        "kinds": "db.execute(\"SELECT NULL, 1.5, 'a', x'00', 9223372036854775807, -0.0, 1e999\").fetchall()",
    },
    "setinputsizes": {"nothing": "db.cursor().setinputsizes([1])"},
    "setoutputsize": {"nothing": "db.cursor().setoutputsize(1), db.cursor().setoutputsize(1, 2)"},
}
