"""Functions of JSON: its members, what it is, how long it is. Numbers keep the text they have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.kernel.errors import DataError, InvalidText
from mfdb.sql.types import INTEGER, JSON, TEXT

if TYPE_CHECKING:
    from collections.abc import Callable

# Texts, compiled when they are first used: most sessions have no JSON.
_STEP = r'(?s)\s*(?:"((?:[^"\\]|\\.)*)"|([^"\\{},\s]+(?:\s+[^"\\{},\s]+)*))\s*(,|$)'
_ESCAPED = r"(?s)\\(.)"
_INDEX = r"-?[0-9]{1,9}"
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


def along(json: str, path: str) -> str | None:
    """Return what lies at the end of a path like '{tags,0}', written as PostgreSQL's text arrays.

    Raises:
        InvalidText: the path is not written so.
    """
    found: str | None = json
    for step in steps_of(path):
        if found is None:
            return None
        is_array = found.lstrip().startswith("[")
        if is_array and not re.fullmatch(_INDEX, step):
            return None
        found = member(found, int(step) if is_array else step)
    return found


def along_text(json: str, path: str) -> str | None:
    """Return what lies at the end of a path, as text."""
    found = along(json, path)
    return None if found is None else text_of(found.strip())


def steps_of(path: str) -> list[str]:
    """Return the steps of a path like {tags,0}.

    Raises:
        InvalidText: it is not written so.
    """
    inside = path.strip()
    if inside[:1] != "{" or inside[-1:] != "}":
        raise InvalidText("a path is written in braces", hint="write '{tags,0}'")
    inside = inside[1:-1].strip()
    if not inside:
        return []
    steps, place, comma = [], 0, ","
    step = re.compile(_STEP)
    while comma:
        found = step.match(inside, place)
        if found is None:
            raise InvalidText(
                "a path has a step that cannot be read", hint="quote it: '{\"a b\",0}'"
            )
        quoted, plain, comma = found.groups()
        steps.append(plain if quoted is None else re.sub(_ESCAPED, r"\1", quoted))
        place = found.end()
    return steps


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
    "#>": (JSON, along),
    "#>>": (TEXT, along_text),
}
