"""Statements and expressions as parsed: frozen nodes that keep their place in the text.

Nothing here knows whether a name exists; `bind.py` turns these into typed, bound trees. The nodes
are msgspec structs because one statement makes dozens of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from mfdb.sql.definition import (
    AddColumn,
    AddConstraint,
    Alter,
    Alteration,
    AlterColumn,
    AlterOptions,
    CheckConstraint,
    CheckDatabase,
    ColumnDef,
    CreateAs,
    CreateDataset,
    CreateIdentity,
    CreateIndex,
    CreatePolicy,
    CreateView,
    DropColumn,
    DropConstraint,
    DropDataset,
    DropIndex,
    DropPolicy,
    ForeignConstraint,
    Grant,
    Grantee,
    IndexColumn,
    KeyConstraint,
    Option,
    OwnerTo,
    Privilege,
    Reference,
    RenameColumn,
    RenameTo,
    Revoke,
    SealDataset,
    TableConstraint,
    Truncate,
    Vacuum,
)
from mfdb.sql.node import (
    AmongArray,
    ArrayOf,
    Between,
    Binary,
    Call,
    Case,
    Cast,
    ColumnRef,
    Constant,
    Distinct,
    Expression,
    InGiven,
    InList,
    Lifted,
    Like,
    Logical,
    Name,
    Node,
    Parameter,
    Row,
    Subscript,
    TableName,
    Test,
    TypeName,
    Unary,
    When,
)

if TYPE_CHECKING:
    from mfdb.sql.money import Money
    from mfdb.sql.query import Cte, FromItem, Query, Verified


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


class MergeWhen(Node, frozen=True, kw_only=True):
    """What MERGE does with pairs of rows (`matched`), or with rows that match none.

    `values` None means DEFAULT VALUES.
    """

    matched: bool
    condition: Expression | None
    action: Literal["update", "delete", "insert", "nothing"]
    assignments: tuple[Assignment, ...] = ()
    columns: tuple[Name, ...] | None = None
    values: tuple[Expression | DefaultValue, ...] | None = None


class Merge(Node, frozen=True, kw_only=True):
    """`MERGE INTO table USING source ON condition WHEN ...`."""

    table: TableName
    source: FromItem
    condition: Expression
    whens: tuple[MergeWhen, ...]
    alias: str | None = None
    ctes: tuple[Cte, ...] = ()
    recursive: bool = False


class Chained(Node, frozen=True, kw_only=True):
    """A statement whose WITH changes rows; all of it sees what there was before it."""

    statement: Select | Query | Insert | Update | Delete | Merge


class Subscribe(Node, frozen=True, kw_only=True):
    """A standing query; `since` is a cursor. Without a name the session gives it one."""

    query: Select
    since: Constant | Parameter | None = None
    name: Name | None = None
    options: tuple[Option, ...] = ()


class Unsubscribe(Node, frozen=True, kw_only=True):
    """The end of a subscription; without a name, of all."""

    name: Name | None = None


class Listen(Node, frozen=True, kw_only=True):
    """A channel whose notifications the connection wants."""

    name: Name


class Unlisten(Node, frozen=True, kw_only=True):
    """A channel that the connection wants no more; without a name, all of them."""

    name: Name | None = None


class Notify(Node, frozen=True, kw_only=True):
    """A notification on a channel, sent at COMMIT."""

    name: Name
    payload: Constant | Parameter | None = None


class Use(Node, frozen=True, kw_only=True):
    """Whose datasets names without an owner mean; None: our own."""

    owner: str | None = None


class UseIdentity(Node, frozen=True, kw_only=True):
    """Who the connection is from now on."""

    name: str


class Show(Node, frozen=True, kw_only=True):
    """`SHOW what [FROM|FOR|ON of] [LIKE like]`; `what` is lower case, words joined by a space.

    The other clauses are those of a SELECT over what is shown.
    """

    what: str
    of: TableName | None = None
    like: str | None = None
    where: Expression | None = None
    order_by: tuple[OrderItem, ...] = ()
    limit: Expression | None = None
    offset: Expression | None = None

    @property
    def is_refined(self) -> bool:
        """Whether some rows are left out or put in order."""
        return bool(self.where or self.order_by or self.limit or self.offset)


class Describe(Node, frozen=True, kw_only=True):
    """The columns of a dataset."""

    table: TableName


class Explain(Node, frozen=True, kw_only=True):
    """How a statement would be carried out; `analyse` carries it out and measures."""

    statement: Select | Query | Insert | Update | Delete | Merge | Execute
    analyse: bool = False
    json: bool = False


class Prepare(Node, frozen=True, kw_only=True):
    """A statement kept under a name, perhaps with the types of its parameters."""

    name: Name
    types: tuple[TypeName, ...]
    statement: Select | Query | Insert | Update | Delete | Merge


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


ROW_CHANGES = (Insert, Update, Delete)
"""What changes the rows of one dataset, and may stand in WITH."""
CHANGES = (*ROW_CHANGES, Merge, Chained)
"""What changes rows."""

Statement: TypeAlias = (
    "Select | Query | Verified | Insert | Update | Delete | Merge | Chained | CreateDataset | "
    "CreateIdentity | "
    "DropDataset | "
    "SealDataset | AlterOptions | Grant | Revoke | Subscribe | Show | Describe | Explain | "
    "SetOption | Begin | Commit | Rollback | Savepoint | RollbackTo | Release | Prepare | "
    "Execute | Deallocate | CopyFrom | CopyTo | CreateIndex | DropIndex | Vacuum | CheckDatabase | "
    "CreateAs | CreateView | Truncate | Alter | CreatePolicy | DropPolicy | Unsubscribe | Listen | "
    "Unlisten | Notify | Use | UseIdentity | Money"
)

__all__ = [
    "CHANGES",
    "ROW_CHANGES",
    "AddColumn",
    "AddConstraint",
    "Alter",
    "AlterColumn",
    "AlterOptions",
    "Alteration",
    "AmongArray",
    "ArrayOf",
    "Assignment",
    "Begin",
    "Between",
    "Binary",
    "Call",
    "Case",
    "Cast",
    "Chained",
    "CheckConstraint",
    "CheckDatabase",
    "ColumnDef",
    "ColumnRef",
    "Commit",
    "Constant",
    "CopyFrom",
    "CopyTo",
    "CreateAs",
    "CreateDataset",
    "CreateIdentity",
    "CreateIndex",
    "CreatePolicy",
    "CreateView",
    "Deallocate",
    "DefaultValue",
    "Delete",
    "Describe",
    "Distinct",
    "DropColumn",
    "DropConstraint",
    "DropDataset",
    "DropIndex",
    "DropPolicy",
    "Execute",
    "Explain",
    "Expression",
    "ForeignConstraint",
    "Grant",
    "Grantee",
    "InGiven",
    "InList",
    "IndexColumn",
    "Insert",
    "Item",
    "KeyConstraint",
    "Lifted",
    "Like",
    "Listen",
    "Logical",
    "Merge",
    "MergeWhen",
    "Name",
    "Node",
    "Notify",
    "OnConflict",
    "Option",
    "OrderItem",
    "OwnerTo",
    "Parameter",
    "Prepare",
    "Privilege",
    "Reference",
    "Release",
    "RenameColumn",
    "RenameTo",
    "Revoke",
    "Rollback",
    "RollbackTo",
    "Row",
    "Savepoint",
    "SealDataset",
    "Select",
    "SetOption",
    "Show",
    "Star",
    "Statement",
    "Subscribe",
    "Subscript",
    "TableConstraint",
    "TableName",
    "Test",
    "Truncate",
    "TypeName",
    "Unary",
    "Unlisten",
    "Unsubscribe",
    "Update",
    "Use",
    "UseIdentity",
    "Vacuum",
    "When",
]
