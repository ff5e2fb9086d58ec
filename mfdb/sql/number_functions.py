"""Functions of numbers beyond arithmetic: roots, logarithms, angles.

They compute in DOUBLE PRECISION, as PostgreSQL does for its own DOUBLE PRECISION: finite numbers
never give infinity, NaN gives NaN. Exact numbers are widened first.
"""

from __future__ import annotations

import math
from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING

from mfdb.kernel.errors import InvalidLogarithm, NumberOutOfRange
from mfdb.sql.overload import Overload
from mfdb.sql.types import BIGINT, DECIMAL, DOUBLE, EXACT, RANGES

if TYPE_CHECKING:
    from collections.abc import Callable

_DEGREE = 0.0174532925199432957692
"""Radians of one degree, PostgreSQL's constant."""
_BIG = RANGES["BIGINT"]


def _real(compute: Callable[..., float], *, infinite: bool = False) -> Callable[..., float]:
    """Return a function whose errors are ours; `infinite` operands may have none of its results."""

    def call(*operands: float) -> float:
        if any(map(math.isnan, operands)):
            return math.nan
        if infinite and any(map(math.isinf, operands)):
            raise NumberOutOfRange("the function takes no infinite number")
        try:
            value = compute(*operands)
        except (OverflowError, ValueError):
            raise NumberOutOfRange("the number is out of the range of the function") from None
        if math.isinf(value) and not any(map(math.isinf, operands)):
            raise NumberOutOfRange("the result is out of the range of DOUBLE PRECISION")
        return value

    return call


def _logarithm(compute: Callable[[float], float]) -> Callable[[float], float]:
    def call(value: float) -> float:
        if value <= 0:
            raise InvalidLogarithm("there is no logarithm of zero or of a negative number")
        return compute(value)

    return call


def _exponential(value: float) -> float:
    power = _real(math.exp)(value)
    if power == 0 and not math.isinf(value):
        raise NumberOutOfRange("the result is too small for DOUBLE PRECISION")
    return power


def _truncated(value: Decimal, digits: int = 0) -> Decimal:
    if not -1000 <= digits <= 1000:
        raise NumberOutOfRange("trunc takes -1000 to 1000 digits")
    cut = value.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_DOWN, context=EXACT)
    return abs(cut) if not cut else cut if digits >= 0 else Decimal(int(cut))


def _truncated_float(value: float) -> float:
    return math.copysign(float(math.trunc(value)), value) if math.isfinite(value) else value


def _divisor(left: int, right: int) -> int:
    found = math.gcd(left, right)
    if found not in _BIG:
        raise NumberOutOfRange("the result is out of the range of BIGINT")
    return found


def _multiple(left: int, right: int) -> int:
    found = math.lcm(left, right)
    if found not in _BIG:
        raise NumberOutOfRange("the result is out of the range of BIGINT")
    return found


def _float(compute: Callable[..., float], count: int = 1) -> list[Overload]:
    return [Overload(("float",) * count, DOUBLE, compute)]


NUMBER_FUNCTIONS: dict[str, list[Overload]] = {
    "cbrt": _float(_real(math.cbrt)),
    "exp": _float(_exponential),
    "ln": _float(_logarithm(math.log)),
    "log": _float(_logarithm(math.log10)),
    "log10": _float(_logarithm(math.log10)),
    "pi": [Overload((), DOUBLE, lambda: math.pi)],
    "degrees": _float(_real(lambda angle: angle / _DEGREE)),
    "radians": _float(_real(lambda angle: angle * _DEGREE)),
    "sin": _float(_real(math.sin, infinite=True)),
    "cos": _float(_real(math.cos, infinite=True)),
    "tan": _float(_real(math.tan, infinite=True)),
    "asin": _float(_real(math.asin)),
    "acos": _float(_real(math.acos)),
    "atan": _float(_real(math.atan)),
    "atan2": _float(_real(math.atan2), 2),
    "trunc": [
        Overload(("integer",), None, int),
        Overload(("decimal",), DECIMAL, _truncated),
        Overload(("float",), DOUBLE, _truncated_float),
        Overload(("decimal", "integer"), DECIMAL, _truncated),
    ],
    "gcd": [Overload(("integer", "integer"), BIGINT, _divisor)],
    "lcm": [Overload(("integer", "integer"), BIGINT, _multiple)],
}
