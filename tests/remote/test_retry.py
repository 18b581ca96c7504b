"""When to try again: bounded in number, in each step and in all, whatever the server asks for."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turso_sync_nb.remote.retry import RetryPolicy, retry_after_s

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


class Slept:
    """A clock that only sleeping moves."""

    def __init__(self, seed: int = 1, **limits: float) -> None:
        self.delays: list[float] = []
        self.policy = RetryPolicy(
            **limits,
            clock=lambda: sum(self.delays),
            sleep=self.delays.append,
            chance=random.Random(seed),
        )

    def run(self, *asked: float | None) -> int:
        """Return how often it said "again", at most once for each of ``asked``."""
        retries = self.policy.start()
        return sum(1 for _ in iter(lambda: retries.wait(*asked), False))


def test_the_number_of_tries_is_bounded():
    """Four attempts are three waits."""
    slept = Slept(attempts=4, deadline_s=1e9)
    assert slept.run() == 3
    assert len(slept.delays) == 3


def test_one_attempt_never_waits():
    """With one attempt there is no second."""
    slept = Slept(attempts=1)
    assert slept.run() == 0
    assert slept.delays == []


def test_steps_double_up_to_the_cap():
    """With all the chance taken, delays are base, twice base, ..., cap."""

    class Whole(random.Random):
        def uniform(self, a: float, b: float) -> float:
            return b

    delays: list[float] = []
    policy = RetryPolicy(
        attempts=7, base_s=1, cap_s=10, deadline_s=1e9, clock=float, sleep=delays.append, chance=Whole()
    )
    retries = policy.start()
    while retries.wait():
        pass
    assert delays == [1, 2, 4, 8, 10, 10]


def test_what_the_server_asks_for_is_waited_exactly():
    """Retry-After below the cap is the delay."""
    slept = Slept(attempts=2)
    assert slept.run(1.5) == 1
    assert slept.delays == [1.5]


def test_what_the_server_asks_for_is_capped():
    """Retry-After of an hour waits the cap."""
    slept = Slept(attempts=2, cap_s=5)
    assert slept.run(3600.0) == 1
    assert slept.delays == [5]


def test_a_wait_that_would_pass_the_deadline_does_not_begin():
    """There is no sleep that ends after the deadline."""
    slept = Slept(attempts=9, cap_s=5, deadline_s=12)
    assert slept.run(5.0) == 2
    assert slept.delays == [5, 5]


@given(
    seed=st.integers(0, 10**6),
    attempts=st.integers(1, 20),
    base_s=st.floats(0, 10),
    cap_s=st.floats(0, 10),
    deadline_s=st.floats(0, 30),
    asked=st.none() | st.floats(0, 1e9) | st.just(float("inf")),
)
def test_all_sleeps_stay_within_all_bounds(*, seed, attempts, base_s, cap_s, deadline_s, asked):
    """Delays are at most the cap, their sum at most the deadline, their number below the attempts."""
    slept = Slept(seed, attempts=attempts, base_s=base_s, cap_s=cap_s, deadline_s=deadline_s)
    assert slept.run(asked) == len(slept.delays) < attempts
    assert all(0 <= delay <= cap_s for delay in slept.delays)
    assert sum(slept.delays) <= deadline_s + 1e-6


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        (" 3 ", 3.0),
        ("0", 0.0),
        ("9" * 400, float("inf")),
        ("Mon, 04 May 2026 12:00:30 GMT", 30.0),
        ("Mon, 04 May 2026 12:00:30 -0000", 30.0),
        ("Mon, 04 May 2026 14:00:30 +0200", 30.0),
        ("Mon, 04 May 2026 11:00:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("nan", None),
        ("Mon, 32 May 2026 12:00:30 GMT", None),
        ("Mon, 04 May 99999 12:00:30 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header, seconds):
    """Seconds and dates are read, the past is now, garbage is nothing."""
    assert retry_after_s(header, NOW) == seconds


NEARLY_A_DATE = r"[A-Z][a-z]{2}, \d{1,5} [A-Z][a-z]{2} \d{1,9} \d\d:\d\d:\d\d [+-]?\w{0,20}"


@given(st.text() | st.from_regex(NEARLY_A_DATE))
def test_no_header_breaks_the_reading(header):
    """Any text gives nothing or seconds of at least 0."""
    seconds = retry_after_s(header, NOW)
    assert seconds is None or seconds >= 0
