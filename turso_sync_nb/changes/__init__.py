"""Capture local changes as they are made, keep them on a tape, turn them into SQL.

| file | holds |
| --- | --- |
| ``model.py`` | rows changed and schemas changed, in transactions |
| ``names.py``, ``sql_text.py`` | names of our own tables; what kind of statement a text is |
| ``names_stored.py`` | names of the schema's objects as SQLite looks for them |
| ``written.py``, ``schema.py``, ``trigger_facts.py`` | what capture asks of a statement, a schema, triggers |
| ``capture.py`` | one connection's capture |
| ``triggers.py``, ``nested.py``, ``ddl.py`` | of rows; of rows where triggers fire; of the schema |
| ``volatile.py``, ``made_columns.py``, ``derived.py`` | columns that triggers fill, with random values too |
| ``refiring.py`` | triggers that must not fire again when random values are pushed |
| ``action_match.py`` | whether a foreign-key action of a parent concerns a child row |
| ``passed_over.py``, ``preupdate.py`` | what OR IGNORE passes over; rows of a preupdate hook |
| ``definitions.py``, ``lifetimes.py``, ``rows_seen.py`` | definitions; what was removed again; dropped rows |
| ``staying.py``, ``soundness.py`` | schema objects that stay here; whether what they name is there |
| ``tape.py``, ``packed.py`` | the tables that hold them; rows in one value |
| ``tape_rows.py``, ``tape_effects.py`` | rows of the tape, exactly; what triggers made, on the tape |
| ``tape_format.py``, ``tape_reader.py`` | kinds and flags of the tape's rows; rows read as transactions |
| ``taped.py`` | changes of a large transaction, read when they are needed |
| ``to_sql.py``, ``script.py``, ``describe.py`` | a change as SQL; transactions as a script; for a reader |
| ``row_conditions.py`` | conditions that name one row |
| ``net.py``, ``net_schema.py`` | successive changes of a row, of the schema, as one |
| ``read_row.py``, ``images.py`` | one row of a table, exactly; rows compared |
| ``conflicts.py``, ``merging.py``, ``renumbering.py`` | where both sides changed the same thing |
"""
