from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfdb.kernel.codec import encode
from mfdb.kernel.errors import BadSignature, MfdbError, StripeLost
from mfdb.kernel.ids import ChangesetId
from replication.segment import (
    build_segment,
    open_sealed,
    open_segment,
    read_segment,
    stored_shards,
    verify_sealed,
)
from tests.fixtures.sealing import ALLOWED, NETWORK, SEGMENT, SHARDS, SIGNERS, receipt_of, sealed

BUNDLE = encode(sealed(receipts=tuple(receipt_of(at) for at in range(6))))
entries = st.dictionaries(
    st.binary(min_size=32, max_size=32).map(ChangesetId), st.binary(max_size=90), min_size=1
)


@given(entries=entries, number=st.integers(0, 2**63))
@settings(deadline=None)
def test_what_is_built_opens_in_ascending_order(
    entries: dict[ChangesetId, bytes], number: int
) -> None:
    data = build_segment(number, entries.items())
    assert open_segment(data, number) == sorted(entries.items())
    assert build_segment(number, open_segment(data, number)) == data


@given(
    data=st.binary(max_size=200)
    | st.builds(lambda cut: SEGMENT[:cut], st.integers(0, len(SEGMENT)))
)
@settings(max_examples=300, deadline=None)
def test_whatever_opens_is_canonical(data: bytes) -> None:
    try:
        found = open_segment(data, 4)
    except MfdbError:
        return
    assert not found or build_segment(4, found) == data


@given(place=st.integers(0, len(BUNDLE) - 1), mask=st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_a_changed_byte_in_a_bundle_is_noticed(place: int, mask: int) -> None:
    spoilt = bytearray(BUNDLE)
    spoilt[place] ^= mask
    with pytest.raises(MfdbError):
        _believe(bytes(spoilt))


def _believe(data: bytes) -> None:
    bundle = open_sealed(data)
    verify_sealed(bundle, NETWORK, ALLOWED, 2)
    if stored_shards(bundle, NETWORK, SIGNERS, until=1) != set(range(6)):
        raise BadSignature("a receipt does not count any more")


@given(shard=st.integers(0, 5), place=st.integers(0, len(SHARDS[0]) - 1), mask=st.integers(1, 255))
@settings(max_examples=60, deadline=None)
def test_a_changed_byte_in_a_shard_does_no_harm(shard: int, place: int, mask: int) -> None:
    spoilt = bytearray(SHARDS[shard])
    spoilt[place] ^= mask
    held = {**dict(enumerate(SHARDS)), shard: bytes(spoilt)}
    assert build_segment(4, read_segment(sealed(), held)) == SEGMENT
    bad = dict(list(held.items())[:4]) if shard < 4 else {at: held[at] for at in (1, 2, 3, shard)}
    with pytest.raises(StripeLost):
        read_segment(sealed(), bad)
