"""Bound queries of the relational route: every name resolved, every expression typed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from mfdb.sql.bound import Bound, Field, Output, Parameters, Sort

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mfdb.sql.catalogue import TableSchema

AUTHOR, ROW_ID, WRITTEN_AT = -1, -2, -3
"""Places of what a row knows beside its columns; blocks do not hold row ids."""


class RelationField(Field, frozen=True, kw_only=True):
    """A column of something in FROM; `relation` numbers those of the whole statement."""

    relation: int


class SubqueryValue(Bound, frozen=True, kw_only=True):
    """A query as a value: its one row, whether it has rows, or a comparison with its rows.

    Of a query that gives truths, whether some are true, or all of them, as OR and AND would say.
    """

    kind: Literal["scalar", "exists", "in", "any", "all", "some_true", "every_true"]
    query: RelationalQuery
    operands: tuple[Bound, ...] = ()
    sign: str = "="


class GroupingValue(Bound, frozen=True, kw_only=True):
    """`grouping(a, b)`: a bit for each operand, 1 where the row is not grouped by it."""

    operands: tuple[Bound, ...]


class SeriesValue(Bound, frozen=True, kw_only=True):
    """A function that gives rows: `call` gives their values as a list, None if DuckDB does."""

    function: str
    operands: tuple[Bound, ...]
    call: Callable[..., list[Any]] | None


class FrameEnd(msgspec.Struct, frozen=True):
    """An end of a frame; `count` only where rows are counted."""

    kind: str
    side: str
    count: Bound | None


class FrameOf(msgspec.Struct, frozen=True):
    """Which rows around the present one a window function sees."""

    unit: str
    start: FrameEnd
    end: FrameEnd | None
    exclude: str = ""


class WindowValue(Bound, frozen=True, kw_only=True):
    """A function over the rows around each row."""

    function: str
    operands: tuple[Bound, ...]
    condition: Bound | None
    partition: tuple[Bound, ...]
    order_by: tuple[Sort, ...]
    frame: FrameOf | None


class TableRef(msgspec.Struct, frozen=True):
    """A dataset in FROM."""

    relation: int
    table: TableSchema


class QueryRef(msgspec.Struct, frozen=True):
    """A query in FROM; a lateral one sees the sources before it."""

    relation: int
    query: RelationalQuery
    lateral: bool = False


class CteRef(msgspec.Struct, frozen=True):
    """A query of WITH in FROM."""

    relation: int
    cte: int


class SeriesRef(msgspec.Struct, frozen=True):
    """A function that gives rows, in FROM; with ordinality a second column numbers them."""

    relation: int
    series: SeriesValue
    ordinality: bool = False


class JoinRef(msgspec.Struct, frozen=True):
    """Two sources joined; no condition means every pair."""

    kind: Literal["INNER", "LEFT", "RIGHT", "FULL", "CROSS"]
    left: Ref
    right: Ref
    condition: Bound | None


Ref = TableRef | QueryRef | CteRef | SeriesRef | JoinRef


class BoundCore(msgspec.Struct, frozen=True, kw_only=True):
    """A SELECT; `group_by` None means that rows are not grouped.

    `grouping_sets` are places in `group_by`, None where rows are grouped in one way only.
    """

    items: tuple[Bound, ...]
    distinct: bool = False
    sources: tuple[Ref, ...]
    where: Bound | None = None
    group_by: tuple[Bound, ...] | None = None
    grouping_sets: tuple[tuple[int, ...], ...] | None = None
    having: Bound | None = None
    distinct_on: tuple[Bound, ...] = ()


class BoundValues(msgspec.Struct, frozen=True):
    """Rows written out."""

    rows: tuple[tuple[Bound, ...], ...]


class BoundPart(msgspec.Struct, frozen=True):
    """One operand of a chain of set operations, with the sign before it."""

    sign: str
    all: bool
    query: RelationalQuery


class BoundSet(msgspec.Struct, frozen=True):
    """A chain of set operations over queries whose columns have the same types."""

    first: RelationalQuery
    parts: tuple[BoundPart, ...]


class BoundCte(msgspec.Struct, frozen=True):
    """A query of WITH; a recursive one refers to its own number."""

    number: int
    query: RelationalQuery
    recursive: bool
    materialised: bool | None = None


class SortKey(msgspec.Struct, frozen=True):
    """One sort key: an item by its place, or an expression."""

    place: int | None
    expression: Bound | None
    descending: bool
    nulls_first: bool


class RelationalQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Anything that gives rows; `ties` keeps those equal to the last that `limit` lets pass."""

    outputs: tuple[Output, ...]
    body: BoundCore | BoundValues | BoundSet
    ctes: tuple[BoundCte, ...] = ()
    order_by: tuple[SortKey, ...] = ()
    limit: Bound | None = None
    offset: Bound | None = None
    ties: bool = False


class BoundRelational(msgspec.Struct, frozen=True, kw_only=True):
    """A query ready for the relational route, with the datasets it reads."""

    query: RelationalQuery
    tables: tuple[TableSchema, ...]
    parameters: Parameters

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The columns of the answer."""
        return self.query.outputs


def columns_as_fields(
    outputs: tuple[Output, ...], relation: int, position: int
) -> tuple[RelationField, ...]:
    """Return the columns of a query in FROM."""
    return tuple(
        RelationField(
            type=output.type, position=position, index=place, name=output.name, relation=relation
        )
        for place, output in enumerate(outputs)
    )


def fields_of(node: Any) -> Iterator[RelationField]:
    """Yield the columns that a bound tree names, also those inside its subqueries."""
    left = [node]
    while left:
        part = left.pop()
        if isinstance(part, RelationField):
            yield part
        elif isinstance(part, tuple):
            left.extend(part)
        elif isinstance(part, TableRef | Output | Parameters):
            continue
        elif isinstance(part, msgspec.Struct):
            left.extend(getattr(part, name) for name in part.__struct_fields__ if name != "type")


def shape(node: Any) -> Any:
    """Return what makes two expressions the same one: everything but places in the text."""
    if isinstance(node, SubqueryValue):
        return id(node)
    if isinstance(node, tuple):
        return tuple(shape(part) for part in node)
    if isinstance(node, msgspec.Struct):
        names = (
            name for name in node.__struct_fields__ if name not in ("position", "call", "index_of")
        )
        if not isinstance(node, Field):
            names = (name for name in names if name != "index")
        return (type(node).__name__, *(shape(getattr(node, name)) for name in names))
    return (type(node).__name__, node) if not isinstance(node, str) else node
