"""Take one mechanism out at a time, and see how soon the simulation fails: the proof that it can.

Run ``python tests/simulation/mutations.py [SECONDS] [WORD ...]``: at most so many seconds (60) for each,
those whose name has a WORD. It prints the kind, what was taken out, the seconds, and what failed first.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

from pyroaring import BitMap
from runs import failure_of
from world import steps_of

from turso_sync_nb.changes import nested, renumbering, tape, tape_reader, to_sql
from turso_sync_nb.changes.capture import Capture
from turso_sync_nb.connection import session
from turso_sync_nb.engine import chain, fetch, position, pull, push, replacing, schema_replay
from turso_sync_nb.engine.replay import _Replay

if TYPE_CHECKING:
    from collections.abc import Iterator

STEPS = 250


def _nothing(*_: Any, **__: Any) -> None:
    """Do nothing."""


@contextmanager
def _not_deferred() -> Iterator[Any]:
    yield SimpleNamespace(allowed=nullcontext)


def _deep(terms: Any) -> str:
    return " AND ".join(terms) or "1"


def _first_page(pages: fetch.RemotePages) -> BitMap:
    return pages._store.page_map.resident & BitMap([0])


MUTATIONS: tuple[tuple[str, Any, str, Any], ...] = (
    ("K1 facts outlive a rollback", session.Session, "_rolled_back", _nothing),
    ("K1 capture outlives a rollback", Capture, "forget", _nothing),
    ("K1 table forms get other ids", tape, "clear", lambda raw: [
        raw.execute(f"DELETE FROM {name}") for name in (tape.TAPE, tape.SHAPES, tape.TRANSACTIONS)]),
    ("K2 attempts without an outcome", nested.Nested, "settle", _nothing),
    ("K3 REPLACE is a delete and an insert", replacing.Surroundings, "replaces", lambda *_: False),
    ("K4 what triggers made is a guard", tape_reader.Reader, "_with_derived", lambda _, change, __: change),
    ("K5 schema judged before the batch", push, "conditions", lambda *_, **__: ([], [])),
    ("K6 other definitions are the same", schema_replay, "same_definition", lambda *_: True),
    ("K6 rows that were not seen are dropped", schema_replay, "count_unseen", lambda *_: 0),
    ("K7 answers carry no nonce", chain.secrets, "token_hex", lambda _: "same"),
    ("K7 the position is believed", position, "agreed", position.expected),
    ("K8 a new key that waits here", renumbering.Renumbering, "_highest_waiting", lambda *_: 0),
    ("K8 children stay with the old key", renumbering.Renumbering, "applied_to", lambda _, change: change),
    ("K8 children of what is set aside", _Replay, "_need_parents", _nothing),
    ("K9 the first page alone is a witness", fetch.RemotePages, "_witnesses", _first_page),
    ("K10 an unreadable schema in force", pull, "parse", _nothing),
    ("K11 deep expressions", to_sql, "conjunction", _deep),
    ("K12 Ctrl-C within a publication", pull, "defer_sigint", _not_deferred),
    ("K12 a stopped connection stays so", session.Session, "_take_up", _nothing),
)  # fmt: skip
"""Kind and mechanism, where it is, its name, and what stands in its place."""


def seconds_to_failure(place: Any, name: str, instead: Any, limit_s: float) -> tuple[float, str]:
    """Run seed after seed with ``instead`` in place; return how long that took, and what failed."""
    started_s, seed = time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="tsn-mutation-") as folder, ExitStack() as held:
        held.enter_context(mock.patch.object(place, name, instead))
        while time.monotonic() - started_s < limit_s:
            failure, _ = failure_of(seed, steps_of(seed, STEPS), Path(folder) / "world")
            if failure:
                return time.monotonic() - started_s, f"seed {seed}, {failure}"
            seed += 1
    return time.monotonic() - started_s, ""


def main(limit_s: float, words: list[str]) -> int:
    """Print the table; return how many were not found out."""
    missed = 0
    for what, place, name, instead in MUTATIONS:
        if words and not any(word in what for word in words):
            continue
        seconds, failure = seconds_to_failure(place, name, instead, limit_s)
        missed += not failure
        print(f"{what}: {seconds:.0f} s, {failure[:100] or 'NOT FOUND'}", flush=True)  # noqa: T201 - a script
    return missed


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 60, sys.argv[2:]) > 0)
