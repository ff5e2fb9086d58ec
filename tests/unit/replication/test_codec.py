from __future__ import annotations

import hashlib
from itertools import combinations

import pytest

from mfdb.kernel.errors import BadProof, StripeLost
from replication.backend import Backend, backends
from replication.codec import PIECE_BYTES, Codec, shard_length


def _data(size: int) -> bytes:
    return hashlib.shake_128(b"codec").digest(size)


@pytest.mark.parametrize("backend", backends(), ids=lambda backend: backend.name)
@pytest.mark.parametrize("size", [0, 1, 5, 4_097, 4 * PIECE_BYTES, 4 * PIECE_BYTES + 3])
def test_any_four_of_six_shards_give_the_data_back(backend: Backend, size: int) -> None:
    codec, data = Codec(4, 6, backend=backend), _data(size)
    shards = codec.encode(data)
    assert {len(shard) for shard in shards} == {shard_length(size, 4)}
    for kept in combinations(range(6), 4):
        assert codec.decode({at: shards[at] for at in kept}, size) == data


@pytest.mark.parametrize("backend", backends(), ids=lambda backend: backend.name)
def test_every_shard_is_rebuilt_from_the_last_k(backend: Backend) -> None:
    codec = Codec(4, 6, backend=backend)
    shards = codec.encode(_data(300_001))
    for lost in range(6):
        others = {at: shards[at] for at in range(6) if at != lost}
        assert codec.rebuild(others, lost) == shards[lost]
    assert codec.rebuild(dict(enumerate(shards)), 2) == shards[2]


def test_bytes_of_the_format_do_not_change() -> None:
    shards = Codec(4, 6).encode(_data(600_000))
    assert len(shards[0]) == 2 * PIECE_BYTES + 18_928
    assert shards[1][:4] == _data(600_000)[PIECE_BYTES : PIECE_BYTES + 4]
    digest = hashlib.sha256(b"".join(shards)).hexdigest()
    assert digest == "f6c9ac006e398affd13830224fedb99678e59c5f5392fd9fda9af6270e25e386"


def test_wide_codes_need_several_passes_of_the_tables() -> None:
    codec, data = Codec(5, 25), _data(1_000)
    shards = codec.encode(data)
    assert codec.decode({at: shards[at] for at in range(20, 25)}, 1_000) == data


@pytest.mark.parametrize(("k", "n"), [(0, 2), (4, 4), (5, 4), (200, 256)])
def test_codes_that_cannot_be(k: int, n: int) -> None:
    with pytest.raises(ValueError, match="k of n"):
        Codec(k, n)


def test_fewer_than_k_shards_are_a_lost_stripe() -> None:
    codec, shards = Codec(4, 6), Codec(4, 6).encode(_data(100))
    three = dict(enumerate(shards[:3]))
    with pytest.raises(StripeLost, match="4 shards are needed, 3 are left"):
        codec.decode(three, 100)
    with pytest.raises(StripeLost):
        codec.rebuild(three, 5)
    with pytest.raises(StripeLost):
        codec.find_liars(three)


def test_shards_that_do_not_fit_are_refused() -> None:
    codec = Codec(4, 6)
    shards = dict(enumerate(codec.encode(_data(100))))
    with pytest.raises(BadProof, match="equal lengths"):
        codec.decode({**shards, 1: b"short"}, 100)
    with pytest.raises(BadProof, match="outside"):
        codec.decode({**shards, 6: shards[0]}, 100)
    with pytest.raises(BadProof, match="not those of"):
        codec.decode(shards, 104)
    with pytest.raises(BadProof, match="no shard 6"):
        codec.rebuild(shards, 6)


@pytest.mark.parametrize("liar", range(6))
def test_one_liar_of_six_is_found(liar: int) -> None:
    codec = Codec(4, 6)
    shards = dict(enumerate(codec.encode(_data(200_000))))
    lie = bytearray(shards[liar])
    lie[77] ^= 0x10
    assert codec.find_liars(shards) == set()
    assert codec.find_liars({**shards, liar: bytes(lie)}) == {liar}


def test_liars_that_lie_in_different_places_are_all_found() -> None:
    codec = Codec(10, 14)
    shards = dict(enumerate(codec.encode(_data(1_000_000))))
    for liar, place in ((3, slice(0, 60_000)), (11, slice(90_000, 90_001))):
        lie = bytearray(shards[liar])
        lie[place] = bytes(byte ^ 0xFF for byte in lie[place])
        shards[liar] = bytes(lie)
    assert codec.find_liars(shards) == {3, 11}


def test_a_liar_is_found_beside_missing_shards() -> None:
    codec = Codec(4, 8)
    shards = dict(enumerate(codec.encode(_data(999))))
    del shards[0], shards[7]
    assert codec.find_liars({**shards, 5: bytes(len(shards[5]))}) == {5}


def test_more_liars_than_can_be_told_are_not_blamed_on_others() -> None:
    codec = Codec(4, 6)
    shards = dict(enumerate(codec.encode(_data(999))))
    blank = bytes(len(shards[0]))
    with pytest.raises(StripeLost, match="contradict"):
        codec.find_liars({**shards, 0: blank, 1: blank})


def test_k_shards_alone_contradict_nobody() -> None:
    codec = Codec(4, 6)
    shards = codec.encode(_data(50))
    assert codec.find_liars({at: shards[at] for at in range(2, 6)}) == set()
    one_more = {at: shards[at] for at in range(1, 6)}
    with pytest.raises(StripeLost):
        codec.find_liars({**one_more, 3: bytes(len(shards[3]))})
