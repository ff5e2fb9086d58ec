from __future__ import annotations

import hashlib

from hypothesis import given, settings
from hypothesis import strategies as st

from mfdb.kernel.codec import encode
from mfdb.kernel.errors import MfdbError
from mfdb.kernel.ids import ChangesetId
from replication.reconcile import (
    MESSAGE_LIMIT_BYTES,
    Item,
    ItemSet,
    Message,
    open_message,
    read_message,
    respond,
)


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
