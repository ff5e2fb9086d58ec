"""Functions of numbers beyond arithmetic: roots, logarithms, angles.

They compute in DOUBLE PRECISION, as PostgreSQL does for its own DOUBLE PRECISION: finite numbers
never give infinity, NaN gives NaN. Exact numbers are widened first.
"""

from __future__ import annotations

import math
from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING, Any

from mfdb.kernel.errors import (
    DivisionByZero,
    InvalidHistogram,
    InvalidLogarithm,
    NumberOutOfRange,
)
from mfdb.sql.overload import Overload
from mfdb.sql.types import BIGINT, DECIMAL, DOUBLE, EXACT, INTEGER, RANGES, TEXT

if TYPE_CHECKING:
    from collections.abc import Callable

_DEGREE = 0.0174532925199432957692
"""Radians of one degree, PostgreSQL's constant."""
_BIG = RANGES["BIGINT"]
_FACTORIAL = 449
"""The greatest factorial that a DECIMAL can hold is that of this number."""


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


def _logarithm_of(base: float, value: float) -> float:
    logarithm = _logarithm(math.log)
    below = logarithm(base)
    if below == 0:
        raise DivisionByZero("there is no logarithm to the base 1")
    return math.log10(value) if base == 10 else logarithm(value) / below


def _quotient(left: Decimal, right: Decimal) -> Decimal:
    if not right:
        raise DivisionByZero("division by zero")
    return EXACT.divide_int(left, right)


def _factorial(number: int) -> Decimal:
    if number < 0:
        raise NumberOutOfRange("a negative number has no factorial")
    if number > _FACTORIAL:
        raise NumberOutOfRange("the result is out of the range of DECIMAL")
    return Decimal(math.factorial(number))


def _scale(value: Decimal) -> int:
    return max(-int(value.as_tuple().exponent), 0)


def _trimmed(value: Decimal) -> Decimal:
    plain = value.normalize(EXACT)
    return plain if int(plain.as_tuple().exponent) <= 0 else plain.quantize(1, context=EXACT)


def _part_of(value: Any, low: Any, high: Any, count: int) -> int:
    """Which of so many equal parts between two bounds a number lies in, 0 or one more outside."""
    if count <= 0:
        raise InvalidHistogram("width_bucket takes a positive count")
    if value != value or low != low or high != high:  # noqa: PLR0124 - NaN
        raise InvalidHistogram("width_bucket takes no NaN")
    if low == high:
        raise InvalidHistogram("the bounds of width_bucket are equal")
    if isinstance(low, float) and (math.isinf(low) or math.isinf(high)):
        raise InvalidHistogram("the bounds of width_bucket are infinite")
    if low > high:
        inside, past = value <= low, value <= high
    else:
        inside, past = value >= low, value >= high
    if not inside or past:
        return _last(count + 1) if past else 0
    if isinstance(value, float):
        part = math.floor(count * ((value - low) / (high - low)))
    else:
        part = int(EXACT.divide_int(EXACT.multiply(value - low, count), high - low))
    return _last(min(part, count - 1) + 1)


def _last(part: int) -> int:
    if part not in RANGES["INTEGER"]:
        raise NumberOutOfRange("the bucket is out of the range of INTEGER")
    return part


def size_pretty(size: int) -> str:
    """Return a count of bytes with a unit, as pg_size_pretty writes it."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if abs(size) < 10_240 or unit == "TB":
            break
        size = (abs(size) + 512) // 1_024 * (1 if size > 0 else -1)
    return f"{size} {unit}"


def _float(compute: Callable[..., float], count: int = 1) -> list[Overload]:
    return [Overload(("float",) * count, DOUBLE, compute)]


NUMBER_FUNCTIONS: dict[str, list[Overload]] = {
    "cbrt": _float(_real(math.cbrt)),
    "exp": _float(_exponential),
    "ln": _float(_logarithm(math.log)),
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
    "log": [
        *_float(_logarithm(math.log10)),
        Overload(("float", "float"), DOUBLE, _logarithm_of),
    ],
    "sinh": _float(_real(math.sinh)),
    "cosh": _float(_real(math.cosh)),
    "tanh": _float(_real(math.tanh)),
    "asinh": _float(_real(math.asinh)),
    "acosh": _float(_real(math.acosh)),
    "atanh": _float(_real(math.atanh)),
    "div": [Overload(("decimal", "decimal"), DECIMAL, _quotient)],
    "factorial": [Overload(("integer",), DECIMAL, _factorial)],
    "scale": [Overload(("decimal",), INTEGER, _scale)],
    "min_scale": [Overload(("decimal",), INTEGER, lambda value: _scale(_trimmed(value)))],
    "trim_scale": [Overload(("decimal",), DECIMAL, _trimmed)],
    "width_bucket": [
        Overload(("decimal", "decimal", "decimal", "integer"), INTEGER, _part_of),
        Overload(("float", "float", "float", "integer"), INTEGER, _part_of),
    ],
    "pg_size_pretty": [Overload(("integer",), TEXT, size_pretty)],
    "gcd": [Overload(("integer", "integer"), BIGINT, _divisor)],
    "lcm": [Overload(("integer", "integer"), BIGINT, _multiple)],
}
