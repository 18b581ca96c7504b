"""Deciding which absent pages to ask for with the one that is needed now.

| file | holds |
| --- | --- |
| ``read_ahead.py``, ``heads.py`` | evidence: the orders in which pages have been read so far |
| ``known_trees.py`` | what resident pages say about the tree that an absent page belongs to |
| ``foresight.py``, ``rehearsal.py`` | speculation: run the statement on resident pages first |
| ``stand_ins.py`` | placeholder pages for absent ones, for speculation only |
| ``opening_pages.py`` | the pages that opening the database reads |
"""
