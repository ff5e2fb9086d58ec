"""Names and expressions as parsed: frozen nodes that keep their place in the text."""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """Anything that was written in a statement; `position` is its 0-based offset."""

    position: int


class Name(Node, frozen=True, kw_only=True):
    """A name as it is known (folded unless quoted)."""

    text: str
    quoted: bool = False


class TableName(Node, frozen=True, kw_only=True):
    """A dataset, perhaps with its owner: an address (`"0x…"`) or a petname."""

    name: str
    owner: str | None = None

    def __str__(self) -> str:
        owner = self.owner
        if not owner:
            return self.name
        plain = owner.isidentifier() and owner == owner.lower()
        return f"{owner}.{self.name}" if plain else f'"{owner}".{self.name}'


class TypeName(Node, frozen=True, kw_only=True):
    """A type as written, with its numbers in parentheses."""

    name: str
    numbers: tuple[int, ...] = ()


# ---- expressions


class Expression(Node, frozen=True, kw_only=True):
    """Any expression; `depth` counts the levels below it."""

    depth: int = 0


class Constant(Expression, frozen=True, kw_only=True):
    """A literal. `kind` says how it was written; the value of a decimal is its text."""

    kind: Literal["null", "boolean", "integer", "decimal", "string", "blob"]
    value: bool | int | str | bytes | None


class Parameter(Expression, frozen=True, kw_only=True):
    """A parameter: `key` is its 0-based number, or its name."""

    style: Literal["?", "$", ":"]
    key: int | str


class Lifted(Expression, frozen=True, kw_only=True):
    """A literal that was taken out of a text: the `key`-th value given, of a literal's type."""

    kind: Literal["integer", "bigint", "decimal", "string"]
    key: int


class ColumnRef(Expression, frozen=True, kw_only=True):
    """A column, perhaps with dataset and owner in front."""

    name: str
    table: str | None = None
    owner: str | None = None


class Unary(Expression, frozen=True, kw_only=True):
    """`-x`, `+x` or `NOT x`."""

    sign: Literal["-", "+", "NOT"]
    operand: Expression


class Binary(Expression, frozen=True, kw_only=True):
    """Two operands and a sign; `position` is the sign's."""

    sign: str
    left: Expression
    right: Expression


class Logical(Expression, frozen=True, kw_only=True):
    """A chain of AND or of OR."""

    sign: Literal["AND", "OR"]
    operands: tuple[Expression, ...]


class Test(Expression, frozen=True, kw_only=True):
    """`x IS [NOT] NULL|TRUE|FALSE|UNKNOWN`."""

    operand: Expression
    truth: Literal["NULL", "TRUE", "FALSE", "UNKNOWN"]
    negated: bool


class Distinct(Expression, frozen=True, kw_only=True):
    """`a IS [NOT] DISTINCT FROM b`."""

    left: Expression
    right: Expression
    negated: bool


class Between(Expression, frozen=True, kw_only=True):
    """`x [NOT] BETWEEN low AND high`."""

    operand: Expression
    low: Expression
    high: Expression
    negated: bool


class Like(Expression, frozen=True, kw_only=True):
    """`x [NOT] LIKE|ILIKE pattern [ESCAPE e]`."""

    operand: Expression
    pattern: Expression
    escape: Expression | None
    folded: bool
    negated: bool


class Row(Expression, frozen=True, kw_only=True):
    """`(a, b)`: several values, which are only compared with as many others."""

    items: tuple[Expression, ...]


class InGiven(Expression, frozen=True, kw_only=True):
    """`x = ANY ($1)`, `x <> ALL ($1)`: the parameter is a list."""

    operand: Expression
    given: Parameter
    negated: bool


class ArrayOf(Expression, frozen=True, kw_only=True):
    """`ARRAY[a, b]`."""

    items: tuple[Expression, ...]


class Subscript(Expression, frozen=True, kw_only=True):
    """`a[1]`, or `a[1:2]` where `low` and `high` may be absent."""

    operand: Expression
    low: Expression | None
    high: Expression | None
    is_slice: bool


class AmongArray(Expression, frozen=True, kw_only=True):
    """`x = ANY (array)`, `x > ALL (array)`, `x NOT LIKE ANY (array)`."""

    sign: str
    every: bool
    operand: Expression
    array: Expression


class InList(Expression, frozen=True, kw_only=True):
    """`x [NOT] IN (…)`."""

    operand: Expression
    choices: tuple[Expression, ...]
    negated: bool


class Call(Expression, frozen=True, kw_only=True):
    """A function or aggregate; `star` for `count(*)`, `filter` for FILTER (WHERE ...).

    `order_by` holds the `OrderItem`s inside the parentheses of an aggregate, `within` those of
    WITHIN GROUP.
    """

    name: str
    arguments: tuple[Expression, ...] = ()
    star: bool = False
    distinct: bool = False
    filter: Expression | None = None
    order_by: tuple[Any, ...] = ()
    within: tuple[Any, ...] = ()


class Cast(Expression, frozen=True, kw_only=True):
    """`CAST(x AS type)`, `x::type` or `type 'text'`."""

    operand: Expression
    type: TypeName


class When(Node, frozen=True, kw_only=True):
    """One branch of a CASE."""

    condition: Expression
    result: Expression


class Case(Expression, frozen=True, kw_only=True):
    """`CASE [x] WHEN … THEN … [ELSE …] END`."""

    subject: Expression | None
    branches: tuple[When, ...]
    otherwise: Expression | None
