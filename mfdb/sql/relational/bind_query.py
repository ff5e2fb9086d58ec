"""Binding queries: scopes, grouping, set operations and WITH, checked as PostgreSQL does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mfdb.kernel.errors import (
    BadType,
    NotSupportedError,
    ProgrammingError,
    SqlSyntax,
)
from mfdb.sql import query as qu
from mfdb.sql import statement as st
from mfdb.sql.bind_expression import Scope, is_free_of_rows
from mfdb.sql.bind_expression import bind as bind_expression
from mfdb.sql.bound import Bound, Output, Parameters
from mfdb.sql.coerce import ParameterList, coerce, common_type, unify
from mfdb.sql.relational.bind_core import CoreBinder, outputs_of
from mfdb.sql.relational.scope import CteShape, QueryScope, Whole
from mfdb.sql.relational.tree import (
    BoundCore,
    BoundCte,
    BoundPart,
    BoundRelational,
    BoundSet,
    BoundValues,
    QueryRef,
    RelationalQuery,
    SortKey,
    columns_as_fields,
)
from mfdb.sql.types import BIGINT, TEXT, SqlType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.sql.catalogue import Catalogue


def bind_relational(
    node: st.Select | qu.Query,
    catalogue: Catalogue,
    parameters: ParameterList | None = None,
    wanted: Sequence[SqlType] = (),
) -> BoundRelational:
    """Return a query of any kind, bound for the relational route.

    Bare literals and parameters among its columns take the types that are `wanted`, as those of
    INSERT ... SELECT do in PostgreSQL; without any they are TEXT.

    Raises:
        ProgrammingError, DataError, NotSupportedError: it cannot mean anything here; with position.
    """
    whole = Whole(catalogue, parameters if parameters is not None else ParameterList())
    scope = QueryScope(whole, None)
    query = bind_query(qu.as_query(node), scope, settled=not wanted)
    if wanted:
        query = given_types(query, wanted, scope)
    found = whole.parameters
    return BoundRelational(
        query=query,
        tables=tuple(whole.tables.values()),
        parameters=Parameters(found.style, found.count, tuple(found.slots)),
    )


def given_types(
    query: RelationalQuery, wanted: Sequence[SqlType], scope: QueryScope
) -> RelationalQuery:
    """Return a query whose columns without a type have the one that is wanted of them, or TEXT."""
    kinds = [output.type for output in query.outputs]
    for place, kind in enumerate(kinds):
        if kind.family == "unknown":
            kinds[place] = wanted[place] if place < len(wanted) else TEXT
    return retyped(query, kinds, scope)


def bind_query(node: qu.Query, outer: QueryScope, *, settled: bool = True) -> RelationalQuery:
    """Return a query inside `outer`; unless `settled`, bare literals may stay without a type."""
    scope = QueryScope(outer.whole, outer)
    ctes = bind_ctes(node.ctes, recursive=node.recursive, scope=scope)
    body = node.body
    if isinstance(body, qu.SelectCore):
        query = CoreBinder(body, scope, node, settled=settled).query()
    elif isinstance(body, qu.Values):
        query = _ordered(_values(body, scope, settled=settled), node, scope)
    elif isinstance(body, qu.SetOperation):
        query = _ordered(_set_operation(body, scope), node, scope)
    else:
        query = _ordered(bind_query(body, scope, settled=settled), node, scope)
    return msgspec.structs.replace(
        query,
        ctes=ctes,
        limit=_count(node.limit, scope, "LIMIT"),
        offset=_count(node.offset, scope, "OFFSET"),
        ties=node.ties,
    )


def _count(node: st.Expression | None, scope: QueryScope, what: str) -> Bound | None:
    if node is None:
        return None
    plain = Scope(None)
    plain.parameters = scope.parameters
    bound = coerce(bind_expression(node, plain), BIGINT, plain.parameters, what=what)
    if not is_free_of_rows(bound):
        raise BadType(f"{what} cannot name columns", position=node.position)
    return bound


# ---- VALUES and set operations


def _values(node: qu.Values, scope: QueryScope, *, settled: bool) -> RelationalQuery:
    width = len(node.rows[0])
    rows: list[list[Bound]] = []
    for row in node.rows:
        if len(row) != width:
            raise SqlSyntax("the rows of VALUES differ in length", position=row[0].position)
        bound = []
        for value in row:
            if isinstance(value, st.DefaultValue):
                raise SqlSyntax("DEFAULT stands only in INSERT", position=value.position)
            bound.append(bind_expression(value, scope))
        rows.append(bound)
    columns = []
    for place in range(width):
        column = [row[place] for row in rows]
        if settled or any(value.type.family != "unknown" for value in column):
            column, _ = unify(column, scope.parameters, column[0].position, "VALUES")
        columns.append(column)
    names = [f"column{place + 1}" for place in range(width)]
    body = BoundValues(tuple(zip(*columns, strict=True)))
    return RelationalQuery(outputs=outputs_of(names, list(body.rows[0])), body=body)


def _set_operation(node: qu.SetOperation, scope: QueryScope) -> RelationalQuery:
    operands = [_operand(node.first, scope)]
    operands += [_operand(part.operand, scope) for part in node.parts]
    width = len(operands[0].outputs)
    for query, part in zip(operands[1:], node.parts, strict=True):
        if len(query.outputs) != width:
            raise SqlSyntax(
                f"{part.sign} of {width} and {len(query.outputs)} columns",
                hint="give both sides as many columns",
                position=part.position,
            )
    types = _common_types(operands, node.parts[0])
    first, *rest = (retyped(query, types, scope) for query in operands)
    parts = tuple(
        BoundPart(part.sign, part.all, query) for part, query in zip(node.parts, rest, strict=True)
    )
    names = [output.name for output in first.outputs]
    outputs = tuple(Output(name, kind) for name, kind in zip(names, types, strict=True))
    return RelationalQuery(outputs=outputs, body=BoundSet(first, parts))


def _operand(node: qu.Body, scope: QueryScope) -> RelationalQuery:
    query = node if isinstance(node, qu.Query) else qu.Query(position=node.position, body=node)
    return bind_query(query, scope, settled=False)


def _common_types(operands: list[RelationalQuery], part: qu.SetPart) -> list[SqlType]:
    types = []
    for place in range(len(operands[0].outputs)):
        kinds = [query.outputs[place].type for query in operands]
        known = [Bound(type=kind, position=part.position) for kind in kinds]
        kind = common_type(known, part.position, part.sign)
        if kind.family == "unknown":
            kind = TEXT
        if kind.family == "json" and not part.all:
            raise BadType(f"{part.sign} cannot compare JSON", position=part.position)
        types.append(kind)
    return types


def retyped(query: RelationalQuery, types: list[SqlType], scope: QueryScope) -> RelationalQuery:
    """Return a query whose columns have the given types, cast where they had not."""
    query = _settled(query, types, scope)
    have = [output.type for output in query.outputs]
    if all(one == other for one, other in zip(have, types, strict=True)):
        return query
    outputs = tuple(
        Output(output.name, kind) for output, kind in zip(query.outputs, types, strict=True)
    )
    body = query.body
    windowed = query.order_by or query.limit is not None or query.offset is not None
    if isinstance(body, BoundCore) and not (body.distinct or body.distinct_on or windowed):
        items = _cast(body.items, types, scope)
        body = msgspec.structs.replace(body, items=items)
        return msgspec.structs.replace(query, body=body, outputs=outputs)
    if isinstance(body, BoundValues) and not windowed:
        rows = BoundValues(tuple(_cast(row, types, scope) for row in body.rows))
        return msgspec.structs.replace(query, body=rows, outputs=outputs)
    relation = scope.whole.relation()
    fields = columns_as_fields(query.outputs, relation, 0)
    core = BoundCore(items=_cast(fields, types, scope), sources=(QueryRef(relation, query),))
    return RelationalQuery(outputs=outputs, body=core)


def _settled(query: RelationalQuery, types: list[SqlType], scope: QueryScope) -> RelationalQuery:
    """Give literals and parameters their type where they stand: a column of them has none."""
    if all(output.type.family != "unknown" for output in query.outputs):
        return query
    outputs = tuple(
        Output(output.name, kind) if output.type.family == "unknown" else output
        for output, kind in zip(query.outputs, types, strict=True)
    )
    body = query.body
    if isinstance(body, BoundCore):
        body = msgspec.structs.replace(body, items=_typed(body.items, types, scope))
    elif isinstance(body, BoundValues):
        body = BoundValues(tuple(_typed(row, types, scope) for row in body.rows))
    return msgspec.structs.replace(query, body=body, outputs=outputs)


def _typed(items: tuple[Bound, ...], types: list[SqlType], scope: QueryScope) -> tuple[Bound, ...]:
    return tuple(
        coerce(item, kind, scope.parameters) if item.type.family == "unknown" else item
        for item, kind in zip(items, types, strict=True)
    )


def _cast(items: tuple[Bound, ...], types: list[SqlType], scope: QueryScope) -> tuple[Bound, ...]:
    return tuple(
        coerce(item, kind, scope.parameters) for item, kind in zip(items, types, strict=True)
    )


def _ordered(query: RelationalQuery, node: qu.Query, scope: QueryScope) -> RelationalQuery:
    """Order a query that is no single SELECT: by its columns only."""
    if not node.order_by:
        return query
    if query.order_by or query.limit is not None or query.offset is not None or query.ctes:
        relation = scope.whole.relation()
        query = RelationalQuery(
            outputs=query.outputs,
            body=BoundCore(
                items=columns_as_fields(query.outputs, relation, node.position),
                sources=(QueryRef(relation, query),),
            ),
        )
    names = [output.name for output in query.outputs]
    keys = tuple(_output_sort(item, names, query.outputs) for item in node.order_by)
    return msgspec.structs.replace(query, order_by=keys)


def _output_sort(item: st.OrderItem, names: list[str], outputs: tuple[Output, ...]) -> SortKey:
    node = item.expression
    place = None
    if isinstance(node, st.Constant) and node.kind == "integer" and isinstance(node.value, int):
        if 1 <= node.value <= len(names):
            place = node.value - 1
    elif isinstance(node, st.ColumnRef) and node.table is None and node.name in names:
        place = names.index(node.name)
    if place is None:
        raise ProgrammingError(
            "ORDER BY of a set operation names columns of its result",
            hint="order by a name or a number of them",
            position=item.position,
        )
    if outputs[place].type.family == "json":
        raise BadType("JSON has no order", position=item.position)
    if outputs[place].type.family == "array":
        raise BadType(
            "arrays are not ordered behind a set operation",
            hint="put it into FROM, and order around it",
            position=item.position,
        )
    return SortKey(place, None, item.descending, item.nulls_first)


# ---- WITH


def bind_ctes(
    ctes: tuple[qu.Cte, ...], *, recursive: bool, scope: QueryScope
) -> tuple[BoundCte, ...]:
    """Return the queries of WITH, and let the scope know their names.

    Raises:
        ProgrammingError, DataError: one cannot mean anything here; with position.
    """
    found = []
    for cte in ctes:
        name = cte.name.text
        if isinstance(cte.query, st.ROW_CHANGES):
            raise NotSupportedError(
                "a WITH that changes rows stands only before the whole statement",
                hint="WITH name AS (DELETE ... RETURNING *) SELECT ... FROM name",
                position=cte.position,
            )
        if name in scope.ctes:
            raise ProgrammingError(f"WITH names {name} twice", position=cte.position)
        is_recursive = recursive and any(
            table.owner is None and table.name == name for table in qu.tables_named(cte.query)
        )
        bind_cte = _recursive if is_recursive else _plain_cte
        found.append(bind_cte(cte, cte.query, scope))
    return tuple(found)


def _plain_cte(cte: qu.Cte, node: qu.Query, scope: QueryScope) -> BoundCte:
    query = bind_query(node, scope)
    number = scope.whole.cte()
    scope.ctes[cte.name.text] = CteShape(number, _columns(cte, query.outputs))
    return BoundCte(number, query, recursive=False, materialised=cte.materialised)


def _columns(cte: qu.Cte, outputs: tuple[Output, ...]) -> list[tuple[str, SqlType]]:
    if len(cte.columns) > len(outputs):
        raise SqlSyntax(
            f"{cte.name.text} has {len(outputs)} columns, {len(cte.columns)} are named",
            position=cte.columns[len(outputs)].position,
        )
    names = [name.text for name in cte.columns]
    names += [output.name for output in outputs[len(names) :]]
    return list(zip(names, (output.type for output in outputs), strict=True))


def _recursive(cte: qu.Cte, node: qu.Query, scope: QueryScope) -> BoundCte:
    """Bind `first UNION [ALL] again`: the first part gives the types, the second names the CTE."""
    body = node.body
    single = isinstance(body, qu.SetOperation) and len(body.parts) == 1
    if not (single and isinstance(body, qu.SetOperation) and body.parts[0].sign == "UNION"):
        raise NotSupportedError(
            f"{cte.name.text} refers to itself, but is no UNION of a start and a step",
            hint="write: start UNION ALL step",
            position=cte.position,
        )
    if node.order_by or node.limit is not None or node.offset is not None or node.ctes:
        raise NotSupportedError(
            "ORDER BY, LIMIT and WITH may not stand in a recursive query",
            position=node.position,
        )
    name, part = cte.name.text, body.parts[0]
    if any(table.name == name for table in qu.tables_named(body.first)):
        raise NotSupportedError(
            f"the start of {name} may not refer to {name}", position=cte.position
        )
    inner = QueryScope(scope.whole, scope)
    first = bind_query(
        body.first
        if isinstance(body.first, qu.Query)
        else qu.Query(position=body.position, body=body.first),
        inner,
    )
    number = scope.whole.cte()
    shaped = CteShape(number, _columns(cte, first.outputs))
    scope.ctes[name] = shaped
    step = _operand(part.operand, inner)
    if len(step.outputs) != len(first.outputs):
        raise SqlSyntax(
            f"UNION of {len(first.outputs)} and {len(step.outputs)} columns", position=part.position
        )
    types = [output.type for output in first.outputs]
    wider = _common_types([first, step], part)
    for output, kind, common in zip(step.outputs, types, wider, strict=True):
        if common.family != kind.family:
            raise BadType(
                f"column {output.name} of {name} is {kind} at the start, {output.type} in the step",
                hint=f"cast the start: CAST(... AS {output.type})",
                position=part.position,
            )
    step = retyped(step, types, scope)
    query = RelationalQuery(
        outputs=first.outputs, body=BoundSet(first, (BoundPart("UNION", part.all, step),))
    )
    return BoundCte(number, query, recursive=True)
