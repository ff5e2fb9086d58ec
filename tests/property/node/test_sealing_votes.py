"""What a leader takes up again of an unfinished sealing: the same whoever leads, by most votes."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from mfdb.kernel.ids import Address, ChangesetId
from mfdb.node.answers import HotList
from mfdb.node.provider.sealing import _begun

NOTHING: tuple[ChangesetId, ...] = ()
A, B, C = (ChangesetId(bytes([byte]) * 32) for byte in (1, 2, 3))
PROPOSALS = [NOTHING, (A,), (A, B), (C,)]


def lists_of(votes: list[tuple[ChangesetId, ...]]) -> dict[Address, HotList]:
    return {
        Address(bytes([at]) * 20): HotList(entries=(), signed=vote) for at, vote in enumerate(votes)
    }


@given(st.lists(st.sampled_from(PROPOSALS), min_size=1, max_size=5), st.integers())
def test_most_votes_decide_and_the_order_of_answers_does_not(
    votes: list[tuple[ChangesetId, ...]], seed: int
) -> None:
    hot = lists_of(votes)
    shuffled = list(hot.items())
    Random(seed).shuffle(shuffled)
    taken_up = _begun(hot)
    assert _begun(dict(shuffled)) == taken_up
    cast = [vote for vote in votes if vote]
    assert cast.count(taken_up) == max((cast.count(vote) for vote in cast), default=0)


@given(st.integers(min_value=1, max_value=5))
def test_nothing_is_begun_until_somebody_has_signed(count: int) -> None:
    assert _begun(lists_of([NOTHING] * count)) == NOTHING
