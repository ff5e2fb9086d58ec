"""Comparisons of rows of values, `(a, b) > (1, 2)`: in terms of comparisons of their values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.kernel.errors import SqlSyntax
from mfdb.sql import statement as st

if TYPE_CHECKING:
    from collections.abc import Sequence

_STRICT = {"<": "<", "<=": "<", ">": ">", ">=": ">"}


def compared_rows(sign: str, left: Any, right: Any, position: int) -> st.Expression:
    """Return a comparison of two rows; as in PostgreSQL the first values that differ decide.

    Raises:
        SqlSyntax: one of them is no row, or they differ in length.
    """
    pairs = _pairs(left, right, position)
    if sign in ("=", "<>"):
        tests = [_binary(sign, one, other, position) for one, other in pairs]
        return _logical("AND" if sign == "=" else "OR", tests, position)
    if sign not in _STRICT:
        raise SqlSyntax(
            f"{sign} takes no rows of values", hint="=, <>, <, <=, >, >= do", position=position
        )
    strict, (*before, last) = _STRICT[sign], pairs
    made: st.Expression = _binary(sign, *last, position)
    for one, other in reversed(before):
        equal = _logical("AND", [_binary("=", one, other, position), made], position)
        made = _logical("OR", [_binary(strict, one, other, position), equal], position)
    # Nothing more is asked by this one, but a key or an index finds rows by it.
    bound = _binary(f"{strict}=", *pairs[0], position)
    return _logical("AND", [bound, made], position)


def among_rows(operand: st.Row, choices: Sequence[Any], position: int) -> st.Expression:
    """Return whether a row is one of several.

    Raises:
        SqlSyntax: one of them is no row, or they differ in length.
    """
    return _logical(
        "OR", [compared_rows("=", operand, choice, position) for choice in choices], position
    )


def null_rows(row: st.Row, position: int, *, negated: bool) -> st.Expression:
    """Return whether all values of a row are NULL; negated, whether none is, as in PostgreSQL."""
    tests = [
        st.Test(
            position=position, operand=item, truth="NULL", negated=negated, depth=item.depth + 1
        )
        for item in row.items
    ]
    return _logical("AND", tests, position)


def distinct_rows(left: Any, right: Any, position: int, *, negated: bool) -> st.Expression:
    """Return whether two rows differ, where NULL is a value like others.

    Raises:
        SqlSyntax: one of them is no row, or they differ in length.
    """
    tests = [
        st.Distinct(
            position=position,
            left=one,
            right=other,
            negated=negated,
            depth=1 + max(one.depth, other.depth),
        )
        for one, other in _pairs(left, right, position)
    ]
    return _logical("AND" if negated else "OR", tests, position)


def _pairs(left: Any, right: Any, position: int) -> list[tuple[st.Expression, st.Expression]]:
    rows = [one.items for one in (left, right) if isinstance(one, st.Row)]
    if len(rows) < 2 or len(rows[0]) != len(rows[1]):
        raise SqlSyntax(
            "a row of values is compared with a row of as many",
            hint="(a, b) = (1, 2), (a, b) = (SELECT c, d FROM t), (a, b) IN (SELECT c, d FROM t)",
            position=position,
        )
    return list(zip(*rows, strict=True))


def _binary(sign: str, left: st.Expression, right: st.Expression, position: int) -> st.Binary:
    depth = 1 + max(left.depth, right.depth)
    return st.Binary(position=position, sign=sign, left=left, right=right, depth=depth)


def _logical(sign: Any, operands: Sequence[st.Expression], position: int) -> st.Expression:
    if len(operands) == 1:
        return operands[0]
    depth = 1 + max(one.depth for one in operands)
    return st.Logical(position=position, sign=sign, operands=tuple(operands), depth=depth)
