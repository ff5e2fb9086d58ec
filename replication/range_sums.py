"""Items to reconcile whose sums were kept range by range, so that few of them are looked at.

A range is what was written within about a minute. Its count and the sum of its ids are kept up to
date with every item; the items of a range are loaded only where a message divides it. So two
replicas that are equal compare two sums, however much they hold.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from replication.reconcile import ItemSet, fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mfdb.kernel.ids import ChangesetId
    from replication.reconcile import Bound, Item

RANGE_BITS = 32
"""A range has the same HLC but for its lowest bits: 16 of counter, 16 of milliseconds (65.5 s)."""
SUM_BYTES = 32
MODULUS = 2 ** (8 * SUM_BYTES)


class RangeSum(NamedTuple):
    """How many items a range has, and the sum of their ids modulo 2^256."""

    number: int
    items: int
    total: int

    def with_item(self, id_: ChangesetId) -> RangeSum:
        """Return the sum with one item more."""
        return self._changed(1, int.from_bytes(id_, "big"))

    def without(self, id_: ChangesetId) -> RangeSum:
        """Return the sum with one of its items less."""
        return self._changed(-1, -int.from_bytes(id_, "big"))

    def _changed(self, items: int, total: int) -> RangeSum:
        return RangeSum(self.number, self.items + items, (self.total + total) % MODULUS)


def range_of(hlc: int) -> int:
    """Return the range that an item belongs to."""
    return hlc >> RANGE_BITS


class SummedItems:
    """`replication.reconcile.Items` over sums; use it while what it loads from stands still."""

    def __init__(self, sums: Sequence[RangeSum], load: Callable[[int], Sequence[Item]]) -> None:
        """`sums` ascend; `load` returns the items of a range."""
        self._ranges = [one.number for one in sums]
        self._counts = list(accumulate((one.items for one in sums), initial=0))
        self._totals = list(accumulate((one.total for one in sums), initial=0))
        self._load = load
        self._loaded: dict[int, ItemSet] = {}

    def __len__(self) -> int:
        return self._counts[-1]

    def __getitem__(self, at: int) -> Item:
        place, within = self._place(at)
        return self._items(place)[within]

    def position(self, bound: Bound) -> int:
        """Return how many items are below a bound."""
        place = bisect_right(self._ranges, range_of(bound[0])) - 1
        if place < 0:
            return 0
        if self._ranges[place] < range_of(bound[0]):
            return self._counts[place + 1]
        return self._counts[place] + self._items(place).position(bound)

    def ids(self, start: int, stop: int) -> list[ChangesetId]:
        """Return the ids from position `start` up to `stop`, in order."""
        found: list[ChangesetId] = []
        while start < stop:
            place, within = self._place(start)
            end = min(stop, self._counts[place + 1])
            found += self._items(place).ids(within, within + end - start)
            start = end
        return found

    def fingerprint(self, start: int, stop: int) -> bytes:
        """Return the fingerprint of the items from position `start` up to `stop`."""
        return fingerprint(self._below(stop) - self._below(start), stop - start)

    def _below(self, at: int) -> int:
        """Return the sum of the ids below a position."""
        place, within = self._place(at)
        below = self._totals[place]
        return below if within == 0 else below + self._items(place).below(within)

    def _place(self, at: int) -> tuple[int, int]:
        """Return in which range a position is, and where in it."""
        place = bisect_right(self._counts, at) - 1
        return place, at - self._counts[place]

    def _items(self, place: int) -> ItemSet:
        if place not in self._loaded:
            self._loaded[place] = ItemSet(self._load(self._ranges[place]))
        return self._loaded[place]
