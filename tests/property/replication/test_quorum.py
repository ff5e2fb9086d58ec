from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mfdb.kernel.errors import AccessDenied, StoreFull
from mfdb.kernel.ids import Address, ChangesetId
from replication.quorum import (
    Acknowledged,
    Effect,
    Indeterminate,
    Input,
    PeerLost,
    ReceivedReceipt,
    ReceivedRefusal,
    Refused,
    Replicated,
    Retry,
    SendChangeset,
    Ticked,
    start,
    step,
)

PROVIDERS = tuple(Address(bytes([at]) * 20) for at in range(5))
STRANGER = Address(b"\xff" * 20)
whom = st.sampled_from((*PROVIDERS, STRANGER))
events = st.lists(
    st.tuples(
        whom.map(lambda provider: ReceivedReceipt(provider=provider))
        | whom.map(lambda provider: ReceivedRefusal(provider=provider, error=AccessDenied("no")))
        | whom.map(lambda provider: ReceivedRefusal(provider=provider, error=StoreFull("full")))
        | whom.map(lambda provider: PeerLost(provider=provider))
        | st.just(Ticked()),
        st.floats(0, 30),
    ),
    max_size=40,
)


def _count(effects: list[Effect], kind: type) -> int:
    return sum(isinstance(effect, kind) for effect in effects)


@given(n=st.integers(1, 5), data=st.data(), events=events)
@settings(max_examples=300, deadline=None)
def test_never_acknowledged_below_w_and_never_left_without_a_timer(
    n: int, data: st.DataObject, events: list[tuple[Input, float]]
) -> None:
    providers, need = PROVIDERS[:n], data.draw(st.integers(1, n))
    write, first = start(ChangesetId(bytes(32)), providers, need=need, now_s=0.0, deadline_s=20.0)
    now_s, receipted, effects = 0.0, set[Address](), list(first)
    for event, wait_s in events:
        now_s += wait_s
        if isinstance(event, ReceivedReceipt) and event.provider in providers:
            receipted.add(event.provider)
        write, more = step(write, event, now_s)
        effects += more
        for effect in more:
            if isinstance(effect, Acknowledged):
                assert set(effect.providers) <= receipted
                assert len(set(effect.providers)) >= need
            if isinstance(effect, Indeterminate):
                assert len(receipted) == effect.have < need
            if isinstance(effect, Refused):
                assert not receipted
            if isinstance(effect, SendChangeset):
                assert effect.provider in set(providers) - receipted
        if isinstance(event, Ticked) and not write.is_done:
            assert isinstance(more[-1], Retry)
            assert more[-1].at_s > now_s
    assert write.holders == receipted
    assert write.is_acknowledged == (len(receipted) >= need)
    assert _count(effects, Acknowledged) == write.is_acknowledged
    assert _count(effects, Indeterminate) <= 1
    assert _count(effects, Replicated) == (receipted == set(providers))


@given(need=st.integers(1, 5), up_s=st.lists(st.floats(0, 500), min_size=5, max_size=5))
@settings(max_examples=100, deadline=None)
def test_pushed_until_all_hold_it_whenever_they_come_back(need: int, up_s: list[float]) -> None:
    up_at = dict(zip(PROVIDERS, up_s, strict=True))
    write, effects = start(ChangesetId(bytes(32)), PROVIDERS, need=need, now_s=0.0, deadline_s=10.0)
    now_s, told = 0.0, list[Effect]()
    while not write.is_done:
        (timer,) = (effect.at_s for effect in effects if isinstance(effect, Retry))
        sent = [effect.provider for effect in effects if isinstance(effect, SendChangeset)]
        for provider in sent:
            if up_at[provider] <= now_s:
                write, more = step(write, ReceivedReceipt(provider=provider), now_s)
                told += more
        assert timer > now_s
        now_s = timer
        write, effects = step(write, Ticked(), now_s)
        told += effects
    assert now_s <= 700
    assert _count(told, Acknowledged) == _count(told, Replicated) == 1
