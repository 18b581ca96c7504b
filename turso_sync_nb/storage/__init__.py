"""Keep a replica's folder, track which pages are resident, and let SQLite read the others.

| folder | holds | imports |
| --- | --- | --- |
| ``files/`` | the folder on disk: names, lock, metadata, durable writes | |
| ``format/`` | SQLite's file format, read without SQLite | files |
| ``pages/`` | resident pages, undo, next base, fetches in flight, eviction | files, format |
| ``prefetch/`` | which absent pages to ask for | files, format, pages |
| ``vfs/`` | SQLite's view of the pages, and publication | all of these |

Nothing here opens the database, its WAL or its shm with ``open()``: closing such a file would drop the
POSIX locks of the whole process. Only SQLite and ``apsw.VFSFile`` do; ``pages/eviction.py``, which closes
its descriptor after all of theirs; and ``files/write_behind.py``, before there are any.
"""
