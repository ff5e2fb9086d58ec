"""What arrays are asked and made into; elements count from 1, as in PostgreSQL."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mfdb.kernel.errors import InvalidParameter, ValueTooLarge
from mfdb.kernel.limits import ROW_BYTES
from mfdb.sql.arrays import ELEMENTS, decode, encode, shown
from mfdb.sql.functions import COMPARISONS, FLOAT_COMPARISONS
from mfdb.sql.interval import length

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mfdb.sql.types import SqlType

Array = bytes


def same_as(element: SqlType) -> Callable[[Any, Any], bool]:
    """Return what says whether two elements are the same, NULL being the same as NULL."""
    alike = comparison("=", element)

    def same(left: Any, right: Any) -> bool:
        return left is right if left is None or right is None else alike(left, right)

    return same


def comparison(sign: str, element: SqlType) -> Callable[[Any, Any], bool]:
    """Return a comparison of two working values of a type, neither of them NULL."""
    if element.family == "interval":
        plain = COMPARISONS[sign]
        return lambda left, right: plain(length(left), length(right))
    return (FLOAT_COMPARISONS if element.family == "float" else COMPARISONS)[sign]


# ---- places


def at(array: Array, place: int, element: SqlType) -> Any:
    """Return an element, None outside of the array."""
    values = decode(array, element)
    return values[place - 1] if 1 <= place <= len(values) else None


def part(array: Array, low: int, high: int) -> Array:
    """Return the elements from one place to another."""
    return encode(_stored(array)[max(low, 1) - 1 : max(high, 0)])


def _stored(array: Array) -> list[Any]:
    from mfdb.sql.types import TEXT

    return decode(array, TEXT)  # elements as they are stored


def size(array: Array) -> int:
    """Return how many elements there are."""
    return len(_stored(array))


def length_of(array: Array, dimension: int) -> int | None:
    """Return the length of a dimension, None if there is none: an empty array has no dimension."""
    return (size(array) or None) if dimension == 1 else None


def first_of(array: Array, dimension: int) -> int | None:
    """Return the first place of a dimension."""
    return None if length_of(array, dimension) is None else 1


def dimensions(array: Array) -> int | None:
    """Return how many dimensions an array has, None of an empty one."""
    return 1 if size(array) else None


def bounds(array: Array) -> str | None:
    """Return the bounds of an array as a text."""
    return f"[1:{size(array)}]" if size(array) else None


def trimmed(array: Array, count: int) -> Array:
    """Return an array without its last elements.

    Raises:
        InvalidParameter: it has not so many.
    """
    values = _stored(array)
    if not 0 <= count <= len(values):
        raise InvalidParameter(f"{count} elements cannot be taken from {len(values)}")
    return encode(values[: len(values) - count])


# ---- making others


def joined(left: Array | None, right: Array | None) -> Array | None:
    """Return two arrays as one; NULL is as good as none."""
    if left is None or right is None:
        return right if left is None else left
    return encode(_stored(left) + _stored(right))


def appended(array: Array | None, value: Any) -> Array:
    """Return an array with an element behind."""
    return encode([*_stored(array or encode([])), value])


def prepended(value: Any, array: Array | None) -> Array:
    """Return an array with an element before."""
    return encode([value, *_stored(array or encode([]))])


def without(array: Array | None, value: Any, element: SqlType) -> Array | None:
    """Return an array without those elements that equal a value."""
    if array is None:
        return None
    same = same_as(element)
    return encode([one for one in decode(array, element) if not same(one, value)])


def exchanged(array: Array | None, old: Any, new: Any, element: SqlType) -> Array | None:
    """Return an array with another value in the place of one."""
    if array is None:
        return None
    same = same_as(element)
    return encode([new if same(one, old) else one for one in decode(array, element)])


def filled(value: Any, sizes: Array | None) -> Array:
    """Return an array of one value again and again.

    Raises:
        InvalidParameter: how often is not said by one number.
        ValueTooLarge: too often.
    """
    counts = _stored(sizes) if sizes is not None else [None]
    if len(counts) != 1 or counts[0] is None:
        raise InvalidParameter("array_fill takes one length", hint="array_fill(0, ARRAY[3])")
    if (
        counts[0] > ELEMENTS
        or counts[0] * (len(value) if isinstance(value, str) else 8) > ROW_BYTES
    ):
        raise ValueTooLarge(f"an array has at most {ELEMENTS} elements")
    return encode([value] * max(counts[0], 0))


# ---- finding


def position_of(array: Array | None, value: Any, start: int | None, element: SqlType) -> int | None:
    """Return the first place from a start on where a value stands."""
    if array is None or start is None:
        return None
    same = same_as(element)
    values = decode(array, element)
    for place in range(max(start, 1) - 1, len(values)):
        if same(values[place], value):
            return place + 1
    return None


def positions_of(array: Array | None, value: Any, element: SqlType) -> Array | None:
    """Return the places where a value stands."""
    if array is None:
        return None
    same = same_as(element)
    values = decode(array, element)
    return encode([place for place, one in enumerate(values, 1) if same(one, value)])


def _keys(values: Sequence[Any], element: SqlType) -> set[Any]:
    """Return what values are told apart by, without NULL."""
    if element.family == "interval":
        return {length(value) for value in values if value is not None}
    return {
        "NaN" if isinstance(value, float) and math.isnan(value) else value
        for value in values
        if value is not None
    }


def holds(whole: Array, some: Array, element: SqlType) -> bool:
    """Return whether every element of another array is in this one; NULL is in none."""
    wanted = decode(some, element)
    return None not in wanted and _keys(wanted, element) <= _keys(decode(whole, element), element)


def overlaps(left: Array, right: Array, element: SqlType) -> bool:
    """Return whether two arrays have an element in common."""
    keys = _keys(decode(left, element), element)
    return not keys.isdisjoint(_keys(decode(right, element), element))


def tested(
    test: Callable[[Any, Any], bool], element: SqlType, *, every: bool
) -> Callable[..., Any]:
    """Return the test of a value against the elements of an array: `= ANY`, `> ALL`."""

    def call(value: Any, array: Array | None) -> bool | None:
        if array is None:
            return None
        values = decode(array, element)
        if value is None:
            return None if values else every
        unknown = None in values
        for one in values:
            if one is not None and test(value, one) is not every:
                return not every
        return None if unknown else every

    return call


# ---- texts


def to_text(
    array: Array | None, between: str | None, null: str | None, element: SqlType
) -> str | None:
    """Return the elements as one text, NULLs left out or written as something."""
    if array is None or between is None:
        return None
    texts = [null if one is None else shown(one, element) for one in decode(array, element)]
    kept = [text for text in texts if text is not None]
    if sum(map(len, kept)) + len(between) * len(kept) > ROW_BYTES:
        raise ValueTooLarge(f"the result is over {ROW_BYTES} bytes")
    return between.join(kept)


def of_text(text: str | None, between: str | None, null: str | None = None) -> Array | None:
    """Return the parts of a text between separators; NULL between every two characters."""
    if text is None:
        return None
    parts = list(text) if between is None else text.split(between) if between else [text]
    return encode(
        [None if null is not None and one == null else one for one in (parts if text else [])]
    )
