"""Where a new object goes that uses tables which are never pushed: pushed, kept here, or refused."""

from __future__ import annotations

import pytest
from captured import Captured

from turso_sync_nb.changes.model import SchemaChange, is_ignored
from turso_sync_nb.changes.staying import placed
from turso_sync_nb.errors import UsageError

IGNORED = ("Drafts", "later")
SETUP = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a)",
    "CREATE TABLE drafts (id INTEGER PRIMARY KEY, a)",
    "CREATE VIEW seen AS SELECT a FROM t",
    "CREATE TABLE old (a)",
    "CREATE INDEX oi ON old (a)",
)
TRIGGER = "CREATE TRIGGER r AFTER INSERT ON t BEGIN {} END"

PLACES = {
    "CREATE TABLE x (a REFERENCES t)": "pushed",
    "CREATE VIEW x AS SELECT * FROM t": "pushed",
    TRIGGER.format("INSERT INTO old VALUES (1);"): "pushed",
    TRIGGER.format("INSERT INTO drafts VALUES (1, 2);"): "stays: writes to",
    TRIGGER.format("DELETE FROM DRAFTS;"): "stays: writes to",
    TRIGGER.format("UPDATE old SET a = (SELECT max(a) FROM drafts);"): "stays: reads",
    TRIGGER.format("UPDATE old SET a = 1 WHERE EXISTS (SELECT 1 FROM drafts);"): "stays: reads",
    "CREATE TRIGGER r AFTER INSERT ON drafts BEGIN INSERT INTO old VALUES (1); END": "stays",
    "CREATE INDEX i ON drafts (a)": "stays",
    "CREATE TABLE later (a)": "stays",
    "CREATE VIEW x AS SELECT * FROM drafts": "refused: TEMP view",
    "CREATE VIEW x AS SELECT (SELECT count(*) FROM drafts) FROM t": "refused: TEMP view",
    "CREATE TABLE x (a REFERENCES drafts)": "refused: foreign key",
    "ALTER TABLE t ADD COLUMN d REFERENCES drafts": "refused: foreign key",
    "ALTER TABLE t ADD COLUMN d": "pushed",
    "ALTER TABLE old RENAME TO later": "stays",
    "ALTER TABLE old RENAME TO newer": "pushed",
    "ALTER TABLE t RENAME TO later": "refused: copy the rows",
    "ALTER TABLE was RENAME TO later": "refused: the remote would keep was",
}
"""A statement, and where it goes."""


@pytest.mark.parametrize("sql", PLACES)
def test_where_an_object_goes(sql):
    """What is refused leaves nothing; of a trigger that stays the user is told."""
    db = Captured(":memory:", "CREATE TABLE was (a)", IGNORED)
    for each in SETUP:
        db.run(each)
    before = len(db.tape())
    place, _, what = PLACES[sql].partition(": ")
    if place == "refused":
        with pytest.raises(UsageError, match=what):
            db.run(sql)
        assert len(db.tape()) == before
        return
    db.run(sql)
    change = db.tape()[-1].changes[-1]
    assert isinstance(change, SchemaChange)
    assert change.ignored is (place == "stays")
    assert [note for note in db.capture.notes if what in note] == (db.capture.notes if what else [])
    assert bool(db.capture.notes) is bool(what)


def test_without_such_tables_nothing_is_looked_at():
    """The change itself comes back."""
    change = SchemaChange(1, "CREATE VIEW x AS SELECT * FROM drafts", "create", "x")
    db = Captured(":memory:")
    assert placed(db.raw, change, (), lambda _: None) is change


def test_what_a_table_was_made_of_stays_with_it():
    """Its rows and its making under the former name are not pushed either."""
    db = Captured(":memory:", "", IGNORED)
    for sql in ("CREATE TABLE old (a)", "INSERT INTO old VALUES (1)", "ALTER TABLE old RENAME TO later"):
        db.run(sql)
    assert [is_ignored(change) for one in db.tape() for change in one.changes] == [True, True, True]
