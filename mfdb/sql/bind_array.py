"""Binding arrays: which type their elements have, and what functions and operators do with them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from mfdb.kernel.errors import BadType, UnknownFunction
from mfdb.sql import array_functions as af
from mfdb.sql.arrays import array_of, element_of, encode
from mfdb.sql.bind_arithmetic import no_operator
from mfdb.sql.bound import Bound, Value, WithNulls
from mfdb.sql.coerce import ParameterList, coerce, common_type, settle, strict
from mfdb.sql.functions import COMPARISONS, like
from mfdb.sql.regular_forms import MATCHES, MATCHING, late
from mfdb.sql.types import BIGINT, BOOLEAN, INTEGER, TEXT, SqlType

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mfdb.sql import statement as st

_LIKES = {"LIKE": like(folded=False), "ILIKE": like(folded=True)}


class Form(NamedTuple):
    """What a function takes: `a` an array, `e` an element, `i` an integer, `t` a text, `n` numbers.

    `least` arguments must be there, others are NULL; `gives` None is the type of the array.
    """

    takes: str
    least: int
    gives: SqlType | None
    make: Callable[[SqlType], Callable[..., Any]]
    with_nulls: bool = False


def _plain(call: Callable[..., Any]) -> Callable[[SqlType], Callable[..., Any]]:
    return lambda _element: call


def _knowing(call: Callable[..., Any]) -> Callable[[SqlType], Callable[..., Any]]:
    """The function wants to know the type of the elements."""
    return lambda element: partial(call, element=element)


def _position(element: SqlType) -> Callable[..., Any]:
    return lambda array, value, start=1: af.position_of(array, value, start, element)


def _to_text(element: SqlType) -> Callable[..., Any]:
    return lambda array, between, null=None: af.to_text(array, between, null, element)


_FORMS: dict[str, Form] = {
    "cardinality": Form("a", 1, INTEGER, _plain(af.size)),
    "array_length": Form("ai", 2, INTEGER, _plain(af.length_of)),
    "array_upper": Form("ai", 2, INTEGER, _plain(af.length_of)),
    "array_lower": Form("ai", 2, INTEGER, _plain(af.first_of)),
    "array_ndims": Form("a", 1, INTEGER, _plain(af.dimensions)),
    "array_dims": Form("a", 1, TEXT, _plain(af.bounds)),
    "trim_array": Form("ai", 2, None, _plain(af.trimmed)),
    "array_cat": Form("aa", 2, None, _plain(af.joined), with_nulls=True),
    "array_append": Form("ae", 2, None, _plain(af.appended), with_nulls=True),
    "array_prepend": Form("ea", 2, None, _plain(af.prepended), with_nulls=True),
    "array_remove": Form("ae", 2, None, _knowing(af.without), with_nulls=True),
    "array_replace": Form("aee", 3, None, _knowing(af.exchanged), with_nulls=True),
    "array_fill": Form("en", 2, None, _plain(af.filled), with_nulls=True),
    "array_position": Form("aei", 2, INTEGER, _position, with_nulls=True),
    "array_positions": Form("ae", 2, array_of(INTEGER), _knowing(af.positions_of), with_nulls=True),
    "array_to_string": Form("att", 2, TEXT, _to_text, with_nulls=True),
    "string_to_array": Form("ttt", 2, array_of(TEXT), _plain(af.of_text), with_nulls=True),
    "regexp_split_to_array": Form("ttt", 2, array_of(TEXT), _plain(late("split"))),
    "regexp_match": Form("ttt", 2, array_of(TEXT), _plain(late("regexp_match"))),
}
_KINDS = {"i": BIGINT, "t": TEXT, "n": array_of(INTEGER)}


def bind_array_call(node: st.Call, arguments: list[Bound], parameters: ParameterList) -> Bound:
    """Return the call of a function of arrays.

    Raises:
        UnknownFunction: it takes no such arguments.
    """
    form = _FORMS[node.name]
    if not form.least <= len(arguments) <= len(form.takes):
        raise UnknownFunction(
            f"{node.name} takes {form.least} to {len(form.takes)} arguments",
            position=node.position,
        )
    takes = form.takes[: len(arguments)]
    element = _element(takes, arguments, node)
    kinds = {**_KINDS, "a": array_of(element), "e": element}
    operands = tuple(
        coerce(argument, kinds[letter], parameters, what=node.name)
        for letter, argument in zip(takes, arguments, strict=True)
    )
    kind = form.gives or kinds["a"]
    call = form.make(element)
    if not form.with_nulls:
        return strict(node.name, operands, kind, call, node.position)
    return WithNulls(
        type=kind, position=node.position, operator=node.name, operands=operands, call=call
    )


def _element(takes: str, arguments: Sequence[Bound], node: st.Call) -> SqlType:
    """Return the type of the elements that all arguments can have."""
    known: list[Bound] = []
    for letter, argument in zip(takes, arguments, strict=True):
        kind = argument.type
        if kind.family == "unknown" or letter not in "ae":
            continue
        if letter == "a":
            if kind.family != "array":
                raise BadType(
                    f"{node.name} takes an array, not {kind}",
                    hint="make one: ARRAY[1, 2], or '{1,2}'::INTEGER[]",
                    position=argument.position,
                )
            kind = element_of(kind)
        known.append(Value(type=kind, position=argument.position, value=None))
    found = common_type(known, node.position, node.name)
    array_of(found, node.position)
    return TEXT if found.family == "unknown" else found


def bind_array(node: st.ArrayOf, items: list[Bound], parameters: ParameterList) -> Bound:
    """Return an array of values in their common type."""
    kind = common_type(items, node.position, "ARRAY")
    kind = TEXT if kind.family == "unknown" else kind
    whole = array_of(kind, node.position)
    operands = tuple(coerce(item, kind, parameters) for item in items)
    values = [operand.value for operand in operands if isinstance(operand, Value)]
    if len(values) == len(operands):
        return Value(type=whole, position=node.position, value=encode(values))
    return WithNulls(
        type=whole, position=node.position, operator="array", operands=operands, call=encode,
        listed=0,
    )  # fmt: skip


def bind_subscript(
    node: st.Subscript, operand: Bound, low: Bound | None, high: Bound | None,
    parameters: ParameterList,
) -> Bound:  # fmt: skip
    """Return an element, or some of them.

    Raises:
        BadType: the operand is no array.
    """
    if operand.type.family != "array":
        raise BadType(
            f"{operand.type} has no elements",
            hint="JSON has members: document -> 'key'" if operand.type.family == "json" else "",
            position=operand.position,
        )
    ends = [
        Value(type=BIGINT, position=node.position, value=default)
        if end is None
        else coerce(end, BIGINT, parameters, what="a subscript")
        for end, default in ((low, 1), (high, 2**31))
    ]
    if node.is_slice:
        return strict("part", (operand, *ends), operand.type, af.part, node.position)
    element = element_of(operand.type)
    call = partial(af.at, element=element)
    return strict("element", (operand, ends[0]), element, call, node.position)


# ---- operators


def bind_array_operator(
    sign: str, left: Bound, right: Bound, parameters: ParameterList, position: int
) -> Bound:
    """Return `||`, `@>`, `<@` or `&&` where one side is an array.

    Raises:
        UnknownFunction, BadType: the other side does not suit it.
    """
    sides = [left, right]
    arrays = [side.type.family in ("array", "unknown") for side in sides]
    if sign == "||" and not all(arrays):
        return _with_element(left, right, parameters, position)
    if not all(arrays):
        raise no_operator(sign, left.type, right.type, position)
    kind = common_type(sides, position, sign)
    operands = tuple(coerce(side, kind, parameters, what=sign) for side in sides)
    if sign == "||":
        return WithNulls(
            type=kind, position=position, operator="array_cat", operands=operands, call=af.joined
        )
    if sign == "<@":
        operands = operands[::-1]
    call = partial(af.overlaps if sign == "&&" else af.holds, element=element_of(kind))
    return strict(f"{sign} of arrays", operands, BOOLEAN, call, position)


def _with_element(left: Bound, right: Bound, parameters: ParameterList, position: int) -> Bound:
    """`array || element` and `element || array`."""
    is_behind = left.type.family == "array"
    array, value = (left, right) if is_behind else (right, left)
    dummy = Value(type=element_of(array.type), position=position, value=None)
    kind = common_type([dummy, value], position, "||")
    array = coerce(array, array_of(kind), parameters)
    value = coerce(value, kind, parameters)
    return WithNulls(
        type=array_of(kind),
        position=position,
        operator="array_append" if is_behind else "array_prepend",
        operands=(array, value) if is_behind else (value, array),
        call=af.appended if is_behind else af.prepended,
    )


def bind_among(
    node: st.AmongArray, operand: Bound, array: Bound, parameters: ParameterList
) -> Bound:
    """Return the test of a value against the elements of an array.

    Raises:
        BadType: it is no array, or one of other values.
    """
    if array.type.family not in ("array", "unknown"):
        raise BadType(
            f"ANY and ALL take a query or an array, not {array.type}", position=array.position
        )
    sign = node.sign.removeprefix("NOT ")
    if sign in COMPARISONS:
        known = [operand]
        if array.type.family == "array":
            known.append(Value(type=element_of(array.type), position=node.position, value=None))
        kind = common_type(known, node.position, f"{sign} ANY")
        kind = TEXT if kind.family == "unknown" else kind
        test = af.comparison(sign, kind)
    else:
        kind, test = TEXT, MATCHING[sign] if sign in MATCHES else _LIKES[sign]
    if node.sign.startswith("NOT "):
        test = _negated(test)
    operand = coerce(settle(operand, parameters, kind), kind, parameters)
    array = coerce(array, array_of(kind, node.position), parameters)
    return WithNulls(
        type=BOOLEAN,
        position=node.position,
        operator=f"{node.sign} {'ALL' if node.every else 'ANY'}",
        operands=(operand, array),
        call=af.tested(test, kind, every=node.every),
    )


def _negated(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    return lambda value, one: not test(value, one)
