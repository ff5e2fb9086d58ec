"""Bound trees: every name resolved, every expression typed. Made by bind*.py, read by the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.rules.clauses import AnyClause
    from mfdb.rules.manifest import Column
    from mfdb.sql import statement as st
    from mfdb.sql.catalogue import IndexSchema, TableSchema
    from mfdb.sql.relational.tree import BoundRelational
    from mfdb.sql.types import Scalar, SqlType
    from mfdb.sql.unique import UniqueKey


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """A typed expression; `position` is its place in the statement."""

    type: SqlType
    position: int


class Value(Bound, frozen=True, kw_only=True):
    """A constant in working form."""

    value: Scalar


class Slot(Bound, frozen=True, kw_only=True):
    """A parameter; `index` counts (parameter, type) pairs, see `Parameters`, -1 while untyped.

    `literal` says that it was a literal of the text, which takes just the type of its place.
    """

    key: int | str
    index: int = -1
    literal: bool = False


class Field(Bound, frozen=True, kw_only=True):
    """A column of the row, by place."""

    index: int
    name: str


class Context(Bound, frozen=True, kw_only=True):
    """What the execution knows; `author`, `row_id` and `written_at` are the row's."""

    what: Literal["caller", "now", "author", "row_id", "written_at", "uuid", "random"]


class Strict(Bound, frozen=True, kw_only=True):
    """A function whose result is NULL if an operand is; `call` computes the rest."""

    operator: str
    operands: tuple[Bound, ...]
    call: Callable[..., Any]


class WithNulls(Bound, frozen=True, kw_only=True):
    """A function that is called with NULLs too.

    Operands from number `listed` on come to `call` as one list; they have one type.
    """

    operator: str
    operands: tuple[Bound, ...]
    call: Callable[..., Any]
    listed: int | None = None


class Lazy(Bound, frozen=True, kw_only=True):
    """What decides itself how to treat NULL: and, or, is_null, same, in, case, coalesce."""

    operator: str
    operands: tuple[Bound, ...] = ()


class Aggregate(Bound, frozen=True, kw_only=True):
    """The place of an aggregate's result; `operand` None means count(*).

    `condition` (FILTER), `more` operands and `order_by` are for the relational route only.
    """

    index: int
    kind: str
    operand: Bound | None
    distinct: bool
    condition: Bound | None = None
    more: tuple[Bound, ...] = ()
    order_by: tuple[Sort, ...] = ()


class Parameters(msgspec.Struct, frozen=True):
    """What a statement asks for: `slots` are (key, type, position); style is "", ?, $ or :."""

    style: str
    count: int
    slots: tuple[tuple[int | str, SqlType, int], ...]


class Output(msgspec.Struct, frozen=True):
    """A column of a result."""

    name: str
    type: SqlType


class KeyPart(msgspec.Struct, frozen=True, kw_only=True):
    """What WHERE says of the key: equal values of its first columns, then perhaps a range.

    `whole` says that every column of the key is given, `choices` is an IN list for its first column
    instead. With an `index` all that is said of that one instead of the primary key. `ordered`
    promises the rows in the order that the statement asks for, backwards if `reverse`.
    """

    index: IndexSchema | None = None
    ordered: bool = False
    reverse: bool = False
    equal: tuple[Bound, ...] = ()
    whole: bool = False
    low: Bound | None = None
    low_open: bool = False
    high: Bound | None = None
    high_open: bool = False
    choices: tuple[Bound, ...] = ()


class Sort(msgspec.Struct, frozen=True):
    """One sort key of a bound SELECT."""

    expression: Bound
    descending: bool
    nulls_first: bool


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of a dataset: which to look at, and which of them to keep."""

    table: TableSchema
    where: Bound | None
    access: KeyPart | None


class BoundSelect(msgspec.Struct, frozen=True, kw_only=True):
    """A query of the row route; `condition` is the WHERE where there is no FROM."""

    outputs: tuple[Output, ...]
    items: tuple[Bound, ...]
    source: Source | None
    condition: Bound | None
    aggregates: tuple[Aggregate, ...]
    order_by: tuple[Sort, ...]
    limit: Bound | None
    offset: Bound | None
    parameters: Parameters


class Joined(msgspec.Struct, frozen=True):
    """The query that finds the rows of a change: row id, key, values, then other sources' columns.

    `own` is where the columns of the other sources begin.
    """

    query: BoundRelational
    own: int


class Asked(msgspec.Struct, frozen=True):
    """A query over rows of the change itself, which stand in `table` meanwhile, numbered last."""

    table: TableSchema
    query: BoundRelational


class BoundConflict(msgspec.Struct, frozen=True, kw_only=True):
    """What an INSERT does where one of these keys is taken.

    Expressions see the columns of the row there, then those of the row that was to be inserted;
    or, if a query is `asked` about such pairs of rows, what it answers.
    """

    action: Literal["nothing", "update", "replace"]
    keys: tuple[UniqueKey, ...]
    assignments: tuple[tuple[int, Bound | None], ...] = ()
    where: Bound | None = None
    asked: Asked | None = None


class BoundInsert(msgspec.Struct, frozen=True, kw_only=True):
    """Rows to insert: one expression per column of the dataset, None for its default.

    With a `query` the rows are made anew of each row that the query gives. If a query is `asked`
    about the new rows (and those of UPDATE and DELETE), RETURNING sees its answers.
    """

    table: TableSchema
    rows: tuple[tuple[Bound | None, ...], ...]
    query: BoundRelational | None
    on_conflict: BoundConflict | None = None
    outputs: tuple[Output, ...]
    returning: tuple[Bound, ...]
    asked: Asked | None = None
    parameters: Parameters


class BoundUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """Rows to change: (column place, new value or None for its default).

    Values are of the row itself, or of a row of the query that `joined` finds the rows by.
    """

    source: Source
    assignments: tuple[tuple[int, Bound | None], ...]
    joined: Joined | None = None
    outputs: tuple[Output, ...]
    returning: tuple[Bound, ...]
    asked: Asked | None = None
    parameters: Parameters


class BoundDelete(msgspec.Struct, frozen=True, kw_only=True):
    """Rows to delete; RETURNING sees the row, then the columns of the other sources."""

    source: Source
    joined: Joined | None = None
    outputs: tuple[Output, ...]
    returning: tuple[Bound, ...]
    asked: Asked | None = None
    parameters: Parameters


class BoundWhen(msgspec.Struct, frozen=True, kw_only=True):
    """What a WHEN of MERGE does; values (None: the default) are of the query's row."""

    action: Literal["update", "delete", "insert", "nothing"]
    assignments: tuple[tuple[int, Bound | None], ...] = ()


class BoundMerge(msgspec.Struct, frozen=True, kw_only=True):
    """A MERGE: its query gives row id, key, the number of a WHEN at `which`, and values."""

    table: TableSchema
    query: BoundRelational
    which: int
    whens: tuple[BoundWhen, ...]
    parameters: Parameters
    outputs: tuple[Output, ...] = ()


class BoundStep(msgspec.Struct, frozen=True, kw_only=True):
    """A change in WITH; what it returns stands in `table` for what comes after."""

    change: BoundInsert | BoundUpdate | BoundDelete
    table: TableSchema | None


class BoundChained(msgspec.Struct, frozen=True, kw_only=True):
    """Changes, and the statement that they stand before."""

    steps: tuple[BoundStep, ...]
    last: BoundSelect | BoundRelational | BoundInsert | BoundUpdate | BoundDelete | BoundMerge


class BoundCreate(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset to create, in the words of the manifest."""

    statement: st.CreateDataset
    columns: tuple[Column, ...]
    clauses: tuple[AnyClause, ...]


class BoundIndex(msgspec.Struct, frozen=True, kw_only=True):
    """An index to make: columns with "descending"."""

    statement: st.CreateIndex
    table: TableSchema
    columns: tuple[tuple[str, bool], ...]


class BoundGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Rights to give: one (actions, columns) pair per group of privileges; `until` in seconds."""

    statement: st.Grant
    table: TableSchema
    rights: tuple[tuple[int, tuple[str, ...]], ...]
    condition: Any
    until: int


class BoundPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A policy to make, in the words of the manifest."""

    statement: st.CreatePolicy
    table: TableSchema
    actions: int
    using: Any
    check: Any


class BoundRevoke(msgspec.Struct, frozen=True, kw_only=True):
    """Rights to take back."""

    statement: st.Revoke
    table: TableSchema
    rights: tuple[tuple[int, tuple[str, ...]], ...]


class BoundSubscribe(msgspec.Struct, frozen=True, kw_only=True):
    """A standing query; `since` is a cursor's text, a slot or None."""

    query: BoundSelect
    since: Bound | None
    parameters: Parameters


class BoundNotify(msgspec.Struct, frozen=True, kw_only=True):
    """A notification to send; `payload` is a text, a slot or None."""

    payload: Bound | None
    parameters: Parameters


class BoundDescribe(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset to describe."""

    table: TableSchema


class BoundExplain(msgspec.Struct, frozen=True, kw_only=True):
    """A statement to explain."""

    statement: BoundSelect | BoundRelational | BoundInsert | BoundUpdate | BoundDelete | BoundMerge


def query_of(
    bound: BoundInsert | BoundUpdate | BoundDelete | BoundMerge,
) -> BoundRelational | None:
    """Return the query of the relational route that a change begins with, if any."""
    if isinstance(bound, BoundInsert | BoundMerge):
        return bound.query
    return None if bound.joined is None else bound.joined.query


def queries_of(
    bound: BoundInsert | BoundUpdate | BoundDelete | BoundMerge,
) -> list[BoundRelational]:
    """Return all queries of the relational route that are a part of a change."""
    if isinstance(bound, BoundMerge):
        return [bound.query]
    first, asked = query_of(bound), [bound.asked]
    if isinstance(bound, BoundInsert) and bound.on_conflict is not None:
        asked.append(bound.on_conflict.asked)
    found = [] if first is None else [first]
    return [*found, *(one.query for one in asked if one is not None)]


Query = BoundSelect | BoundInsert | BoundUpdate | BoundDelete | BoundMerge
BoundStatement: TypeAlias = (
    "Query | BoundRelational | BoundChained | BoundCreate | BoundGrant | BoundRevoke | "
    "BoundSubscribe | "
    "BoundNotify | "
    "BoundDescribe | BoundExplain | st.CreateIdentity | st.DropDataset | st.SealDataset | "
    "st.AlterOptions | st.Show | st.SetOption | st.Begin | st.Commit | st.Rollback | "
    "BoundIndex | BoundPolicy | st.DropIndex | st.Vacuum | st.CheckDatabase"
)
"""Statements that name no column are carried out as parsed."""
