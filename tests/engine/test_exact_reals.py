"""Reals for a server that divides their digits by a power of ten: those stay that it reads exactly."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from turso_sync_nb.engine.exact_reals import exactly
from turso_sync_nb.protocol.pipeline import Stmt
from turso_sync_nb.protocol.sql_value import written_reals

SQL = "SELECT ?"
INEXACT = 23.308445025757262
"""A real that the division gives as its neighbour."""


class Real(float):
    """A real of another library, which writes itself in another way."""

    def __repr__(self) -> str:
        return f"Real({float(self)})"


def as_divided(value: float) -> float:
    """Return what the digits of ``value`` give, as a real, divided by a power of ten."""
    sign, digits, exponent = Decimal(float.__repr__(value)).as_tuple()
    whole = float(int("".join(map(str, digits)))) * (-1) ** sign
    return whole / 10.0**-exponent if exponent < 0 else whole * 10.0**exponent


few_digits = st.builds(
    lambda digits, places: float(f"{digits}e-{places}"),
    st.integers(-(10**17), 10**17),
    st.integers(0, 17),
)


@given(st.one_of(few_digits, st.floats(min_value=1e-4, max_value=1e15)))
@example(0.1)
@example(-0.0)
@example(123456789012345.6)
@example(0.30000000000000004)
@example(-99999999999999.9)
def test_a_real_that_is_read_exactly_stays(value) -> None:
    """A real without an exponent is sent as it is just where the division gives it."""
    if "e" in repr(value):
        return
    assert (exactly(Stmt(SQL, (value,))).sql == SQL) == (as_divided(value) == value)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 1, "0.30000000000000004", None, b"1.5"])
def test_what_is_no_finite_real_stays(value) -> None:
    """Other values are not looked at."""
    assert exactly(Stmt(SQL, (0.1, value))).sql == SQL


@pytest.mark.parametrize("value", [True, bytearray(b"1.5"), memoryview(b"1.5"), math.inf, None])
def test_what_is_no_finite_real_stays_alone(value) -> None:
    """Also where no real is beside it."""
    assert exactly(Stmt(SQL, (value,))) == Stmt(SQL, (value,))


@pytest.mark.parametrize("beside", [(), (INEXACT,)])
@pytest.mark.parametrize("value", [0.25, INEXACT])
def test_a_real_of_another_library_is_as_its_number(value, beside) -> None:
    """However it writes itself, alone and beside others."""
    sql = ", ".join([SQL, *"?" * len(beside)])
    assert exactly(Stmt(sql, (Real(value), *beside))) == exactly(Stmt(sql, (value, *beside)))
    assert (exactly(Stmt(sql, (value, *beside))).sql == sql) == (value == 0.25 and not beside)


ANY_REALS = st.one_of(few_digits, st.floats(), st.integers(-5, 5), st.text(max_size=2), st.none())


@given(st.lists(ANY_REALS, min_size=1, max_size=6))
@example([1e15, 0.1, 1e16])
@example([1e-7, 0.5])
@example([-0.0, math.inf, 2.5])
@example([123456789012345680.0])
def test_several_values_are_sent_as_each_alone(values) -> None:
    """Looked at together or one by one, the same reals are taken apart."""
    together = exactly(Stmt("SELECT " + ", ".join("?" * len(values)), tuple(values)))
    alone = [exactly(Stmt(SQL, (value,))) for value in values]
    assert together.sql == "SELECT " + ", ".join((one.sql or "").removeprefix("SELECT ") for one in alone)
    assert repr(together.args) == repr(tuple(value for one in alone for value in one.args))


@given(st.one_of(few_digits, st.floats(allow_nan=False, allow_infinity=False)))
def test_json_has_the_shortest_digits(value) -> None:
    """A real that JSON writes without an exponent, in so few characters, Python writes as long."""
    (written,) = written_reals([value])
    assert float(written) == value
    if b"e" not in written and len(written) <= 16:
        assert len("".join(filter(str.isdigit, repr(value))).strip("0")) <= 15
