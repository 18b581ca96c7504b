"""The embedded remote: serves a SQLite file to replicas over HTTP.

It uses the protocol layer and SQLite, and nothing of the client. In the order of the data flow:

- ``local``, ``command``: a server in this process, on a thread; the command line.
- ``http_server``, ``network``: uvicorn; a bad network, if wanted. ``edge``: web pages, the access log.
- ``app``, ``refusal``: routes, token, request sizes; a request that is not carried out.
- ``pull_face``, ``pull``, ``query_pages``: which pages a pull gets, and when.
- ``legacy_face``, ``generations``: the same history in the legacy protocol.
- ``sql_face``, ``streams``: SQL over HTTP, on streams over several bodies.
- ``pipeline``, ``statement``, ``sql_guard``: clients' SQL, statement by statement, confined.
- ``database``: one file, its history, its sessions.
- ``history``: all readable revisions, on ``served_file``, ``wal``, ``anchor``, ``undo_log``, ``resumption``.
- ``newest_pages``: pages of the newest one.
- ``limits``: every number one may want to change.

Importing this loads no HTTP library; starting a server does.
"""

from turso_sync_nb.server.limits import Limits
from turso_sync_nb.server.local import LocalServer

__all__ = ["Limits", "LocalServer"]
