"""Encode requests to a remote and decode its answers; no I/O.

Nothing here can wait, open a file or a socket, or ask the time. Any bytes either decode or raise
:class:`~turso_sync_nb.errors.ProtocolError`; no other exception escapes a decoder.

``pull_updates``  POST /pull-updates: protobuf messages, page encodings
``selector``      the set of pages inside a pull request: a RoaringBitmap
``legacy``        GET /info, /export and /sync: generations and WAL frames
``pipeline``      POST /v2/pipeline: SQL requests and their answers, as JSON

Their parts: ``framing`` and ``page_encoding`` of the first; ``pipeline_messages``, ``pipeline_json`` and
``sql_value`` of the last.
"""
