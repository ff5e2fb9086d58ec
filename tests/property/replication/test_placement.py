from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mfdb.kernel.ids import Address
from replication.placement import Candidate, choose, rank

candidates = st.lists(
    st.builds(
        Candidate,
        provider=st.binary(min_size=20, max_size=20).map(Address),
        capacity_weight=st.integers(1, 10**12),
    ),
    min_size=4,
    max_size=20,
    unique_by=lambda candidate: candidate.provider,
)


@given(offers=candidates, seed=st.binary(max_size=8), data=st.data())
@settings(max_examples=60, deadline=None)
def test_order_of_discovery_does_not_matter(
    offers: list[Candidate], seed: bytes, data: st.DataObject
) -> None:
    assert choose(data.draw(st.permutations(offers)), seed, 3) == choose(offers, seed, 3)


@given(offers=candidates, seed=st.binary(max_size=8), data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_candidate_that_goes_moves_only_its_own_place(
    offers: list[Candidate], seed: bytes, data: st.DataObject
) -> None:
    before = choose(offers, seed, 3)
    gone = data.draw(st.sampled_from(offers))
    after = choose([offer for offer in offers if offer != gone], seed, 3)
    kept = [offer for offer in before if offer != gone]
    assert after[: len(kept)] == kept
    assert after == before or gone in before


@given(offers=candidates, seed=st.binary(max_size=8))
@settings(max_examples=60, deadline=None)
def test_a_candidate_that_comes_takes_at_most_one_place(
    offers: list[Candidate], seed: bytes
) -> None:
    newcomer = Candidate(provider=Address(b"\xee" * 20), capacity_weight=10**6)
    before = choose(offers, seed, 3)
    after = choose([*offers, newcomer], seed, 3)
    assert [offer for offer in after if offer != newcomer] == before[: 3 - (newcomer in after)]


@given(offers=candidates, seed=st.binary(max_size=8), factor=st.integers(2, 9))
@settings(max_examples=60, deadline=None)
def test_more_capacity_never_ranks_lower(offers: list[Candidate], seed: bytes, factor: int) -> None:
    small = offers[0]
    grown = Candidate(provider=small.provider, capacity_weight=small.capacity_weight * factor)
    before = rank(offers, seed).index(small)
    assert rank([grown, *offers[1:]], seed).index(grown) <= before
