"""Turns to write come in the order in which they were asked for; who gives up is passed by."""

from __future__ import annotations

import threading
import time

import pytest

from turso_sync_nb.engine.write_turns import WriteTurns

SOON_S, LONG_S = 0.01, 5.0

STEPS = {
    "the first has it": ("a take", "a:yes"),
    "asked again": ("a take, a take, a give, b take", "a:yes a:yes b:yes"),
    "the second waits in vain": ("a take, b take", "a:yes b:no"),
    "it was given": ("a take, a give, b take", "a:yes b:yes"),
    "who gave up has no place any more": ("a take, b take, a give, c take", "a:yes b:no c:yes"),
    "given by one who has none": ("a take, b give, b take", "a:yes b:no"),
    "left by who stopped": ("a take, a stop, b take", "a:yes b:yes"),
    "left, another one waits": ("a take, b take, a stop, b take, c take", "a:yes b:no b:yes c:no"),
    "left and taken again": ("a take, a stop, a take, b take", "a:yes a:yes b:no"),
    "given twice": ("a take, a give, a give, b take", "a:yes b:yes"),
}
"""Steps of members in one thread, and whether each turn came in time."""


class Member:
    """A connection, as turns see it."""

    writes = True

    def is_writing(self):
        """Return whether its turn goes on."""
        return self.writes


@pytest.mark.parametrize("name", STEPS)
def test_one_after_another(name):
    """A turn lasts until it is given."""
    steps, wanted = STEPS[name]
    turns, answers, members = WriteTurns(), [], {name: Member() for name in "abc"}
    for step in steps.split(", "):
        name, verb = step.split()
        if verb == "take":
            members[name].writes = True
            answers.append(f"{name}:{'yes' if turns.take(members[name], SOON_S) else 'no'}")
        elif verb == "stop":
            members[name].writes = False
        else:
            turns.give(members[name])
    assert " ".join(answers) == wanted


def test_in_the_order_of_asking():
    """Several that wait get it one by one, the first that asked first."""
    turns, order, holder = WriteTurns(), [], Member()
    assert turns.take(holder, LONG_S)

    def wait(name):
        with turns.turn(LONG_S):
            order.append(name)

    threads = []
    for at, name in enumerate("abc", 2):
        threads.append(threading.Thread(target=wait, args=(name,)))
        threads[-1].start()
        while len(turns._queue) < at:
            time.sleep(0.001)
    turns.give(holder)
    for thread in threads:
        thread.join(LONG_S)
    assert order == ["a", "b", "c"]


def test_an_error_in_a_turn_ends_it():
    """The next one has its turn."""
    turns = WriteTurns()
    with pytest.raises(ZeroDivisionError), turns.turn(LONG_S):
        raise ZeroDivisionError
    assert turns.take(Member(), SOON_S)
