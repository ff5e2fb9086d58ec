from __future__ import annotations

import pytest

from mfdb.kernel.errors import NoProviders, StripeLost
from mfdb.kernel.ids import Address, SegmentId, Wei
from replication.placement import Candidate, Terms
from replication.repair import Health, SegmentPlaces, elect, health_of, losses, plan

P = [Address(bytes([at]) * 20) for at in range(1, 10)]
SEGMENT = SegmentId(b"\x01" * 32)
OTHER = SegmentId(b"\x02" * 32)
PLACES = SegmentPlaces(segment=SEGMENT, k=4, n=6, holders=dict(enumerate(P[:6])))
ALIVE = dict.fromkeys(P, Health.ALIVE)


def test_health_follows_from_silence_expiry_and_verdicts() -> None:
    assert health_of(0, 599) is Health.ALIVE
    assert health_of(0, 600) is Health.SUSPECT
    assert health_of(0, 86_400) is Health.ABSENT
    assert health_of(0, 90_000, is_expired=True) is Health.EXPIRED
    assert health_of(0, 0, is_convicted=True, is_expired=True) is Health.CONVICTED


def test_healthy_and_merely_suspected_holders_cause_no_repair() -> None:
    assert losses([PLACES], ALIVE) == []
    assert losses([PLACES], {**ALIVE, P[0]: Health.SUSPECT}) == []
    assert losses([PLACES], {}) == []


@pytest.mark.parametrize("state", [Health.ABSENT, Health.CONVICTED, Health.EXPIRED])
def test_a_lost_holder_causes_repair(state: Health) -> None:
    (loss,) = losses([PLACES], {**ALIVE, P[2]: state})
    assert (loss.lost, loss.intact, loss.spare) == ((2,), (0, 1, 3, 4, 5), 1)


def test_damaged_and_unplaced_shards_are_lost_too() -> None:
    holders = {at: holder for at, holder in PLACES.holders.items() if at != 5}
    places = SegmentPlaces(segment=SEGMENT, k=4, n=6, holders=holders)
    (loss,) = losses([places], ALIVE, {(SEGMENT, 0), (OTHER, 1)})
    assert (loss.lost, loss.spare) == ((0, 5), 0)


def test_the_segment_nearest_to_loss_comes_first() -> None:
    weak = SegmentPlaces(segment=OTHER, k=4, n=6, holders=dict(enumerate(P[3:9])))
    states = {**ALIVE, P[5]: Health.ABSENT, P[8]: Health.ABSENT}
    found = losses([PLACES, weak], states)
    assert [loss.places.segment for loss in found] == [OTHER, SEGMENT]


def test_everybody_elects_the_same_repairer() -> None:
    chosen = elect(P, SEGMENT)
    assert elect(reversed(P), SEGMENT) == chosen
    assert elect([at for at in P if at != chosen], SEGMENT) != chosen
    assert len({elect(P, bytes([seed])) for seed in range(50)}) > 3
    with pytest.raises(NoProviders):
        elect([], SEGMENT)


def test_a_plan_takes_living_sources_and_a_new_holder() -> None:
    states = {**ALIVE, P[1]: Health.CONVICTED, P[0]: Health.SUSPECT}
    (loss,) = losses([PLACES], states)
    offers = [Candidate(provider=at) for at in P[:7]]
    (made,) = plan(loss, states, offers, Terms())
    assert made.sources == ((2, P[2]), (3, P[3]), (4, P[4]), (5, P[5]))
    assert (made.segment, made.shard, made.target) == (SEGMENT, 1, P[6])


def test_every_lost_shard_gets_a_holder_of_its_own() -> None:
    states = {**ALIVE, P[1]: Health.ABSENT, P[4]: Health.ABSENT}
    (loss,) = losses([PLACES], states)
    made = plan(loss, states, [Candidate(provider=at) for at in P], Terms())
    assert [step.shard for step in made] == [1, 4]
    assert len({step.target for step in made} - set(P[:6])) == 2


def test_a_plan_that_cannot_be() -> None:
    gone = {**ALIVE, P[0]: Health.ABSENT, P[1]: Health.ABSENT, P[2]: Health.ABSENT}
    (loss,) = losses([PLACES], gone)
    with pytest.raises(StripeLost, match="4 shards are needed, 3 are left"):
        plan(loss, gone, [Candidate(provider=at) for at in P], Terms())
    states = {**ALIVE, P[0]: Health.ABSENT}
    (loss,) = losses([PLACES], states)
    dear = [Candidate(provider=at, price=Wei(9)) for at in P]
    with pytest.raises(NoProviders, match="1 providers are needed") as caught:
        plan(loss, states, dear, Terms(price_ceiling=Wei(8)))
    assert "price over 8 wei" in caught.value.hint
