"""Statements and expressions as parsed: frozen nodes that keep their place in the text.

Nothing here knows whether a name exists; `bind.py` turns these into typed, bound trees. The nodes
are msgspec structs because one statement makes dozens of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:
    from mfdb.sql.query import Cte, FromItem, Query


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """Anything that was written in a statement; `position` is its 0-based offset."""

    position: int


class Name(Node, frozen=True, kw_only=True):
    """A name as it is known (folded unless quoted)."""

    text: str
    quoted: bool = False


class TableName(Node, frozen=True, kw_only=True):
    """A dataset, perhaps with its owner: an address (`"0x…"`) or a petname."""

    name: str
    owner: str | None = None

    def __str__(self) -> str:
        return f'"{self.owner}".{self.name}' if self.owner else self.name


class TypeName(Node, frozen=True, kw_only=True):
    """A type as written, with its numbers in parentheses."""

    name: str
    numbers: tuple[int, ...] = ()


# ---- expressions


class Expression(Node, frozen=True, kw_only=True):
    """Any expression; `depth` counts the levels below it."""

    depth: int = 0


class Constant(Expression, frozen=True, kw_only=True):
    """A literal. `kind` says how it was written; the value of a decimal is its text."""

    kind: Literal["null", "boolean", "integer", "decimal", "string", "blob"]
    value: bool | int | str | bytes | None


class Parameter(Expression, frozen=True, kw_only=True):
    """A parameter: `key` is its 0-based number, or its name."""

    style: Literal["?", "$", ":"]
    key: int | str


class Lifted(Expression, frozen=True, kw_only=True):
    """A literal that was taken out of a text: the `key`-th value given, of a literal's type."""

    kind: Literal["integer", "bigint", "decimal", "string"]
    key: int


class ColumnRef(Expression, frozen=True, kw_only=True):
    """A column, perhaps with dataset and owner in front."""

    name: str
    table: str | None = None
    owner: str | None = None


class Unary(Expression, frozen=True, kw_only=True):
    """`-x`, `+x` or `NOT x`."""

    sign: Literal["-", "+", "NOT"]
    operand: Expression


class Binary(Expression, frozen=True, kw_only=True):
    """Two operands and a sign; `position` is the sign's."""

    sign: str
    left: Expression
    right: Expression


class Logical(Expression, frozen=True, kw_only=True):
    """A chain of AND or of OR."""

    sign: Literal["AND", "OR"]
    operands: tuple[Expression, ...]


class Test(Expression, frozen=True, kw_only=True):
    """`x IS [NOT] NULL|TRUE|FALSE|UNKNOWN`."""

    operand: Expression
    truth: Literal["NULL", "TRUE", "FALSE", "UNKNOWN"]
    negated: bool


class Distinct(Expression, frozen=True, kw_only=True):
    """`a IS [NOT] DISTINCT FROM b`."""

    left: Expression
    right: Expression
    negated: bool


class Between(Expression, frozen=True, kw_only=True):
    """`x [NOT] BETWEEN low AND high`."""

    operand: Expression
    low: Expression
    high: Expression
    negated: bool


class Like(Expression, frozen=True, kw_only=True):
    """`x [NOT] LIKE|ILIKE pattern [ESCAPE e]`."""

    operand: Expression
    pattern: Expression
    escape: Expression | None
    folded: bool
    negated: bool


class InList(Expression, frozen=True, kw_only=True):
    """`x [NOT] IN (…)`."""

    operand: Expression
    choices: tuple[Expression, ...]
    negated: bool


class Call(Expression, frozen=True, kw_only=True):
    """A function or aggregate; `star` for `count(*)`, `filter` for FILTER (WHERE ...)."""

    name: str
    arguments: tuple[Expression, ...] = ()
    star: bool = False
    distinct: bool = False
    filter: Expression | None = None


class Cast(Expression, frozen=True, kw_only=True):
    """`CAST(x AS type)`, `x::type` or `type 'text'`."""

    operand: Expression
    type: TypeName


class When(Node, frozen=True, kw_only=True):
    """One branch of a CASE."""

    condition: Expression
    result: Expression


class Case(Expression, frozen=True, kw_only=True):
    """`CASE [x] WHEN … THEN … [ELSE …] END`."""

    subject: Expression | None
    branches: tuple[When, ...]
    otherwise: Expression | None


# ---- parts of statements


class DefaultValue(Node, frozen=True, kw_only=True):
    """The word DEFAULT in place of a value."""


class Star(Node, frozen=True, kw_only=True):
    """`*` or `m.*` among the items of a SELECT."""

    table: str | None = None


class Item(Node, frozen=True, kw_only=True):
    """An expression of a SELECT or RETURNING, perhaps named."""

    expression: Expression
    name: str | None = None


class OrderItem(Node, frozen=True, kw_only=True):
    """One sort key; NULLs stand last ascending and first descending unless said otherwise."""

    expression: Expression
    descending: bool
    nulls_first: bool


class Assignment(Node, frozen=True, kw_only=True):
    """`column = value` of an UPDATE; `(a, b) = (...)` is two of them."""

    column: Name
    value: Expression | DefaultValue


class OnConflict(Node, frozen=True, kw_only=True):
    """What an INSERT does where a row of the same key is there already.

    `columns` or `constraint` say which key is meant, neither means any. "replace" takes the other
    rows away, "upsert" sets the columns that the INSERT names, by primary key.
    """

    action: Literal["nothing", "update", "replace", "upsert"]
    columns: tuple[Name, ...] = ()
    constraint: Name | None = None
    assignments: tuple[Assignment, ...] = ()
    where: Expression | None = None


class ColumnDef(Node, frozen=True, kw_only=True):
    """A column of a CREATE."""

    name: Name
    type: TypeName
    not_null: bool = False
    clear: bool = False
    unique: bool = False
    primary_key: bool = False
    default: Expression | None = None
    checks: tuple[Expression, ...] = ()


class KeyConstraint(Node, frozen=True, kw_only=True):
    """`PRIMARY KEY (…)` or `UNIQUE (…)` over columns."""

    columns: tuple[Name, ...]
    primary: bool


class CheckConstraint(Node, frozen=True, kw_only=True):
    """`CHECK (…)`."""

    condition: Expression


class Option(Node, frozen=True, kw_only=True):
    """`name = value` of a WITH or SET; an amount keeps its unit ('20 MFT'), a ratio its slash."""

    name: str
    value: str | int | bool | bytes | None


class Privilege(Node, frozen=True, kw_only=True):
    """What a GRANT allows, perhaps on some columns only."""

    action: Literal["SELECT", "INSERT", "UPDATE", "DELETE", "SUBSCRIBE"]
    columns: tuple[Name, ...] = ()


class Grantee(Node, frozen=True, kw_only=True):
    """PUBLIC, OWNER, AUTHOR, or an identity by address or petname."""

    kind: Literal["PUBLIC", "OWNER", "AUTHOR", "IDENTITY"]
    name: str = ""


# ---- statements


class Select(Node, frozen=True, kw_only=True):
    """A query of at most one dataset."""

    items: tuple[Item | Star, ...]
    table: TableName | None = None
    alias: str | None = None
    where: Expression | None = None
    order_by: tuple[OrderItem, ...] = ()
    limit: Expression | None = None
    offset: Expression | None = None


class Insert(Node, frozen=True, kw_only=True):
    """New rows; `rows` is None for DEFAULT VALUES, and empty where a query gives them."""

    table: TableName
    columns: tuple[Name, ...] | None
    rows: tuple[tuple[Expression | DefaultValue, ...], ...] | None
    query: Select | Query | None = None
    returning: tuple[Item | Star, ...] = ()
    alias: str | None = None
    on_conflict: OnConflict | None = None
    ctes: tuple[Cte, ...] = ()
    recursive: bool = False


class Update(Node, frozen=True, kw_only=True):
    """Changed rows; `sources` is the FROM clause."""

    table: TableName
    assignments: tuple[Assignment, ...]
    where: Expression | None = None
    returning: tuple[Item | Star, ...] = ()
    alias: str | None = None
    sources: tuple[FromItem, ...] = ()
    ctes: tuple[Cte, ...] = ()
    recursive: bool = False


class Delete(Node, frozen=True, kw_only=True):
    """Deleted rows; `sources` is the USING clause."""

    table: TableName
    where: Expression | None = None
    returning: tuple[Item | Star, ...] = ()
    alias: str | None = None
    sources: tuple[FromItem, ...] = ()
    ctes: tuple[Cte, ...] = ()
    recursive: bool = False


class CreateDataset(Node, frozen=True, kw_only=True):
    """A new dataset, or mailbox when `mailbox` (then perhaps without columns)."""

    table: TableName
    elements: tuple[ColumnDef | KeyConstraint | CheckConstraint, ...]
    if_not_exists: bool
    options: tuple[Option, ...]
    mailbox: bool = False


class CreateIdentity(Node, frozen=True, kw_only=True):
    """A new identity under a petname."""

    name: str


class DropDataset(Node, frozen=True, kw_only=True):
    """A dataset to give up."""

    table: TableName
    if_exists: bool


class IndexColumn(Node, frozen=True, kw_only=True):
    """A column of an index; NULLs stand last ascending and first descending."""

    name: Name
    descending: bool = False


class CreateIndex(Node, frozen=True, kw_only=True):
    """A secondary index of this machine; without a name it gets PostgreSQL's."""

    table: TableName
    columns: tuple[IndexColumn, ...]
    name: Name | None = None
    unique: bool = False
    if_not_exists: bool = False


class DropIndex(Node, frozen=True, kw_only=True):
    """An index to remove; the dataset need not be named."""

    name: Name
    table: TableName | None = None
    if_exists: bool = False


class Vacuum(Node, frozen=True, kw_only=True):
    """Free room goes back to the disk."""


class CheckDatabase(Node, frozen=True, kw_only=True):
    """Everything that is kept here is verified against the signed log."""


class SealDataset(Node, frozen=True, kw_only=True):
    """`ALTER DATASET x SEAL`: erasure-code what is written so far."""

    table: TableName


class AlterOptions(Node, frozen=True, kw_only=True):
    """`ALTER DATASET x SET (…)`."""

    table: TableName
    options: tuple[Option, ...]


class Grant(Node, frozen=True, kw_only=True):
    """Rights given; no privileges named means ALL."""

    table: TableName
    privileges: tuple[Privilege, ...]
    grantees: tuple[Grantee, ...]
    condition: Expression | None = None
    until: Constant | None = None


class Revoke(Node, frozen=True, kw_only=True):
    """Rights taken back; no privileges named means ALL."""

    table: TableName
    privileges: tuple[Privilege, ...]
    grantees: tuple[Grantee, ...]


class Subscribe(Node, frozen=True, kw_only=True):
    """A standing query; `since` is a cursor."""

    query: Select
    since: Constant | Parameter | None = None


class Show(Node, frozen=True, kw_only=True):
    """`SHOW what [FROM|FOR|ON of] [LIKE like]`; `what` is lower case, words joined by a space."""

    what: str
    of: TableName | None = None
    like: str | None = None


class Describe(Node, frozen=True, kw_only=True):
    """The columns of a dataset."""

    table: TableName


class Explain(Node, frozen=True, kw_only=True):
    """How a statement would be carried out; `analyse` carries it out and measures."""

    statement: Select | Query | Insert | Update | Delete | Execute
    analyse: bool = False
    json: bool = False


class Prepare(Node, frozen=True, kw_only=True):
    """A statement kept under a name, perhaps with the types of its parameters."""

    name: Name
    types: tuple[TypeName, ...]
    statement: Select | Query | Insert | Update | Delete


class Execute(Node, frozen=True, kw_only=True):
    """A prepared statement, carried out with these values."""

    name: Name
    values: tuple[Expression, ...]


class Deallocate(Node, frozen=True, kw_only=True):
    """A prepared statement forgotten; without a name, all of them."""

    name: Name | None = None


class CopyFrom(Node, frozen=True, kw_only=True):
    """Rows read from a file (None: from the stream that the caller gives) into a dataset."""

    table: TableName
    columns: tuple[Name, ...] | None
    path: str | None
    options: tuple[Option, ...] = ()


class CopyTo(Node, frozen=True, kw_only=True):
    """The rows of a query written to a file (None: to the stream that the caller gives)."""

    query: Select | Query
    path: str | None
    options: tuple[Option, ...] = ()


class SetOption(Node, frozen=True, kw_only=True):
    """A setting of the session; value None means its default."""

    name: str
    value: str | int | bool | bytes | None


class Begin(Node, frozen=True, kw_only=True):
    """Start of a batch."""


class Commit(Node, frozen=True, kw_only=True):
    """End of a batch; `chain` opens the next at once."""

    chain: bool = False


class Rollback(Node, frozen=True, kw_only=True):
    """A batch given up; `chain` opens the next at once."""

    chain: bool = False


class Savepoint(Node, frozen=True, kw_only=True):
    """A place in a batch to which it can go back."""

    name: Name


class RollbackTo(Node, frozen=True, kw_only=True):
    """What a batch did since a savepoint is given up."""

    name: Name


class Release(Node, frozen=True, kw_only=True):
    """A savepoint forgotten; what was done since stays."""

    name: Name


Statement: TypeAlias = (
    "Select | Query | Insert | Update | Delete | CreateDataset | CreateIdentity | DropDataset | "
    "SealDataset | AlterOptions | Grant | Revoke | Subscribe | Show | Describe | Explain | "
    "SetOption | Begin | Commit | Rollback | Savepoint | RollbackTo | Release | Prepare | "
    "Execute | Deallocate | CopyFrom | CopyTo | CreateIndex | DropIndex | Vacuum | CheckDatabase"
)
