from __future__ import annotations

import hashlib
from typing import Any

import pytest

from mfdb.kernel.codec import encode
from mfdb.kernel.errors import MalformedMessage, ValueTooLarge
from mfdb.kernel.ids import ChangesetId
from replication.reconcile import (
    MESSAGE_LIMIT_BYTES,
    RECONCILE_FORMAT,
    Item,
    ItemSet,
    Message,
    Range,
    open_message,
    read_message,
    respond,
)


def items(count: int, *, step: int = 1_000 << 16) -> list[Item]:
    stream = hashlib.shake_128(b"items").digest(32 * count)
    start = 1_760_000_000_000 << 16
    return [(start + at * step, ChangesetId(stream[at * 32 : at * 32 + 32])) for at in range(count)]


def exchange(ours: list[Item], theirs: list[Item]) -> tuple[set[bytes], set[bytes], int, int]:
    """Return what the others lack, what we lack, bytes and messages of a whole reconciliation."""
    sides, lacking = (ItemSet(theirs), ItemSet(ours)), (set[bytes](), set[bytes]())
    message: Message | None = open_message(sides[1])
    size, count = 0, 0
    while message is not None:
        data = encode(message)
        assert len(data) <= MESSAGE_LIMIT_BYTES
        done = respond(sides[count % 2], read_message(data))
        lacking[1 - count % 2].update(done.have)
        lacking[count % 2].update(done.need)
        message, size, count = done.reply, size + len(data), count + 1
    return lacking[0], lacking[1], size, count


def ids(items: list[Item]) -> set[bytes]:
    return {changeset for _, changeset in items}


def test_equal_sets_settle_in_one_small_message() -> None:
    everything = items(20_000)
    others, ours, size, count = exchange(everything, everything)
    assert (others, ours, count) == (set(), set(), 1)
    assert size < 600


@pytest.mark.parametrize(("count", "start"), [(20_000, 0), (100_000, 57_000), (20_000, 19_000)])
def test_a_gap_in_time_costs_little(count: int, start: int) -> None:
    everything = items(count)
    gap = everything[:start] + everything[start + 1_000 :]
    others, ours, size, _ = exchange(everything, gap)
    assert (others, ours) == (ids(everything[start : start + 1_000]), set())
    assert size <= 6_000
    others, ours, size, _ = exchange(gap, everything)
    assert (others, ours) == (set(), ids(everything[start : start + 1_000]))
    assert size <= 6_000


def test_an_empty_replica_learns_that_it_lacks_everything() -> None:
    everything = items(500)
    assert exchange(everything, [])[:2] == (ids(everything), set())
    assert exchange([], everything)[:2] == (set(), ids(everything))
    assert exchange([], [])[:2] == (set(), set())


def test_scattered_differences_at_one_instant_are_found_in_bounded_messages() -> None:
    everything = items(6_000, step=0)
    assert len({hlc for hlc, _ in everything}) == 1
    others, ours, _, count = exchange(everything[::2], everything[::3])
    left, right = ids(everything[::2]), ids(everything[::3])
    assert (others, ours) == (left - right, right - left)
    assert count < 60


def test_a_set_orders_and_counts_once() -> None:
    some = items(3)
    made = ItemSet([some[2], some[0], some[2], some[1]])
    assert (len(made), made[2]) == (3, some[2])
    assert made.fingerprint(0, 2) != made.fingerprint(0, 1)


def said(*ranges: Range) -> Message:
    return Message(format=RECONCILE_FORMAT, ranges=ranges)


@pytest.mark.parametrize(
    "message",
    [
        Message(format=2, ranges=()),
        said(Range(hlc=-1, prefix=b"", body=None)),
        said(Range(hlc=0, prefix=b"", body=None)),
        said(Range(hlc=5, prefix=b"b", body=None), Range(hlc=0, prefix=b"a", body=None)),
        said(Range(hlc=0, prefix=None, body=None), Range(hlc=0, prefix=None, body=None)),
        said(*(Range(hlc=2**63, prefix=b"", body=None) for _ in range(3))),
        said(Range(hlc=5, prefix=bytes(33), body=None)),
        said(Range(hlc=5, prefix=b"", body=b"short")),
        said(Range(hlc=5, prefix=b"", body=bytes(32 * 32))),
    ],
)
def test_hostile_messages_are_refused(message: Message) -> None:
    with pytest.raises(MalformedMessage):
        read_message(encode(message))
    with pytest.raises(MalformedMessage):
        respond(ItemSet(items(5)), message)


@pytest.mark.parametrize("data", [b"", b"\x92\x01", b"\x93\x01\x90\x00"])
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        read_message(data)


def test_a_huge_message_is_refused_unread() -> None:
    with pytest.raises(ValueTooLarge):
        read_message(bytes(MESSAGE_LIMIT_BYTES + 1))


def test_the_answer_to_thousands_of_wrong_fingerprints_is_bounded() -> None:
    mine = ItemSet(items(50_000))
    parts: list[dict[str, Any]] = [{"hlc": mine[0][0], "prefix": b""}]
    parts += [{"hlc": 25 * (1_000 << 16), "prefix": b""}] * 1_900
    message = said(*(Range(**part, body=bytes(16)) for part in parts))
    assert len(encode(message)) <= MESSAGE_LIMIT_BYTES
    reply = respond(mine, message).reply
    assert reply is not None
    assert len(encode(reply)) <= MESSAGE_LIMIT_BYTES
    assert reply.ranges[-1].prefix is None
