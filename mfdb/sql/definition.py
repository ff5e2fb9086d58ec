"""Definitions as parsed: what CREATE, ALTER, DROP, GRANT and REVOKE say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from mfdb.sql.node import Constant, Expression, Name, Node, TableName, TypeName

if TYPE_CHECKING:
    from mfdb.sql.query import Query
    from mfdb.sql.statement import Select


class Reference(Node, frozen=True, kw_only=True):
    """What a foreign key refers to; without columns, the primary key of that dataset."""

    table: TableName
    columns: tuple[Name, ...] = ()
    on_delete: str = "NO ACTION"
    on_update: str = "NO ACTION"
    name: Name | None = None


class ColumnDef(Node, frozen=True, kw_only=True):
    """A column of a CREATE; `generated` is ALWAYS or BY DEFAULT for an identity column."""

    name: Name
    type: TypeName
    not_null: bool = False
    clear: bool = False
    unique: bool = False
    primary_key: bool = False
    default: Expression | None = None
    generated: str = ""
    checks: tuple[CheckConstraint, ...] = ()
    references: tuple[Reference, ...] = ()
    unique_name: Name | None = None


class KeyConstraint(Node, frozen=True, kw_only=True):
    """`PRIMARY KEY (…)` or `UNIQUE (…)` over columns."""

    columns: tuple[Name, ...]
    primary: bool
    name: Name | None = None


class CheckConstraint(Node, frozen=True, kw_only=True):
    """`CHECK (…)`."""

    condition: Expression
    name: Name | None = None


class ForeignConstraint(Node, frozen=True, kw_only=True):
    """`FOREIGN KEY (…) REFERENCES …`."""

    columns: tuple[Name, ...]
    reference: Reference
    name: Name | None = None


TableConstraint: TypeAlias = "KeyConstraint | CheckConstraint | ForeignConstraint"


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


class CreateDataset(Node, frozen=True, kw_only=True):
    """A new dataset, or mailbox when `mailbox` (then perhaps without columns)."""

    table: TableName
    elements: tuple[ColumnDef | KeyConstraint | CheckConstraint | ForeignConstraint, ...]
    if_not_exists: bool
    options: tuple[Option, ...]
    mailbox: bool = False
    mailbox_of: Grantee | None = None


class CreateIdentity(Node, frozen=True, kw_only=True):
    """A new identity under a petname."""

    name: str


class CreateAs(Node, frozen=True, kw_only=True):
    """A new dataset that holds what a query gives."""

    table: TableName
    query: Query | Select
    columns: tuple[Name, ...] = ()
    if_not_exists: bool = False


class CreateView(Node, frozen=True, kw_only=True):
    """A query under a name."""

    table: TableName
    query: Query | Select
    columns: tuple[Name, ...] = ()
    replace: bool = False
    if_not_exists: bool = False


class DropDataset(Node, frozen=True, kw_only=True):
    """A dataset to give up (`more` are named beside it).

    `view` and `mailbox` say what it was called.
    """

    table: TableName
    if_exists: bool
    more: tuple[TableName, ...] = ()
    cascade: bool = False
    view: bool = False
    mailbox: bool = False

    @property
    def tables(self) -> tuple[TableName, ...]:
        """All that are to go."""
        return (self.table, *self.more)


class Truncate(Node, frozen=True, kw_only=True):
    """Datasets whose rows are all to go."""

    tables: tuple[TableName, ...]


class AddColumn(Node, frozen=True, kw_only=True):
    """`ADD COLUMN …`."""

    column: ColumnDef
    if_not_exists: bool


class AddConstraint(Node, frozen=True, kw_only=True):
    """`ADD [CONSTRAINT name] …`."""

    constraint: TableConstraint


class DropColumn(Node, frozen=True, kw_only=True):
    """`DROP COLUMN …`."""

    name: Name
    if_exists: bool
    cascade: bool


class DropConstraint(Node, frozen=True, kw_only=True):
    """`DROP CONSTRAINT …`."""

    name: Name
    if_exists: bool
    cascade: bool


class RenameColumn(Node, frozen=True, kw_only=True):
    """`RENAME COLUMN old TO new`."""

    name: Name
    new: Name


class RenameTo(Node, frozen=True, kw_only=True):
    """`RENAME TO new`."""

    new: Name


class AlterColumn(Node, frozen=True, kw_only=True):
    """`ALTER COLUMN …`: one of a default (or none), NOT NULL or not, another type."""

    name: Name
    change: Literal["default", "not null", "type"]
    default: Expression | None = None
    not_null: bool = False
    type: TypeName | None = None


class OwnerTo(Node, frozen=True, kw_only=True):
    """`OWNER TO …`."""

    grantee: Grantee


Alteration: TypeAlias = (
    "AddColumn | AddConstraint | DropColumn | DropConstraint | RenameColumn | RenameTo | "
    "AlterColumn | OwnerTo"
)


class Alter(Node, frozen=True, kw_only=True):
    """Changes of a dataset's definition, all of them or none."""

    table: TableName
    changes: tuple[Alteration, ...]
    if_exists: bool = False
    view: bool = False


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


class CreatePolicy(Node, frozen=True, kw_only=True):
    """A rule over rows: `using` is asked about the row before, `check` about the row after."""

    name: Name
    table: TableName
    grantees: tuple[Grantee, ...]
    action: str = "ALL"
    restrictive: bool = False
    using: Expression | None = None
    check: Expression | None = None


class DropPolicy(Node, frozen=True, kw_only=True):
    """A policy to take away."""

    name: Name
    table: TableName
    if_exists: bool = False
