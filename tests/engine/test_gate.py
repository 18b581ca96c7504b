"""Who uses a replica's connections, as the gate knows it."""

from __future__ import annotations

import pytest

from turso_sync_nb.engine.gate import Gate, Use


class Half:
    """A connection of which nothing is there yet."""

    def doing(self):
        """Fail, as a connection does that was stopped while it was opened."""
        raise AttributeError


class Stopped(dict):
    """The uses, where Ctrl-C comes between making a member's list and noting a use in it."""

    def setdefault(self, member, uses):
        """Note the list alone."""
        super().setdefault(member, uses)
        raise KeyboardInterrupt


@pytest.mark.parametrize("verb", ["opening", "statement"])
def test_one_that_was_stopped_as_it_began_is_not_asked(verb, monkeypatch):
    """Nothing of it is left."""
    gate, member = Gate(), Half()
    monkeypatch.setattr(gate, "_uses", Stopped())
    call = {
        "opening": lambda: gate.opening(member, 1, lambda: None),
        "statement": lambda: gate.statement(member, lambda: None),
    }
    with pytest.raises(KeyboardInterrupt):
        call[verb]()
    assert not gate.busy()


def test_a_use_ends_where_it_is_said_to():
    """Before those who wait were told."""
    gate, member, use = Gate(), Half(), Use()
    gate.enter(member, use)
    assert gate.is_used(member)
    use.is_over = True
    assert not gate.is_used(member)
    assert not gate.busy()
