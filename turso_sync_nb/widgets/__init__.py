"""Widgets: what a replica does, live in the notebook. Imported only when one is asked for.

| file | responsibility |
| --- | --- |
| ``live`` | what all have in common: views, paced updates, work in a thread |
| ``page_map`` | every page a cell: absent, here, changed here, fetched by the last cell; whose it is |
| ``dashboard`` | figures, verbs as buttons, when pages arrived |
| ``review`` | what waits, comes and clashes, and what a pull leaves |
| ``explore`` | tables, their size and share here; columns with profiles |
| ``editor`` | a table in a grid, edited |
| ``arrangement`` | rows found, filtered and sorted by SQL, in pages by key |
| ``table_rows`` | rows in pages, by key |
| ``staging`` | edits that wait to be applied |
| ``cell_types`` | what a column may hold, and what an input to it means |
| ``values`` | SQLite's values as JSON, and from what was typed |
| ``result_table`` | the rows of a result, paged, sorted and filtered where they are |
| ``listening`` | the base class of widgets that listen to the remote |
| ``watch`` | the rows of a query, asked again when something changed |
| ``runs`` | a million small numbers, and what changed of them, in a few bytes |
| ``snapshots``, ``picture`` | tables as static HTML; the page map as a PNG |
| ``static/`` | CSS and plain ES modules: one a widget and what it imports (``live.script`` joins them) |

Rules of this layer:

- Data travels in custom messages, never in traits: traits are saved with the notebook.
- No timer and no thread in the kernel but a verb under way, and listening to the remote if it is asked for.
  Events come from the replica's observers and the notebook's cells; a view answers each update once, a while
  later, which brings what happened meanwhile.
- The user's connection is never touched. Work is done on a sibling, made for it and closed after it.
"""
