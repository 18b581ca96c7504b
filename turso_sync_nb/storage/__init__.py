"""Storage: a replica's folder, which of its pages are here, and how SQLite reads the others.

| file | holds |
| --- | --- |
| ``folder.py`` | the replica folder and the names in it |
| ``durable.py`` | one durable write |
| ``lock.py`` | which process owns a folder |
| ``metadata.py`` | what is in force: revision, size, phase |
| ``page_map.py`` | which pages are here |
| ``page_store.py`` | the base image: pages into it, never over one that is here |
| ``page_file.py`` | pages in a file of their own |
| ``undo.py`` | base content that checkpoints wrote over |
| ``next_base.py``, ``view_vfs.py``, ``publication.py`` | the next base image, seen, and put in force |
| ``last_commit.py`` | pages as the last commit left them, for looking only |
| ``wal_pages.py`` | which pages the log holds |
| ``uninterrupted.py`` | a Ctrl-C that waits a moment |
| ``crash_points.py`` | named places where a test ends the process |
| ``snapshot.py`` | a state of the database to look at |
| ``btree.py``, ``chains.py``, ``known_trees.py`` | what pages say about other pages |
| ``foresight.py``, ``rehearsal.py`` | what a statement will read, found by running it on what is here |
| ``stand_ins.py``, ``programs.py`` | pages made up for that; what a statement's bytecode says |
| ``read_ahead.py``, ``heads.py`` | what to ask for with an absent page; the orders in which pages are read |
| ``allowance.py`` | how much a query may fetch |
| ``source.py`` | the page source that lazy reads need, declared and not implemented |
| ``page_loader.py`` | one fetch in flight for a page |
| ``lazy_vfs.py`` | SQLite's reads of absent pages |
| ``eviction.py``, ``holes.py`` | a limit on what is here; room given back |

Nothing here opens the database, its WAL or its shm with ``open()``: closing such a file would drop the
POSIX locks of the whole process. Only SQLite and ``apsw.VFSFile`` do; and ``eviction.py``, which closes
its descriptor after all of theirs.
"""
