from __future__ import annotations

from math import log
from typing import Any

import pytest

from mfdb.kernel.digest import sha256, tagged_hash
from mfdb.kernel.errors import NoProviders
from mfdb.kernel.ids import Address, Wei
from replication.placement import Candidate, Terms, choose, rank, score


def offer(number: int, **fields: Any) -> Candidate:
    return Candidate(provider=Address(number.to_bytes(20, "big")), **fields)


def test_scores_are_those_of_the_formula() -> None:
    for number in range(200):
        candidate = offer(number, capacity_weight=1_000_000)
        drawn = tagged_hash("mfdb.rendezvous.v1", b"seed", candidate.provider)
        due = -1_000_000 / log(int.from_bytes(drawn, "big") / 2**256)
        found = score(candidate, b"seed") * log(2) ** -1 / 2**128
        assert found == pytest.approx(due, rel=1e-12)


def test_scores_are_the_same_on_every_machine() -> None:
    digest = sha256(*(str(score(offer(at, capacity_weight=7), b"s")).encode() for at in range(50)))
    assert digest.hex() == "d687b5a4c1eda116b8e6d833a6e2dec4de04cd3a0ed0988794cc13f2090b2ab0"


def test_weight_decides_the_share() -> None:
    offers = [offer(1, capacity_weight=3), offer(2, capacity_weight=1)]
    wins = sum(rank(offers, bytes([a, b]))[0] == offers[0] for a in range(40) for b in range(50))
    assert 1_400 < wins < 1_600


def test_no_capacity_no_rank() -> None:
    assert rank([offer(1, capacity_weight=0), offer(2)], b"s") == [offer(2)]


def test_one_per_owner() -> None:
    offers = [offer(at, owner_hint=bytes([at % 3])) for at in range(30)]
    chosen = choose(offers, b"s", 3)
    assert {candidate.owner_hint for candidate in chosen} == {b"\x00", b"\x01", b"\x02"}
    assert chosen[0] == rank(offers, b"s")[0]
    with pytest.raises(NoProviders) as caught:
        choose(offers, b"s", 4)
    assert "owner has another node that ranks before" in caught.value.hint


def test_unknown_owners_count_as_their_own() -> None:
    assert len(choose([offer(1), offer(2)], b"s", 2)) == 2


def test_an_offer_repeated_counts_once() -> None:
    with pytest.raises(NoProviders, match="2 providers are needed, 1 of 1 offers"):
        choose([offer(1), offer(1)], b"s", 2)


def test_the_refusal_lists_what_excluded_whom() -> None:
    offers = [
        offer(1, owner_hint=b"o"),
        offer(2, owner_hint=b"o"),
        offer(3, capacity_weight=0),
        offer(4, price=Wei(11)),
        offer(5, deposit=Wei(4)),
        offer(6, price=Wei(10), deposit=Wei(5)),
    ]
    taken = frozenset({offers[0].provider})
    terms = Terms(price_ceiling=Wei(10), min_deposit=Wei(5))
    assert choose(offers, b"s", 1, exclude=taken, terms=terms) == [offers[5]]
    with pytest.raises(NoProviders, match="2 providers are needed, 1 of 6 offers") as caught:
        choose(offers, b"s", 2, exclude=taken, terms=terms)
    assert caught.value.hint == (
        "free deposit under 5 wei: 0x00000000; holds a part already or is excluded: 0x00000000; "
        "no capacity: 0x00000000; owner has an excluded node: 0x00000000; "
        "price over 10 wei: 0x00000000"
    )


def test_many_names_are_cut_and_no_offers_are_said() -> None:
    with pytest.raises(NoProviders) as caught:
        choose([offer(at, capacity_weight=0) for at in range(9)], b"s", 1)
    assert caught.value.hint.endswith("and 5 more")
    with pytest.raises(NoProviders) as caught:
        choose([], b"s", 1)
    assert "start or discover more providers" in caught.value.hint
