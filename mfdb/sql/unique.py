"""Which columns of a dataset no two rows may share, under PostgreSQL's names for such rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mfdb.sql.catalogue import IndexSchema  # noqa: TC001 - a field of a struct
from mfdb.sql.tables import IndexRange, KeyLookup, ValueLookup

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mfdb.sql.catalogue import TableSchema
    from mfdb.sql.tables import Access, Key, Values


class UniqueKey(msgspec.Struct, frozen=True):
    """A rule that rows differ in these columns; where one of them is NULL, rows always differ."""

    name: str
    places: tuple[int, ...]
    primary: bool = False
    index: IndexSchema | None = None

    def of(self, values: Values) -> Key | None:
        """Return what must be unique about a row, None if nothing."""
        key = tuple(values[place] for place in self.places)
        return None if None in key and not self.primary else key

    def lookup(self, keys: Iterable[Key]) -> Access:
        """Return how to find the rows that have one of these keys."""
        if self.primary:
            return KeyLookup(tuple(keys))
        if self.index is not None:
            return IndexRange(index=self.index, prefixes=tuple(keys))
        return ValueLookup(self.places[0], tuple(key[0] for key in keys))


def unique_keys(table: TableSchema) -> tuple[UniqueKey, ...]:
    """Return the primary key, then the UNIQUE columns, then the UNIQUE indexes."""
    found = []
    if table.key:
        found.append(UniqueKey(f"{table.name}_pkey", table.key, primary=True))
    found += [
        UniqueKey(f"{table.name}_{column.name}_key", (place,))
        for place, column in enumerate(table.columns)
        if column.unique and table.key != (place,)
    ]
    found += [
        UniqueKey(index.name, tuple(place for place, _ in index.places), index=index)
        for index in table.indexes
        if index.unique
    ]
    return tuple(found)
