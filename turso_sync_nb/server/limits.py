"""Define the server's limits, each with its reason.

Rules of this file: one frozen value, handed to whatever must keep within it; no other file of the
server holds a number that a person might want to change.
"""

from __future__ import annotations

from dataclasses import dataclass

MIB = 2**20
"""Bytes."""


@dataclass(frozen=True)
class Limits:
    """The limits of one server; the defaults suit a laptop.

    Attributes:
        pull_request_bytes: Largest pull request. A selector of every second page of a 100 GB
            database takes 3.3 MB.
        pipeline_request_bytes: Largest pipeline request. It is held whole in memory, once for
            each client that is sending one.
        result_bytes: Largest result of one pipeline request, counted roughly. It is held whole
            until it is sent.
        value_bytes: Largest text, blob or row that SQL may make.
        request_seconds: Longest time that the SQL of one pipeline request may run; of a cursor, from one
            piece of its answer to the next.
        busy_seconds: How long a statement waits for a writer outside this server.
        write_wait_seconds: How long a statement waits for another client's transaction. Longer than
            ``stream_seconds``, so that a client that vanished makes nobody fail.
        stream_seconds: How long a stream may be unused between two bodies before it is rolled back and
            closed. Clients count on about ten seconds.
        transaction_seconds: The longest that a transaction may span several bodies.
        streams: Streams that may be open at once; those unused for longest are closed first. One with
            nothing on it takes a few hundred bytes.
        open_transactions: Streams that may keep a connection between two bodies, two open files each.
            A body that would leave one more is rolled back and answered with an error.
        stored_texts: SQL texts that one stream may store.
        stored_bytes: Length of all texts that one stream stores; all streams together store 16 times that.
        connections: Connections at once, but no more than half of the files that this process may open. Of
            more, the one that has asked nothing for longest is ended.
        silent_seconds: How long a connection may ask nothing, or send a part of a request and no more.
        cursor_seconds: How long a client may take for the whole answer of a cursor.
        stalled_seconds: How long a client may take nothing of it.
        reading_at_once: Pipeline requests that only read and run at the same time.
        pulling_at_once: Threads that read pages for pulls; as many others run queries for their pages.
        long_poll_seconds: The longest that a pull waits for news, whatever the client asks for.
        news_seconds: How often a waiting pull looks for commits of other programs.
        chunk_pages: Pages read in one go and held for one pulling client.
        wal_bytes: The WAL is moved into the database once it has this many unmoved bytes.
        history_bytes: Page images kept so that older revisions can still be read; the oldest go first.
        generation_frames: Frames of a generation of the legacy protocol after which the next one begins:
            a new client takes them all on top of the base file.
        stop_seconds: How long a stop waits for requests that are being answered.
    """

    pull_request_bytes: int = 8 * MIB
    pipeline_request_bytes: int = 64 * MIB
    result_bytes: int = 64 * MIB
    value_bytes: int = 256 * MIB
    request_seconds: float = 60.0
    busy_seconds: float = 10.0
    write_wait_seconds: float = 15.0
    stream_seconds: float = 10.0
    transaction_seconds: float = 300.0
    streams: int = 10_000
    open_transactions: int = 100
    stored_texts: int = 1000
    stored_bytes: int = 4 * MIB
    connections: int = 4000
    silent_seconds: float = 60.0
    cursor_seconds: float = 600.0
    stalled_seconds: float = 30.0
    reading_at_once: int = 16
    pulling_at_once: int = 8
    long_poll_seconds: float = 60.0
    news_seconds: float = 0.25
    chunk_pages: int = 128
    wal_bytes: int = 32 * MIB
    history_bytes: int = 512 * MIB
    generation_frames: int = 4096
    stop_seconds: float = 2.0


DEFAULT_LIMITS = Limits()

ACCESS_LOG = "turso_sync_nb.server.access"
"""The logger that gets one line of level INFO for each request."""
