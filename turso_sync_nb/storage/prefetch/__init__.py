"""Decide which absent pages to fetch with the one that is needed now.

| file | holds |
| --- | --- |
| ``read_ahead.py``, ``read_heads.py`` | evidence: the orders in which pages have been read so far |
| ``known_trees.py`` | what resident pages say about the tree that an absent page belongs to |
| ``speculation.py``, ``speculative_db.py`` | speculation: run the statement on resident pages first |
| ``placeholder_pages.py`` | placeholder pages for absent ones, for speculation only |
| ``schema_pages.py`` | the pages that opening the database reads |
"""
