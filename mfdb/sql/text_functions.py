"""More functions of texts and numbers, as PostgreSQL has them."""

from __future__ import annotations

import hashlib
import math
from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING, Any

from mfdb.kernel.errors import DataError, NumberOutOfRange, ValueTooLarge
from mfdb.kernel.limits import ROW_BYTES
from mfdb.sql.types import BYTEA, DECIMAL, DOUBLE, EXACT, INTEGER, TEXT

if TYPE_CHECKING:
    from collections.abc import Callable


def left(text: str, count: int) -> str:
    """Return the first characters; all but the last ones if the count is negative."""
    return text[:count]


def right(text: str, count: int) -> str:
    """Return the last characters; all but the first ones if the count is negative."""
    return "" if count == 0 else text[-count:]


def padded(text: str, length: int, fill: str = " ", *, before: bool) -> str:
    """Return a text of so many characters, filled up or cut.

    Raises:
        ValueTooLarge: it would be too long.
    """
    if length > ROW_BYTES:
        raise ValueTooLarge(f"the result is over {ROW_BYTES} bytes")
    missing = length - len(text)
    if missing <= 0 or not fill:
        return text[: max(length, 0)]
    filling = (fill * (missing // len(fill) + 1))[:missing]
    return filling + text if before else text + filling


def split_part(text: str, separator: str, number: int) -> str:
    """Return the part between separators, counted from 1, or from the end if negative.

    Raises:
        DataError: the number is 0.
    """
    if number == 0:
        raise DataError("parts are counted from 1, or from the end by -1")
    parts = text.split(separator) if separator else [text]
    at = number - 1 if number > 0 else len(parts) + number
    return parts[at] if 0 <= at < len(parts) else ""


def initcap(text: str) -> str:
    """Return a text with every word's first letter large and the others small."""
    result, inside = [], False
    for letter in text:
        result.append(letter.lower() if inside else letter.upper())
        inside = letter.isalnum()
    return "".join(result)


def character(code: int) -> str:
    """Return the character of a code point.

    Raises:
        DataError: there is none.
    """
    if not 0 < code < 0x110000 or 0xD800 <= code < 0xE000:
        raise DataError(f"there is no character {code}")
    return chr(code)


def translate(text: str, old: str, new: str) -> str:
    """Return a text with characters replaced one by one; those without a partner go."""
    pairs: dict[str, str] = {}
    for at, letter in enumerate(old):
        pairs.setdefault(letter, new[at] if at < len(new) else "")
    return "".join(pairs.get(letter, letter) for letter in text)


def truncated(value: Decimal, digits: int = 0) -> Decimal:
    """Return a number without the digits behind a place."""
    if not -1000 <= digits <= 1000:
        raise NumberOutOfRange("trunc takes -1000 to 1000 digits")
    context = EXACT.copy()
    context.rounding = ROUND_DOWN
    cut = value.quantize(Decimal(1).scaleb(-digits), context=context)
    return cut if digits >= 0 else Decimal(int(cut))


def _whole(value: float) -> float:
    return float(math.trunc(value)) if math.isfinite(value) else value


def _real(compute: Callable[[float], float]) -> Callable[[float], float]:
    def call(value: float) -> float:
        try:
            return compute(value)
        except (ValueError, OverflowError):
            raise NumberOutOfRange("the result is no real number, or out of range") from None

    return call


_Form = tuple[tuple[str, ...], Any, "Callable[..., Any]"]
_ONE_TEXT = ("text",)
TEXT_FUNCTIONS: dict[str, list[_Form]] = {
    "left": [(("text", "integer"), TEXT, left)],
    "right": [(("text", "integer"), TEXT, right)],
    "lpad": [
        (("text", "integer"), TEXT, lambda text, length: padded(text, length, before=True)),
        (
            ("text", "integer", "text"),
            TEXT,
            lambda text, length, fill: padded(text, length, fill, before=True),
        ),
    ],
    "rpad": [
        (("text", "integer"), TEXT, lambda text, length: padded(text, length, before=False)),
        (
            ("text", "integer", "text"),
            TEXT,
            lambda text, length, fill: padded(text, length, fill, before=False),
        ),
    ],
    "split_part": [(("text", "text", "integer"), TEXT, split_part)],
    "initcap": [(_ONE_TEXT, TEXT, initcap)],
    "reverse": [(_ONE_TEXT, TEXT, lambda text: text[::-1])],
    "ascii": [(_ONE_TEXT, INTEGER, lambda text: ord(text[0]) if text else 0)],
    "chr": [(("integer",), TEXT, character)],
    "translate": [(("text", "text", "text"), TEXT, translate)],
    "md5": [
        (
            _ONE_TEXT,
            TEXT,
            lambda text: hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(),
        ),
        (("bytes",), TEXT, lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest()),
    ],
    "sha256": [(("bytes",), BYTEA, lambda data: hashlib.sha256(data).digest())],
    "to_hex": [(("integer",), TEXT, lambda value: f"{value & (2**64 - 1):x}")],
    "quote_literal": [(_ONE_TEXT, TEXT, lambda text: "'" + text.replace("'", "''") + "'")],
    "trunc": [
        (("integer",), None, int),
        (("decimal",), DECIMAL, truncated),
        (("float",), DOUBLE, _whole),
        (("decimal", "integer"), DECIMAL, truncated),
    ],
    "pi": [((), DOUBLE, lambda: math.pi)],
    **{
        name: [(("float",), DOUBLE, _real(compute))]
        for name, compute in {
            "ln": math.log,
            "log": math.log10,
            "log10": math.log10,
            "exp": math.exp,
            "cbrt": lambda value: math.copysign(abs(value) ** (1 / 3), value),
            "degrees": math.degrees,
            "radians": math.radians,
            "sin": math.sin,
            "cos": math.cos,
            "tan": math.tan,
            "asin": math.asin,
            "acos": math.acos,
            "atan": math.atan,
        }.items()
    },
    "atan2": [(("float", "float"), DOUBLE, math.atan2)],
}
