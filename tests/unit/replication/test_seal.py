from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from mfdb.kernel.errors import BadProof
from mfdb.kernel.ids import ChangesetId, Hash, SegmentId
from mfdb.kernel.limits import SEGMENT_LIMIT_BYTES
from mfdb.rules.units import GROUP_BYTES
from replication.seal import (
    HotEntry,
    HotLog,
    Proposal,
    Reason,
    SealTerms,
    SealView,
    check_before_signing,
    may_release,
    missing,
    seal_reason,
    union,
)
from replication.segment import SEGMENT_CHANGESETS, build_segment
from tests.fixtures.sealing import CERTIFICATE, CHANGESETS, IDS, ROOTS, SHARDS, SUBJECT, sealed

HELD = dict(CHANGESETS)
PROPOSAL = Proposal(certificate=CERTIFICATE, changesets=IDS, shard_roots=ROOTS)
VIEW = SealView(subject=SUBJECT, number=4, k=4, n=6, receipted=frozenset(IDS[:5]))


def _id(number: int) -> ChangesetId:
    return ChangesetId(number.to_bytes(32, "big"))


@pytest.mark.parametrize(
    ("hot", "now_s", "due"),
    [
        ((0, 0, 0.0), 1e9, None),
        ((1, 999, 0.0), 59.0, None),
        ((1, 1_000, 0.0), 0.0, Reason.SIZE),
        ((SEGMENT_CHANGESETS, 1, 0.0), 0.0, Reason.SIZE),
        ((1, 1, 0.0), 60.0, Reason.AGE),
    ],
)
def test_when_a_log_is_due(hot: tuple[int, int, float], now_s: float, due: Reason | None) -> None:
    log = HotLog(count=hot[0], size_bytes=hot[1], oldest_s=hot[2])
    assert seal_reason(log, now_s, SealTerms(size_bytes=1_000, age_s=60)) is due


def test_a_command_seals_whatever_there_is() -> None:
    one = HotLog(count=1, size_bytes=1, oldest_s=0)
    assert seal_reason(one, 0, SealTerms(), is_commanded=True) is Reason.COMMAND
    none = HotLog(count=0, size_bytes=0, oldest_s=0)
    assert seal_reason(none, 0, SealTerms(), is_commanded=True) is None


def test_the_union_takes_all_in_order_of_id() -> None:
    first = [HotEntry(changeset=_id(at), hlc=100 - at, length_bytes=5) for at in (3, 1)]
    second = [HotEntry(changeset=_id(at), hlc=100 - at, length_bytes=5) for at in (2, 3)]
    assert union([first, second]) == (_id(1), _id(2), _id(3))
    assert union([]) == ()


def test_what_does_not_fit_waits_the_youngest_first() -> None:
    half = SEGMENT_LIMIT_BYTES // 2
    entries = [
        HotEntry(changeset=_id(at), hlc=hlc, length_bytes=half - 2 * GROUP_BYTES)
        for at, hlc in ((1, 30), (2, 10), (3, 20))
    ]
    assert union([entries]) == (_id(2), _id(3))
    huge = HotEntry(changeset=_id(2), hlc=10, length_bytes=SEGMENT_LIMIT_BYTES)
    assert union([entries, [huge]]) == ()
    shrunk = HotEntry(changeset=_id(9), hlc=1, length_bytes=-SEGMENT_LIMIT_BYTES)
    assert union([entries, [shrunk]]) == (_id(2), _id(3), _id(9))


def test_missing_ids_are_listed() -> None:
    assert missing(IDS, set(IDS[2:])) == tuple(IDS[:2])


def test_a_replica_signs_what_it_computes_itself() -> None:
    assert check_before_signing(PROPOSAL, HELD, VIEW) == SHARDS
    again = replace(VIEW, signed=CERTIFICATE.segment)
    assert check_before_signing(PROPOSAL, HELD, again) == SHARDS


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"subject": Hash(b"\x06" * 32)}, "another dataset"),
        ({"number": 5}, "another dataset"),
        ({"k": 3}, "another dataset"),
        ({"n": 7}, "another dataset"),
        (
            {"receipted": frozenset([*IDS, ChangesetId(b"\xaa" * 32)])},
            "1 changesets with a receipt",
        ),
        ({"signed": SegmentId(b"\x01" * 32)}, "signed for segment 4 already"),
    ],
)
def test_a_replica_signs_nothing_else(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(BadProof, match=message):
        check_before_signing(PROPOSAL, HELD, replace(VIEW, **changed))


def test_a_replica_does_not_sign_what_it_does_not_hold_or_holds_otherwise() -> None:
    some = {changeset: data for changeset, data in HELD.items() if changeset != IDS[3]}
    with pytest.raises(BadProof, match="1 listed changesets are not held"):
        check_before_signing(PROPOSAL, some, VIEW)
    with pytest.raises(BadProof, match="not the one that its changesets make"):
        check_before_signing(PROPOSAL, {**HELD, IDS[3]: b"other"}, VIEW)
    lied = msgspec.structs.replace(CERTIFICATE, length_bytes=CERTIFICATE.length_bytes + 1)
    with pytest.raises(BadProof, match="not the one"):
        check_before_signing(replace(PROPOSAL, certificate=lied), HELD, VIEW)


def test_hot_copies_go_when_all_is_listed_and_all_shards_are_promised() -> None:
    decision = may_release(frozenset(IDS[:5]), sealed(), frozenset(range(6)))
    assert decision.is_allowed
    assert decision.changesets == frozenset(IDS)


def test_nothing_goes_while_a_shard_is_not_promised() -> None:
    decision = may_release(frozenset(IDS[:5]), sealed(), frozenset({0, 1, 2, 3, 5}))
    assert not decision.is_allowed
    assert not decision.changesets
    assert decision.shards_missing == {4}


def test_nothing_goes_while_a_receipted_changeset_is_not_listed() -> None:
    late = ChangesetId(b"\xaa" * 32)
    decision = may_release(frozenset([*IDS, late]), sealed(), frozenset(range(6)))
    assert not decision.is_allowed
    assert not decision.changesets
    assert decision.unlisted == {late}


def test_the_next_segment_continues_with_late_changesets() -> None:
    late = (ChangesetId(b"\xaa" * 32), b"late")
    assert build_segment(5, [late]) != build_segment(4, [late])
