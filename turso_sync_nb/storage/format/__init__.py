"""SQLite's file format, read without SQLite: b-tree pages, overflow chains, WAL frames, bytecode.

| file | holds |
| --- | --- |
| ``btree.py`` | one b-tree page: kind, rowids, children, overflow pages |
| ``chains.py`` | overflow and freelist chains |
| ``wal_pages.py`` | page numbers of the frames in a WAL |
| ``programs.py`` | tables and indexes that a statement's bytecode opens |
"""
