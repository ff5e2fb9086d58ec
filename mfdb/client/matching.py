"""What an access describes: which values, between which packed keys, in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.sql.tables import Access, IndexRange, KeyLookup, KeyRange, ValueLookup
from mfdb.store.ordered import Desc, pack, prefix_end

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.sql.catalogue import TableSchema
    from mfdb.sql.tables import Key, Values

BEYOND = b"\xff"
"""Greater than every packed key: tags of ascending parts end at 0x70."""
FEW = 256
"""Keys that are rather named one by one than by their range."""


def matches(table: TableSchema, access: Access, values: Values) -> bool:
    """Return whether an access describes a row with these values."""
    match access:
        case KeyLookup(keys=keys):
            return packed_key(table, values) in {pack(*key) for key in keys}
        case KeyRange():
            start, stop = bounds(access)
            key = packed_key(table, values)
            return key.startswith(start) if stop is None else start <= key < stop
        case IndexRange():
            return _in_bounds(access, values)
        case ValueLookup(column=column, values=wanted):
            return pack(values[column]) in {pack(value) for value in wanted}
        case _:
            return True


def _in_bounds(access: IndexRange, values: Values) -> bool:
    """Return whether a row lies in a range of an index."""
    at = [place for place, _ in access.index.places]
    for prefix in access.prefixes:
        if pack(*(values[place] for place in at[: len(prefix)])) != pack(*prefix):
            continue
        if not access.is_bounded:
            return True
        value = values[at[len(prefix)]]
        if value is None:
            return False
        packed = pack(value)
        if access.low is not None:
            low = pack(access.low)
            if packed < low or (packed == low and access.low_open):
                return False
        if access.high is not None:
            high = pack(access.high)
            if packed > high or (packed == high and access.high_open):
                return False
        return True
    return False


def order_of(table: TableSchema, access: KeyRange | IndexRange) -> Callable[[Values], bytes]:
    """Return what rows of a range are ordered by."""
    if isinstance(access, KeyRange):
        return lambda values: packed_key(table, values)
    places = access.index.places
    return lambda values: pack(*(Desc(values[at]) if down else values[at] for at, down in places))


def packed_key(table: TableSchema, values: Values) -> bytes:
    """Return a row's primary key as indexes order it."""
    return pack(*(values[place] for place in table.key))


def few_keys(access: KeyRange, width: int) -> list[Key] | None:
    """Return all keys (of so many columns) that a range may hold, None unless they are few.

    Only whole numbers can be counted, and what is stored as such: days, microseconds.
    """
    low, high = access.low, access.high
    if type(low) is not int or type(high) is not int or len(access.prefix) + 1 != width:
        return None
    first, stop = low + access.low_open, high + (not access.high_open)
    if not 0 < stop - first <= FEW:
        return None
    return [(*access.prefix, at) for at in range(first, stop)]


def bounds(access: KeyRange) -> tuple[bytes, bytes | None]:
    """Return the packed range: start <= key < stop, or stop None for "begins with start"."""
    prefix = pack(*access.prefix)
    start, stop = prefix, prefix_end(prefix) if prefix else BEYOND
    if access.low is not None:
        low = pack(*access.prefix, access.low)
        start = (prefix_end(low) or BEYOND) if access.low_open else low
    if access.high is not None:
        high = pack(*access.prefix, access.high)
        stop = high if access.high_open else prefix_end(high)
    return start, stop
