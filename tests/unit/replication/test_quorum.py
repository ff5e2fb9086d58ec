from __future__ import annotations

import pytest

from mfdb.kernel.errors import AccessDenied, ReplicaBehind, StaleWrite, StoreFull
from mfdb.kernel.ids import Address, ChangesetId
from replication.quorum import (
    LONGEST_WAIT_S,
    Acknowledged,
    Effect,
    Indeterminate,
    PeerLost,
    ReceivedReceipt,
    ReceivedRefusal,
    Refused,
    Replicated,
    Retry,
    SendChangeset,
    Ticked,
    Write,
    start,
    step,
)

A, B, C = (Address(bytes([at]) * 20) for at in (1, 2, 3))
DENIED = AccessDenied("no")


def begin() -> Write:
    write, effects = start(ChangesetId(bytes(32)), (A, B, C), need=2, now_s=0.0, deadline_s=10.0)
    assert effects == (*(SendChangeset(provider=at) for at in (A, B, C)), Retry(at_s=1.0))
    return write


def receipt(provider: Address) -> ReceivedReceipt:
    return ReceivedReceipt(provider=provider)


def refusal(provider: Address) -> ReceivedRefusal:
    return ReceivedRefusal(provider=provider, error=DENIED)


def run(*events: ReceivedReceipt | ReceivedRefusal | PeerLost) -> tuple[Write, list[Effect]]:
    write, effects = begin(), list[Effect]()
    for event in events:
        write, more = step(write, event, 0.5)
        effects += more
    return write, effects


def test_w_receipts_acknowledge_once_and_n_complete() -> None:
    write, effects = run(receipt(C), receipt(A))
    assert effects == [Acknowledged(providers=(A, C))]
    assert not write.is_done
    write, effects = run(receipt(C), receipt(A), receipt(B))
    assert effects == [Acknowledged(providers=(A, C)), Replicated()]
    assert write.is_done


def test_a_repeated_receipt_or_a_stranger_counts_for_nothing() -> None:
    write, effects = run(receipt(A), receipt(A), receipt(Address(bytes([9]) * 20)))
    assert effects == []
    assert write.holders == {A}


def test_the_deadline_makes_it_indeterminate_once_and_it_may_still_spread() -> None:
    write, _ = run(receipt(A))
    write, effects = step(write, Ticked(), 10.0)
    assert effects[0] == Indeterminate(have=1, need=2)
    assert SendChangeset(provider=B) in effects
    write, effects = step(write, Ticked(), 11.0)
    assert Indeterminate(have=1, need=2) not in effects
    _, effects = step(write, receipt(C), 12.0)
    assert effects == (Acknowledged(providers=(A, C)),)


def test_final_refusals_by_all_are_a_failure() -> None:
    write, effects = run(refusal(B), refusal(A), refusal(C))
    assert effects == [Refused(errors=((A, DENIED), (B, DENIED), (C, DENIED)))]
    assert write.is_done


def test_a_write_that_cannot_reach_w_any_more_is_indeterminate_at_once() -> None:
    write, effects = run(refusal(B), receipt(A), refusal(C))
    assert effects == [Indeterminate(have=1, need=2)]
    assert write.is_done
    assert not write.is_acknowledged


def test_a_write_that_is_stale_everywhere_has_failed_as_it_is() -> None:
    stale = [ReceivedRefusal(provider=one, error=StaleWrite("it changed")) for one in (A, B, C)]
    write, effects = run(*stale)
    assert write.is_done
    (refused,) = effects
    assert isinstance(refused, Refused)


def test_a_replica_that_is_behind_is_asked_again() -> None:
    behind = ReceivedRefusal(provider=B, error=ReplicaBehind("not yet"))
    write, _ = step(begin(), behind, 0.5)
    assert B in write.pending


def test_a_refusal_after_the_acknowledgement_changes_nothing() -> None:
    write, effects = run(receipt(A), receipt(B), refusal(C))
    assert effects == [Acknowledged(providers=(A, B))]
    assert write.is_done


def test_a_refusing_provider_may_come_round() -> None:
    _, effects = run(refusal(A), receipt(A), receipt(B), receipt(C))
    assert effects == [Acknowledged(providers=(A, B)), Replicated()]


def test_waits_double_up_to_a_minute() -> None:
    write, now_s, waits = begin(), 0.0, list[float]()
    write, _ = step(write, receipt(A), 0.0)
    write, _ = step(write, receipt(B), 0.0)
    for _ in range(9):
        due_s = write.pending[C].at_s
        write, effects = step(write, Ticked(), due_s)
        assert SendChangeset(provider=C) in effects
        waits.append(due_s - now_s)
        now_s = due_s
    assert waits == [1, 2, 4, 8, 16, 32, LONGEST_WAIT_S, LONGEST_WAIT_S, LONGEST_WAIT_S]


def test_nothing_is_sent_before_it_is_due() -> None:
    _, effects = step(begin(), Ticked(), 0.9)
    assert effects == (Retry(at_s=1.0),)


def test_a_lost_peer_and_a_passing_refusal_are_asked_again() -> None:
    full = ReceivedRefusal(provider=B, error=StoreFull("full"))
    for event in (PeerLost(provider=B), full):
        write, effects = step(begin(), event, 0.5)
        assert effects == (Retry(at_s=1.0),)
        assert write.pending[B].at_s == 1.5
        write, effects = step(write, Ticked(), 1.5)
        assert SendChangeset(provider=B) in effects
    assert step(write, PeerLost(provider=Address(bytes(20))), 2.0) == (write, ())
    assert step(write, refusal(Address(bytes(20))), 2.0) == (write, ())


@pytest.mark.parametrize("need", [0, 3])
def test_impossible_quorums(need: int) -> None:
    with pytest.raises(ValueError, match="write quorum"):
        start(ChangesetId(bytes(32)), (A, B, B), need=need, now_s=0, deadline_s=1)
