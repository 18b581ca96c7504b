"""Show the pages to SQLite: a VFS that fetches absent ones, read-only views, publication of a next base.

| file | holds |
| --- | --- |
| ``lazy_vfs.py`` | SQLite's reads of absent pages |
| ``view_vfs.py``, ``snapshot.py`` | one state of the database as a read-only view |
| ``publication.py`` | a next base image and its WAL put in force at one commit point |
"""
