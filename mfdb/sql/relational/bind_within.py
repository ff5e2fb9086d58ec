"""Ordered-set aggregates: percentile_cont, percentile_disc and mode WITHIN GROUP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.errors import NumberOutOfRange, UngroupedColumn, UnknownFunction
from mfdb.sql.bind_expression import bind as bind_expression
from mfdb.sql.bind_expression import bind_condition, bind_sort
from mfdb.sql.bound import Aggregate, Sort
from mfdb.sql.coerce import coerce, strict
from mfdb.sql.functions import WITHIN
from mfdb.sql.types import DOUBLE, NUMBERS

if TYPE_CHECKING:
    from mfdb.sql import statement as st
    from mfdb.sql.bound import Bound
    from mfdb.sql.relational.scope import QueryScope

_ARGUMENTS = dict.fromkeys(WITHIN - {"mode"}, 1) | {"mode": 0}


def bind_within(node: st.Call, scope: QueryScope) -> Aggregate:
    """Return an aggregate of values in an order.

    Raises:
        UnknownFunction: there is none of that name that takes these arguments.
        UngroupedColumn: an aggregate may not stand there.
    """
    if not scope.aggregates_allowed or scope.inside_aggregate:
        raise UngroupedColumn(
            f"the aggregate {node.name} may not stand here",
            hint="aggregates belong into the items of a SELECT",
            position=node.position,
        )
    wanted = _ARGUMENTS.get(node.name)
    if wanted is None:
        raise UnknownFunction(
            f"{node.name} is no ordered-set aggregate",
            hint=f"these are: {', '.join(sorted(_ARGUMENTS))}",
            position=node.position,
        )
    if len(node.arguments) != wanted or len(node.within) != 1:
        shown = "one argument" if wanted else "no argument"
        raise UnknownFunction(
            f"{node.name} takes {shown}, and one key to order by",
            position=node.position,
        )
    more = tuple(_fraction(argument, scope) for argument in node.arguments)
    scope.inside_aggregate = True
    sort = bind_sort(node.within[0], scope)
    value = sort.expression
    if node.name == "percentile_cont":
        value = _number(node, value, scope)
    condition = bind_condition(node.filter, scope, "FILTER")
    scope.inside_aggregate = False
    aggregate = Aggregate(
        type=value.type,
        position=node.position,
        index=len(scope.aggregates),
        kind=node.name,
        operand=value,
        distinct=False,
        condition=condition,
        more=more,
        order_by=(Sort(value, sort.descending, sort.nulls_first),),
    )
    scope.aggregates.append(aggregate)
    return aggregate


def _fraction(node: st.Expression, scope: QueryScope) -> Bound:
    """A fraction is one for each group: a constant, or what is grouped by."""
    bound = coerce(bind_expression(node, scope), DOUBLE, scope.parameters, what="a percentile")
    return strict("percentile", (bound,), DOUBLE, _checked, node.position)


def _checked(fraction: float) -> float:
    if not 0 <= fraction <= 1:
        raise NumberOutOfRange(f"percentile value {fraction:g} is not between 0 and 1")
    return fraction


def _number(node: st.Call, value: Bound, scope: QueryScope) -> Bound:
    if value.type.family not in NUMBERS:
        raise UnknownFunction(
            f"there is no {node.name} of {value.type}",
            hint="percentile_disc takes any values that have an order",
            position=node.position,
        )
    return coerce(value, DOUBLE, scope.parameters)
