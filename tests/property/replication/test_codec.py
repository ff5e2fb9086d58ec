from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from replication.backend import backends
from replication.codec import PIECE_BYTES, Codec
from replication.field import rs_code

if TYPE_CHECKING:
    from random import Random


@st.composite
def codes(draw: st.DrawFn) -> tuple[int, int]:
    k = draw(st.integers(1, 20))
    return k, k + draw(st.integers(1, 12))


@given(code=codes(), data=st.binary(max_size=3_000), pick=st.randoms(use_true_random=False))
@settings(max_examples=120, deadline=None)
def test_any_k_shards_give_data_and_every_other_shard(
    code: tuple[int, int], data: bytes, pick: Random
) -> None:
    k, n = code
    made = {backend.name: Codec(k, n, backend=backend).encode(data) for backend in backends()}
    shards = made.popitem()[1]
    assert all(other == shards for other in made.values())
    kept = {at: shards[at] for at in pick.sample(range(n), k)}
    codec = Codec(k, n)
    assert codec.decode(kept, len(data)) == data
    assert all(codec.rebuild(kept, at) == shards[at] for at in range(n))


@given(code=codes(), data=st.binary(min_size=1, max_size=200))
@settings(max_examples=60, deadline=None)
def test_every_column_is_a_code_word_of_reedsolo(code: tuple[int, int], data: bytes) -> None:
    k, n = code
    shards = Codec(k, n).encode(data)
    for column in {0, len(shards[0]) - 1}:
        word = bytes(shard[column] for shard in shards)
        assert bytes(rs_code(k, n).encode(word[:k])) == word


@given(
    size=st.integers(4 * PIECE_BYTES - 5, 4 * PIECE_BYTES + 5) | st.integers(0, 9 * PIECE_BYTES),
    lost=st.sets(st.integers(0, 5), max_size=2),
)
@settings(max_examples=40, deadline=None)
def test_stripes_of_all_lengths_join_again(size: int, lost: set[int]) -> None:
    data = (b"%07d" % size) * (size // 7 + 1)
    shards = dict(enumerate(Codec(4, 6).encode(data[:size])))
    kept = {at: shard for at, shard in shards.items() if at not in lost}
    assert Codec(4, 6).decode(kept, size) == data[:size]


@given(
    data=st.binary(min_size=40, max_size=400),
    liars=st.sets(st.integers(0, 13), max_size=2),
    mask=st.integers(1, 255),
    spread=st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_up_to_half_of_the_parity_may_lie(
    data: bytes, liars: set[int], mask: int, spread: int
) -> None:
    codec = Codec(10, 14)
    shards = dict(enumerate(codec.encode(data)))
    for at in liars:
        lie = bytearray(shards[at])
        for place in range(at % 3, len(lie), spread):
            lie[place] ^= mask
        shards[at] = bytes(lie)
    assert codec.find_liars(shards) == liars
