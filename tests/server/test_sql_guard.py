"""SQL from a client reaches its own database and nothing else."""

from __future__ import annotations

import pytest
from asking import execute, pipeline, refused, sql

REFUSED = (
    "ATTACH '{folder}/other.db' AS o",
    "ATTACH ':memory:' AS o",
    "ATTACH '' AS o",
    "ATTACH 'file:{folder}/other.db?mode=rwc' AS o",
    "DETACH main",
    "VACUUM INTO '{folder}/other.db'",
    "VACUUM main INTO '{folder}/other.db'",
    "SELECT load_extension('{folder}/other.so')",
    "SELECT fts3_tokenizer('simple')",
    "SELECT writefile('{folder}/other.db', 'x')",
    "SELECT readfile('/etc/passwd')",
    "SELECT edit('x')",
    "CREATE VIRTUAL TABLE x USING csv(filename='/etc/passwd')",
    "CREATE VIRTUAL TABLE x USING zipfile('/etc/passwd')",
    "SELECT * FROM fsdir('/etc')",
    "PRAGMA journal_mode = delete",
    "PRAGMA main.journal_mode = off",
    "PRAGMA journal_mode(memory)",
    "PRAGMA wal_checkpoint(truncate)",
    "PRAGMA wal_autocheckpoint = 1",
    "PRAGMA locking_mode = exclusive",
    "PRAGMA writable_schema = on",
    "PRAGMA trusted_schema = on",
    "PRAGMA query_only = on",
    "PRAGMA synchronous = off",
    "PRAGMA temp_store_directory = '{folder}'",
    "PRAGMA data_store_directory = '{folder}'",
    "PRAGMA temp_store = 2",
    "PRAGMA mmap_size = 1000000",
    "PRAGMA cache_size = -1000000000",
    "PRAGMA soft_heap_limit = 1",
    "PRAGMA hard_heap_limit = 1",
    "PRAGMA page_size = 8192",
    "PRAGMA max_page_count = 1",
    "PRAGMA auto_vacuum = 1",
    "PRAGMA encoding = 'UTF-16'",
    "PRAGMA schema_version = 5",
    "EXPLAIN PRAGMA database_list",
    "PRAGMA busy_timeout = 1",
    "PRAGMA threads = 8",
    "PRAGMA key = 'x'",
    "SELECT * FROM pragma_database_list",
    "SELECT hex(file) FROM main.pragma_database_list",
    "CREATE TABLE stolen AS SELECT file FROM pragma_database_list",
    "UPDATE sqlite_schema SET sql = ''",
    "DELETE FROM sqlite_master",
)

ALLOWED = (
    "PRAGMA journal_mode",
    "PRAGMA table_info(t)",
    "PRAGMA table_xinfo('t')",
    "SELECT * FROM pragma_table_list",
    "SELECT * FROM pragma_index_list('t')",
    "PRAGMA foreign_key_check",
    "PRAGMA integrity_check",
    "PRAGMA user_version = 3",
    "PRAGMA foreign_keys = ON",
    "PRAGMA defer_foreign_keys = ON",
    "PRAGMA page_count",
    "VACUUM",
    "vacuum main",
    "ANALYZE",
    "REINDEX",
    "CREATE VIRTUAL TABLE f USING fts5(a)",
    "CREATE VIRTUAL TABLE r USING rtree(i, a, b)",
    "CREATE TEMP TABLE x (a)",
    "CREATE VIEW w AS SELECT * FROM t",
    "SELECT json_extract('[1]', '$[0]')",
    "SELECT * FROM dbstat",
)


@pytest.mark.parametrize("text", REFUSED)
def test_refused(shared_server, text):
    """Other files, extensions and settings are out of reach, and nothing appears on disk."""
    folder = shared_server.path.parent
    before = sorted(file.name for file in folder.iterdir())
    refused(shared_server.url, text.format(folder=folder))
    assert sorted(file.name for file in folder.iterdir()) == before
    sql(shared_server.url, "INSERT INTO t(b) VALUES (1)")


@pytest.mark.parametrize("text", ALLOWED)
def test_allowed(server, text):
    """Ordinary SQL, and what only reads settings, runs."""
    sql(server.url, text)


@pytest.mark.parametrize("text", ["PRAGMA database_list", "/* a */ pragma Database_List;"])
def test_the_list_of_databases_hides_their_files(server, text):
    """Clients learn the names of schemas, and nothing of where the file is."""
    sql(server.url, "PRAGMA table_info(t)")
    answer = sql(server.url, text)
    assert [[cell.get("value") for cell in row] for row in answer["rows"]] == [["0", "main", ""]]
    begun = pipeline(server.url, {"type": "sequence", "sql": f"SELECT 1; {text}"}, execute(text))
    assert str(server.path.parent) not in str(begun)


def test_refusal_says_why(server):
    """The message names what is not allowed, not only that something is not."""
    assert "ATTACH" in refused(server.url, "ATTACH 'x' AS y")[0]
    assert refused(server.url, "PRAGMA journal_mode = off") == (
        "set PRAGMA journal_mode: it can only be read here",
        "SQLITE_AUTH",
    )


def test_vacuum_opens_no_door(server):
    """After a VACUUM, in the same request or the same text, ATTACH is refused as before."""
    attach = execute("ATTACH '' AS o")
    assert [result["type"] for result in pipeline(server.url, execute("VACUUM"), attach)] == ["ok", "error"]
    (result,) = pipeline(server.url, {"type": "sequence", "sql": "VACUUM; ATTACH '' AS o"})
    assert result["type"] == "error"
    (result,) = pipeline(server.url, {"type": "sequence", "sql": "BEGIN; VACUUM; ATTACH '' AS o"})
    assert result["type"] == "error"


def test_hidden_in_the_schema(server):
    """A view or trigger that calls a refused function fails when it is used."""
    sql(server.url, "CREATE VIEW x AS SELECT load_extension('y')")
    assert "load_extension" in refused(server.url, "SELECT * FROM x")[0]
    sql(server.url, "CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT load_extension('y'); END")
    assert "load_extension" in refused(server.url, "INSERT INTO t(b) VALUES (1)")[0]


def test_shadow_tables_cannot_be_written(server):
    """The inner tables of a full-text index are read-only to SQL."""
    sql(server.url, "CREATE VIRTUAL TABLE f USING fts5(a)")
    refused(server.url, "DELETE FROM f_data")
    sql(server.url, "INSERT INTO f VALUES ('word')")


def test_endless_query_is_stopped(tmp_path):
    """A query that never ends is stopped at the limit, and says so."""
    from turso_sync_nb.server import Limits, LocalServer

    endless = "WITH RECURSIVE s(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM s) SELECT count(*) FROM s"
    with LocalServer(tmp_path / "a.db", limits=Limits(request_seconds=0.2)) as server:
        message, code = refused(server.url, endless)
    assert "over 0.2 s" in message
    assert code == "SQLITE_INTERRUPT"


def test_result_is_bounded(tmp_path):
    """A result past the limit is refused instead of held in memory."""
    from turso_sync_nb.server import Limits, LocalServer

    many = "WITH RECURSIVE s(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM s) SELECT v, zeroblob(1000) FROM s"
    with LocalServer(tmp_path / "a.db", limits=Limits(result_bytes=100_000)) as server:
        assert refused(server.url, many)[1] == "RESPONSE_TOO_LARGE"
