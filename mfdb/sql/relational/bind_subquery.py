"""Binding queries inside expressions: EXISTS, IN, ANY, ALL, values, and comparisons of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.kernel.errors import DataError, NotSupportedError, SqlSyntax
from mfdb.sql import query as qu
from mfdb.sql import statement as st
from mfdb.sql.bind_expression import bind as bind_expression
from mfdb.sql.bind_expression import compare, negated
from mfdb.sql.bound import Aggregate, Bound, Lazy, Value
from mfdb.sql.coerce import strict, unify
from mfdb.sql.relational.bind_query import bind_query, given_types, retyped
from mfdb.sql.relational.tree import (
    BoundCore,
    QueryRef,
    RelationalQuery,
    RelationField,
    SubqueryValue,
    WindowValue,
    columns_as_fields,
)
from mfdb.sql.types import BOOLEAN, TEXT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.sql.relational.scope import QueryScope
    from mfdb.sql.types import SqlType

_STRICT = {"<": "<", "<=": "<", ">": ">", ">=": ">"}


def bind_query_expression(node: Any, scope: QueryScope) -> Any:
    """Return EXISTS, IN, ANY, ALL, a scalar subquery or a comparison of rows, bound.

    Raises:
        ProgrammingError, DataError, NotSupportedError: it cannot mean anything here; with position.
    """
    if isinstance(node, qu.Exists):
        query = bind_query(node.query, scope)
        return SubqueryValue(type=BOOLEAN, position=node.position, kind="exists", query=query)
    if isinstance(node, qu.Subquery):
        return bind_subquery(node, scope, TEXT)
    if isinstance(node, qu.RowQuery):
        return _row_query(node, scope)
    if isinstance(node.operand, st.Row):
        return _rows(node, node.operand, scope)
    operand = bind_expression(node.operand, scope)
    query = bind_query(node.query, scope, settled=False)
    _width(query, 1, node.position)
    if isinstance(node, qu.InQuery):
        return negated(_membership(operand, query, scope, node.position), when=node.negated)
    sign = node.sign
    operand, query = _comparable(sign, operand, query, scope, node.position)
    return SubqueryValue(
        type=BOOLEAN,
        position=node.position,
        kind="all" if node.every else "any",
        query=query,
        operands=(operand,),
        sign=sign,
    )


def _membership(operand: Bound, query: RelationalQuery, scope: QueryScope, position: int) -> Bound:
    """Return `x IN (query)`.

    Nothing is in a query without rows, not even a constant that no row could be compared with:
    that is an error only where there is a row. PostgreSQL looks at the types first.
    """
    try:
        operand, query = _comparable("=", operand, query, scope, position)
    except DataError as error:
        if not isinstance(operand, Value):
            raise
        return _refused(query, error, scope, position)
    return SubqueryValue(
        type=BOOLEAN, position=position, kind="in", query=query, operands=(operand,)
    )


def _refused(query: RelationalQuery, error: DataError, scope: QueryScope, position: int) -> Bound:
    def refuse(_found: object) -> bool:
        raise error

    kinds = [TEXT if one.type.family == "unknown" else one.type for one in query.outputs]
    query = retyped(query, kinds, scope)
    exists = SubqueryValue(type=BOOLEAN, position=position, kind="exists", query=query)
    refused = strict("refuse", (exists,), BOOLEAN, refuse, position)
    false = Value(type=BOOLEAN, position=position, value=False)
    return Lazy(type=BOOLEAN, position=position, operator="case", operands=(exists, refused, false))


def bind_subquery(node: qu.Subquery, scope: QueryScope, wanted: SqlType) -> SubqueryValue:
    """Return a query as a value; a bare literal that it gives is of the wanted type.

    Raises:
        ProgrammingError, DataError, NotSupportedError: it cannot mean anything here; with position.
    """
    query = bind_query(node.query, scope, settled=False)
    _width(query, 1, node.position)
    query = given_types(query, (wanted,), scope)
    kind = query.outputs[0].type
    return SubqueryValue(type=kind, position=node.position, kind="scalar", query=query)


def _width(query: RelationalQuery, wanted: int, position: int) -> None:
    found = len(query.outputs)
    if found != wanted:
        shown = "one column" if wanted == 1 else f"{wanted} columns"
        raise SqlSyntax(f"a subquery here gives {shown}, not {found}", position=position)


def _comparable(
    sign: str, operand: Bound, query: RelationalQuery, scope: QueryScope, position: int
) -> tuple[Bound, RelationalQuery]:
    """Return both sides of a comparison with a subquery in one type."""
    (left,), query = _row_comparable(sign, [operand], query, scope, position)
    return left, query


# ---- rows of values


def _row_comparable(
    sign: str, row: Sequence[Bound], query: RelationalQuery, scope: QueryScope, position: int
) -> tuple[tuple[Bound, ...], RelationalQuery]:
    kinds, lefts = [], []
    for operand, output in zip(row, query.outputs, strict=True):
        column = RelationField(type=output.type, position=position, index=0, name="", relation=0)
        (left, _), kind = unify((operand, column), scope.parameters, position, sign)
        compare(sign, left, left, scope.parameters, position)
        lefts.append(left)
        kinds.append(kind)
    return tuple(lefts), retyped(query, kinds, scope)


def _rows(node: qu.InQuery | qu.Quantified, row: st.Row, scope: QueryScope) -> Bound:
    """Return `(a, b) IN (query)`, `(a, b) < ANY (query)` and the like."""
    operands = [bind_expression(item, scope) for item in row.items]
    query = bind_query(node.query, scope, settled=False)
    _width(query, len(operands), node.position)
    sign = "=" if isinstance(node, qu.InQuery) else node.sign
    lefts, query = _row_comparable(sign, operands, query, scope, node.position)
    among = SubqueryValue(
        type=BOOLEAN, position=node.position, kind="in", query=query, operands=lefts
    )
    if isinstance(node, qu.InQuery):
        return negated(among, when=node.negated)
    if (sign, node.every) in (("=", False), ("<>", True)):
        return negated(among, when=node.every)
    return _quantified(node, lefts, query, scope)


def _quantified(
    node: qu.Quantified, row: tuple[Bound, ...], query: RelationalQuery, scope: QueryScope
) -> Bound:
    """Return whether a comparison holds for some row of a query, or for all of them."""
    if any(_is_summed(operand) for operand in row):
        raise NotSupportedError(
            "a row with an aggregate is compared by = ANY, <> ALL and IN only",
            hint="put the aggregates into a query in FROM",
            position=node.position,
        )
    relation = scope.whole.relation()
    fields = columns_as_fields(query.outputs, relation, node.position)
    test = _compared(node.sign, row, fields, scope, node.position)
    core = BoundCore(items=(test,), sources=(QueryRef(relation, query),))
    return SubqueryValue(
        type=BOOLEAN,
        position=node.position,
        kind="every_true" if node.every else "some_true",
        query=RelationalQuery(outputs=query.outputs[:1], body=core),
    )


def _is_summed(node: Bound) -> bool:
    if isinstance(node, Aggregate | WindowValue):
        return True
    return any(map(_is_summed, getattr(node, "operands", ())))


def _row_query(node: qu.RowQuery, scope: QueryScope) -> Bound:
    """Return `(a, b) = (query)`: NULL where the query has no row."""
    operands = [bind_expression(item, scope) for item in node.row.items]
    query = bind_query(node.query, scope, settled=False)
    _width(query, len(operands), node.position)
    lefts, query = _row_comparable(node.sign, operands, query, scope, node.position)
    rights = columns_of(query, scope, node.position)
    return _compared(node.sign, lefts, rights, scope, node.position)


def columns_of(
    query: RelationalQuery, scope: QueryScope, position: int
) -> tuple[SubqueryValue, ...]:
    """Return each column of a query of one row as a value."""
    relation = scope.whole.relation()
    fields = columns_as_fields(query.outputs, relation, position)
    if len(fields) == 1:
        return (SubqueryValue(type=fields[0].type, position=position, kind="scalar", query=query),)
    return tuple(
        SubqueryValue(
            type=field.type,
            position=position,
            kind="scalar",
            query=RelationalQuery(
                outputs=(output,),
                body=BoundCore(items=(field,), sources=(QueryRef(relation, query),)),
            ),
        )
        for field, output in zip(fields, query.outputs, strict=True)
    )


def _compared(
    sign: str, left: Sequence[Bound], right: Sequence[Bound], scope: QueryScope, position: int
) -> Bound:
    """Return a comparison of two rows: the first values that differ decide."""

    def one(mark: str, place: int) -> Bound:
        return compare(mark, left[place], right[place], scope.parameters, position)

    def joined(word: str, parts: Sequence[Bound]) -> Bound:
        if len(parts) == 1:
            return parts[0]
        return Lazy(type=BOOLEAN, position=position, operator=word, operands=tuple(parts))

    places = range(len(left))
    if sign in ("=", "<>"):
        return joined("and" if sign == "=" else "or", [one(sign, place) for place in places])
    made = one(sign, places[-1])
    for place in reversed(places[:-1]):
        equal = joined("and", [one("=", place), made])
        made = joined("or", [one(_STRICT[sign], place), equal])
    return made
