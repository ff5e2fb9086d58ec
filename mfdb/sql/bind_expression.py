"""Binding expressions: names become places, operators get types, errors point at the word."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from mfdb.kernel.errors import (
    BadType,
    MfdbError,
    NotSupportedError,
    SqlSyntax,
    UngroupedColumn,
    UnknownColumn,
    UnknownDataset,
    UnknownFunction,
)
from mfdb.kernel.nearest import nearest_hint
from mfdb.sql import query as qu
from mfdb.sql import statement as st
from mfdb.sql.bind_aggregate import aggregate_type, check_order, is_aggregate, taken
from mfdb.sql.bind_arithmetic import arithmetic, compared, no_operator, ordered, signed
from mfdb.sql.bind_function import bind_call
from mfdb.sql.bind_operator import matching
from mfdb.sql.bound import Aggregate, Bound, Context, Field, Lazy, Slot, Sort, Value
from mfdb.sql.coerce import ParameterList, boolean, coerce, settle, strict, unify
from mfdb.sql.convert import caster, placed
from mfdb.sql.functions import (
    COMPARISONS,
    FLOAT_COMPARISONS,
    ROW_AGGREGATES,
    concatenate,
    like,
)
from mfdb.sql.json_functions import JSON_OPERATORS
from mfdb.sql.json_making import CONTAINMENT, concatenated
from mfdb.sql.regular_forms import MATCHES
from mfdb.sql.series_functions import SERIES
from mfdb.sql.types import (
    BIGINT,
    BOOLEAN,
    BYTEA,
    DECIMAL,
    INTEGER,
    JSON,
    RANGES,
    TEXT,
    UNKNOWN,
    SqlType,
    bounded,
    make_type,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.sql.catalogue import TableSchema


ARRAY_SIGNS = frozenset({"||", "@>", "<@", "&&"})


class Scope:
    """What names mean in one statement, and what its expressions were found to need."""

    def __init__(self, table: TableSchema | None, alias: str | None = None) -> None:
        self.table = table
        self.alias = alias
        self.parameters = ParameterList()
        self.aggregates: list[Aggregate] = []
        self.aggregates_allowed = False
        self.inside_aggregate = False
        self.bare_columns: list[Field] = []
        self.needs_relational = False
        self.matches = False
        """Whether a regular expression was met: whole columns are matched quicker elsewhere."""

    def column(self, ref: st.ColumnRef) -> Bound:
        """Return the column that a name means.

        Raises:
            UnknownColumn, UnknownDataset: it means none here.
        """
        if self.table is None:
            raise UnknownColumn(
                f"there is no column {ref.name}",
                hint="a string is written in single quotes; a column needs FROM",
                position=ref.position,
            )
        if ref.table is not None and ref.table != (self.alias or self.table.name):
            raise UnknownDataset(
                f"{ref.table} is no dataset of this statement",
                hint=f"write {self.alias or self.table.name}.{ref.name}",
                position=ref.position,
            )
        index = self.table.place(ref.name)
        if index is None:
            raise unknown_column(ref.name, self.table, ref.position)
        column = self.table.columns[index]
        field = Field(type=column.type, position=ref.position, index=index, name=column.name)
        if not self.inside_aggregate:
            self.bare_columns.append(field)
        return field

    def star_of(self, star: st.Star) -> list[tuple[str, Bound]]:
        """Return the columns that `*` or `name.*` stands for, with their names.

        Raises:
            SqlSyntax, UnknownDataset: there are none here.
        """
        if self.table is None:
            raise SqlSyntax("* needs FROM", position=star.position)
        if star.table is not None and star.table != (self.alias or self.table.name):
            raise UnknownDataset(
                f"{star.table} is no dataset of this statement", position=star.position
            )
        names = [column.name for column in self.table.columns]
        at = star.position
        return [(name, self.column(st.ColumnRef(position=at, name=name))) for name in names]

    def row_context(self, name: str, call: Context) -> Bound:
        """Return what a row knows beside its columns.

        Raises:
            UnknownColumn: there is no row.
        """
        if self.table is None:
            raise UnknownColumn(f"{name}() needs FROM", position=call.position)
        if not self.inside_aggregate:
            self.bare_columns.append(
                Field(type=call.type, position=call.position, index=-1, name=name)
            )
        return call

    def query_expression(self, node: st.Expression) -> Bound:
        """Return a query inside an expression; none may stand in a statement of one dataset.

        Raises:
            NotSupportedError: always; `needs_relational` says that another route could do it.
        """
        raise self.refusal(node, "a query")

    def window_expression(self, node: qu.WindowCall) -> Bound:
        """Return a window function; none may stand in a statement of one dataset.

        Raises:
            NotSupportedError: always; `needs_relational` says that another route could do it.
        """
        raise self.refusal(node, "a window function")

    def group_expression(self, node: st.Call) -> Bound:
        """Return `grouping(...)` or an aggregate WITHIN GROUP; neither suits one dataset.

        Raises:
            NotSupportedError: always; `needs_relational` says that another route could do it.
        """
        raise self.refusal(node, node.name)

    def series_expression(self, node: st.Call) -> Bound:
        """Return a function that gives rows; none may stand in a statement of one dataset.

        Raises:
            NotSupportedError: always; `needs_relational` says that another route could do it.
        """
        raise self.refusal(node, "a function that gives rows")

    def refusal(self, node: st.Expression, what: str) -> NotSupportedError:
        """Return the error for what only the relational route does."""
        self.needs_relational = True
        return NotSupportedError(f"{what} may not stand here", position=node.position)


def unknown_column(name: str, table: TableSchema, position: int) -> UnknownColumn:
    """Return the error for a column that a dataset lacks, with the nearest name."""
    from mfdb.sql.elsewhere import COLUMNS

    names = [column.name for column in table.columns]
    there = f"columns: {', '.join(names[:12])}"
    if not name.isidentifier() or name != name.lower():  # it was quoted
        there = f"a text is written in single quotes; {there}"
    hint = COLUMNS.get(name) or nearest_hint(name, names, there)
    return UnknownColumn(f"dataset {table.name} has no column {name}", hint=hint, position=position)


def bind(node: st.Expression, scope: Scope) -> Bound:
    """Return the typed form of an expression.

    Raises:
        ProgrammingError, DataError: with the position of what is wrong.
    """
    return _BINDERS[type(node)](node, scope)


def bind_condition(node: st.Expression | None, scope: Scope, what: str) -> Bound | None:
    """Return a WHERE or CHECK, which must be BOOLEAN and without aggregates."""
    if node is None:
        return None
    allowed, scope.aggregates_allowed = scope.aggregates_allowed, False
    condition = boolean(bind(node, scope), scope.parameters, what)
    scope.aggregates_allowed = allowed
    return condition


def _constant(node: st.Constant, _scope: Scope) -> Bound:
    value = node.value
    if node.kind == "boolean":
        return Value(type=BOOLEAN, position=node.position, value=value)
    if node.kind == "blob":
        return Value(type=BYTEA, position=node.position, value=value)
    if node.kind == "integer" and isinstance(value, int):
        for kind in (INTEGER, BIGINT):
            if value in RANGES[kind.name]:
                return Value(type=kind, position=node.position, value=value)
        return _decimal(Decimal(value), node.position)
    if node.kind == "decimal" and isinstance(value, str):
        return _decimal(Decimal(value), node.position)
    return Value(type=UNKNOWN, position=node.position, value=value)


def _decimal(value: Decimal, position: int) -> Value:
    try:
        return Value(type=DECIMAL, position=position, value=bounded(value))
    except MfdbError as error:
        raise placed(error, position) from None


def _parameter(node: st.Parameter, scope: Scope) -> Bound:
    return scope.parameters.saw(node)


def _lifted(node: st.Lifted, scope: Scope) -> Bound:
    return scope.parameters.lifted(node)


def _column(node: st.ColumnRef, scope: Scope) -> Bound:
    return scope.column(node)


def _unary(node: st.Unary, scope: Scope) -> Bound:
    operand = bind(node.operand, scope)
    if node.sign == "NOT":
        return negated(boolean(operand, scope.parameters, "NOT"))
    return signed(node.sign, operand, scope.parameters, node.position)


def negated(condition: Bound, *, when: bool = True) -> Bound:
    """Return NOT of a condition, or the condition itself."""
    if not when:
        return condition
    return strict("not", (condition,), BOOLEAN, lambda value: not value, condition.position)


def _binary(node: st.Binary, scope: Scope) -> Bound:
    left, right = bind(node.left, scope), bind(node.right, scope)
    if node.sign in COMPARISONS:
        return compare(node.sign, left, right, scope.parameters, node.position)
    if node.sign in JSON_OPERATORS:
        return _json_member(node.sign, left, right, scope, node.position)
    if node.sign in ARRAY_SIGNS and _is_array_operation(node.sign, left, right):
        from mfdb.sql.bind_array import bind_array_operator

        return bind_array_operator(node.sign, left, right, scope.parameters, node.position)
    if node.sign in CONTAINMENT:
        sides = tuple(
            coerce(side, JSON, scope.parameters, what=node.sign) for side in (left, right)
        )
        kind, call = CONTAINMENT[node.sign]
        return strict(node.sign, sides, kind, call, node.position)
    if node.sign == "||":
        return _concatenation(left, right, scope, node.position)
    if node.sign in MATCHES:
        scope.matches = True
        return matching(node.sign, left, right, scope.parameters, node.position)
    return arithmetic(node.sign, left, right, scope.parameters, node.position)


def _is_array_operation(sign: str, left: Bound, right: Bound) -> bool:
    families = (left.type.family, right.type.family)
    return "array" in families or sign == "&&"


def compare(
    sign: str, left: Bound, right: Bound, parameters: ParameterList, position: int
) -> Bound:
    """Return a comparison of two operands in their common type."""
    (left, right), kind = unify((left, right), parameters, position, sign)
    if kind.family == "json":
        raise no_operator(sign, kind, kind, position)
    left, right = compared(left), compared(right)
    calls = FLOAT_COMPARISONS if kind.family == "float" else COMPARISONS
    return strict(sign, (left, right), BOOLEAN, calls[sign], position)


def _concatenation(left: Bound, right: Bound, scope: Scope, position: int) -> Bound:
    if left.type.family == "json" or (left.type.family, right.type.family) == ("unknown", "json"):
        operands = tuple(coerce(side, JSON, scope.parameters) for side in (left, right))
        return strict("joined JSON", operands, JSON, concatenated, position)
    if "bytes" in (left.type.family, right.type.family):
        operands = tuple(coerce(side, BYTEA, scope.parameters) for side in (left, right))
        return strict("||", operands, BYTEA, concatenate, position)
    if {left.type.family, right.type.family}.isdisjoint(("text", "unknown")):
        raise no_operator("||", left.type, right.type, position)
    operands = tuple(_as_text(side, scope) for side in (left, right))
    return strict("||", operands, TEXT, concatenate, position)


def _json_member(sign: str, left: Bound, right: Bound, scope: Scope, position: int) -> Bound:
    if left.type.family not in ("json", "unknown"):
        raise no_operator(sign, left.type, right.type, position)
    left = coerce(left, JSON, scope.parameters)
    family = right.type.family
    if family not in (("text", "unknown") if sign[0] == "#" else ("integer", "text", "unknown")):
        raise no_operator(sign, left.type, right.type, position)
    right = coerce(right, BIGINT if family == "integer" else TEXT, scope.parameters)
    kind, call = JSON_OPERATORS[sign]
    return strict(sign, (left, right), kind, call, position)


def _as_text(node: Bound, scope: Scope) -> Bound:
    if node.type.family in ("text", "unknown"):
        return coerce(node, TEXT, scope.parameters)
    change = caster(node.type, TEXT)
    assert change is not None
    return strict("cast", (node,), TEXT, change, node.position)


def _logical(node: st.Logical, scope: Scope) -> Bound:
    operands = tuple(
        boolean(bind(operand, scope), scope.parameters, node.sign) for operand in node.operands
    )
    return Lazy(type=BOOLEAN, position=node.position, operator=node.sign.lower(), operands=operands)


def _test(node: st.Test, scope: Scope) -> Bound:
    operand = bind(node.operand, scope)
    operator = "is_null"
    if node.truth == "NULL":
        operand = settle(operand, scope.parameters)
    else:
        operand = boolean(operand, scope.parameters, f"IS {node.truth}")
        operator = {"TRUE": "is_true", "FALSE": "is_false", "UNKNOWN": "is_null"}[node.truth]
    test = Lazy(type=BOOLEAN, position=node.position, operator=operator, operands=(operand,))
    return negated(test, when=node.negated)


def _distinct(node: st.Distinct, scope: Scope) -> Bound:
    sides = (bind(node.left, scope), bind(node.right, scope))
    operands, _ = unify(sides, scope.parameters, node.position, "IS DISTINCT FROM")
    keys = tuple(map(compared, operands))
    same = Lazy(type=BOOLEAN, position=node.position, operator="same", operands=keys)
    return negated(same, when=not node.negated)


def _between(node: st.Between, scope: Scope) -> Bound:
    operand, low, high = (bind(part, scope) for part in (node.operand, node.low, node.high))
    bounds = (
        compare(">=", operand, low, scope.parameters, node.position),
        compare("<=", operand, high, scope.parameters, node.position),
    )
    both = Lazy(type=BOOLEAN, position=node.position, operator="and", operands=bounds)
    return negated(both, when=node.negated)


def _like(node: st.Like, scope: Scope) -> Bound:
    parts = [node.operand, node.pattern, *([node.escape] if node.escape is not None else [])]
    operands = tuple(
        coerce(bind(part, scope), TEXT, scope.parameters, what="LIKE") for part in parts
    )
    operator = "ilike" if node.folded else "like"
    test = strict(operator, operands, BOOLEAN, like(folded=node.folded), node.position)
    return negated(test, when=node.negated)


def _in_list(node: st.InList, scope: Scope) -> Bound:
    parts = [bind(part, scope) for part in (node.operand, *node.choices)]
    operands, _ = unify(parts, scope.parameters, node.position, "IN")
    keys = tuple(map(compared, operands))
    test = Lazy(type=BOOLEAN, position=node.position, operator="in", operands=keys)
    return negated(test, when=node.negated)


def _row(node: st.Row, _scope: Scope) -> Bound:
    raise NotSupportedError(
        "a row of values is only compared with another one",
        hint="(a, b) = (1, 2), (a, b) IN (SELECT c, d FROM t), (a, b) > (1, 2)",
        position=node.position,
    )


def _in_given(node: st.InGiven, scope: Scope) -> Bound:
    from mfdb.sql.lists import bind_given

    test = bind_given(node, bind(node.operand, scope), scope.parameters)
    return negated(test, when=node.negated)


def _array(node: st.ArrayOf, scope: Scope) -> Bound:
    from mfdb.sql.bind_array import bind_array

    return bind_array(node, [bind(item, scope) for item in node.items], scope.parameters)


def _subscript(node: st.Subscript, scope: Scope) -> Bound:
    from mfdb.sql.bind_array import bind_subscript

    low, high = (None if end is None else bind(end, scope) for end in (node.low, node.high))
    return bind_subscript(node, bind(node.operand, scope), low, high, scope.parameters)


def _among(node: st.AmongArray, scope: Scope) -> Bound:
    from mfdb.sql.bind_array import bind_among

    operand, array = bind(node.operand, scope), bind(node.array, scope)
    return bind_among(node, operand, array, scope.parameters)


def _cast(node: st.Cast, scope: Scope) -> Bound:
    target = make_type(node.type.name, node.type.numbers, node.type.position)
    operand = bind(node.operand, scope)
    if target.name == "VARCHAR" and target.numbers:
        return _cut(operand, target, scope)
    whole = target.family in ("json", "array")  # a dict or list is a value of these only
    if operand.type.family == "unknown" and isinstance(operand, Value | Slot if whole else Value):
        return coerce(operand, target, scope.parameters)
    operand = settle(operand, scope.parameters)
    change = caster(operand.type, target)
    if change is None:
        raise BadType(f"{operand.type} cannot be cast to {target}", position=node.position)
    return strict("cast", (operand,), target, change, node.position)


def _cut(operand: Bound, target: SqlType, scope: Scope) -> Bound:
    """An explicit cast to VARCHAR(n) cuts, as in PostgreSQL; an assignment refuses."""
    limit = target.numbers[0]
    text = _as_text(operand, scope)
    return strict("cast", (text,), target, lambda value: value[:limit], operand.position)


def _case(node: st.Case, scope: Scope) -> Bound:
    results = [bind(branch.result, scope) for branch in node.branches]
    if node.otherwise is not None:
        results.append(bind(node.otherwise, scope))
    results, kind = unify(results, scope.parameters, node.position, "CASE")
    subject = bind(node.subject, scope) if node.subject is not None else None
    operands: list[Bound] = []
    for branch, result in zip(node.branches, results, strict=False):
        condition = bind(branch.condition, scope)
        if subject is not None:
            condition = compare("=", subject, condition, scope.parameters, branch.position)
        operands += (boolean(condition, scope.parameters, "WHEN"), result)
    operands += results[len(node.branches) :]
    return Lazy(type=kind, position=node.position, operator="case", operands=tuple(operands))


def _call(node: st.Call, scope: Scope) -> Bound:
    if node.within or node.name == "grouping":
        return scope.group_expression(node)
    if is_aggregate(node.name):
        return _aggregate(node, scope)
    if node.filter is not None:
        raise UnknownFunction("FILTER suits aggregates only", position=node.position)
    if node.distinct or node.star or node.order_by:
        raise UnknownFunction(
            f"{node.name} is no aggregate", hint="DISTINCT and * suit count", position=node.position
        )
    if node.name in SERIES:
        return scope.series_expression(node)
    arguments = [bind(argument, scope) for argument in node.arguments]
    call = bind_call(node, arguments, scope.parameters)
    if isinstance(call, Context) and call.what in ("author", "row_id", "written_at"):
        return scope.row_context(node.name, call)
    return call


def _aggregate(node: st.Call, scope: Scope) -> Bound:
    if not scope.aggregates_allowed or scope.inside_aggregate:
        raise UngroupedColumn(
            f"the aggregate {node.name} may not stand here",
            hint="aggregates belong into the items of a SELECT",
            position=node.position,
        )
    relational = node.filter is not None or node.order_by or node.name not in ROW_AGGREGATES
    if relational and not isinstance(scope, RelationalScope):
        raise scope.refusal(node, "this aggregate")
    operands: tuple[Bound, ...] = ()
    condition = None
    scope.inside_aggregate = True
    if node.arguments:
        operands = tuple(
            settle(bind(argument, scope), scope.parameters, TEXT) for argument in node.arguments
        )
    kind = aggregate_type(node, operands)
    operands = taken(node, operands, scope.parameters)
    if kind.family == "interval" and not isinstance(scope, RelationalScope):
        raise scope.refusal(node, "an aggregate of intervals")
    order_by = tuple(bind_sort(item, scope) for item in node.order_by)
    check_order(node, operands, order_by)
    if node.filter is not None:
        condition = bind_condition(node.filter, scope, "FILTER")
    scope.inside_aggregate = False
    aggregate = Aggregate(
        type=kind,
        position=node.position,
        index=len(scope.aggregates),
        kind=node.name,
        operand=operands[0] if operands else None,
        distinct=node.distinct,
        condition=condition,
        more=operands[1:],
        order_by=order_by,
    )
    scope.aggregates.append(aggregate)
    return aggregate


def bind_sort(item: st.OrderItem, scope: Scope) -> Sort:
    """Return a sort key inside a window or an aggregate.

    Raises:
        BadType: it has no order.
    """
    bound = settle(bind(item.expression, scope), scope.parameters)
    if bound.type.family == "json":
        raise BadType("JSON has no order", position=item.position)
    return Sort(ordered(bound), item.descending, item.nulls_first)


class RelationalScope(Scope):
    """A scope whose expressions may be anything: the relational route runs them."""


def _query_expression(node: st.Expression, scope: Scope) -> Bound:
    return scope.query_expression(node)


def _window(node: qu.WindowCall, scope: Scope) -> Bound:
    return scope.window_expression(node)


_BINDERS: dict[type, Callable[[Any, Scope], Bound]] = {
    st.Constant: _constant,
    st.Parameter: _parameter,
    st.Lifted: _lifted,
    st.ColumnRef: _column,
    st.Unary: _unary,
    st.Binary: _binary,
    st.Logical: _logical,
    st.Test: _test,
    st.Distinct: _distinct,
    st.Between: _between,
    st.Like: _like,
    st.Row: _row,
    st.InGiven: _in_given,
    st.ArrayOf: _array,
    st.Subscript: _subscript,
    st.AmongArray: _among,
    st.InList: _in_list,
    st.Cast: _cast,
    st.Case: _case,
    st.Call: _call,
    qu.Subquery: _query_expression,
    qu.Exists: _query_expression,
    qu.RowQuery: _query_expression,
    qu.InQuery: _query_expression,
    qu.Quantified: _query_expression,
    qu.WindowCall: _window,
}


def children(node: Bound) -> tuple[Bound, ...]:
    """Return the operands of a bound expression."""
    found = getattr(node, "operands", ())
    return found if isinstance(found, tuple) else ()


def is_free_of_rows(node: Bound) -> bool:
    """Return whether an expression has one value for the whole statement."""
    left = [node]
    while left:
        part = left.pop()
        if isinstance(part, Field | Aggregate):
            return False
        if isinstance(part, Context) and part.what not in ("caller", "now"):
            return False
        left.extend(children(part))
    return True


__all__ = [
    "RelationalScope",
    "Scope",
    "bind",
    "bind_condition",
    "children",
    "compare",
    "is_free_of_rows",
    "negated",
    "unknown_column",
]
