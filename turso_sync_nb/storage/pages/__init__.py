"""Pages of the base image: which are resident, where they are kept, how absent ones arrive.

| file | holds |
| --- | --- |
| ``page_map.py`` | which pages are resident, durably |
| ``page_store.py`` | the base image: a page is put there only if it is absent |
| ``page_file.py``, ``undo.py`` | pages in a file of their own; base content that checkpoints wrote over |
| ``next_base.py`` | the pages of the base image that a pull is about to publish |
| ``source.py`` | the page source that lazy reads need, declared and not implemented |
| ``single_flight.py`` | one fetch in flight for each page |
| ``fetch_budget.py`` | how much one query may fetch |
| ``eviction.py`` | a limit on resident pages; file space given back |
| ``folder_copy.py`` | a folder copied while its owner works in it |
| ``committed.py`` | pages as the last commit left them, for looking only |
"""
