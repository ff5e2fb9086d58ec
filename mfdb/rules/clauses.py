"""Clauses: what a manifest of format 2 says beside its columns and grants.

Each is a MessagePack array that begins with its kind. A manifest of format 1 held bare CHECK
expressions at the same place; they read as checks without a name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from mfdb.kernel.codec import Record
from mfdb.kernel.errors import SchemaViolation
from mfdb.rules import expression

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CLAUSES = 512
"""Most clauses of a manifest."""
KEY_COLUMNS = 16
NAME_CHARACTERS = 128
QUERY_CHARACTERS = 64 * 1024
ACTIONS = ("NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT")
"""What may happen to rows that refer to a row that goes or changes its key."""


class Check(Record, frozen=True, tag="check"):
    """A condition that every row satisfies, or of which it is unknown whether it does."""

    name: str
    condition: Any


class Unique(Record, frozen=True, tag="unique"):
    """Columns that no two rows have alike."""

    name: str
    columns: tuple[str, ...]


class ForeignKey(Record, frozen=True, tag="foreign"):
    """Columns that hold the key of a row of another dataset of the same owner, or a NULL."""

    name: str
    columns: tuple[str, ...]
    dataset: bytes
    references: tuple[str, ...]
    on_delete: str
    on_update: str


class Layout(Record, frozen=True, tag="layout"):
    """Which column of older manifests each column is.

    `numbers` are the columns' own, in their order: a column keeps its number whatever it is called,
    and a number that was dropped never comes back. `missing` is what a row has that was written
    before the column was there. Without a layout columns are numbered from 0.
    """

    next: int
    numbers: tuple[int, ...]
    missing: tuple[Any, ...]


class View(Record, frozen=True, tag="view"):
    """The query that a view stands for, as it was written, and the datasets that it names."""

    query: str
    reads: tuple[bytes, ...]


class Policy(Record, frozen=True, tag="policy"):
    """A rule over rows; `using` is asked about the row before, `check` about the row after.

    `grantees` are (grantee, identity) pairs as in grants.
    """

    name: str
    restrictive: bool
    actions: int
    grantees: tuple[tuple[int, bytes], ...]
    using: Any
    check: Any


AnyClause = Check | Unique | ForeignKey | Layout | View | Policy
C = TypeVar("C", bound=Record)


def plain(clause: AnyClause) -> Any:
    """Return a clause as it stands in a manifest."""
    return msgspec.to_builtins(clause, builtin_types=(bytes,))


def parse_clauses(written: Sequence[Any]) -> tuple[AnyClause, ...]:
    """Return the clauses of a manifest of format 2.

    Raises:
        SchemaViolation: one is none, or there are too many.
    """
    if len(written) > CLAUSES:
        raise SchemaViolation(f"a manifest has at most {CLAUSES} clauses")
    try:
        return tuple(msgspec.convert(one, AnyClause) for one in written)
    except msgspec.ValidationError as error:
        raise SchemaViolation(f"a clause of a manifest is none: {str(error)[:120]}") from error


def of_kind(clauses: Iterable[AnyClause], kind: type[C]) -> tuple[C, ...]:
    """Return the clauses of one kind, in their order."""
    return tuple(one for one in clauses if isinstance(one, kind))


def check_clauses(clauses: Sequence[AnyClause], columns: Sequence[str]) -> None:
    """Return quietly if clauses may stand beside these columns.

    Raises:
        SchemaViolation: one names what is not there, or is out of its limits.
    """
    if len(of_kind(clauses, Layout)) > 1 or len(of_kind(clauses, View)) > 1:
        raise SchemaViolation("a manifest has one layout, and one view")
    for clause in clauses:
        _CHECKS[type(clause)](clause, columns)
    names = [clause.name for clause in clauses if not isinstance(clause, Layout | View)]
    if any(not name or len(name) > NAME_CHARACTERS for name in names):
        raise SchemaViolation(f"a clause is named, by at most {NAME_CHARACTERS} characters")


def _check_check(clause: Check, _columns: Sequence[str]) -> None:
    expression.check(clause.condition)


def _check_columns(named: Sequence[str], columns: Sequence[str]) -> None:
    distinct = len(set(named)) == len(named)
    if not 1 <= len(named) <= KEY_COLUMNS or not distinct or not set(named) <= set(columns):
        raise SchemaViolation(f"a key has 1 to {KEY_COLUMNS} columns of its dataset, each once")


def _check_unique(clause: Unique, columns: Sequence[str]) -> None:
    _check_columns(clause.columns, columns)


def _check_foreign(clause: ForeignKey, columns: Sequence[str]) -> None:
    _check_columns(clause.columns, columns)
    _check_columns(clause.references, clause.references)
    if len(clause.columns) != len(clause.references) or len(clause.dataset) != 32:
        raise SchemaViolation("a foreign key has as many columns as it refers to, of one dataset")
    if clause.on_delete not in ACTIONS or clause.on_update not in ACTIONS:
        raise SchemaViolation("a foreign key says what happens to rows that refer")


def _check_layout(clause: Layout, columns: Sequence[str]) -> None:
    numbers = clause.numbers
    fits = len(numbers) == len(columns) == len(clause.missing)
    known = all(0 <= number < clause.next for number in numbers) and clause.next < 2**31
    if not fits or not known or len(set(numbers)) != len(numbers):
        raise SchemaViolation("a layout numbers every column, each by a number of its own")
    for value in clause.missing:
        expression.check(["value", value])


def _check_view(clause: View, _columns: Sequence[str]) -> None:
    if len(clause.query) > QUERY_CHARACTERS or any(len(one) != 32 for one in clause.reads):
        raise SchemaViolation(f"a view has a query of at most {QUERY_CHARACTERS} characters")


def _check_policy(clause: Policy, _columns: Sequence[str]) -> None:
    if not 1 <= clause.actions < 32 or not 1 <= len(clause.grantees) <= 64:
        raise SchemaViolation("a policy is for some actions and 1 to 64 grantees")
    if any(kind not in range(4) for kind, _ in clause.grantees):
        raise SchemaViolation("a policy names a grantee of no known kind")
    for condition in (clause.using, clause.check):
        if condition is not None:
            expression.check(condition)


_CHECKS: dict[type, Any] = {
    Check: _check_check,
    Unique: _check_unique,
    ForeignKey: _check_foreign,
    Layout: _check_layout,
    View: _check_view,
    Policy: _check_policy,
}
