"""Functions of JSON: its members, what it is, how long it is. Numbers keep the text they have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.kernel.errors import DataError, InvalidText
from mfdb.sql.types import INTEGER, JSON, TEXT

if TYPE_CHECKING:
    from collections.abc import Callable

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_KINDS = {"{": "object", "[": "array", '"': "string", "t": "boolean", "f": "boolean", "n": "null"}


def member(json: str, key: Any) -> str | None:
    """Return a member of an object, or an element of an array (from the end if negative)."""
    try:
        if isinstance(key, str):
            found = _OBJECT.decode(json).get(key)
        else:
            array = _ARRAY.decode(json)
            found = array[key] if -len(array) <= key < len(array) else None
    except msgspec.ValidationError:
        return None  # it has no members, or none of that kind
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidText("the value is no JSON") from error
    return None if found is None else bytes(found).decode()


def text_of(json: str | None) -> str | None:
    """Return what JSON says: a string without its quotes, NULL for null, else its text."""
    if json is None or json == "null":
        return None
    return msgspec.json.decode(json, type=str) if json.startswith('"') else json


def member_text(json: str, key: Any) -> str | None:
    """Return a member as text."""
    return text_of(member(json, key))


def kind_of(json: str) -> str:
    """Return what JSON is: object, array, string, number, boolean or null."""
    return _KINDS.get(json.strip()[:1], "number")


def array_length(json: str) -> int:
    """Return how many elements an array has.

    Raises:
        DataError: it is no array.
    """
    try:
        return len(_ARRAY.decode(json))
    except msgspec.ValidationError:
        raise DataError(f"JSON of kind {kind_of(json)} has no length as an array") from None


_Form = tuple[tuple[str, ...], Any, "Callable[..., Any]"]
JSON_FUNCTIONS: dict[str, list[_Form]] = {
    "json_typeof": [(("json",), TEXT, kind_of)],
    "json_array_length": [(("json",), INTEGER, array_length)],
    "json_extract_path": [(("json", "text"), JSON, member)],
    "json_extract_path_text": [(("json", "text"), TEXT, member_text)],
}
JSON_FUNCTIONS |= {
    name.replace("json", "jsonb", 1): forms for name, forms in JSON_FUNCTIONS.items()
}
JSON_OPERATORS: dict[str, tuple[Any, Callable[..., Any]]] = {
    "->": (JSON, member),
    "->>": (TEXT, member_text),
}
