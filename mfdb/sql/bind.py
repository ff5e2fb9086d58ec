"""Binding statements: from what was written to what is to be done, checked against the catalogue.

1. `parse` gives a statement;
2. `bind` looks its dataset up, resolves columns, gives every expression a type, and chooses
   what the primary key can answer;
3. `execute.py` and `dml.py` carry queries out; definitions go to the session as bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.kernel.errors import (
    AmbiguousColumn,
    BadType,
    NotSupportedError,
    SqlSyntax,
    UngroupedColumn,
)
from mfdb.sql import query as qu
from mfdb.sql import statement as st
from mfdb.sql.access import key_access
from mfdb.sql.bind_arithmetic import ordered
from mfdb.sql.bind_expression import Scope, bind_condition, is_free_of_rows
from mfdb.sql.bind_expression import bind as bind_expression
from mfdb.sql.bind_items import ITEMS, items_of, name_of, outputs_of, parameters_of
from mfdb.sql.bound import (
    Bound,
    BoundDescribe,
    BoundExplain,
    BoundNotify,
    BoundSelect,
    BoundStatement,
    BoundSubscribe,
    Sort,
    Source,
)
from mfdb.sql.coerce import coerce, settle
from mfdb.sql.names import table_of
from mfdb.sql.relational.tree import shape
from mfdb.sql.types import BIGINT, TEXT
from mfdb.sql.watchable import watched

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.sql.catalogue import Catalogue, TableSchema
    from mfdb.sql.relational.tree import BoundRelational


def bind(statement: st.Statement, catalogue: Catalogue) -> BoundStatement:
    """Return a statement with every name resolved and every expression typed.

    Statements that only name things (SHOW, SET, DROP, BEGIN ...) come back as they are.

    Raises:
        ProgrammingError, DataError: it cannot mean anything here; position says where.
    """
    binder = _binder_of(type(statement))
    if binder is None:
        return statement  # type: ignore[return-value] # every other kind is carried out as parsed
    bound: BoundStatement = binder(statement, catalogue)
    return bound


def _binder_of(kind: type) -> Callable[[Any, Catalogue], Any] | None:
    """Return what binds a kind of statement; those that write are loaded when one comes."""
    if kind in _READING or kind not in _WRITING:
        return _READING.get(kind)
    from mfdb.sql.bind_writing import BINDERS

    return BINDERS[kind]


# ---- SELECT


def _select(node: st.Select, catalogue: Catalogue) -> BoundSelect | BoundRelational:
    """Bind for the row route, or for the relational one where an expression needs it."""
    table = table_of(node.table, catalogue) if node.table is not None else None
    if table is not None and table.view:
        from mfdb.sql.views import inlined

        plain = inlined(node, table, catalogue)
        return _relational(node, catalogue) if plain is None else _select(plain, catalogue)
    scope = Scope(table, node.alias)
    try:
        bound = _row_select(node, table, scope)
        if not (scope.matches and bound.source is not None and bound.source.access is None):
            return bound
    except NotSupportedError:
        if not scope.needs_relational:
            raise
    return _relational(node, catalogue)


def _relational(node: st.Select | qu.Query, catalogue: Catalogue) -> BoundRelational:
    from mfdb.sql.relational.bind_query import bind_relational

    return bind_relational(node, catalogue)


def _row_select(node: st.Select, table: TableSchema | None, scope: Scope) -> BoundSelect:
    scope.aggregates_allowed = True
    names, items = items_of(node.items, scope)
    where = bind_condition(node.where, scope, "WHERE")
    if len(node.order_by) > ITEMS:
        raise SqlSyntax(
            f"there are more than {ITEMS} sort keys", position=node.order_by[ITEMS].position
        )
    order_by = tuple(_sort(item, names, items, scope) for item in node.order_by)
    scope.aggregates_allowed = False
    limit, offset = _count(node.limit, scope, "LIMIT"), _count(node.offset, scope, "OFFSET")
    if scope.aggregates:
        _refuse_bare_columns(node, scope)
    source = None
    if table is not None:
        wanted = () if scope.aggregates else order_by
        access = key_access(where, table, wanted, limited=limit is not None)
        source = Source(table=table, where=where, access=access)
    return BoundSelect(
        outputs=outputs_of(names, items),
        items=tuple(items),
        source=source,
        condition=where if table is None else None,
        aggregates=tuple(scope.aggregates),
        order_by=order_by,
        limit=limit,
        offset=offset,
        parameters=parameters_of(scope),
    )


def _refuse_bare_columns(node: st.Select, scope: Scope) -> None:
    """A WHERE may name columns beside aggregates, the items and ORDER BY may not."""
    inside = Scope(scope.table, scope.alias)
    inside.aggregates_allowed = True
    names, items = items_of(node.items, inside)
    for item in node.order_by:
        _sort(item, names, items, inside)
    if inside.bare_columns:
        field = inside.bare_columns[0]
        raise UngroupedColumn(
            f"column {field.name} stands beside an aggregate",
            hint="put it into an aggregate, min for example",
            position=field.position,
        )


def _sort(item: st.OrderItem, names: list[str], items: list[Bound], scope: Scope) -> Sort:
    node = item.expression
    if isinstance(node, st.Constant) and node.kind == "integer" and isinstance(node.value, int):
        if not 1 <= node.value <= len(items):
            raise SqlSyntax(
                f"ORDER BY {node.value} names no item",
                position=node.position,
                hint=f"there are {len(items)}",
            )
        expression = items[node.value - 1]
    elif isinstance(node, st.ColumnRef) and node.table is None and node.name in names:
        expression = items[named_item(node, names, items)]
    else:
        expression = settle(bind_expression(node, scope), scope.parameters)
    if expression.type.family == "json":
        raise BadType("JSON has no order", position=item.position)
    return Sort(ordered(expression), item.descending, item.nulls_first)


def named_item(node: st.ColumnRef, names: list[str], items: list[Bound]) -> int:
    """Return the item that a name in ORDER BY means; one is called so.

    Raises:
        AmbiguousColumn: different items are.
    """
    found = [place for place, name in enumerate(names) if name == node.name]
    if len({shape(items[place]) for place in found}) > 1:
        raise AmbiguousColumn(
            f"ORDER BY {node.name} could be several items",
            hint="order by the number of the item, or name them apart",
            position=node.position,
        )
    return found[0]


def _count(node: st.Expression | None, scope: Scope, what: str) -> Bound | None:
    if node is None:
        return None
    bound = coerce(bind_expression(node, scope), BIGINT, scope.parameters, what=what)
    if not is_free_of_rows(bound):
        raise BadType(f"{what} cannot name columns", position=node.position)
    return bound


# ---- the rest


def _subscribe(node: st.Subscribe, catalogue: Catalogue) -> BoundSubscribe:
    query = watched(node.query, _select(node.query, catalogue))
    scope = Scope(None)
    since = _text(node.since, scope)
    return BoundSubscribe(query=query, since=since, parameters=parameters_of(scope))


def _notify(node: st.Notify, _catalogue: Catalogue) -> BoundNotify:
    scope = Scope(None)
    payload = _text(node.payload, scope)
    return BoundNotify(payload=payload, parameters=parameters_of(scope))


def _text(node: st.Constant | st.Parameter | None, scope: Scope) -> Bound | None:
    if node is None:
        return None
    return coerce(bind_expression(node, scope), TEXT, scope.parameters)


def _describe(node: st.Describe, catalogue: Catalogue) -> BoundDescribe:
    return BoundDescribe(table=table_of(node.table, catalogue))


def _explain(node: st.Explain, catalogue: Catalogue) -> BoundExplain:
    query: Any = bind(node.statement, catalogue)
    return BoundExplain(statement=query)


_READING: dict[type, Callable[[Any, Catalogue], Any]] = {
    st.Select: _select,
    qu.Query: _relational,
    st.Subscribe: _subscribe,
    st.Notify: _notify,
    st.Describe: _describe,
    st.Explain: _explain,
}
_WRITING = frozenset(
    {
        st.Insert,
        st.Update,
        st.Delete,
        st.Merge,
        st.Chained,
        st.Grant,
        st.Revoke,
        st.CreateDataset,
        st.CreateIndex,
        st.CreatePolicy,
    }
)

__all__ = ["bind", "name_of", "table_of"]
