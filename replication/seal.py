"""When the hot log is sealed, what a replica signs, and what it may drop afterwards.

    due -> every replica lists what it holds unsealed (and marks its log there) -> union
    -> each fetches what it lacks -> certify -> each replica checks and signs -> W signatures
    -> holders answer with store receipts -> each replica checks and releases

A replica signs one certificate per segment number, ever: what it signed is stored before it is
sent. Changesets that come after the mark go into the next segment, whatever their stamp.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from mfdb.kernel.codec import Record
from mfdb.kernel.errors import BadProof
from mfdb.kernel.ids import ChangesetId
from mfdb.kernel.limits import SEGMENT_BYTES, SEGMENT_LIMIT_BYTES
from replication.segment import (
    HEAD_BYTES,
    SEGMENT_CHANGESETS,
    build_segment,
    certify,
    check_certificate,
    most_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence, Set

    from mfdb.kernel.ids import Hash, SegmentId
    from mfdb.rules.evidence import SealCertificate
    from replication.segment import SealedSegment


# ---- when


class Reason(Enum):
    """Why the hot log is sealed now."""

    SIZE = "size"
    AGE = "age"
    COMMAND = "command"


@dataclass(frozen=True, slots=True, kw_only=True)
class SealTerms:
    """When a hot log is due: its bytes, or the age of its oldest changeset."""

    size_bytes: int = SEGMENT_BYTES
    age_s: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HotLog:
    """What a replica holds and no certificate lists; `oldest_s` is when the first of it came."""

    count: int
    size_bytes: int
    oldest_s: float


def seal_reason(
    hot: HotLog, now_s: float, terms: SealTerms, *, is_commanded: bool = False
) -> Reason | None:
    """Return why the hot log is to be sealed now, or None. An empty one never is."""
    if hot.count == 0:
        return None
    if is_commanded:
        return Reason.COMMAND
    if hot.size_bytes >= terms.size_bytes or hot.count >= SEGMENT_CHANGESETS:
        return Reason.SIZE
    return Reason.AGE if now_s - hot.oldest_s >= terms.age_s else None


# ---- what


class HotEntry(Record, frozen=True):
    """What a replica tells the others of one unsealed changeset."""

    changeset: ChangesetId
    hlc: int
    length_bytes: int


def union(lists: Iterable[Iterable[HotEntry]]) -> tuple[ChangesetId, ...]:
    """Return the ids of the next segment: all that any replica lists, as far as they fit.

    The oldest by (HLC, id) go first; the result ascends by id, as certificates list it. Lists are
    hearsay: whoever proposes drops ids of which nobody can show the bytes.
    """
    known: dict[ChangesetId, tuple[int, int]] = {}
    for entry in (entry for entries in lists for entry in entries):
        hlc, length = known.get(entry.changeset, (entry.hlc, 0))
        known[entry.changeset] = (min(hlc, entry.hlc), max(length, entry.length_bytes, 0))
    chosen: list[ChangesetId] = []
    left = SEGMENT_LIMIT_BYTES - HEAD_BYTES
    for _, changeset in sorted((hlc, changeset) for changeset, (hlc, _) in known.items()):
        left -= most_bytes(known[changeset][1])
        if left < 0 or len(chosen) == SEGMENT_CHANGESETS:
            break
        chosen.append(changeset)
    return tuple(sorted(chosen))


def missing(ids: Iterable[ChangesetId], held: Set[ChangesetId]) -> tuple[ChangesetId, ...]:
    """Return which listed changesets a replica must fetch before it can check a certificate."""
    return tuple(changeset for changeset in ids if changeset not in held)


# ---- signing


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A certificate that a replica is asked to sign."""

    certificate: SealCertificate
    changesets: Sequence[ChangesetId]
    shard_roots: Sequence[Hash]


@dataclass(frozen=True, slots=True, kw_only=True)
class SealView:
    """What a replica knows for itself when it is asked to sign.

    `receipted` are the unsealed ids it gave receipts for up to its mark; `signed` is what it
    signed for this number before, if anything; `made` a certificate that it computed itself from
    bytes that it holds, when it led the sealing.
    """

    subject: Hash
    number: int
    k: int
    n: int
    receipted: Set[ChangesetId]
    signed: SegmentId | None = None
    made: SealCertificate | None = None


def check_before_signing(
    proposal: Proposal, held: Mapping[ChangesetId, bytes], view: SealView
) -> tuple[bytes, ...]:
    """Return the n shards if the replica may sign: it computed the same certificate itself.

    None are returned, and nothing need be held, if it did so before (`view.made`). `held` maps the
    listed ids (at least) to their verified bytes.

    Raises:
        BadProof: the proposal is for something else, leaves out a receipted changeset, lists one
            that is not held, or contradicts what was signed for this number.
    """
    asked = proposal.certificate
    due = (view.subject, view.number, view.k, view.n)
    if (asked.subject, asked.number, asked.k, asked.n) != due:
        raise BadProof("the certificate is for another dataset, segment number or code")
    check_certificate(asked, proposal.changesets, proposal.shard_roots)
    if view.signed is not None and view.signed != asked.segment:
        raise BadProof(f"another certificate is signed for segment {view.number} already")
    _check_listed(proposal, view)
    if view.made == asked:
        return ()
    _check_held(proposal, held)
    ids = list(proposal.changesets)
    segment = build_segment(view.number, ((changeset, held[changeset]) for changeset in ids))
    made, shards, _ = certify(view.subject, view.number, ids, segment, k=view.k, n=view.n)
    if made != asked:
        raise BadProof("the certificate is not the one that its changesets make")
    return shards


def _check_held(proposal: Proposal, held: Mapping[ChangesetId, bytes]) -> None:
    lacking = missing(proposal.changesets, held.keys())
    if lacking:
        raise BadProof(f"{len(lacking)} listed changesets are not held", hint="reconcile first")


def _check_listed(proposal: Proposal, view: SealView) -> None:
    unlisted = view.receipted - set(proposal.changesets)
    if unlisted:
        raise BadProof(
            f"{len(unlisted)} changesets with a receipt are not listed",
            hint="whoever proposes must take the union of what all replicas hold",
        )


# ---- releasing


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Which hot copies a replica may drop, and what stands in the way if none."""

    changesets: frozenset[ChangesetId]
    unlisted: frozenset[ChangesetId]
    shards_missing: frozenset[int]

    @property
    def is_allowed(self) -> bool:
        """Whether liability for the listed changesets has passed to the shards."""
        return not (self.unlisted or self.shards_missing)


def may_release(receipted: Set[ChangesetId], sealed: SealedSegment, stored: Set[int]) -> Release:
    """Return what a replica may drop after a seal (DESIGN 8).

    `receipted` are the ids it gave receipts for up to its mark for this segment, less those that
    earlier certificates list; `stored` the shards with good receipts (`segment.stored_shards`) of
    a bundle that `segment.verify_sealed` found good. Nothing may go before every receipted id is
    listed and all n shards are promised.
    """
    listed = frozenset(sealed.changesets)
    unlisted = frozenset(receipted) - listed
    lacking = frozenset(range(sealed.certificate.n)) - stored
    droppable = frozenset() if unlisted or lacking else listed
    return Release(changesets=droppable, unlisted=unlisted, shards_missing=lacking)
