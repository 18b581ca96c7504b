"""What /v2/pipeline answers: statements, values, batches, and that requests share nothing."""

from __future__ import annotations

import math

import pytest
from asking import execute, pipeline, post, refused, sql, value


def rows(result):
    """Return a result's rows."""
    return result["rows"]


def test_a_table_of_rows(server):
    """Columns carry their names and declared types, rows their values."""
    sql(server.url, "CREATE TABLE v (n INTEGER PRIMARY KEY, x TEXT, y)")
    result = sql(server.url, "INSERT INTO v VALUES (7, 'a', x'00ff') RETURNING *, 1.5 AS z")
    assert result["cols"] == [
        {"name": "n", "decltype": "INTEGER"},
        {"name": "x", "decltype": "TEXT"},
        {"name": "y", "decltype": None},
        {"name": "z", "decltype": None},
    ]
    assert rows(result) == [[value(7), value("a"), {"type": "blob", "base64": "AP8"}, value(1.5)]]
    assert sql(server.url, "SELECT * FROM v WHERE 0")["cols"][0] == {"name": "n", "decltype": "INTEGER"}


@pytest.mark.parametrize(
    "python", [None, 0, 2**63 - 1, -(2**63), 0.1, -0.0, 5e-324, 1.7e308, "", "a\0b", "žluť 🐎", "x" * 100_000]
)
def test_values_go_and_come(shared_server, python):
    """Every kind of value comes back as it went."""
    (got,) = rows(sql(shared_server.url, "SELECT ?", python))[0]
    assert got == value(python)
    if isinstance(python, float):
        assert math.copysign(1, got["value"]) == math.copysign(1, python)


@pytest.mark.parametrize("base64", ["", "AA", "AA==", "AP8B"])
def test_blobs_padded_or_not(server, base64):
    """Blobs are taken padded or unpadded and come back unpadded."""
    (result,) = pipeline(
        server.url,
        {"type": "execute", "stmt": {"sql": "SELECT ?", "args": [{"type": "blob", "base64": base64}]}},
    )
    assert rows(result["response"]["result"]) == [[{"type": "blob", "base64": base64.rstrip("=")}]]


def test_named_arguments(server):
    """Names bind with or without their prefix, beside positional values."""
    named = [{"name": name, "value": value(number)} for name, number in (("a", 1), ("@b", 2), ("$c", 3))]
    assert rows(sql(server.url, "SELECT :a, @b, $c, :a", named_args=named))[0] == [
        value(n) for n in (1, 2, 3, 1)
    ]
    numbered = [{"name": name, "value": value(number)} for name, number in (("?1", 1), ("2", 2))]
    assert rows(sql(server.url, "SELECT ?1, ?2", named_args=numbered))[0] == [value(1), value(2)]
    mixed = [{"name": ":b", "value": value(9)}]
    assert rows(sql(server.url, "SELECT ?1, :b", 8, named_args=mixed))[0] == [value(8), value(9)]


@pytest.mark.parametrize(
    ("text", "args", "named"),
    [
        ("SELECT ?", (), ()),
        ("SELECT ?", (1, 2), ()),
        ("SELECT :a", (), ("b",)),
        ("SELECT :a", (), ("a", "b")),
        ("SELECT ?, :a", (), ("a",)),
    ],
)
def test_wrong_arguments(shared_server, text, args, named):
    """A parameter without a value, or a value without a parameter, is an error and not a NULL."""
    named_args = [{"name": name, "value": value(1)} for name in named]
    message, code = refused(shared_server.url, text, *args, named_args=named_args)
    assert code == "ARGS_INVALID"
    assert "bind values" in message


@pytest.mark.parametrize("comment", ["", "/* a */ ", "-- a\n", "\ufeff", "; "])
def test_counters_with_comments(server, comment):
    """A comment before a statement changes neither what it does nor what is said of it."""
    counts = [
        sql(server.url, comment + text)["affected_row_count"]
        for text in (
            "INSERT INTO t(b) VALUES (1), (2)",
            "WITH x(v) AS (SELECT 5) UPDATE t SET b = v FROM x WHERE a <= 3",
            "REPLACE INTO t(a) VALUES (1)",
            "CREATE VIEW w AS SELECT * FROM t",
            "EXPLAIN DELETE FROM t",
            "VACUUM",
            "DELETE FROM t",
        )
    ]
    assert counts == [2, 3, 1, 0, 0, 0, 502]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("INSERT INTO c VALUES (1, 2, 2, 2, NULL)", "PRIMARYKEY"),
        ("INSERT INTO c VALUES (2, 1, 2, 2, NULL)", "UNIQUE"),
        ("INSERT INTO c VALUES (2, 2, NULL, 2, NULL)", "NOTNULL"),
        ("INSERT INTO c VALUES (2, 2, 2, 0, NULL)", "CHECK"),
        ("INSERT INTO c VALUES (2, 2, 2, 2, 9)", "FOREIGNKEY"),
        ("INSERT INTO s VALUES ('x')", "DATATYPE"),
        ("INSERT INTO g VALUES (1)", "TRIGGER"),
    ],
)
def test_constraints_have_one_code(server, text, code):
    """Whatever is broken, the code is SQLITE_CONSTRAINT, and the finer one stands beside it."""
    sql(
        server.url,
        "CREATE TABLE c(id INTEGER PRIMARY KEY, u UNIQUE, n NOT NULL, k CHECK (k > 0), f REFERENCES c)",
    )
    sql(server.url, "INSERT INTO c VALUES (1, 1, 1, 1, NULL)")
    sql(server.url, "CREATE TABLE s(i INTEGER) STRICT")
    sql(server.url, "CREATE TABLE g(i)")
    sql(server.url, "CREATE TRIGGER g_t BEFORE INSERT ON g BEGIN SELECT raise(ABORT, 'no'); END")
    (_, result) = pipeline(server.url, execute("PRAGMA foreign_keys = ON"), execute(text))
    error = result["error"]
    assert (error["code"], error["extended_code"]) == ("SQLITE_CONSTRAINT", f"SQLITE_CONSTRAINT_{code}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT value FROM generate_series(10, 1, -4)", [10, 6, 2]),
        ("SELECT count(*) FROM generate_series(1, 100)", [100]),
        ("SELECT value FROM generate_series(5) LIMIT 2", [5, 6]),
        ("SELECT value FROM generate_series WHERE start = 1 AND stop = 2", [1, 2]),
        ("SELECT s.value FROM t JOIN generate_series(t.a, t.a + 1) AS s WHERE t.a = 7", [7, 8]),
        ("SELECT value FROM generate_series(1, NULL)", []),
        ("SELECT a FROM t WHERE b REGEXP '^0*1[23]$'", [12, 13]),
        ("SELECT median(a) > percentile(a, 10) FROM t", [1]),
        ("SELECT sqrt(16.0) = 4", [1]),
        ("SELECT count(*) FROM series_view", [3]),
    ],
)
def test_functions_of_the_shell(server, text, expected):
    """What SQLite's shell and Turso have is there, in views too; as a table it cannot be made."""
    sql(server.url, "CREATE VIEW series_view AS SELECT * FROM generate_series(1, 3)")
    assert rows(sql(server.url, text)) == [[value(number)] for number in expected]
    refused(server.url, "CREATE VIRTUAL TABLE x USING generate_series")


def test_counters(server):
    """Affected rows are the statement's own, and the rowid is the newest insert's."""
    sql(server.url, "CREATE TABLE k (a INTEGER PRIMARY KEY)")
    sql(server.url, "CREATE TRIGGER k_t AFTER INSERT ON k BEGIN UPDATE t SET b = 0 WHERE a < 10; END")
    result = sql(server.url, "INSERT INTO k VALUES (41), (42)")
    assert (result["affected_row_count"], result["last_insert_rowid"]) == (2, "42")
    results = pipeline(
        server.url,
        execute("INSERT INTO k VALUES (50)"),
        execute("SELECT 1"),
        execute("UPDATE k SET a = a WHERE 0"),
        execute("DELETE FROM k"),
        execute("CREATE VIRTUAL TABLE f USING fts5(a)"),
        execute("CREATE TABLE c AS SELECT * FROM t"),
    )
    counts = [result["response"]["result"]["affected_row_count"] for result in results]
    assert counts == [1, 0, 0, 3, 0, 0]


def test_rows_not_wanted(server):
    """A statement whose rows are not wanted runs to its end and gives none."""
    result = sql(server.url, "INSERT INTO t(b) SELECT b FROM t RETURNING a", want_rows=False)
    assert (rows(result), result["affected_row_count"]) == ([], 500)


@pytest.mark.parametrize(
    ("text", "message", "code"),
    [
        ("SELECT * FROM nope", "no such table: nope", "SQLITE_ERROR"),
        ("SELEC 1", "syntax error", "SQLITE_ERROR"),
        ("INSERT INTO t(a) VALUES (1)", "UNIQUE constraint failed: t.a", "SQLITE_CONSTRAINT"),
        ("SELECT 1; SELECT 2", "more than one statement", "SQL_MANY_STATEMENTS"),
        ("SELECT 1; -- and /* nothing", None, None),
        ("/* nothing */ ; -- at all", "no statement", "SQL_NO_STATEMENT"),
        ("/* a */ SELECT /* b */ 1 /* c */ ; /* d */ -- e", None, None),
        ("\ufeff/* a */ ;; -- b\n; SELECT 1;;", None, None),
        ("SELECT 1; /* x */ SELECT 2", "more than one statement", "SQL_MANY_STATEMENTS"),
        ("/* x */ SELECT 1; -- y\n nonsense", "more than one statement", "SQL_MANY_STATEMENTS"),
        ("SELECT 1; /* ; */ ; DELETE FROM t", "more than one statement", "SQL_MANY_STATEMENTS"),
        ("SELECT 1 /* not closed", None, None),
        ("SELECT 1, 9e999", "column 1 is inf", "NOT_FINITE"),
        ("SELECT CAST(x'ff' AS TEXT)", "not UTF-8", "NOT_UTF8"),
        ("SELECT zeroblob(1000000000)", "too big", "SQLITE_TOOBIG"),
        ("SELECT 1\0; SELECT 2", "null character", "SQLITE_ERROR"),
    ],
)
def test_errors(shared_server, text, message, code):
    """What fails says why, in words and with SQLite's code; what is only odd runs."""
    if message is None:
        assert rows(sql(shared_server.url, text)) == [[value(1)]]
        return
    said, said_code = refused(shared_server.url, text)
    assert message in said
    assert said_code == code


def test_second_statement_does_not_run(server):
    """A text with two statements is refused before the first has any effect."""
    refused(server.url, "DELETE FROM t; DELETE FROM t")
    assert rows(sql(server.url, "SELECT count(*) FROM t")) == [[value(500)]]


def test_batch_conditions(server):
    """Each condition decides its step; a step that is left out has neither result nor error."""
    steps = [
        ("SELECT 1", None),
        ("SELECT nope", None),
        ("SELECT 2", {"type": "ok", "step": 0}),
        ("SELECT 3", {"type": "ok", "step": 1}),
        ("SELECT 4", {"type": "error", "step": 1}),
        ("SELECT 5", {"type": "not", "cond": {"type": "error", "step": 1}}),
        ("SELECT 6", {"type": "and", "conds": [{"type": "ok", "step": 0}, {"type": "error", "step": 1}]}),
        ("SELECT 7", {"type": "or", "conds": [{"type": "ok", "step": 3}, {"type": "error", "step": 3}]}),
        ("SELECT 8", {"type": "and", "conds": []}),
        ("SELECT 9", {"type": "or", "conds": []}),
        ("BEGIN", {"type": "is_autocommit"}),
        ("SELECT 10", {"type": "is_autocommit"}),
    ]
    batch = {"steps": [{"stmt": {"sql": text}, "condition": condition} for text, condition in steps]}
    (result,) = pipeline(server.url, {"type": "batch", "batch": batch})
    got = result["response"]["result"]
    ran = [step is not None for step in got["step_results"]]
    assert ran == [True, False, True, False, True, False, True, False, True, False, True, False]
    failed = [number for number, error in enumerate(got["step_errors"]) if error is not None]
    assert failed == [1]


def test_open_transaction_ends_with_its_request(server):
    """What a client closes inside a transaction is rolled back; nobody else sees it or waits for it."""
    pipeline(server.url, execute("BEGIN IMMEDIATE"), execute("DELETE FROM t"), {"type": "close"})
    assert rows(sql(server.url, "SELECT count(*) FROM t")) == [[value(500)]]
    (state,) = pipeline(server.url, {"type": "get_autocommit"})
    assert state["response"]["is_autocommit"] is True
    sql(server.url, "DELETE FROM t")


def test_requests_share_nothing(server):
    """TEMP objects, pragmas and the last rowid end with the request that made them."""
    pipeline(
        server.url,
        execute("CREATE TEMP TABLE secret (a)"),
        execute("PRAGMA foreign_keys = ON"),
        execute("INSERT INTO t(b) VALUES (1)"),
    )
    assert "no such table" in refused(server.url, "SELECT * FROM secret")[0]
    assert rows(sql(server.url, "PRAGMA foreign_keys")) == [[value(0)]]
    assert rows(sql(server.url, "SELECT last_insert_rowid(), changes()")) == [[value(0), value(0)]]


def test_failed_statement_keeps_the_transaction(server):
    """A constraint error inside a transaction leaves it open, so that the batch decides."""
    results = pipeline(
        server.url,
        execute("BEGIN"),
        execute("INSERT INTO t(a) VALUES (1000)"),
        execute("INSERT INTO t(a) VALUES (1)"),
        execute("COMMIT"),
    )
    assert [result["type"] for result in results] == ["ok", "ok", "error", "ok"]
    assert rows(sql(server.url, "SELECT count(*) FROM t WHERE a = 1000")) == [[value(1)]]


def test_other_kinds_of_request(server):
    """Sequences, descriptions, stored texts and closing do what Hrana says."""
    results = pipeline(
        server.url,
        {"type": "store_sql", "sql_id": 3, "sql": "SELECT :x + ?2"},
        {"type": "execute", "stmt": {"sql_id": 3, "args": [value(1), value(2)]}},
        {"type": "describe", "sql_id": 3},
        {"type": "close_sql", "sql_id": 3},
        {"type": "execute", "stmt": {"sql_id": 3}},
        {"type": "sequence", "sql": "CREATE TABLE q (a); INSERT INTO q VALUES (1); BEGIN; DELETE FROM q;"},
        {"type": "get_autocommit"},
        {"type": "close"},
    )
    assert [result["type"] for result in results] == ["ok", "ok", "ok", "ok", "error", "ok", "ok", "ok"]
    assert rows(results[1]["response"]["result"]) == [[value(3)]]
    description = results[2]["response"]["result"]
    assert [parameter["name"] for parameter in description["params"]] == ["x", "?2"]
    assert description["is_readonly"] is True
    assert results[6]["response"]["is_autocommit"] is False
    assert rows(sql(server.url, "SELECT * FROM q")) == [[value(1)]]


@pytest.mark.parametrize("kind", ["sequence", "describe", "store_sql", "execute after a BEGIN"])
def test_a_null_character_fails_its_request_alone(server, kind):
    """SQLite is not given such a text; what ran before it, and the stream, stay."""
    text = "SELECT 1\0; SELECT 2"
    bad = {
        "store_sql": [
            {"type": "store_sql", "sql_id": 1, "sql": text},
            {"type": "execute", "stmt": {"sql_id": 1}},
        ],
        "execute after a BEGIN": [execute(text)],
    }.get(kind, [{"type": kind, "sql": text}])
    got = pipeline(
        server.url, execute("BEGIN"), *bad, execute("INSERT INTO t(a) VALUES (900)"), execute("COMMIT")
    )
    assert [one["type"] for one in got if one["type"] == "error"] == ["error"]
    assert rows(sql(server.url, "SELECT a FROM t WHERE a = 900")) == [[value(900)]]


@pytest.mark.parametrize("body", [b"{bad", b"", b"[]", b'{"requests": [{"type": "fly"}]}'])
def test_bad_bodies(shared_server, body):
    """What is no pipeline request is a status and a text."""
    response = post(shared_server.url, "/v2/pipeline", content=body)
    assert response.status_code == 400
    assert "pipeline request" in response.text or "read request" in response.text
