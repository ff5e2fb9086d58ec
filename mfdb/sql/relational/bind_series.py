"""Binding functions that give rows: generate_series and the like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.errors import UnknownFunction
from mfdb.sql.bind_expression import bind as bind_expression
from mfdb.sql.bind_function import bind_call, matched
from mfdb.sql.coerce import strict
from mfdb.sql.overload import Overload
from mfdb.sql.relational.bind_array_series import bind_array_series
from mfdb.sql.relational.tree import SeriesValue
from mfdb.sql.series_functions import ARRAY_SERIES, SERIES, checked_step
from mfdb.sql.types import BIGINT

if TYPE_CHECKING:
    from mfdb.sql import statement as st
    from mfdb.sql.relational.scope import QueryScope


def bind_series(node: st.Call, scope: QueryScope) -> SeriesValue:
    """Return a function that gives rows, with its arguments.

    Raises:
        UnknownFunction: it takes no such arguments, or gives no rows.
    """
    arguments = [bind_expression(argument, scope) for argument in node.arguments]
    forms = SERIES.get(node.name)
    if forms is None:
        bind_call(node, arguments, scope.parameters)
        raise UnknownFunction(
            f"{node.name} gives no rows", hint="put it into SELECT", position=node.position
        )
    if node.name in ARRAY_SERIES:
        return bind_array_series(node, arguments, scope.parameters)
    overloads = [Overload(families, kind, call or int) for families, kind, call in forms]
    overload, operands = matched(node, overloads, arguments, scope.parameters)
    families, kind, call = forms[overloads.index(overload)]
    if kind is None:
        widest = any(operand.type == BIGINT for operand in operands)
        kind = BIGINT if widest else operands[0].type
    if call is None and len(families) == 3:
        step = strict("step", (operands[2],), operands[2].type, checked_step, node.position)
        operands = (*operands[:2], step)
    return SeriesValue(
        type=kind, position=node.position, function=node.name, operands=operands, call=call
    )
