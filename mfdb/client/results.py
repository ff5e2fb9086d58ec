"""What statements give back: rows with their columns, and changes with their cursors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mfdb.sql.bound import Output


class Column(msgspec.Struct, frozen=True):
    """A column of a result; `type` is the SQL type's text."""

    name: str
    type: str


class Result(msgspec.Struct):
    """The answer to one statement: `tag` says what happened, like "INSERT 3" or "SELECT 5".

    `count` is the number of rows returned or changed, -1 where counting means nothing. Rows hold
    JSON as text; `documents` are the places of such columns, None if nobody looked. Not frozen,
    because making a frozen one costs a fifth of a point read.
    """

    tag: str
    columns: tuple[Column, ...] = ()
    rows: Sequence[tuple[object, ...]] = ()
    count: int = -1
    documents: tuple[int, ...] | None = None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a subscription: `op` is insert, update or delete, rows are by column name.

    With `ENVELOPE = 'upsert'` it is upsert, or delete with the key in `old`. With `PROGRESS` there
    are changes of `op` progress, without a row: everything up to their cursor was given.

    `cursor` resumes right after this change, at this replica or any other; at another one changes
    may come twice, then `key` (equal everywhere) tells a repeat. `hlc` is the writer's stamp.
    """

    op: str
    old: Mapping[str, object] | None
    new: Mapping[str, object] | None
    author: str
    hlc: int
    cursor: str
    key: str
    subscription: str | None = None
    """The name that SUBSCRIBE gave the subscription that it came by, None if it gave none."""


def table(tag: str, names: Mapping[str, str], rows: Sequence[tuple[object, ...]]) -> Result:
    """Return a result of named, typed columns."""
    columns = tuple(Column(name, kind) for name, kind in names.items())
    return Result(tag=f"{tag} {len(rows)}", columns=columns, rows=rows, count=len(rows))


def columns_of(outputs: Sequence[Output]) -> tuple[Column, ...]:
    """Return the columns of a statement's outputs."""
    return tuple(Column(output.name, str(output.type)) for output in outputs)
