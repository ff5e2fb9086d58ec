"""What a leader takes up again of an unfinished sealing: the same whoever leads, by most votes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from mfdb.kernel.ids import Address, ChangesetId
from mfdb.node.messages import HotList
from mfdb.node.provider.sealing import _begun

if TYPE_CHECKING:
    from random import Random

IDS = st.lists(st.binary(min_size=32, max_size=32).map(ChangesetId), max_size=2, unique=True)
VOTES = st.lists(st.sampled_from([0, 1, 2, 3]), min_size=1, max_size=5)


def lists_of(proposals: list[tuple[ChangesetId, ...]], votes: list[int]) -> dict[Address, HotList]:
    return {
        Address(bytes([at]) * 20): HotList(entries=(), signed=proposals[vote] if vote else ())
        for at, vote in enumerate(votes)
    }


@given(
    st.lists(IDS.filter(bool).map(tuple), min_size=4, max_size=4, unique=True), VOTES, st.randoms()
)
def test_most_votes_decide_and_the_order_of_answers_does_not(
    proposals: list[tuple[ChangesetId, ...]], votes: list[int], random: Random
) -> None:
    hot = lists_of(proposals, votes)
    shuffled = list(hot.items())
    random.shuffle(shuffled)
    taken_up = _begun(hot)
    assert _begun(dict(shuffled)) == taken_up
    cast = [vote for vote in votes if vote]
    most = max((cast.count(vote) for vote in cast), default=0)
    assert sum(listed.signed == taken_up for listed in hot.values() if listed.signed) == most


@given(st.integers(min_value=1, max_value=5))
def test_nothing_is_begun_until_somebody_has_signed(count: int) -> None:
    assert _begun(lists_of([()] * 4, [0] * count)) == ()
