"""Take one mechanism out at a time, and see how soon the simulation fails: the proof that it can.

Run ``python tests/simulation/mutations.py [SECONDS] [WORD ...]``: at most so many processor seconds (60)
for each, those whose name has a WORD. It prints the kind, what was taken out, the seconds, and what failed
first. What fails with everything in place is no finding: such a run is named and passed over.
"""

from __future__ import annotations

import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import outbox_world
import pytest
from pyroaring import BitMap
from runs import failure_of
from swarm import swarm_of

from turso_sync_nb.changes import nested, renumbering, tape, tape_reader, to_sql
from turso_sync_nb.changes.capture import Capture
from turso_sync_nb.connection import session
from turso_sync_nb.engine import chain, fetch, position, pull, push, replacing, schema_replay
from turso_sync_nb.engine.asking import Asking
from turso_sync_nb.engine.replica import Replica
from turso_sync_nb.engine.unapplied import UnappliedRows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TESTS = Path(__file__).parent.parent
STEPS = 100
OUTBOX_STEPS = 60
OUTBOX_EVERY = 2
"""Runs of the simulation after which comes one of the list of changes alone."""


def _nothing(*_: Any, **__: Any) -> None:
    """Do nothing."""


def _deep(terms: Any) -> str:
    return " AND ".join(terms) or "1"


def _first_page(pages: fetch.RemotePages, _least: int) -> BitMap:
    return pages._store.page_map.resident & BitMap([0])


class _AtOnce(Asking):
    """Asks a user's function where the question comes up."""

    def __call__(self, _question: Any, ask: Callable[[], Any], _meanwhile: Any) -> Any:
        """Return the answer."""
        return ask()


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
    ("K8 children of what is set aside", UnappliedRows, "need_parents", _nothing),
    ("K9 the first page alone is a witness", fetch.RemotePages, "_witnesses", _first_page),
    ("K10 a schema is in force before it is read", pull, "_has_other_schema", lambda *_: False),
    ("K11 deep expressions", to_sql, "conjunction", _deep),
    ("K12 a policy is asked amid a publication", pull, "Asking", _AtOnce),
    ("K12 a stopped publication stays so", Replica, "_finish_publication", _nothing),
    ("K12 a stopped connection stays so", session.Session, "_ensure_open", _nothing),
)  # fmt: skip
"""Kind and mechanism, where it is, its name, and what stands in its place."""

TABLES = {
    "K1 facts outlive a rollback": (
        "end_to_end/test_every_write_captured.py::test_facts_of_a_text_go_with_the_schema",
    ),
    "K1 table forms get other ids": ("end_to_end/test_rewritten_tape.py::test_writes_after_it",),
    "K9 the first page alone is a witness": (
        "end_to_end/test_exchanged_server.py::test_another_database_of_the_same_script",
        "end_to_end/test_exchanged_server.py::test_a_server_exchanged_just_after_an_answer",
    ),
    "K7 answers carry no nonce": (
        "end_to_end/test_positions.py::test_an_answer_to_another_request_is_believed_by_nobody",
    ),
    "K7 the position is believed": (
        "end_to_end/test_positions.py::test_a_refused_transaction_beside_an_open_write",
    ),
}
"""Those that no run meets, with the tests that find them: another database by the same script; a text before
and after a TEMP table; a tape amid a push; an answer of the same form that comes a second time; a refused
transaction beside the write of another connection."""


def _outbox(seed: int, folder: Path) -> str:
    """Return what goes wrong in a run of the list of changes."""
    folder.mkdir(parents=True)
    try:
        return "; ".join(outbox_world.failure_of(seed, OUTBOX_STEPS, folder))
    except Exception as error:  # noqa: BLE001 - any error is what is looked for
        return f"{type(error).__name__}: {error}"


def _table(name: str) -> str:
    """Return the name of a table test if it fails in this process."""
    quiet = ["-q", "-n", "0", "-p", "no:cacheprovider", "--no-header", "--tb=no"]
    return "" if pytest.main([*quiet, str(TESTS / name)]) == pytest.ExitCode.OK else f"{name} fails"


def _runs(what: str, folder: Path) -> Iterator[tuple[str, Callable[[], str]]]:
    """Yield runs, each with its name; called, one returns what went wrong. There is no end but of tables."""
    if what in TABLES:
        yield from ((name, partial(_table, name)) for name in TABLES[what])
        return
    seed = 0
    while True:
        yield (
            f"seed {seed}",
            partial(lambda it: failure_of(it, swarm_of(it, STEPS), folder / "world")[0], seed),
        )
        if seed % OUTBOX_EVERY == 0:
            yield f"outbox {seed}", partial(_outbox, seed, folder / f"outbox-{seed}")
        seed += 1


def first_failure(what: str, place: Any, name: str, instead: Any, limit_s: float) -> tuple[float, str]:
    """Make runs with ``instead`` in place; return the time that took, and what failed first."""
    spent_s = 0.0
    with tempfile.TemporaryDirectory(prefix="tsn-mutation-") as folder:
        for at, (which, run) in enumerate(_runs(what, Path(folder))):
            started_s = time.process_time()
            with mock.patch.object(place, name, instead):
                failure = run()
            spent_s += time.process_time() - started_s
            if failure:
                _, again = next(one for n, one in enumerate(_runs(what, Path(folder) / "again")) if n == at)
                if not (own := again()):
                    return spent_s, f"{which}, {failure}"
                print(f"  {which} fails with everything in place: {own[:200]}", flush=True)  # noqa: T201 - a script
            if spent_s > limit_s:
                break
    return spent_s, ""


def main(limit_s: float, words: list[str]) -> int:
    """Print the table; return how many were not found out."""
    missed = 0
    for what, place, name, instead in MUTATIONS:
        if words and not any(word in what for word in words):
            continue
        seconds, failure = first_failure(what, place, name, instead, limit_s)
        missed += not failure
        print(f"{what}: {seconds:.0f} s, {failure[:100] or 'NOT FOUND'}", flush=True)  # noqa: T201 - a script
    return missed


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 60, sys.argv[2:]) > 0)
