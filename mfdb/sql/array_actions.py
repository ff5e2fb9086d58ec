"""What the rules of arrays make: `ARRAY[1, 2]`, `a[1]`, `a[1:2]`, `x = ANY (a)`, `INTEGER[]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.kernel.errors import SqlSyntax
from mfdb.sql import query as qu
from mfdb.sql import statement as st
from mfdb.sql.expression_actions import deeper
from mfdb.sql.query_actions import inner_query

if TYPE_CHECKING:
    from collections.abc import Callable

Children = list[Any]
_LISTED = (("=", False), ("<>", True), ("!=", True))
"""Comparisons with a list that keys and indexes find."""


def array(children: Children, position: int) -> st.ArrayOf:
    """ARRAY[a, b]."""
    items = tuple(children[0] or ())
    return st.ArrayOf(position=position, items=items, depth=deeper(position, items))


def array_query(children: Children, position: int) -> st.Call:
    """ARRAY(query): the aggregate of its one column, empty without rows."""
    query, depth = inner_query(children[0], position)
    name = st.Name(position=position, text="element")
    source = qu.QuerySource(
        position=position,
        query=query,
        alias=qu.Alias(
            position=position, name=st.Name(position=position, text="array"), columns=(name,)
        ),
    )
    gathered = st.Call(
        position=position,
        name="array_agg",
        arguments=(st.ColumnRef(position=position, name="element", table="array"),),
        depth=2,
    )
    core = qu.SelectCore(
        position=position,
        items=(st.Item(position=position, expression=gathered, name="array"),),
        sources=(source,),
    )
    whole = qu.Query(position=position, body=core, depth=depth)
    value = qu.Subquery(position=position, query=whole, depth=depth + 1)
    empty = st.Constant(position=position, kind="string", value="{}")
    return st.Call(
        position=position,
        name="coalesce",
        arguments=(value, empty),
        depth=deeper(position, (value,)),
    )


def element(children: Children, position: int) -> st.Subscript:
    """a[1]."""
    operand, place = children
    return st.Subscript(
        position=position,
        operand=operand,
        low=place,
        high=None,
        is_slice=False,
        depth=deeper(position, (operand, place)),
    )


def array_slice(children: Children, position: int) -> st.Subscript:
    """a[1:2], either bound perhaps left out."""
    operand, low, high = children
    return st.Subscript(
        position=position,
        operand=operand,
        low=low,
        high=high,
        is_slice=True,
        depth=deeper(position, (operand, low, high)),
    )


def among(children: Children, _position: int) -> st.Expression:
    """X = ANY (array), x > ALL (array); a parameter may be a list that keys find."""
    operand, mark, quantifier, given = children
    every = quantifier.text.upper() == "ALL"
    depth = deeper(mark.position, (operand, given))
    if isinstance(operand, st.Row) or isinstance(given, st.Row):
        raise SqlSyntax("rows of values are in no array", position=mark.position)
    if isinstance(given, st.Parameter) and (mark.text, every) in _LISTED:
        return st.InGiven(
            position=mark.position, operand=operand, given=given, negated=every, depth=depth
        )
    return st.AmongArray(
        position=mark.position,
        sign="<>" if mark.text == "!=" else mark.text,
        every=every,
        operand=operand,
        array=given,
        depth=depth,
    )


def like_among(children: Children, position: int) -> st.Expression:
    """X [NOT] LIKE ANY (array)."""
    operand, negated, mark, quantifier, given = children
    if mark.kind == "SIMILAR":
        raise SqlSyntax(
            "SIMILAR TO takes one pattern", hint="x ~ ANY (array) takes many", position=position
        )
    return st.AmongArray(
        position=position,
        sign=("NOT " if negated is not None else "") + mark.text.upper(),
        every=quantifier.text.upper() == "ALL",
        operand=operand,
        array=given,
        depth=deeper(position, (operand, given)),
    )


ACTIONS: dict[str, Callable[[Children, int], Any]] = {
    "array": array,
    "array_query": array_query,
    "element": element,
    "array_slice": array_slice,
    "among": among,
    "like_among": like_among,
    "array_mark": lambda _children, _position: "[]",
}
