"""What was given up or set aside in a backup, and sent from the replica since, is on the remote once."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from test_restored_copies import EVERYTHING, Backups, backups, rows

import turso_sync_nb as tsn

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["backups"]


def numbers(db: tsn.Connection) -> list[int]:
    """Return the transactions that are listed."""
    return sorted({int(number) for number in db.changes()["transaction"]})


def skipped(mine: tsn.Connection, backups: Backups) -> None:
    """Give everything up, make the backup; take it up again and send it."""
    given_up = numbers(mine)
    for number in given_up:
        mine.skip(number)
    mine.close()
    backups.make()
    mine = backups.connect("mine")
    for number in given_up:
        mine.retry(number)
    mine.push()
    mine.close()


def skipped_and_passed(mine: tsn.Connection, backups: Backups) -> None:
    """The same, and others were acknowledged in between."""
    given_up = numbers(mine)
    for number in given_up:
        mine.skip(number)
    mine.execute("INSERT INTO bare VALUES ('between', 1)")
    mine.push()
    skipped(mine, backups)


def pushed(mine: tsn.Connection, backups: Backups) -> None:
    """Make the backup, and send everything."""
    mine.close()
    backups.make()
    mine = backups.connect("mine")
    mine.push()
    mine.close()


def with_more(first: Callable[[tsn.Connection, Backups], None]) -> Callable[[tsn.Connection, Backups], None]:
    """Return the course ``first`` with a further push after it."""

    def course(mine: tsn.Connection, backups: Backups) -> None:
        first(mine, backups)
        mine = backups.connect("mine")
        mine.execute("INSERT INTO bare VALUES ('more', 1)")
        mine.push()
        mine.close()

    return course


FIRST = {
    "given up, taken up again": skipped,
    "given up, taken up again, then more": with_more(skipped),
    "given up, passed by others, taken up again": skipped_and_passed,
    "sent": pushed,
    "sent, then more": with_more(pushed),
}
CASES = [
    ("given up, taken up again", ("push", "retry")),
    ("given up, taken up again", ("skip",)),
    ("given up, taken up again, then more", ("pull", "retry")),
    ("given up, passed by others, taken up again", ("retry",)),
    ("given up, passed by others, taken up again", ("work", "push", "retry")),
    ("sent", ("skip", "push", "retry")),
    ("sent, then more", ("skip",)),
]
"""The first life, and what the user of the restored replica does with each transaction that is listed."""


def do(mine: tsn.Connection, verb: str, listed: list[int]) -> None:
    """Do ``verb``; that a transaction does not wait any more is told to the user, who goes on."""
    if verb == "work":
        mine.execute("INSERT INTO bare VALUES ('work', 1)")
    elif verb in ("skip", "retry"):
        for number in listed:
            with suppress(tsn.UsageError, tsn.ConflictError):
                getattr(mine, verb)(number)
    else:
        getattr(mine, verb)()


@pytest.mark.parametrize(("first", "second"), CASES)
def test_what_was_sent_is_not_listed_nor_sent_again(replica, backups, first, second):
    """However it stands in the backup, and whatever is done with it there; what is not given up is told."""
    mine = replica("mine")
    for statement in EVERYTHING:
        mine.execute(statement)
    FIRST[first](mine, backups)
    wanted = rows(replica("witness"))
    mine = backups.restored()
    listed = numbers(mine)
    for verb in second:
        do(mine, verb, listed)
    if "work" in second:
        wanted[2] = sorted([*wanted[2], ("work", 1)], key=repr)
    report = mine.push()
    assert second != ("skip",) or f"{len(listed)} of those transactions had been given up" in report.note
    mine.pull()
    assert rows(mine) == rows(replica("yours")) == wanted
    assert mine.changes().empty


def test_what_is_given_up_stays_so_beside_triggers(replica):
    """What triggers made in transactions that were sent is not of the one before them, which is kept."""
    mine = replica("mine")
    mine.execute(
        "CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET b = new.id + 700 WHERE id = new.id; END"
    )
    mine.push()
    mine.execute("INSERT INTO kv VALUES ('given up', 1)")
    mine.skip(*numbers(mine))
    listed = mine.changes().to_dict("records")
    for name in ("first", "second", "third"):
        mine.execute("INSERT INTO t (a) VALUES (?)", (name,))
        report = mine.push()
        assert "copied" not in report.note
        assert mine.changes().to_dict("records") == listed
    assert "copied" not in mine.pull().note
    assert mine.changes().to_dict("records") == listed
    assert rows(mine) == rows(replica("yours"))
