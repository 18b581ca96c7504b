"""Send real numbers so that each server reads the same ones.

``tursodb`` 0.8.0-pre.4 reads a JSON number as its digits, rounded to a real, divided by a power of ten. Of
reals with 16 or 17 digits it reads up to a third as a neighbour in the last bit. Such a real is sent as an
integer, and the statement multiplies or divides it by powers of two, which is exact.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

from turso_sync_nb.protocol.pipeline import Stmt
from turso_sync_nb.protocol.sql_value import written_reals

if TYPE_CHECKING:
    from turso_sync_nb.protocol.sql_value import SqlValue

_EXACT_DIGITS: Final = 15
"""Digits of which each integer is a real."""

_SHORT_LENGTH: Final = len(".") + _EXACT_DIGITS
"""Characters up to which a real without an exponent surely has no more than those digits."""

_EXACT_TENS: Final = 22
"""The highest power of ten that is a real."""

_NO_REALS: Final = frozenset({int, str, bytes, type(None)})
"""Types of most values that are no reals; a type of another library may be one."""

_USUAL: Final = _NO_REALS | {float}
"""Types of the values of most statements."""

_MANTISSA_BITS: Final = 53
_SHIFT_BITS_MAX: Final = 62
"""The highest power of two that is an SQL integer."""

_PLACE: Final = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|--[^\n]*|/\*.*?\*/|\?\d*|[\w$]+|[:@]\w+""",
    re.DOTALL,
)
"""A place for a value, or what may have the characters of one."""


def exactly(stmt: Stmt) -> Stmt:
    """Return ``stmt`` with its reals as each server reads them; as it is if a place is no plain ``?``."""
    types = set(map(type, stmt.args))
    if stmt.sql is None or types <= _NO_REALS:
        return stmt
    if types <= _USUAL and _are_short([value for value in stmt.args if type(value) is float]):
        return stmt
    if all(map(_is_read_exactly, stmt.args)):
        return stmt
    values = iter(stmt.args)
    arguments: list[SqlValue] = []
    sql: list[str] = []
    end = places = 0
    for found in _PLACE.finditer(stmt.sql):
        text = found[0]
        if text[0] in ":@$" or (text[0] == "?" and text != "?"):
            return stmt
        if text == "?" and (places := places + 1) <= len(stmt.args):
            value = next(values)
            factor = ""
            if isinstance(value, float) and not _is_read_exactly(value):
                factor, value = _parted(value)
            arguments.append(value)
            sql += [stmt.sql[end : found.start()], f"(CAST(? AS REAL){factor})" if factor else "?"]
            end = found.end()
    if places != len(stmt.args):
        return stmt
    return Stmt("".join([*sql, stmt.sql[end:]]), tuple(arguments), stmt.named_args, stmt.want_rows)


def _are_short(reals: list[float]) -> bool:
    """Return whether all are written with so few digits that each of their integers is a real.

    So is the power of ten then. Or it is none, such as inf: ``null`` in JSON. In doubt they are not.
    """
    written = written_reals(reals)
    return max(map(len, written)) <= _SHORT_LENGTH and b"e" not in b"".join(written)


def _is_read_exactly(value: SqlValue) -> bool:
    """Return whether a value is no real, or one that a division of its digits gives."""
    if not isinstance(value, float):
        return True
    shortest = float.__repr__(value)
    # most reals: so few digits are a real, and so is the power of ten; or it is none, such as inf
    if len(shortest) <= _SHORT_LENGTH and "e" not in shortest:
        return True
    text, _, exponent = shortest.partition("e")
    whole, _, part = text.partition(".")
    digits = whole + part
    tens = int(exponent or 0) - len(part)
    if exponent:
        return len(digits.lstrip("-")) <= _EXACT_DIGITS and abs(tens) <= _EXACT_TENS
    return float(int(digits)) / 10.0**-tens == value


def _parted(value: float) -> tuple[str, int]:
    """Return what a real's integer is multiplied or divided by, and the integer: no step of it rounds."""
    mantissa, exponent = math.frexp(value)
    integer, exponent = int(mantissa * 2**_MANTISSA_BITS), exponent - _MANTISSA_BITS
    low_zeros = (integer & -integer).bit_length() - 1
    integer, exponent = integer >> low_zeros, exponent + low_zeros
    sign = "*" if exponent >= 0 else "/"
    whole, rest = divmod(abs(exponent), _SHIFT_BITS_MAX)
    return f" {sign} {2**_SHIFT_BITS_MAX}" * whole + f" {sign} {2**rest}", integer
