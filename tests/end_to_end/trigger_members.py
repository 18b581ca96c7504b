"""Schemas with triggers as programs have them, each with statements that fire them."""

from __future__ import annotations

ONES = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE)",
    "CREATE TABLE log (n INTEGER PRIMARY KEY, m)",
    "CREATE TRIGGER b BEFORE INSERT ON t BEGIN INSERT INTO log (m) VALUES ('b' || new.a); END",
)
VIEWS = (
    "CREATE TABLE base (id INTEGER PRIMARY KEY, a)",
    "CREATE TABLE log (n INTEGER PRIMARY KEY, m)",
    "INSERT INTO base VALUES (1, 'x'), (2, 'y')",
    "CREATE VIEW v1 AS SELECT id, a FROM base",
    "CREATE VIEW v2 AS SELECT id, a FROM v1",
    "CREATE TRIGGER i1 INSTEAD OF INSERT ON v1 BEGIN INSERT INTO base VALUES (new.id, new.a); END",
    "CREATE TRIGGER i2 INSTEAD OF INSERT ON v2 BEGIN INSERT INTO v1 VALUES (new.id, new.a || '2'); END",
    "CREATE TRIGGER u1 INSTEAD OF UPDATE ON v1 BEGIN UPDATE base SET a = new.a WHERE id = old.id; END",
    "CREATE TRIGGER u2 INSTEAD OF UPDATE ON v2 BEGIN UPDATE v1 SET a = new.a WHERE id = old.id; END",
    (
        "CREATE TRIGGER d2 INSTEAD OF DELETE ON v2 BEGIN DELETE FROM base WHERE id = old.id; "
        "INSERT INTO v1 VALUES (old.id + 50, 'moved'); END"
    ),
    "CREATE TRIGGER bi AFTER INSERT ON base BEGIN INSERT INTO log (m) VALUES ('i' || new.id); END",
    "CREATE TRIGGER bu BEFORE UPDATE ON base BEGIN INSERT INTO log (m) VALUES ('u' || new.id); END",
    "CREATE TRIGGER bd AFTER DELETE ON base BEGIN INSERT INTO log (m) VALUES ('d' || old.id); END",
)
CALIBRE = (
    "CREATE TABLE books (id INTEGER PRIMARY KEY, title, sort, uuid)",
    "CREATE TABLE authors (id INTEGER PRIMARY KEY, name TEXT NOT NULL COLLATE NOCASE, UNIQUE (name))",
    "CREATE TABLE link (id INTEGER PRIMARY KEY, book NOT NULL, author NOT NULL, UNIQUE (book, author))",
    "CREATE TABLE data (id INTEGER PRIMARY KEY, book, format, UNIQUE (book, format))",
    (
        "CREATE TRIGGER d AFTER DELETE ON books BEGIN DELETE FROM link WHERE book = old.id; "
        "DELETE FROM data WHERE book = old.id; END"
    ),
    (
        "CREATE TRIGGER i AFTER INSERT ON books BEGIN "
        "UPDATE books SET sort = lower(new.title), uuid = 'u' || new.id WHERE id = new.id; END"
    ),
    (
        "CREATE TRIGGER u AFTER UPDATE ON books BEGIN "
        "UPDATE books SET sort = lower(new.title) WHERE id = new.id AND old.title <> new.title; END"
    ),
    (
        "CREATE TRIGGER fd BEFORE INSERT ON data BEGIN SELECT CASE WHEN "
        "(SELECT id FROM books WHERE id = new.book) IS NULL THEN RAISE(ABORT, 'no such book') END; END"
    ),
    (
        "CREATE TRIGGER fa BEFORE DELETE ON authors BEGIN SELECT CASE WHEN "
        "(SELECT count(*) FROM link WHERE author = old.id) > 0 THEN RAISE(ABORT, 'author of a book') END; END"
    ),
    "INSERT INTO books (id, title) VALUES (1, 'One'), (2, 'Two')",
    "INSERT INTO authors VALUES (1, 'A'), (2, 'B')",
    "INSERT INTO link (book, author) VALUES (1, 1), (2, 2)",
    "INSERT INTO data (book, format) VALUES (1, 'EPUB'), (1, 'PDF')",
)

MEMBERS = {
    "rows replaced between changes of their table": (
        (
            "CREATE TABLE log (what)",
            "CREATE TABLE t (id INTEGER PRIMARY KEY, u, v)",
            "CREATE TRIGGER g AFTER DELETE ON t BEGIN INSERT INTO log VALUES ('gone ' || old.id); END",
            "INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3)",
        ),
        (
            "CREATE UNIQUE INDEX by_u ON t (u)",
            "INSERT OR REPLACE INTO t VALUES (4, 'a', 4)",
            "ALTER TABLE t RENAME COLUMN v TO w",
            "UPDATE OR REPLACE t SET id = 3 WHERE id = 2",
            "ALTER TABLE t RENAME TO renamed",
            "REPLACE INTO renamed (id, u) VALUES (3, 'z')",
        ),
    ),
    "a trigger that tries rows of its own table": (
        (
            *ONES,
            (
                "CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT OR IGNORE INTO t VALUES (1, 'first'); "
                "INSERT INTO log (m) VALUES ('i' || new.id); END"
            ),
        ),
        (
            "INSERT INTO t VALUES (5, 'e')",
            "INSERT INTO t VALUES (6, 'f'), (7, 'g')",
            "INSERT OR IGNORE INTO t VALUES (5, 'q')",
            "INSERT OR IGNORE INTO t VALUES (8, 'first'), (9, 'n')",
        ),
    ),
    "a trigger that updates its own table": (
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a, n DEFAULT 0)",
            "CREATE TABLE log (n INTEGER PRIMARY KEY, m)",
            (
                "CREATE TRIGGER g AFTER UPDATE OF a ON t BEGIN UPDATE t SET n = n WHERE id = 1; "
                "INSERT INTO log (m) VALUES ('u' || new.id); UPDATE t SET n = n + 1 WHERE id = 2; END"
            ),
            "CREATE TRIGGER b BEFORE UPDATE ON t BEGIN INSERT INTO log (m) VALUES ('b' || new.id); END",
            "INSERT INTO t (id, a) VALUES (1, 'x'), (2, 'y'), (3, 'z')",
        ),
        (
            "UPDATE t SET a = 'q'",
            "UPDATE t SET a = a",
            "UPDATE t SET a = 'r' WHERE id = 2",
            "UPDATE t SET n = n",
        ),
    ),
    "triggers below views on views": (
        VIEWS,
        (
            "INSERT INTO v2 VALUES (5, 'n'), (6, 'm')",
            "UPDATE v2 SET a = 'm' WHERE id = 1",
            "UPDATE v2 SET a = a",
            "DELETE FROM v2 WHERE id = 5",
            "INSERT INTO v1 SELECT id + 10, a FROM base",
            "UPDATE v1 SET a = a || 'z'",
            "DELETE FROM v2",
        ),
    ),
    "a library of books": (
        CALIBRE,
        (
            "REPLACE INTO books (id, title) VALUES (1, 'Again')",
            "INSERT OR REPLACE INTO data (book, format) VALUES (1, 'EPUB'), (2, 'MOBI')",
            "INSERT OR IGNORE INTO authors (name) VALUES ('a'), ('C')",
            "DELETE FROM books WHERE id = 1",
            "DELETE FROM authors WHERE id = 1",
            "UPDATE books SET title = 'Deux' WHERE id = 2",
            "UPDATE OR REPLACE authors SET name = 'b' WHERE name = 'C'",
        ),
    ),
    "statements whose conflict clause is the triggers' too": (
        (
            "CREATE TABLE cnt (k TEXT PRIMARY KEY, n)",
            "CREATE TABLE e (id INTEGER PRIMARY KEY, k UNIQUE, v)",
            (
                "CREATE TRIGGER s AFTER INSERT ON e BEGIN INSERT OR IGNORE INTO cnt VALUES (new.v, 0); "
                "UPDATE cnt SET n = n + 1 WHERE k = new.v; END"
            ),
            "CREATE TRIGGER u AFTER UPDATE ON e BEGIN INSERT INTO cnt VALUES (new.v, 100); END",
            "INSERT INTO e VALUES (1, 'a', 'x'), (2, 'b', 'x')",
        ),
        (
            "INSERT OR REPLACE INTO e VALUES (3, 'c', 'x')",
            "INSERT OR REPLACE INTO e VALUES (4, 'a', 'x'), (5, 'e', 'y')",
            "INSERT OR IGNORE INTO e VALUES (6, 'f', 'y'), (7, 'e', 'y')",
            "INSERT INTO e VALUES (8, 'g', 'y')",
            "UPDATE OR REPLACE e SET v = 'x' WHERE id = 3",
            "UPDATE OR IGNORE e SET v = 'y' WHERE id = 8",
            "UPDATE OR REPLACE e SET k = 'b', v = 'y' WHERE id = 8",
        ),
    ),
    "keys of SQLite's choice among ignored rows": (
        (*ONES, "INSERT INTO t VALUES (1, 'x')"),
        (
            "INSERT OR IGNORE INTO t (id, a) VALUES (NULL, 'x'), (50, 'y'), (NULL, 'z'), (NULL, 'y')",
            "INSERT INTO t (a) VALUES ('x'), ('w') ON CONFLICT DO NOTHING",
            "INSERT INTO t (a) VALUES ('x') ON CONFLICT (a) DO UPDATE SET a = 'xx'",
        ),
    ),
    "a BEFORE trigger that changes the row": (
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, k UNIQUE, v, n DEFAULT 0)",
            "CREATE TABLE log (n INTEGER PRIMARY KEY, m)",
            "CREATE TRIGGER b BEFORE UPDATE ON t BEGIN UPDATE t SET n = n + 1 WHERE id = new.id; END",
            "CREATE TRIGGER i BEFORE INSERT ON t BEGIN UPDATE t SET v = 'seen' WHERE id = new.id; END",
            "CREATE TRIGGER o AFTER UPDATE OF n ON t BEGIN INSERT INTO log (m) VALUES (new.n); END",
            "INSERT INTO t (id, k, v) VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c')",
        ),
        (
            "UPDATE t SET v = 'x' WHERE id = 1",
            "UPDATE t SET v = v",
            "UPDATE t SET n = n",
            "INSERT OR REPLACE INTO t (id, k) VALUES (2, 20)",
            "DELETE FROM t WHERE id = 1",
        ),
    ),
    "an upsert under OR IGNORE": (
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, v)",
            "CREATE TABLE cnt (k TEXT PRIMARY KEY, n)",
            (
                "CREATE TRIGGER i AFTER INSERT ON t BEGIN "
                "INSERT INTO cnt VALUES (new.v, 1) ON CONFLICT (k) DO UPDATE SET n = n + 1; "
                "INSERT OR IGNORE INTO seen VALUES (new.v); INSERT INTO log (m) VALUES (new.v); "
                "UPDATE log SET m = m || '!' WHERE m = 'a'; END"
            ),
            "CREATE TABLE seen (k PRIMARY KEY)",
            "CREATE TABLE log (n INTEGER PRIMARY KEY, m)",
            "CREATE TRIGGER other AFTER DELETE ON t BEGIN INSERT INTO seen VALUES (old.id); END",
        ),
        (
            "INSERT OR IGNORE INTO t VALUES (1, 'a'), (2, 'a'), (2, 'b')",
            "INSERT OR REPLACE INTO t VALUES (3, 'a')",
        ),
    ),
    "an upsert under OR IGNORE beside other statements on its table": (
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a)",
            "CREATE TABLE cnt (k PRIMARY KEY, n)",
            "CREATE TABLE log (m)",
            "INSERT INTO cnt VALUES ('all', 0), ('x', 1)",
            "CREATE TRIGGER b BEFORE INSERT ON cnt BEGIN INSERT INTO log VALUES (new.k); END",
            (
                "CREATE TRIGGER u BEFORE INSERT ON t BEGIN UPDATE cnt SET n = n + 1 WHERE k = 'all'; "
                "INSERT INTO cnt VALUES (new.a, 1) ON CONFLICT (k) DO UPDATE SET n = n + 10; "
                "UPDATE cnt SET n = n + 100 WHERE k <> 'all'; "
                "INSERT INTO cnt VALUES (new.a || new.id, 5); END"
            ),
        ),
        (
            "INSERT OR IGNORE INTO t VALUES (1, 'x'), (2, 'y')",
            "INSERT OR IGNORE INTO t VALUES (3, 'x'), (4, 'x'), (5, 'y')",
            "INSERT INTO t VALUES (6, 'x')",
        ),
    ),
    "an upsert two triggers down under OR IGNORE": (
        (
            *ONES,
            "CREATE TABLE u (id INTEGER PRIMARY KEY, v)",
            "CREATE TABLE cnt (k PRIMARY KEY, n)",
            "CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO u (v) VALUES ('w'); END",
            (
                "CREATE TRIGGER h AFTER INSERT ON u BEGIN "
                "INSERT INTO cnt VALUES (new.v, 1) ON CONFLICT (k) DO UPDATE SET n = n + 1; END"
            ),
        ),
        ("INSERT OR IGNORE INTO t VALUES (10, 'w'), (11, 'v'), (12, 'w')",),
    ),
    "a conflict clause of the table, and one of its trigger": (
        (
            (
                "CREATE TABLE t (id INTEGER PRIMARY KEY, "
                "a UNIQUE ON CONFLICT REPLACE, b UNIQUE ON CONFLICT IGNORE)"
            ),
            "CREATE TABLE cnt (k PRIMARY KEY, n)",
            (
                "CREATE TRIGGER i AFTER INSERT ON t BEGIN INSERT OR IGNORE INTO cnt VALUES (1, 0); "
                "UPDATE cnt SET n = n + 1; END"
            ),
            (
                "CREATE TRIGGER u BEFORE UPDATE ON t BEGIN INSERT OR IGNORE INTO cnt VALUES (1, 0); "
                "UPDATE cnt SET n = n + 100; END"
            ),
        ),
        (
            "INSERT INTO t VALUES (1, 'x', 1)",
            "INSERT INTO t VALUES (2, 'y', 2)",
            "INSERT INTO t VALUES (3, 'x', 3)",
            "INSERT INTO t VALUES (4, 'w', 3)",
            "UPDATE t SET b = 2 WHERE id = 3",
            "UPDATE t SET a = 'x' WHERE id = 2",
            "UPDATE t SET a = a",
            "INSERT INTO t VALUES (5, 'z', 5), (6, 'z', 6)",
        ),
    ),
    "a unique index that compares otherwise than its column": (
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a)",
            "CREATE UNIQUE INDEX i ON t (a COLLATE NOCASE)",
            "CREATE TABLE log (n INTEGER PRIMARY KEY, m)",
            "CREATE TRIGGER d AFTER DELETE ON t BEGIN INSERT INTO log (m) VALUES ('d' || old.id); END",
            "CREATE TRIGGER u AFTER INSERT ON t BEGIN INSERT INTO log (m) VALUES ('i' || new.id); END",
            "INSERT INTO t VALUES (1, 'x'), (2, 'y')",
        ),
        (
            "REPLACE INTO t VALUES (3, 'X')",
            "UPDATE OR REPLACE t SET a = 'Y' WHERE id = 3",
            "REPLACE INTO t VALUES (4, 'z')",
        ),
    ),
    "constraints of a row, and rows that stay before it": (
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a CHECK (a <> 'bad'), b NOT NULL UNIQUE)",
            "CREATE TABLE log (n INTEGER PRIMARY KEY, m)",
            "CREATE TRIGGER i BEFORE INSERT ON t BEGIN INSERT INTO log (m) VALUES ('i' || new.a); END",
            "CREATE TRIGGER u BEFORE UPDATE ON t BEGIN INSERT INTO log (m) VALUES ('u' || new.a); END",
            "INSERT INTO t VALUES (1, 'x', 1), (2, 'y', 2), (3, 'z', 3)",
        ),
        (
            "INSERT OR IGNORE INTO t VALUES (4, 'bad', 4), (5, 'ok', 5), (6, 'ok', NULL)",
            "UPDATE OR IGNORE t SET a = CASE id WHEN 1 THEN 'bad' ELSE 'w' END",
            "INSERT OR FAIL INTO t VALUES (7, 'f', 7), (8, 'bad', 8), (9, 'never', 9)",
            "INSERT OR FAIL INTO t VALUES (10, 'f', 10), (11, 'f', NULL)",
            "UPDATE OR FAIL t SET b = CASE id WHEN 1 THEN 100 WHEN 2 THEN 3 ELSE 7 END",
            "UPDATE OR FAIL t SET a = CASE id WHEN 5 THEN 'bad' ELSE 'v' END",
            "INSERT OR IGNORE INTO t VALUES (12, 'bad', 12)",
        ),
    ),
    "rows to replace that a trigger made": (
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b UNIQUE)",
            "CREATE TABLE log (n INTEGER PRIMARY KEY, m)",
            "CREATE TRIGGER d AFTER DELETE ON t BEGIN INSERT INTO log (m) VALUES (old.a); END",
            "INSERT INTO t VALUES (9, 'there', 9)",
            (
                "CREATE TRIGGER i BEFORE INSERT ON t BEGIN "
                "INSERT OR IGNORE INTO t VALUES (new.id, 'made', -new.b); END"
            ),
        ),
        (
            "REPLACE INTO t VALUES (1, 'x', 1), (2, 'y', 2), (3, 'z', 2)",
            "INSERT OR IGNORE INTO t VALUES (5, 'v', 5)",
        ),
    ),
    "rows in the way that BEFORE triggers see, or move": (
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, k TEXT COLLATE NOCASE UNIQUE, v)",
            "CREATE TABLE log (n INTEGER PRIMARY KEY, m)",
            "INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3), (4, 'd', 4), (5, 'e', 5)",
            (
                "CREATE TRIGGER see BEFORE INSERT ON t WHEN new.v = 'see' BEGIN INSERT INTO log (m) "
                "SELECT 'was ' || id || k || v FROM t WHERE id = new.id OR k = new.k; END"
            ),
            (
                "CREATE TRIGGER over BEFORE UPDATE ON t WHEN new.v = 'see' BEGIN INSERT INTO log (m) "
                "SELECT 'over ' || id || k || v FROM t WHERE k = new.k; END"
            ),
            (
                "CREATE TRIGGER one BEFORE INSERT ON t WHEN new.v = 'one' BEGIN "
                "DELETE FROM t WHERE k = new.k; END"
            ),
            (
                "CREATE TRIGGER other BEFORE UPDATE ON t WHEN new.v = 'one' BEGIN "
                "DELETE FROM t WHERE k = new.k AND id <> new.id; END"
            ),
            (
                "CREATE TRIGGER away BEFORE INSERT ON t WHEN new.v = 'away' BEGIN "
                "UPDATE t SET k = k || new.id WHERE k = new.k; END"
            ),
            (
                "CREATE TRIGGER there BEFORE INSERT ON t WHEN new.v = 'there' BEGIN "
                "UPDATE t SET k = new.k, id = new.id WHERE id = 3; END"
            ),
            "CREATE TRIGGER gone AFTER DELETE ON t BEGIN INSERT INTO log (m) VALUES ('d' || old.id); END",
            "CREATE VIEW w AS SELECT id, k FROM t",
            (
                "CREATE TRIGGER put INSTEAD OF DELETE ON w BEGIN "
                "INSERT OR REPLACE INTO t VALUES (old.id, old.k, 'see'); END"
            ),
        ),
        (
            "DELETE FROM w WHERE id = 4",
            "INSERT OR REPLACE INTO t VALUES (9, 'A', 'see'), (2, 'E', 'see')",
            "UPDATE OR REPLACE t SET k = 'D', v = 'see' WHERE id = 9",
            "INSERT OR REPLACE INTO t VALUES (10, 'd', 'one'), (2, 'C', 'one')",
            "UPDATE OR REPLACE t SET k = 'D', v = 'one' WHERE id = 2",
            "INSERT OR REPLACE INTO t VALUES (3, 'x', 'one'), (4, 'X', 'away'), (5, 'y', 'see')",
            "REPLACE INTO t VALUES (11, 'y', 'there')",
            "REPLACE INTO t (k, v) VALUES ('Y', 'see')",
        ),
    ),
    "rows to replace after their table was renamed": (
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE)",
            "CREATE TABLE log (n INTEGER PRIMARY KEY, m)",
            "CREATE TRIGGER d BEFORE DELETE ON t BEGIN INSERT INTO log (m) VALUES ('d' || old.id); END",
            "CREATE TRIGGER i AFTER INSERT ON t BEGIN INSERT INTO log (m) VALUES ('i' || new.id); END",
            "INSERT INTO t VALUES (1, 'x'), (2, 'y')",
        ),
        (
            "ALTER TABLE t RENAME TO u",
            "REPLACE INTO u VALUES (2, 'z')",
            "REPLACE INTO u VALUES (3, 'z')",
            "DELETE FROM u WHERE id = 1",
        ),
    ),
    "rows to replace before their table is altered": (
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE)",
            "CREATE TABLE log (n INTEGER PRIMARY KEY, m)",
            "CREATE TRIGGER d BEFORE DELETE ON t BEGIN INSERT INTO log (m) VALUES ('d' || old.id); END",
            "INSERT INTO t VALUES (1, 'x'), (2, 'y'), (3, 'z')",
        ),
        (
            "REPLACE INTO t VALUES (1, 'y')",
            "CREATE INDEX i ON t (a, id)",
            "ALTER TABLE t RENAME TO u",
            "REPLACE INTO u VALUES (1, 'z')",
        ),
    ),
    "rows to replace without a key": (
        (
            "CREATE TABLE t (id TEXT PRIMARY KEY, a, b UNIQUE)",
            "CREATE TABLE log (n INTEGER PRIMARY KEY, m)",
            "CREATE TRIGGER d BEFORE DELETE ON t BEGIN INSERT INTO log (m) VALUES (old.a); END",
            "INSERT INTO t VALUES ('1', 'x', 1), (NULL, 'y', 2), (NULL, 'z', 3), ('4', 'v', 4)",
        ),
        (
            "UPDATE OR REPLACE t SET b = 1",
            "REPLACE INTO t VALUES (NULL, 'w', 1)",
            "REPLACE INTO t VALUES ('5', 'u', 1)",
        ),
    ),
    "single deletes of one transaction": (
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a)",
            "CREATE TABLE log (n INTEGER PRIMARY KEY, m)",
            "CREATE TRIGGER d AFTER DELETE ON t BEGIN INSERT INTO log (m) VALUES (old.id); END",
            "INSERT INTO t VALUES (1, 'x'), (2, 'y'), (3, 'z')",
        ),
        ("BEGIN", *(f"DELETE FROM t WHERE id = {at}" for at in (3, 1, 2)), "COMMIT"),
    ),
    "the rowid set": (
        (
            "CREATE TABLE t (a, b)",
            "CREATE TABLE log (n INTEGER PRIMARY KEY, m)",
            "CREATE TRIGGER g AFTER UPDATE ON t BEGIN INSERT INTO log (m) VALUES (new.a); END",
            "INSERT INTO t VALUES (1, 1), (2, 2)",
        ),
        ("UPDATE t SET rowid = rowid", "UPDATE t SET a = a WHERE rowid = 2"),
    ),
}

FULL_TEXT = (
    (
        "CREATE TABLE doc (id INTEGER PRIMARY KEY, title, body)",
        "CREATE VIRTUAL TABLE fts USING fts5(title, body, content = 'doc', content_rowid = 'id')",
        (
            "CREATE TRIGGER di AFTER INSERT ON doc BEGIN "
            "INSERT INTO fts (rowid, title, body) VALUES (new.id, new.title, new.body); END"
        ),
        (
            "CREATE TRIGGER dd AFTER DELETE ON doc BEGIN "
            "INSERT INTO fts (fts, rowid, title, body) VALUES ('delete', old.id, old.title, old.body); END"
        ),
        (
            "CREATE TRIGGER du AFTER UPDATE ON doc BEGIN "
            "INSERT INTO fts (fts, rowid, title, body) VALUES ('delete', old.id, old.title, old.body); "
            "INSERT INTO fts (rowid, title, body) VALUES (new.id, new.title, new.body); END"
        ),
        "INSERT INTO doc VALUES (1, 'alpha', 'one'), (2, 'beta', 'two')",
    ),
    (
        "INSERT INTO doc VALUES (3, 'gamma', 'alpha'), (4, 'delta', 'alpha beta')",
        "UPDATE doc SET title = 'nothing' WHERE id = 1",
        "UPDATE doc SET body = body",
        "DELETE FROM doc WHERE id = 3",
        "INSERT INTO doc VALUES (2, 'b', 'alpha') ON CONFLICT (id) DO UPDATE SET body = excluded.body",
        "INSERT OR IGNORE INTO doc VALUES (2, 'c', 'alpha')",
        "INSERT INTO doc (title, body) VALUES ('auto', 'alpha')",
        "UPDATE doc SET id = id + 100 WHERE id = 4",
    ),
)
"""A full-text index of external content, kept by triggers; ``tursodb`` has none."""
