from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from mfdb.kernel.codec import encode
from mfdb.kernel.errors import MfdbError
from mfdb.kernel.ids import ChangesetId
from replication import range_sums
from replication.range_sums import RangeSum, SummedItems, range_of
from replication.reconcile import (
    MESSAGE_LIMIT_BYTES,
    Item,
    ItemSet,
    Message,
    open_message,
    read_message,
    respond,
)

if TYPE_CHECKING:
    from collections.abc import Iterable


def _item(number: int, instants: int) -> Item:
    return number % instants, ChangesetId(hashlib.sha256(number.to_bytes(8, "big")).digest())


numbers = st.sets(st.integers(0, 3_000), max_size=60) | st.builds(
    lambda start, size: set(range(start, start + size)), st.integers(0, 2_000), st.integers(0, 900)
)


@given(ours=numbers, theirs=numbers, shared=numbers, instants=st.sampled_from([1, 7, 10**6]))
@settings(max_examples=100, deadline=None)
def test_both_sides_end_with_the_union(
    ours: set[int], theirs: set[int], shared: set[int], instants: int
) -> None:
    left = {_item(number, instants) for number in ours | shared}
    right = {_item(number, instants) for number in theirs | shared}
    sides = (ItemSet(right), ItemSet(left))
    holds = [{id_ for _, id_ in right}, {id_ for _, id_ in left}]
    before = [set(holds[0]), set(holds[1])]
    message: Message | None = open_message(sides[1])
    for turn in range(100):
        if message is None:
            break
        done = respond(sides[turn % 2], read_message(encode(message)))
        assert set(done.have) <= before[turn % 2] - before[1 - turn % 2]
        assert set(done.need) <= before[1 - turn % 2] - before[turn % 2]
        holds[1 - turn % 2].update(done.have)
        holds[turn % 2].update(done.need)
        message = done.reply
    assert message is None, "did not settle"
    assert holds[0] == holds[1] == before[0] | before[1]


def summed(items: Iterable[Item]) -> SummedItems:
    """Return items with the sums of their ranges, as a store keeps them."""
    sums: dict[int, RangeSum] = {}
    ranges: dict[int, list[Item]] = {}
    for hlc, id_ in items:
        range_ = range_of(hlc)
        sums[range_] = sums.get(range_, RangeSum(range_, 0, 0)).with_item(id_)
        ranges.setdefault(range_, []).append((hlc, id_))
    return SummedItems([sums[range_] for range_ in sorted(sums)], ranges.__getitem__)


def spread(number: int) -> Item:
    """Return an item of one of a few ranges."""
    hlc, id_ = _item(number, 7)
    return (hlc << (range_sums.RANGE_BITS - 1)) + number, id_


@given(ours=numbers, bounds=st.lists(st.integers(0, 3_001).map(spread), max_size=9), data=st.data())
def test_sums_of_ranges_say_what_the_items_say(
    ours: set[int], bounds: list[Item], data: st.DataObject
) -> None:
    plain, kept = ItemSet(map(spread, ours)), summed(map(spread, ours))
    assert len(kept) == len(plain)
    for hlc, id_ in bounds:
        for bound in ((hlc, b""), (hlc, id_[:2]), (hlc, id_)):
            assert kept.position(bound) == plain.position(bound)
    assert kept.position((2**64, b"")) == len(plain)
    stop = data.draw(st.integers(0, len(plain)))
    start = data.draw(st.integers(0, stop))
    assert kept.ids(start, stop) == plain.ids(start, stop)
    assert kept.fingerprint(start, stop) == plain.fingerprint(start, stop)
    assert [kept[at] for at in range(start, stop)] == [plain[at] for at in range(start, stop)]


def test_equal_sets_are_compared_without_a_look_at_their_items() -> None:
    items = [spread(number) for number in range(3_000)]
    sums = [RangeSum(0, 0, 0)]
    for _, id_ in items:
        sums[0] = sums[0].with_item(id_)

    def load(_: int) -> list[Item]:
        raise AssertionError("nothing is loaded")

    mine, theirs = SummedItems(sums, load), SummedItems(sums, load)
    step = respond(theirs, open_message(mine))
    assert (step.reply, step.have, step.need) == (None, (), ())
    assert sums[0].without(items[0][1]).with_item(items[0][1]) == sums[0]


@given(data=st.binary(max_size=300), place=st.integers(0, 2_000), mask=st.integers(0, 255))
@settings(max_examples=300, deadline=None)
def test_hostile_bytes_raise_our_errors_or_cost_a_bounded_answer(
    data: bytes, place: int, mask: int
) -> None:
    some = ItemSet(_item(number, 10**6) for number in range(500))
    good = bytearray(encode(open_message(some)))
    good[place % len(good)] ^= mask
    for received in (data, bytes(good), bytes(good)[:place]):
        try:
            step = respond(some, read_message(received))
        except MfdbError:
            continue
        assert step.reply is None or len(encode(step.reply)) <= MESSAGE_LIMIT_BYTES
