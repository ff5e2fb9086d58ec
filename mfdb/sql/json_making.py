"""Making JSON of values, and changing it: to_json, jsonb_set, `||`, `-`, `@>` and the like.

Numbers keep their digits; what is made is on one line, as PostgreSQL writes jsonb.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.kernel.errors import DataError, InvalidText, ValueTooLarge
from mfdb.kernel.limits import ROW_BYTES
from mfdb.sql.convert import to_text
from mfdb.sql.json_functions import steps_of
from mfdb.sql.types import BOOLEAN, JSON, TEXT, SqlType

if TYPE_CHECKING:
    from collections.abc import Callable

_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_ENCODER = msgspec.json.Encoder(decimal_format="number")
PRETTY_INDENT = 4


def decoded(json: str) -> Any:
    """Return what JSON says, numbers with all their digits.

    Raises:
        InvalidText: it is none.
    """
    try:
        return _DECODER.decode(json)
    except (msgspec.DecodeError, ValueError, ArithmeticError, RecursionError) as error:
        raise InvalidText("the value is no JSON") from error


def encoded(value: Any) -> str:
    """Return JSON on one line.

    Raises:
        ValueTooLarge: it is longer than a row may be.
    """
    text = msgspec.json.format(_ENCODER.encode(value), indent=0).decode()
    if len(text) > ROW_BYTES:
        raise ValueTooLarge(f"the result is over {ROW_BYTES} bytes")
    return text


def maker(kind: SqlType) -> Callable[[Any], str]:
    """Return what makes JSON of working values of a type: numbers and truths, else a string."""
    if kind.family == "json":
        return str
    if kind.family == "array":
        return _list_maker(kind)
    if kind.family in ("integer", "boolean", "decimal"):
        return lambda value: to_text(value, kind)
    if kind.family == "float":
        return lambda value: (
            to_text(value, kind) if math.isfinite(value) else quoted(to_text(value, kind))
        )
    joint = "T" if kind.family in ("timestamp", "timestamptz") else " "
    return lambda value: quoted(to_text(value, kind).replace(" ", joint, 1))


def _list_maker(kind: SqlType) -> Callable[[Any], str]:
    from mfdb.sql.arrays import decode, element_of

    element = element_of(kind)
    make = maker(element)

    def made(array: bytes) -> str:
        shown = ["null" if one is None else make(one) for one in decode(array, element)]
        return f"[{', '.join(shown)}]"

    return made


def quoted(text: str) -> str:
    """Return a text as a JSON string."""
    return msgspec.json.encode(text).decode()


def concatenated(left: str, right: str) -> str:
    """Return two objects as one, or two arrays; what is no array counts as one of itself."""
    first, second = decoded(left), decoded(right)
    if isinstance(first, dict) and isinstance(second, dict):
        return encoded(first | second)
    one = first if isinstance(first, list) else [first]
    return encoded(one + (second if isinstance(second, list) else [second]))


def without(json: str, key: Any) -> str:
    """Return an object without a key, an array without an element of that place or text.

    Raises:
        DataError: it is neither.
    """
    value = decoded(json)
    if isinstance(value, dict) and isinstance(key, str):
        value.pop(key, None)
    elif isinstance(value, list) and isinstance(key, str):
        value = [one for one in value if one != key]
    elif isinstance(value, list):
        if -len(value) <= key < len(value):
            del value[key]
    else:
        raise DataError("only objects and arrays have something to take away")
    return encoded(value)


def contains(whole: str, part: str) -> bool:
    """Return whether JSON holds all that another one says (`@>`)."""
    outer, inner = decoded(whole), decoded(part)
    if isinstance(outer, list) and not isinstance(inner, list | dict):
        return any(_equal(one, inner) for one in outer)
    return _contains(outer, inner)


def _equal(left: Any, right: Any) -> bool:
    """True is no number here, as it is in Python."""
    return left == right and isinstance(left, bool) is isinstance(right, bool)


def _contains(outer: Any, inner: Any) -> bool:
    if isinstance(outer, dict) and isinstance(inner, dict):
        return all(key in outer and _contains(outer[key], inner[key]) for key in inner)
    if isinstance(outer, list) and isinstance(inner, list):
        return all(any(_contains(one, part) for one in outer) for part in inner)
    return _equal(outer, inner)


def changed(json: str, path: str, new: str, create: bool = True) -> str:  # noqa: FBT001, FBT002 - as in SQL
    """Return JSON with another value at the end of a path; the last step may be made anew.

    Raises:
        InvalidText: the path is not written as one.
    """
    value = decoded(json)
    steps = steps_of(path)
    at = value
    for place, step in enumerate(steps):
        is_last = place == len(steps) - 1
        if isinstance(at, list):
            at = _in_array(at, step, new, is_last=is_last, create=create)
        elif isinstance(at, dict) and is_last:
            if create or step in at:
                at[step] = decoded(new)
        elif isinstance(at, dict):
            at = at.get(step)
        if at is None:
            break
    return encoded(value)


def _in_array(array: list[Any], step: str, new: str, *, is_last: bool, create: bool) -> Any:
    try:
        index = int(step)
    except ValueError:
        raise InvalidText(f"{step[:40]!r} is no place in an array") from None
    inside = -len(array) <= index < len(array)
    if not is_last:
        return array[index] if inside else None
    if inside:
        array[index] = decoded(new)
    elif create:
        array.insert(0 if index < 0 else len(array), decoded(new))
    return None


def stripped(json: str) -> str:
    """Return JSON without the members of objects that are null."""
    return encoded(_stripped(decoded(json)))


def _stripped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _stripped(one) for key, one in value.items() if one is not None}
    return [_stripped(one) for one in value] if isinstance(value, list) else value


def pretty(json: str) -> str:
    """Return JSON on several lines."""
    return msgspec.json.format(json, indent=PRETTY_INDENT)


JSON_MAKING: dict[str, list[tuple[tuple[str, ...], Any, Callable[..., Any]]]] = {
    "jsonb_pretty": [(("json",), TEXT, pretty)],
    "jsonb_strip_nulls": [(("json",), JSON, stripped)],
    "json_strip_nulls": [(("json",), JSON, stripped)],
    "jsonb_set": [
        (("json", "text", "json"), JSON, changed),
        (("json", "text", "json", "boolean"), JSON, changed),
    ],
}
CONTAINMENT: dict[str, tuple[Any, Callable[..., Any]]] = {
    "@>": (BOOLEAN, contains),
    "<@": (BOOLEAN, lambda part, whole: contains(whole, part)),
}
