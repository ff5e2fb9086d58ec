"""Queries as parsed, beyond one plain SELECT of one dataset: what only the relational route runs.

`SELECT` of at most one dataset without grouping stays a `statement.Select`; everything else that
gives rows is a `Query`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from mfdb.sql import statement as st

if TYPE_CHECKING:
    from collections.abc import Iterator

JoinKind = Literal["INNER", "LEFT", "RIGHT", "FULL", "CROSS"]


# ---- what stands in FROM


class Alias(st.Node, frozen=True, kw_only=True):
    """A name for what stands in FROM, perhaps with names for its columns."""

    name: st.Name
    columns: tuple[st.Name, ...] = ()


class TableSource(st.Node, frozen=True, kw_only=True):
    """A dataset, or a query of WITH."""

    table: st.TableName
    alias: Alias | None = None


class QuerySource(st.Node, frozen=True, kw_only=True):
    """A query in FROM; a LATERAL one sees the sources before it."""

    query: Query
    alias: Alias
    lateral: bool = False


class FunctionSource(st.Node, frozen=True, kw_only=True):
    """A function in FROM that gives rows, perhaps numbered from 1."""

    call: st.Call
    alias: Alias | None = None
    ordinality: bool = False


class Join(st.Node, frozen=True, kw_only=True):
    """Two sources; `using` None means ON, and an empty one NATURAL.

    `alias` names all of the join and hides what is in it, `shared` only the columns of USING.
    """

    kind: JoinKind
    left: FromItem
    right: FromItem
    condition: st.Expression | None = None
    using: tuple[st.Name, ...] | None = None
    alias: Alias | None = None
    shared: st.Name | None = None


FromItem = TableSource | QuerySource | FunctionSource | Join


# ---- windows


class FrameBound(st.Node, frozen=True, kw_only=True):
    """An end of a frame; `count` only where rows are counted."""

    kind: Literal["UNBOUNDED", "CURRENT", "COUNT"]
    side: Literal["PRECEDING", "FOLLOWING", ""] = ""
    count: st.Constant | st.Parameter | None = None


class Frame(st.Node, frozen=True, kw_only=True):
    """Which rows around the present one a window function sees."""

    unit: Literal["ROWS", "RANGE", "GROUPS"]
    start: FrameBound
    end: FrameBound | None = None
    exclude: str = ""


class Window(st.Node, frozen=True, kw_only=True):
    """What stands in the parentheses of OVER; `base` is a window of WINDOW that it goes on from."""

    base: st.Name | None = None
    partition: tuple[st.Expression, ...] = ()
    order_by: tuple[st.OrderItem, ...] = ()
    frame: Frame | None = None


class NamedWindow(st.Node, frozen=True, kw_only=True):
    """A window of the WINDOW clause."""

    name: st.Name
    window: Window


# ---- expressions that hold queries


class Verified(st.Node, frozen=True, kw_only=True):
    """`query VERIFY`: an answer only if what it rests on is whole, and what was signed."""

    query: st.Select | Query


class WindowCall(st.Expression, frozen=True, kw_only=True):
    """A function OVER a window, or over one that WINDOW names."""

    call: st.Call
    over: Window | st.Name


class Subquery(st.Expression, frozen=True, kw_only=True):
    """A query of one column and at most one row, as a value."""

    query: Query


class Exists(st.Expression, frozen=True, kw_only=True):
    """`EXISTS (query)`."""

    query: Query


class RowQuery(st.Expression, frozen=True, kw_only=True):
    """`(a, b) = (query)`: a row of values beside the one row of a query."""

    sign: str
    row: st.Row
    query: Query


class InQuery(st.Expression, frozen=True, kw_only=True):
    """`x [NOT] IN (query)`."""

    operand: st.Expression
    query: Query
    negated: bool


class Quantified(st.Expression, frozen=True, kw_only=True):
    """`x = ANY (query)`, `x < ALL (query)`."""

    sign: str
    every: bool
    operand: st.Expression
    query: Query


# ---- grouping


class Grouping(st.Node, frozen=True, kw_only=True):
    """`ROLLUP (...)`, `CUBE (...)`, `GROUPING SETS (...)`, and `()`, which is SETS of nothing."""

    kind: Literal["ROLLUP", "CUBE", "SETS"]
    parts: tuple[GroupItem, ...] = ()


GroupItem = st.Expression | Grouping


# ---- queries


class SelectCore(st.Node, frozen=True, kw_only=True):
    """A SELECT without what may follow a whole query; `distinct_on` is what DISTINCT ON names."""

    items: tuple[st.Item | st.Star, ...]
    distinct: bool = False
    distinct_on: tuple[st.Expression, ...] = ()
    sources: tuple[FromItem, ...] = ()
    where: st.Expression | None = None
    group_by: tuple[GroupItem, ...] | None = None
    group_distinct: bool = False
    having: st.Expression | None = None
    windows: tuple[NamedWindow, ...] = ()


class Values(st.Node, frozen=True, kw_only=True):
    """Rows written out."""

    rows: tuple[tuple[st.Expression | st.DefaultValue, ...], ...]


class SetPart(st.Node, frozen=True, kw_only=True):
    """One operand of a chain, with the sign before it."""

    sign: Literal["UNION", "EXCEPT", "INTERSECT"]
    all: bool
    operand: Body


class SetOperation(st.Node, frozen=True, kw_only=True):
    """A chain of set operations, from left to right."""

    first: Body
    parts: tuple[SetPart, ...]


class Cte(st.Node, frozen=True, kw_only=True):
    """A query that WITH names, or a change whose RETURNING gives its rows."""

    name: st.Name
    columns: tuple[st.Name, ...]
    query: Query | st.Insert | st.Update | st.Delete
    materialised: bool | None = None


class Query(st.Node, frozen=True, kw_only=True):
    """Anything that gives rows; `ties` keeps those equal to the last, `depth` counts levels."""

    body: Body
    ctes: tuple[Cte, ...] = ()
    recursive: bool = False
    order_by: tuple[st.OrderItem, ...] = ()
    limit: st.Expression | None = None
    offset: st.Expression | None = None
    ties: bool = False
    depth: int = 0


Body = SelectCore | Values | SetOperation | Query


def as_query(node: st.Select | Query) -> Query:
    """Return a plain SELECT as a query of the relational route."""
    if isinstance(node, Query):
        return node
    sources: tuple[FromItem, ...] = ()
    if node.table is not None:
        alias = None
        if node.alias is not None:
            alias = Alias(
                position=node.table.position,
                name=st.Name(position=node.table.position, text=node.alias),
            )
        sources = (TableSource(position=node.table.position, table=node.table, alias=alias),)
    core = SelectCore(position=node.position, items=node.items, sources=sources, where=node.where)
    return Query(
        position=node.position,
        body=core,
        order_by=node.order_by,
        limit=node.limit,
        offset=node.offset,
    )


def parts_of(node: object) -> Iterator[object]:
    """Yield a node and everything inside it."""
    yield node
    if isinstance(node, msgspec.Struct):
        parts: Any = [getattr(node, name) for name in node.__struct_fields__]
    else:
        parts = node if isinstance(node, tuple) else ()
    for part in parts:
        if isinstance(part, msgspec.Struct | tuple):
            yield from parts_of(part)


def tables_named(node: object, hidden: frozenset[str] = frozenset()) -> Iterator[st.TableName]:
    """Yield the datasets that a statement reads or changes, also inside its subqueries.

    Names that WITH gives to queries are no datasets where they can be seen.
    """
    if isinstance(node, st.TableName):
        if node.owner is not None or node.name not in hidden:
            yield node
        return
    if isinstance(node, Query | st.Insert | st.Update | st.Delete | st.Merge) and node.ctes:
        visible = hidden | {cte.name.text for cte in node.ctes} if node.recursive else hidden
        for cte in node.ctes:
            yield from tables_named(cte.query, visible)
            visible |= {cte.name.text}
        hidden = visible
        parts = [getattr(node, name) for name in node.__struct_fields__ if name != "ctes"]
    elif isinstance(node, msgspec.Struct):
        parts = [getattr(node, name) for name in node.__struct_fields__]
    else:
        parts = list(node) if isinstance(node, tuple) else []
    for part in parts:
        yield from tables_named(part, hidden)
