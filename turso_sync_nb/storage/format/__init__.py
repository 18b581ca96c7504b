"""SQLite's file format, read without SQLite: b-tree pages, overflow chains, WAL frames, bytecode.

| file | holds |
| --- | --- |
| ``btree.py`` | one b-tree page: kind, rowids, children, overflow pages |
| ``records.py`` | the values of a record |
| ``overflow.py`` | overflow and freelist chains |
| ``wal_frames.py`` | frames and salts of the log: the one reader of it |
| ``bytecode.py`` | tables and indexes that a statement's bytecode opens |
"""
