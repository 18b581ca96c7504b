"""The garbage collector is held back for a block, and never for good."""

from __future__ import annotations

import gc

import pytest

from turso_sync_nb.collecting import no_collecting


@pytest.fixture(autouse=True)
def _collecting():
    gc.enable()
    yield
    gc.enable()


@pytest.mark.parametrize("was_enabled", [True, False])
def test_it_is_as_before_afterwards(was_enabled):
    """Also after an error, and in a block of a block."""
    if not was_enabled:
        gc.disable()
    seen: list[bool] = []

    def fails() -> None:
        with no_collecting(), no_collecting():
            seen.append(gc.isenabled())
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert [*seen, gc.isenabled()] == [False, was_enabled]


def test_a_ctrl_c_before_the_block(monkeypatch):
    """Python raises it where a call has returned: the collector is off then."""
    disable = gc.disable

    def stopped() -> None:
        disable()
        raise KeyboardInterrupt

    monkeypatch.setattr(gc, "disable", stopped)
    with pytest.raises(KeyboardInterrupt), no_collecting():
        pass
    assert gc.isenabled()
