"""The connection: PEP 249 over a replica, without widgets.

| file | holds |
| --- | --- |
| ``arguments.py`` | arguments of ``connect()``, checked |
| ``sql.py`` | SqlConnection: the first class of a chain, each the base of the next |
| ``functions.py``, ``fetching.py``, ``drop_in.py``, ``frame_verbs.py``, ``syncing.py`` | the chain goes on |
| ``connection.py`` | Connection, the last of it |
| ``overrides.py`` | functions under SQLite's own names, kept out of our queries |
| ``cursor.py``, ``blob.py`` | Cursor; Blob, which counts as one |
| ``drop_in.py``, ``row.py``, ``batches.py``, ``dump.py`` | names of sqlite3 and of Turso's package |
| ``dialect.py`` | the dialect of SQLAlchemy |
| ``frame_verbs.py`` | rows as frames and frames as rows, the verbs |
| ``functions.py`` | what a user adds to SQL |
| ``deadline.py``, ``exit.py`` | how long SQL may run; what is open when the interpreter ends |
| ``session.py`` | cursors, statements and transactions of one connection |
| ``reopening.py`` | the APSW connection in force, and how it is opened again unseen |
| ``facts.py`` | SQLite's account of a text, kept |
| ``authorizer.py`` | what it refuses |
| ``session_state.py`` | what moves from one APSW connection to the next |
| ``syncing.py``, ``outbox.py`` | pull, push and what waits; as frames |
| ``async_verbs.py`` | the verbs as coroutines |
| ``frame_editing.py``, ``frame_diff.py``, ``writing.py`` | a table edited as a frame; a frame into a table |
| ``rows_now.py``, ``column_values.py`` | rows by many keys at once; a column for SQLite's binder |
| ``upserting.py`` | rows upserted by any columns |
| ``column_forms.py``, ``moment_style.py`` | how a column writes moments, JSON and decimals |
| ``review.py``, ``undo.py`` | rows that wait, come or clash; a pushed transaction undone |
| ``schema_choice.py`` | an object of the schema that both sides defined |
| ``local_tables.py`` | frames and lists of the caller as tables of one query |
| ``speculative_stubs.py`` | stubs of functions and copies of TEMP tables, for speculative runs |
| ``saving.py`` | rows into CSV and Parquet files |
| ``profiling.py`` | what columns hold |
| ``fetching.py`` | how much is fetched, and ahead of need |
| ``index_labels.py`` | what a reader calls an index that SQLite made |
| ``statements.py`` | what kind of statement a text is |
| ``parameters.py`` | values on their way into SQLite's binder |
| ``results.py``, ``frames.py``, ``declared_types.py`` | rows, their cost; as pandas; booleans, dates |
| ``row_frames.py`` | frames whose values are rows, as dicts |
| ``sql_errors.py`` | APSW's errors as PEP 249's |
"""
