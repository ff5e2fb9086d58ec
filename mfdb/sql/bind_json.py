"""Binding what makes JSON of any values: to_json, json_build_object, json_agg and the like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.errors import InvalidParameter, UnknownFunction
from mfdb.sql.bound import Bound, Lazy, Value
from mfdb.sql.coerce import ParameterList, coerce, settle, strict
from mfdb.sql.convert import caster
from mfdb.sql.functions import JSON_AGGREGATES
from mfdb.sql.json_making import maker, quoted
from mfdb.sql.types import BOOLEAN, JSON, TEXT

if TYPE_CHECKING:
    from mfdb.sql import statement as st


def bind_json_call(node: st.Call, arguments: list[Bound], parameters: ParameterList) -> Bound:
    """Return a call that makes JSON of its arguments.

    Raises:
        UnknownFunction: there are too many or too few.
    """
    if node.name.startswith(("to_", "array_")):
        if len(arguments) != 1:
            raise UnknownFunction(f"{node.name} takes one argument", position=node.position)
        return as_json(arguments[0], parameters)
    parts = [or_null(as_json(argument, parameters)) for argument in arguments]
    if node.name.endswith("build_array"):
        return _joined("[", parts, "]", node.position)
    if len(arguments) % 2:
        raise UnknownFunction(f"{node.name} takes keys and values in turn", position=node.position)
    for place in range(0, len(arguments), 2):
        parts[place] = as_key(arguments[place], parameters)
    pairs = [
        _concatenated([key, _text(": ", key.position), value], key.position)
        for key, value in zip(parts[::2], parts[1::2], strict=True)
    ]
    return _joined("{", pairs, "}", node.position)


def json_operands(
    node: st.Call, operands: tuple[Bound, ...], parameters: ParameterList
) -> tuple[Bound, ...]:
    """Return the operands of an aggregate; one that makes JSON takes them as JSON."""
    if node.name not in JSON_AGGREGATES:
        return operands
    values = [or_null(as_json(operand, parameters)) for operand in operands]
    if len(values) > 1:
        values[0] = as_key(operands[0], parameters)
    return tuple(values)


def as_json(node: Bound, parameters: ParameterList) -> Bound:
    """Return a value as JSON, NULL as NULL."""
    node = settle(node, parameters, TEXT)
    return strict("to_json", (node,), JSON, maker(node.type), node.position)


def or_null(node: Bound) -> Bound:
    """Return JSON, `null` for NULL."""
    null = Value(type=JSON, position=node.position, value="null")
    return Lazy(type=JSON, position=node.position, operator="coalesce", operands=(node, null))


def as_key(node: Bound, parameters: ParameterList) -> Bound:
    """Return a value as the key of an object, which must not be NULL."""
    node = settle(node, parameters, TEXT)
    change = caster(node.type, TEXT)
    if node.type.family != "text" and change is not None:
        node = strict("cast", (node,), TEXT, change, node.position)
    else:
        node = coerce(node, TEXT, parameters)
    position = node.position
    absent = Lazy(type=BOOLEAN, position=position, operator="is_null", operands=(node,))
    refused = strict("refuse", (absent,), JSON, _refuse_key, position)
    key = strict("to_json", (node,), JSON, quoted, position)
    operands = (absent, refused, key)
    return Lazy(type=JSON, position=position, operator="case", operands=operands)


def _refuse_key(_absent: object) -> str:
    raise InvalidParameter("a key of a JSON object must not be NULL")


def _text(text: str, position: int) -> Bound:
    return Value(type=TEXT, position=position, value=text)


def _joined(opening: str, parts: list[Bound], closing: str, position: int) -> Bound:
    pieces: list[Bound] = []
    for part in parts:
        pieces += [_text(", " if pieces else opening, position), part]
    if not pieces:
        pieces = [_text(opening, position)]
    return _concatenated([*pieces, _text(closing, position)], position)


def _concatenated(parts: list[Bound], position: int) -> Bound:
    return Lazy(type=JSON, position=position, operator="concat", operands=tuple(parts))
