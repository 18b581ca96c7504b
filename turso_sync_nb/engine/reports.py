"""Define the frozen reports that the engine's verbs return."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class BootstrapReport:
    """The cost of making a replica ready.

    ``pages`` arrived in this call (``received_bytes`` as they crossed the wire, ``requests`` asked for
    them); ``pages_resident`` of ``pages_total`` are here afterwards. ``resumed``: an earlier, interrupted
    bootstrap was continued. ``note`` says in a sentence what a user should know, or is empty.
    """

    pages: int
    pages_resident: int
    pages_total: int
    received_bytes: int
    requests: int
    seconds: float
    resumed: bool = False
    note: str = ""

    @property
    def whole(self) -> bool:
        """Return whether every page of the database is here."""
        return self.pages_resident == self.pages_total


@dataclass(frozen=True)
class PullReport:
    """The result of a pull; true if there was something new.

    ``pages`` arrived. ``replayed`` local transactions stand on the new state, ``set_aside`` ones could not
    be replayed on it and wait in ``changes()``. ``conflicts`` were met on the way.
    """

    pages: int
    applied: bool
    replayed: int
    conflicts: int
    set_aside: int
    received_bytes: int
    sent_bytes: int
    requests: int
    seconds: float
    note: str = ""

    def __bool__(self) -> bool:
        return self.applied


@dataclass(frozen=True)
class PushReport:
    """The result of a push; true if it sent anything.

    ``conflicts`` were met and settled on the way. ``skipped`` changes were held back by the transform: they
    are not on the remote, and wait no more.
    """

    transactions: int
    changes: int
    requests: int
    sent_bytes: int
    received_bytes: int
    seconds: float
    conflicts: int = 0
    note: str = ""
    skipped: int = 0

    def __bool__(self) -> bool:
        return self.transactions > 0


@dataclass(frozen=True)
class Difference:
    """One thing in which a replica and its remote differ.

    ``kind``: row (the one with ``key``), rows (of a range of keys), schema (``table`` is the object's name),
    pages, or unreadable (SQLite cannot read it here).
    """

    table: str
    key: dict[str, Any] | None
    kind: str
    detail: str


@dataclass(frozen=True)
class VerifyReport:
    """The result of a verification; true if nothing differs, or no longer.

    ``pages`` of ``pages_total`` were compared byte by byte, ``rows`` in ``tables`` by number and digest.
    ``differences`` names what differs, ``more`` counts those beyond. ``not_compared`` says what was left
    out, in sentences. ``repaired``: pages that were fetched again.
    """

    pages: int
    pages_total: int
    tables: int
    rows: int
    differences: tuple[Difference, ...]
    more: int
    not_compared: tuple[str, ...]
    repaired: int
    received_bytes: int
    requests: int
    seconds: float

    def __bool__(self) -> bool:
        return not self.differences or self.repaired > 0


@dataclass(frozen=True)
class CheckpointReport:
    """The result of a checkpoint: ``pages`` of the log went into the database file."""

    pages: int
    seconds: float


@dataclass(frozen=True)
class TreeCost:
    """The pages of one table or index that one execution read; ``name`` is empty for pages of none.

    Those are the overflow pages of long values, mostly. Pages are counted once each, however often they
    were read: ``pages_hit`` were here, ``pages_fetched`` came for this connection in ``requests`` of its
    own, ``pages_wasted`` of them were not read while it ran.
    """

    name: str
    pages_hit: int
    pages_fetched: int
    pages_wasted: int
    requests: int


@dataclass(frozen=True)
class DryRun:
    """The most that a query would fetch, by table and index; values longer than a page come on top.

    ``requests``: how many it took to find that out, for ``pages_fetched`` pages that say which others there
    are.
    """

    pages: int
    bytes: int
    by_tree: dict[str, int]
    requests: int
    pages_fetched: int


@dataclass(frozen=True)
class QueryReport:
    """The cost of one execution.

    ``pages_hit``: pages that SQLite read and found here, its own cache not counted. ``pages_fetched``:
    pages that came from the remote while it ran, read-ahead included; ``pages_wasted`` of those that came
    for this connection were not read. Bytes are body bytes as they crossed the wire. ``by_tree`` is empty
    when nothing was fetched.
    """

    seconds: float = 0.0
    rows: int = 0
    rows_changed: int = 0
    pages_hit: int = 0
    pages_fetched: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0
    requests: int = 0
    pages_wasted: int = 0
    by_tree: tuple[TreeCost, ...] = ()

    def __add__(self, other: QueryReport) -> QueryReport:
        sums = {each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(self)}
        return QueryReport(**sums)


@dataclass(frozen=True)
class Stats:
    """A replica's figures; the names are those of Turso's Python package where it has them.

    Sizes in bytes, times in unix seconds (``None``: never), ``revision`` opaque.
    """

    cdc_operations: int
    main_wal_size: int
    revert_wal_size: int
    last_pull_unix_time: int | None
    last_push_unix_time: int | None
    revision: str | None
    network_sent_bytes: int
    network_received_bytes: int
    network_requests: int
    pages_total: int
    pages_resident: int


@dataclass(frozen=True)
class Cost:
    """Counters of one connection and of its replica's network at one moment; two of them subtract."""

    pages_hit: int
    pages_fetched: int
    received_bytes: int
    sent_bytes: int
    requests: int

    def __sub__(self, before: Cost) -> Cost:
        return Cost(
            self.pages_hit - before.pages_hit,
            self.pages_fetched - before.pages_fetched,
            self.received_bytes - before.received_bytes,
            self.sent_bytes - before.sent_bytes,
            self.requests - before.requests,
        )
