"""Datasets in memory behind the SQL room's ports, to try statements without a node."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import msgspec

from mfdb.kernel.clock import hlc_at
from mfdb.kernel.digest import tagged_hash
from mfdb.kernel.ids import Address, DatasetId, RowId
from mfdb.rules.clauses import Check, Unique, of_kind
from mfdb.sql.catalogue import ColumnSchema, IndexSchema, TableSchema
from mfdb.sql.dml import key_of
from mfdb.sql.tables import (
    Access,
    FullScan,
    IndexRange,
    KeyLookup,
    KeyRange,
    Mutation,
    RowDelete,
    RowInsert,
    RowUpdate,
    StoredRow,
    ValueLookup,
)
from mfdb.sql.types import parse_type

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.sql.bound import BoundCreate, BoundIndex
    from mfdb.sql.statement import TableName
    from mfdb.sql.tables import Values


class MemoryTables:
    """A catalogue and its rows; `scanned` counts the rows handed out, to see what access did."""

    def __init__(self, owner: Address, now_s: float = 0.0) -> None:
        self.owner = owner
        self.scanned = 0
        self._now_s = now_s
        self._schemas: dict[str, TableSchema] = {}
        self._rows: dict[str, dict[RowId, StoredRow]] = {}
        self._numbers = count(1)

    # ---- Catalogue

    @property
    def me(self) -> Address:
        """Whose statements are bound."""
        return self.owner

    def table(self, name: TableName) -> TableSchema | None:
        """Return a dataset by name; owners other than ours have none."""
        mine = name.owner in (None, "0x" + self.owner.hex())
        return self._schemas.get(name.name) if mine else None

    def names(self) -> list[str]:
        """Return the names of all datasets."""
        return sorted(self._schemas)

    def create(self, bound: BoundCreate) -> TableSchema:
        """Add the dataset that a bound CREATE describes."""
        name = bound.statement.table.name
        keyed = sorted((column.key, place) for place, column in enumerate(bound.columns))
        options = {option.name: option.value for option in bound.statement.options}
        schema = TableSchema(
            name=name,
            owner=self.owner,
            dataset=DatasetId(tagged_hash("mfdb.test.dataset", name.encode())),
            columns=tuple(
                ColumnSchema(
                    name=column.name,
                    type=parse_type(column.type),
                    not_null=column.not_null,
                    clear=column.clear,
                    unique=column.unique,
                    default=column.default,
                )
                for column in bound.columns
            ),
            key=tuple(place for number, place in keyed if number),
            checks=of_kind(bound.clauses, Check),
            uniques=tuple((one.name, one.columns) for one in of_kind(bound.clauses, Unique)),
            indexes=tuple(
                IndexSchema(
                    name=one.name,
                    places=tuple((_at(bound, column), False) for column in one.columns),
                    unique=True,
                )
                for one in of_kind(bound.clauses, Unique)
            ),
            owner_ordered=options.get("ordering", "owner") == "owner",
        )
        self._schemas[name] = schema
        self._rows[name] = {}
        return schema

    def index(self, bound: BoundIndex) -> None:
        """Add the index that a bound CREATE INDEX describes."""
        table, node = bound.table, bound.statement
        index = IndexSchema(
            name=node.name.text if node.name is not None else "unnamed",
            places=tuple((_place(table, name), down) for name, down in bound.columns),
            unique=node.unique,
        )
        after = msgspec.structs.replace(table, indexes=(*table.indexes, index))
        self._schemas[table.name] = after

    def drop(self, name: str) -> None:
        """Forget a dataset."""
        del self._schemas[name], self._rows[name]

    # ---- Tables

    def columns(self, table: TableSchema) -> None:
        """There is nothing by column."""

    def scan(self, table: TableSchema, access: Access) -> Iterator[StoredRow]:
        """Return the rows that `access` describes."""
        for row in self._found(table, access):
            self.scanned += 1
            yield row

    def greatest(self, table: TableSchema, place: int) -> int | None:
        """Return the greatest integer in a column, None if there is none."""
        values = [row.values[place] for row in self._rows[table.name].values()]
        return max((value for value in values if isinstance(value, int)), default=None)

    def _found(self, table: TableSchema, access: Access) -> list[StoredRow]:
        rows = list(self._rows[table.name].values())
        match access:
            case FullScan():
                return rows
            case KeyLookup(keys):
                return [row for row in rows if key_of(table, row.values) in keys]
            case ValueLookup(column, values):
                return [row for row in rows if row.values[column] in values]
            case KeyRange():
                inside = [row for row in rows if _in_range(table, row.values, access)]
                inside.sort(key=lambda row: key_of(table, row.values), reverse=access.reverse)
                return inside
            case IndexRange():
                return _in_index(rows, access)

    # ---- writing

    def apply(self, mutation: Mutation, author: Address | None) -> None:
        """Make a planned mutation true."""
        for change in mutation.changes:
            match change:
                case RowInsert(values):
                    self._put(mutation.table, self._row_id(mutation.table, values), values, author)
                case RowUpdate(row_id, values, _):
                    self._put(mutation.table, row_id, values, author)
                case RowDelete(row_id, _):
                    del self._rows[mutation.table.name][row_id]

    def _put(
        self, table: TableSchema, row_id: RowId, values: Values, author: Address | None
    ) -> None:
        stamp = hlc_at(self._now_s)
        self._rows[table.name][row_id] = StoredRow(row_id, values, author, stamp)

    def _row_id(self, table: TableSchema, values: Values) -> RowId:
        if table.owner_ordered and table.key:
            return RowId(repr(key_of(table, values)).encode())
        return RowId(next(self._numbers).to_bytes(4, "big"))


def _at(bound: BoundCreate, name: str) -> int:
    return [column.name for column in bound.columns].index(name)


def _place(table: TableSchema, name: str) -> int:
    place = table.place(name)
    assert place is not None, "the binder knows the columns"
    return place


def _in_index(rows: list[StoredRow], access: IndexRange) -> list[StoredRow]:
    places = access.index.places
    found = []
    for prefix in access.prefixes:
        at = [place for place, _ in places[: len(prefix)]]
        found += [row for row in rows if tuple(row.values[place] for place in at) == prefix]
    if access.is_bounded:
        place = places[len(access.prefixes[0])][0]
        found = [row for row in found if _lies_in(row.values[place], access)]
    for place, descending in reversed(places):
        found.sort(key=lambda row: _last(row.values[place]), reverse=descending != access.reverse)
    return found


def _last(value: object) -> tuple[bool, object]:
    """NULLs stand last ascending."""
    return value is None, value if value is not None else 0


def _lies_in(value: object, bounds: IndexRange) -> bool:
    return value is not None and _above(value, bounds) and _below(value, bounds)


def _in_range(table: TableSchema, values: Values, bounds: KeyRange) -> bool:
    key = key_of(table, values)
    if key[: len(bounds.prefix)] != bounds.prefix:
        return False
    if bounds.low is None and bounds.high is None:
        return True
    value = key[len(bounds.prefix)]
    assert value is not None
    return _above(value, bounds) and _below(value, bounds)


def _above(value: object, bounds: KeyRange | IndexRange) -> bool:
    low = bounds.low
    if low is None:
        return True
    return bool(value > low or (value == low and not bounds.low_open))  # type: ignore[operator] # keys of one type


def _below(value: object, bounds: KeyRange | IndexRange) -> bool:
    high = bounds.high
    if high is None:
        return True
    return bool(value < high or (value == high and not bounds.high_open))  # type: ignore[operator] # as above
