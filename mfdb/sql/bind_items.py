"""What stands among the items of a SELECT or RETURNING, and which dataset a name means."""

from __future__ import annotations

from mfdb.kernel.errors import SqlSyntax
from mfdb.sql import query as qu
from mfdb.sql import statement as st
from mfdb.sql.bind_expression import Scope
from mfdb.sql.bind_expression import bind as bind_expression
from mfdb.sql.bound import Bound, Output, Parameters
from mfdb.sql.coerce import settle

ITEMS = 1_664
"""Most items of a SELECT or RETURNING, and most sort keys (PostgreSQL's limit)."""


def parameters_of(scope: Scope) -> Parameters:
    """Return the parameters that were met while binding in a scope."""
    found = scope.parameters
    return Parameters(found.style, found.count, tuple(found.slots))


def items_of(items: tuple[st.Item | st.Star, ...], scope: Scope) -> tuple[list[str], list[Bound]]:
    """Return names and values of the items of a SELECT or RETURNING.

    Raises:
        ProgrammingError, DataError: one means nothing here; position says where.
    """
    if len(items) > ITEMS:
        raise SqlSyntax(f"there are more than {ITEMS} items", position=items[ITEMS].position)
    names: list[str] = []
    found: list[Bound] = []
    for item in items:
        if isinstance(item, st.Star):
            for name, bound in scope.star_of(item):
                names.append(name)
                found.append(bound)
        else:
            names.append(item.name or name_of(item.expression))
            found.append(settle(bind_expression(item.expression, scope), scope.parameters))
    return names, found


def name_of(node: st.Expression) -> str:
    """Return the name of a result column as PostgreSQL gives it."""
    if isinstance(node, qu.WindowCall):
        return node.call.name
    if isinstance(node, qu.Exists):
        return "exists"
    if isinstance(node, qu.Subquery):
        return _first_name(node.query)
    match node:
        case st.ColumnRef():
            return node.name
        case st.Call():
            return node.name
        case st.Case():
            return _named_by(node.otherwise) or "case"
        case st.Cast():
            inner = name_of(node.operand)
            return node.type.name if inner == "?column?" else inner
        case _:
            return "?column?"


def _named_by(node: st.Expression | None) -> str | None:
    """A CASE is called like the column or the function behind its ELSE."""
    if isinstance(node, st.ColumnRef | st.Call | qu.WindowCall):
        return name_of(node)
    return None


def _first_name(query: qu.Query) -> str:
    """A scalar subquery is called like its column."""
    core = query.body
    if isinstance(core, qu.SelectCore) and isinstance(core.items[0], st.Item):
        return core.items[0].name or name_of(core.items[0].expression)
    return "?column?"


def outputs_of(names: list[str], items: list[Bound]) -> tuple[Output, ...]:
    """Return the columns of a result."""
    return tuple(Output(name, item.type) for name, item in zip(names, items, strict=True))
