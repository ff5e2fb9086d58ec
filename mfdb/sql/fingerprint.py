"""Statements that differ in literals only are parsed and compiled once.

    text -> its shape, by one regular expression -> a template with a slot for each literal
    template + literals -> what a prepared statement and its parameters are

Literals are lifted where they stand for a value and nothing else: rows of INSERT, assignments of
UPDATE, operands of comparisons in WHERE. Others (LIMIT, ORDER BY 2, lengths of types, IN lists,
patterns) are a part of the template. A lifted literal keeps the type that it was written with: an
integer is an INTEGER or BIGINT by its size, a text is read as the type of its place. Whoever runs a
template that fails runs the statement itself, so that errors say what they always say.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.sql import statement as st
from mfdb.sql.functions import COMPARISONS
from mfdb.sql.parameters import LiteralText
from mfdb.sql.parse import CACHED_CHARACTERS, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

SHAPES = 512
VARIANTS = 8
"""Templates of one shape, which differ in the literals that are not lifted."""
_BEGINS = re.compile(r"\s*(?:SELECT|INSERT|UPDATE|DELETE)\b", re.IGNORECASE)
_UNFIT = re.compile(r"--|/\*|[$?]|(?<!:):(?!:)")
"""Comments, parameters and $-quoted texts: nothing is gained there."""
_LITERAL = re.compile(
    r"""(
    (?<![\w$])[eE]'(?s:[^'\\]|''|\\.)*'
  | [xX]?'(?:[^']|'')*'
  | "(?:[^"]|"")*"
  | (?<![\w.])\d+(?:\.\d*)?(?:[eE][+-]?\d+)?(?![\w.])
    )""",
    re.VERBOSE,
)
_INTEGER_DIGITS = 9
"""So many digits are always an INTEGER."""


class Ready(msgspec.Struct, frozen=True):
    """A template with the literals of one text; `key` names it among compiled statements."""

    statement: st.Statement
    key: str
    values: list[Any]


class _Template(msgspec.Struct, frozen=True):
    statement: st.Statement
    key: str
    lifted: tuple[int, ...]
    fixed: tuple[tuple[int, str], ...]


class Lifter:
    """Remembers templates by shape; the oldest shape goes first."""

    def __init__(self) -> None:
        self._shapes: dict[str, list[_Template]] = {}

    def lift(self, text: str) -> Ready | None:
        """Return a text as a template with its literals, or None: parse it as it is.

        Raises:
            SqlSyntax: the text is no statement.
        """
        if len(text) > CACHED_CHARACTERS or _BEGINS.match(text) is None:
            return None
        pieces = _LITERAL.split(text)
        literals = pieces[1::2]
        if not literals:
            return None
        shape = "\0".join((*pieces[::2], "".join(map(_mark, literals))))
        known = self._shapes.get(shape)
        if known is None:
            if _UNFIT.search(shape) is not None:
                return None
            known = self._shapes[shape] = []
            if len(self._shapes) > SHAPES:
                del self._shapes[next(iter(self._shapes))]
        for template in known:
            if all(literals[at] == fixed for at, fixed in template.fixed):
                return _filled(template, literals)
        if len(known) >= VARIANTS:
            return None
        made = _template(text, shape, pieces, literals)
        known.append(made)
        return _filled(made, literals)


def _mark(literal: str) -> str:
    """Return the kind of a literal; quoted names, bytes and E'' stand for themselves."""
    first = literal[0]
    if first == "'":
        return "s"
    if first in '"xXeE':
        return literal
    if not literal.isdigit():
        return "d"
    if len(literal) <= _INTEGER_DIGITS:
        return "i"
    value = int(literal) if len(literal) < 20 else 2**63
    return "i" if value < 2**31 else "b" if value < 2**63 else literal


def _filled(template: _Template, literals: list[str]) -> Ready | None:
    if not template.lifted:
        return None
    values = [_value(literals[at]) for at in template.lifted]
    return Ready(template.statement, template.key, values)


def _value(literal: str) -> Any:
    if literal[0] == "'":
        return LiteralText(literal[1:-1].replace("''", "'"))
    return int(literal) if literal.isdigit() else Decimal(literal)


# ---- making templates


def _template(text: str, shape: str, pieces: list[str], literals: list[str]) -> _Template:
    statement = parse(text)
    allowed = {node.position: node for node in _values_of(statement)}
    lifted: list[int] = []
    places: dict[int, st.Lifted] = {}
    at = 0
    for number, literal in enumerate(literals):
        at += len(pieces[2 * number])
        kind = _KINDS.get(_mark(literal))
        if at in allowed and kind is not None:
            places[at] = st.Lifted(position=at, kind=kind, key=len(lifted))
            lifted.append(number)
        at += len(literal)
    fixed = tuple((one, text) for one, text in enumerate(literals) if one not in set(lifted))
    return _Template(
        statement=_replaced(statement, places) if lifted else statement,
        key=f"\2{shape}\2{fixed}",
        lifted=tuple(lifted),
        fixed=fixed,
    )


_KINDS: dict[str, Any] = {"i": "integer", "b": "bigint", "d": "decimal", "s": "string"}


def _values_of(statement: st.Statement) -> Iterator[st.Constant]:
    """Yield the constants that stand for a value and nothing else."""
    match statement:
        case st.Insert(query=None, rows=rows, ctes=()) if rows is not None:
            for row in rows:
                for value in row:
                    yield from _plain(value)
        case st.Update(sources=(), ctes=()):
            for assignment in statement.assignments:
                yield from _plain(assignment.value)
            yield from _compared(statement.where)
        case st.Delete(sources=(), ctes=()) | st.Select():
            yield from _compared(statement.where)


def _plain(node: object) -> Iterator[st.Constant]:
    """Yield a constant, perhaps behind a sign."""
    if isinstance(node, st.Unary) and node.sign != "NOT":
        node = node.operand
    if isinstance(node, st.Constant):
        yield node


def _compared(node: st.Expression | None) -> Iterator[st.Constant]:
    """Yield the operands of the comparisons that a condition is made of."""
    match node:
        case st.Logical(operands=operands):
            for operand in operands:
                yield from _compared(operand)
        case st.Unary(sign="NOT", operand=operand):
            yield from _compared(operand)
        case st.Binary(sign=sign, left=left, right=right) if sign in COMPARISONS:
            yield from _plain(left)
            yield from _plain(right)
        case st.Between(low=low, high=high):
            yield from _plain(low)
            yield from _plain(high)


def _replaced(node: Any, places: dict[int, st.Lifted]) -> Any:
    if isinstance(node, st.Constant):
        return places.get(node.position, node)
    if isinstance(node, tuple):
        return tuple(_replaced(part, places) for part in node)
    if not isinstance(node, msgspec.Struct):
        return node
    parts = {name: getattr(node, name) for name in node.__struct_fields__}
    changed = {name: _replaced(part, places) for name, part in parts.items()}
    return msgspec.structs.replace(
        node, **{name: part for name, part in changed.items() if part is not parts[name]}
    )
