"""The sync engine, one verb a file; each takes what it touches and returns a frozen report.

| file | verb |
| --- | --- |
| ``remote.py`` | what the engine needs of a remote, declared and not implemented |
| ``fetch.py`` | pages of one revision, all that were asked for or an error |
| ``beside.py`` | one request while another one is under way |
| ``verbs.py``, ``meter.py`` | one verb at a time; what it costs |
| ``asking.py``, ``user_policy.py``, ``user_transform.py`` | a user's functions, asked while nothing waits |
| ``lineage.py``, ``copies.py`` | what a replica and its copies have pushed; a copy's list settled by it |
| ``bootstrap.py`` | the first pages of a new replica, resumable |
| ``configuration.py`` | address, segment size and prefetch given again: proven, saved |
| ``remote_update.py``, ``pull.py``, ``replay.py`` | the remote's newer pages; local changes again on top |
| ``insert_runs.py``, ``trigger_effects.py`` | of a replay: rows inserted together; what triggers make |
| ``depending.py``, ``row_identity.py`` | which transactions go on from what another one did; rows by name |
| ``rows_there.py`` | the rows of changes in a replay |
| ``unapplied.py`` | changes that depend on a transaction that is not applied: they wait |
| ``reconciling.py`` | what of the local changes a pulled state has already |
| ``stepwise.py`` | an update kept aside, put in force later without a request |
| ``unreadable.py`` | a schema that SQLite cannot read, refused by the object's name |
| ``verify.py`` | the replica and the remote compared, and made equal again |
| ``state_diff.py``, ``keyed_pages.py`` | what a pull would change; rows WITHOUT ROWID on pages |
| ``write_turns.py`` | who may begin to write, in the order in which they ask |
| ``pinned.py`` | one revision, read lazily; two of them compared |
| ``pulled.py`` | the rows that the last pull changed |
| ``pull_preview.py`` | the outcome of a pull, beforehand |
| ``ensure.py``, ``query_selector.py`` | the pages that one query touches; named by the remote |
| ``query_trees.py``, ``dry_run.py`` | the trees that a query opens; what it would fetch |
| ``push.py``, ``push_batch.py`` | what was made here; one request of it |
| ``like_changes.py`` | of a push: many changes at once that one statement does |
| ``replacing.py``, ``replacing_again.py`` | rows that REPLACE removed: on the remote; in a replay |
| ``server_failures.py`` | a server that cannot write, told from a statement that it refuses |
| ``schema_guards.py``, ``schema_replay.py`` | changes of the schema: conditions of a push; on a newer base |
| ``conditions_left.py`` | conditions on what a push leaves |
| ``chain.py`` | statements on the remote, all or nothing; answers that are to what was asked |
| ``trigger_keys.py`` | rows that triggers inserted, found under other keys |
| ``volatile_columns.py`` | columns that cannot name a row: the remote's triggers fill them anew |
| ``exact_reals.py`` | real numbers in them as each server reads them |
| ``bookkeeping.py``, ``position.py`` | what has arrived; nothing changes state before that is known |
| ``used_keys.py`` | keys of AUTOINCREMENT tables that the remote has used |
| ``checkpoint.py`` | the log into the database file |
| ``outbox.py`` | what waits to be pushed, and how a user revises it |
| ``pushed_log.py`` | what this process wrote and pushed |
| ``remote_support.py``, ``default_there.py`` | what the remote cannot hold |
| ``local_changes.py``, ``salvage.py`` | what was made here, read, and saved from files that others changed |
| ``gate.py`` | every connection idle while files are published |
| ``replica.py``, ``opening.py`` | a replica folder while this process owns it; how it is opened |
| ``damage.py`` | what happened to its files meanwhile |
| ``observers.py``, ``remote_listener.py`` | who is told of changes here; of those on the remote |
| ``databases.py``, ``capture_ids.py``, ``stats.py`` | its raw connections; ids of changes; its figures |
| ``hydration.py`` | the rest, in the background |
| ``tree_costs.py`` | what one execution read of each table and index |
| ``page_owners.py``, ``table_sizes.py`` | the owner of a page; rows and bytes of every table |
| ``export.py`` | a plain SQLite file for other tools |
| ``reports.py`` | what the verbs return |

Nothing here knows HTTP: a remote arrives as an argument.
"""
