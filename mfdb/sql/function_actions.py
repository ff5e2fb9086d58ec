"""What the rules of calls with words inside make: `substring(s FROM 2 FOR 3)` and the like.

They mean the plain calls that PostgreSQL makes of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.kernel.errors import SqlSyntax
from mfdb.sql import statement as st
from mfdb.sql.expression_actions import deeper, word

if TYPE_CHECKING:
    from collections.abc import Callable

Children = list[Any]
_TRIMS = {"BOTH": "btrim", "LEADING": "ltrim", "TRAILING": "rtrim"}


def _call(position: int, name: str, *arguments: st.Expression) -> st.Call:
    depth = deeper(position, arguments)
    return st.Call(position=position, name=name, arguments=arguments, depth=depth)


def _refuse(name: str, words: str, position: int) -> SqlSyntax:
    return SqlSyntax(f"{name} takes no {words}", hint="part arguments by commas", position=position)


def call_ordered(children: Children, position: int) -> st.Call:
    """An aggregate over values in an order."""
    named, arguments, order_by = children[0], tuple(children[-2]), tuple(children[-1])
    parts = (*arguments, *(item.expression for item in order_by))
    return st.Call(
        position=position,
        name=named.text,
        arguments=arguments,
        distinct=len(children) > 3,
        order_by=order_by,
        depth=deeper(position, parts),
    )


def call_from(children: Children, position: int) -> st.Call:
    """substring(s FROM 2 [FOR 3]), extract(year FROM t), trim('x' FROM s)."""
    named, first, second, third = children
    if named.text == "substring":
        more = () if third is None else (third,)
        return _call(position, "substring", first, second, *more)
    if named.text == "extract" and third is None:
        return _call(position, "extract", _field(first), second)
    if named.text == "trim" and third is None:
        return _call(position, "btrim", second, first)
    raise _refuse(named.text, "FROM", position)


def _field(node: st.Expression) -> st.Expression:
    """The field of extract is a word, or a string."""
    if isinstance(node, st.ColumnRef) and node.table is None:
        return st.Constant(position=node.position, kind="string", value=node.name)
    if isinstance(node, st.Constant) and node.kind == "string":
        return node
    raise SqlSyntax(
        "extract names its field by a word", hint="extract(year FROM ...)", position=node.position
    )


def call_for(children: Children, position: int) -> st.Call:
    """substring(s FOR 3 [FROM 2])."""
    named, operand, count, start = children
    if named.text != "substring":
        raise _refuse(named.text, "FOR", position)
    first = start or st.Constant(position=position, kind="integer", value=1)
    return _call(position, "substring", operand, first, count)


def call_placing(children: Children, position: int) -> st.Call:
    """overlay(s PLACING t FROM 2 [FOR 3])."""
    named, operand, part, start, count = children
    if named.text != "overlay":
        raise _refuse(named.text, "PLACING", position)
    more = () if count is None else (count,)
    return _call(position, "overlay", operand, part, start, *more)


def call_trim(children: Children, position: int) -> st.Call:
    """trim(BOTH 'x' FROM s); without characters it trims spaces."""
    named, side, letters, operand = children
    if named.text != "trim":
        raise _refuse(named.text, side.text.upper(), position)
    more = () if letters is None else (letters,)
    return _call(position, _TRIMS[side.text.upper()], operand, *more)


def position_in(children: Children, position: int) -> st.Call:
    """position(part IN text)."""
    part, text = children
    return _call(position, "position", text, part)


def at_time_zone(children: Children, position: int) -> st.Call:
    """`moment AT TIME ZONE zone`."""
    moment, zone = children
    return _call(position, "timezone", zone, moment)


ACTIONS: dict[str, Callable[[Children, int], Any]] = {
    "call_ordered": call_ordered,
    "call_from": call_from,
    "call_for": call_for,
    "call_placing": call_placing,
    "call_trim": call_trim,
    "trim_side": word,
    "position": position_in,
    "at_time_zone": at_time_zone,
    "called_oddly": word,
    "function_word": word,
}
