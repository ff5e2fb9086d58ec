"""A sealed segment: its bytes, its certificate and the bundle that proves where it went.

Bytes of a segment (docs/format.md), all integers big-endian: u8 format = 2, u64 number, u32 count,
then for every changeset in strictly ascending order of id: 32 bytes id, u32 length, zeros, the
changeset's bytes. One of 64 KiB or more stands at a multiple of 2,048 bytes, with as many zeros
before it as that takes, others without. Content follows from number and id list alone, whoever
builds it, because an id names a changeset's bytes.

So shards, which are cut at multiples of 64 KiB, have most of the nodes of their unit trees in
common with the trees by which the large changesets were acknowledged: whoever still has those
hashes nothing but parity (ADR 0019).
"""

from __future__ import annotations

import struct
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING

from mfdb.kernel.account import recover
from mfdb.kernel.codec import Record, decode
from mfdb.kernel.errors import BadProof, BadSignature, MalformedMessage, ValueTooLarge
from mfdb.kernel.ids import ChangesetId, Hash
from mfdb.kernel.limits import CHANGESET_BYTES, SEGMENT_LIMIT_BYTES
from mfdb.rules.evidence import Network, SealCertificate, StoreReceipt, check_signer
from mfdb.rules.merkle import MerkleTree, leaf_hash
from mfdb.rules.units import (
    GROUP_BYTES,
    HASH_BYTES,
    UnitTree,
    group_hashes,
    root_over,
    unit_count,
)
from replication.codec import PIECE_BYTES, Codec, shard_length
from replication.field import MAX_SHARDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence, Set

    from mfdb.kernel.ids import Address, AgreementId

SEGMENT_FORMAT = 2
SEGMENT_FORMATS = (1, 2)
"""In format 1 no zeros stand before large changesets; it is read for ever."""
SEGMENT_CHANGESETS = 100_000
"""A segment lists at most so many changesets, so that its bundle fits a frame."""
SEALED_LIMIT_BYTES = 4 * 2**20
_HEAD = struct.Struct(">BQI")
_ENTRY = struct.Struct(">32sI")
HEAD_BYTES = _HEAD.size
ENTRY_BYTES = _ENTRY.size
"""What framing adds to a segment, and to each of its changesets."""
ALIGNED_FROM_BYTES = 64 * 1024
"""Changesets so long begin where nodes of a shard's unit tree do; zeros before them cost little."""
_NODES_OF_PIECE = PIECE_BYTES // GROUP_BYTES * HASH_BYTES


class SignedStoreReceipt(Record, frozen=True):
    """A store receipt with the signature of its provider (or of the provider's hot key)."""

    receipt: StoreReceipt
    signature: bytes


class SealedSegment(Record, frozen=True):
    """All that is kept, replicated, of a sealed segment beside its shards.

    `signatures` are over the certificate, one per replica; `receipts` may come later than those
    and are not part of what is signed.
    """

    certificate: SealCertificate
    changesets: tuple[ChangesetId, ...]
    shard_roots: tuple[Hash, ...]
    signatures: tuple[bytes, ...]
    receipts: tuple[SignedStoreReceipt, ...]


# ---- the bytes


def build_segment(number: int, changesets: Iterable[tuple[ChangesetId, bytes]]) -> bytes:
    """Return the bytes of segment `number` with these changesets, in whatever order they come.

    Raises:
        ValueTooLarge: more changesets or bytes than a segment may have.
        BadProof: an id is not 32 bytes or comes twice.
    """
    ordered = sorted(changesets)
    if len(ordered) > SEGMENT_CHANGESETS:
        raise ValueTooLarge(f"a segment has at most {SEGMENT_CHANGESETS} changesets")
    _check_ids([changeset for changeset, _ in ordered])
    parts, at = [_HEAD.pack(SEGMENT_FORMAT, number, len(ordered))], HEAD_BYTES
    for changeset, data in ordered:
        if len(data) > CHANGESET_BYTES:
            raise ValueTooLarge(f"a changeset has at most {CHANGESET_BYTES} bytes")
        at += ENTRY_BYTES
        gap = _gap_bytes(at, len(data))
        parts += (_ENTRY.pack(changeset, len(data)), bytes(gap), data)
        at += gap + len(data)
    if at > SEGMENT_LIMIT_BYTES:
        raise ValueTooLarge(f"a segment has at most {SEGMENT_LIMIT_BYTES} bytes")
    return b"".join(parts)


def most_bytes(length_bytes: int) -> int:
    """Return how many bytes of a segment a changeset of some length takes at most."""
    gap = GROUP_BYTES - 1 if length_bytes >= ALIGNED_FROM_BYTES else 0
    return ENTRY_BYTES + gap + length_bytes


def _gap_bytes(at: int, length_bytes: int) -> int:
    """Return how many zeros stand before a changeset whose entry ends at some place."""
    return -at % GROUP_BYTES if length_bytes >= ALIGNED_FROM_BYTES else 0


def open_segment(data: bytes, number: int) -> list[tuple[ChangesetId, bytes]]:
    """Return the changesets that segment `number` holds, in ascending order of id.

    Only the framing is checked: whether an id is that of its bytes, `mfdb.rules.changeset` tells.

    Raises:
        ValueTooLarge: more changesets or bytes than a segment may have.
        MalformedMessage: not what `build_segment` makes.
    """
    if len(data) > SEGMENT_LIMIT_BYTES:
        raise ValueTooLarge(f"a segment has at most {SEGMENT_LIMIT_BYTES} bytes")
    if len(data) < _HEAD.size:
        raise MalformedMessage("a segment is cut short")
    version, found, count = _HEAD.unpack_from(data)
    if version not in SEGMENT_FORMATS:
        raise MalformedMessage(f"a segment of format {version}, this release reads 1 and 2")
    if found != number:
        raise MalformedMessage(f"this is segment {found}, not segment {number}")
    if count > SEGMENT_CHANGESETS:
        raise ValueTooLarge(f"a segment has at most {SEGMENT_CHANGESETS} changesets")
    entries = _entries(data, count, has_gaps=version > 1)
    return [(id_, data[at : at + length]) for id_, at, length in entries]


def _entries(
    data: bytes, count: int, *, has_gaps: bool = True
) -> Iterator[tuple[ChangesetId, int, int]]:
    """Yield the ids of a segment's changesets, and where and how long each is."""
    at, last = HEAD_BYTES, b""
    for _ in range(count):
        if at + ENTRY_BYTES > len(data):
            raise MalformedMessage("a segment is cut short")
        changeset, length = _ENTRY.unpack_from(data, at)
        at += ENTRY_BYTES
        gap = _gap_bytes(at, length) if has_gaps else 0
        if changeset <= last or length > CHANGESET_BYTES or at + gap + length > len(data):
            raise MalformedMessage("a segment's changesets are out of order, too long or cut short")
        if data[at : at + gap] != bytes(gap):
            raise MalformedMessage("what stands before a segment's changesets is not zero")
        at += gap
        yield ChangesetId(changeset), at, length
        at, last = at + length, changeset
    if at != len(data):
        raise MalformedMessage("a segment has bytes beyond its last changeset")


# ---- the certificate


def certify(
    subject: Hash,
    number: int,
    ids: Sequence[ChangesetId],
    segment: bytes,
    *,
    k: int,
    n: int,
    nodes: Mapping[ChangesetId, bytes] = MappingProxyType({}),
) -> tuple[SealCertificate, tuple[bytes, ...], tuple[Hash, ...]]:
    """Return the certificate of a segment, its n shards and their Merkle roots.

    Deterministic: every replica that holds the same changesets makes the same. `nodes` are
    `UnitTree.groups` of some of them, which are believed; they are computed where they are lacking.

    Raises:
        BadProof: the ids are not strictly ascending 32-byte ids.
    """
    _check_ids(ids)
    shards = Codec(k, n).encode(segment)
    data_roots = _data_roots(segment, shards[:k], nodes)
    roots = (*data_roots, *(UnitTree(shard).root for shard in shards[k:]))
    certificate = SealCertificate(
        subject=subject,
        number=number,
        changesets=ids_root(ids),
        count=len(ids),
        length_bytes=len(segment),
        k=k,
        n=n,
        shards=shards_root(roots),
    )
    return certificate, shards, roots


def _data_roots(
    segment: bytes, shards: Sequence[bytes], nodes: Mapping[ChangesetId, bytes]
) -> list[Hash]:
    """Return the roots of the data shards of a segment: each has a piece of every stripe."""
    stripe = len(shards) * PIECE_BYTES
    whole = len(segment) // stripe
    if not whole or not nodes:
        return [UnitTree(shard).root for shard in shards]
    level = _nodes_of(segment, whole * stripe, nodes)
    roots = []
    for index, shard in enumerate(shards):
        starts = range(index * _NODES_OF_PIECE, len(level), len(shards) * _NODES_OF_PIECE)
        own = [level[start : start + _NODES_OF_PIECE] for start in starts]
        rest = group_hashes(memoryview(shard)[whole * PIECE_BYTES :])
        roots.append(root_over(b"".join((*own, rest)), unit_count(len(shard))))
    return roots


def _nodes_of(segment: bytes, end: int, nodes: Mapping[ChangesetId, bytes]) -> bytes:
    """Return the lowest nodes over a segment up to `end`, hashing what `nodes` does not tell."""
    view, done = memoryview(segment), 0
    parts = list[bytes]()
    count = _HEAD.unpack_from(segment)[2]
    for changeset, at, length in _entries(segment, count):
        known = nodes.get(changeset, b"")
        stop = min(end, at + len(known) // HASH_BYTES * GROUP_BYTES)
        if not known or at % GROUP_BYTES or stop <= at or length < ALIGNED_FROM_BYTES:
            continue
        parts += (group_hashes(view[done:at]), known[: (stop - at) // GROUP_BYTES * HASH_BYTES])
        done = stop
    return b"".join((*parts, group_hashes(view[done:end])))


def ids_root(ids: Sequence[ChangesetId]) -> Hash:
    """Return the Merkle root over sorted changeset ids."""
    return MerkleTree(leaf_hash(changeset) for changeset in ids).root


def shards_root(roots: Sequence[Hash]) -> Hash:
    """Return the Merkle root over the roots of all n shards, in order."""
    return MerkleTree(leaf_hash(root) for root in roots).root


def check_certificate(
    certificate: SealCertificate, ids: Sequence[ChangesetId], shard_roots: Sequence[Hash]
) -> None:
    """Return quietly if a certificate is well formed and lists these ids and shards.

    Raises:
        BadProof: it is not.
    """
    _check_shape(certificate)
    _check_ids(ids)
    if len(ids) != certificate.count or ids_root(ids) != certificate.changesets:
        raise BadProof("the certificate lists other changesets")
    if any(len(root) != 32 for root in shard_roots) or len(shard_roots) != certificate.n:
        raise BadProof("a certificate covers n shard roots of 32 bytes")
    if shards_root(shard_roots) != certificate.shards:
        raise BadProof("the certificate covers other shards")


def _check_shape(certificate: SealCertificate) -> None:
    if not 1 <= certificate.k < certificate.n <= MAX_SHARDS:
        raise BadProof(f"no code is {certificate.k} of {certificate.n}")
    if not 0 <= certificate.number < 2**63 or not 1 <= certificate.count <= SEGMENT_CHANGESETS:
        raise BadProof("the certificate's number or count is out of range")
    if not 0 < certificate.length_bytes <= SEGMENT_LIMIT_BYTES:
        raise BadProof("the certificate's length is out of range")
    hashes = (certificate.subject, certificate.changesets, certificate.shards)
    if any(len(value) != 32 for value in hashes):
        raise BadProof("a hash has 32 bytes")


def _check_ids(ids: Sequence[ChangesetId]) -> None:
    if not ids or any(len(changeset) != 32 for changeset in ids):
        raise BadProof("a segment lists at least one changeset id, each of 32 bytes")
    if any(before >= after for before, after in pairwise(ids)):
        raise BadProof("changeset ids must ascend strictly")


def read_segment(
    sealed: SealedSegment, shards: Mapping[int, bytes]
) -> list[tuple[ChangesetId, bytes]]:
    """Return the changesets of a sealed segment from any k good shards; bad ones are left out.

    Raises:
        StripeLost: fewer than k shards match their roots.
        BadProof, MalformedMessage: the sealed content is not what the certificate says.
    """
    certificate = sealed.certificate
    check_certificate(certificate, sealed.changesets, sealed.shard_roots)
    good = {at: shard for at, shard in shards.items() if is_shard(sealed, at, shard)}
    codec = Codec(certificate.k, certificate.n)
    data = codec.decode(good, certificate.length_bytes)
    lost = set(range(certificate.k)) - good.keys()
    # What comes of parity is what those who certified it put in; data shards are the segment.
    if lost:
        made = codec.data_shards(data)
        if not all(is_shard(sealed, at, made[at]) for at in lost):
            raise BadProof("the shards do not decode to the segment that the certificate names")
    entries = open_segment(data, certificate.number)
    if tuple(changeset for changeset, _ in entries) != sealed.changesets:
        raise BadProof("the segment holds other changesets than its certificate lists")
    return entries


def is_shard(sealed: SealedSegment, index: int, shard: bytes) -> bool:
    """Return whether these bytes are shard `index` of a sealed segment."""
    certificate = sealed.certificate
    if not 0 <= index < len(sealed.shard_roots):
        return False
    fits = len(shard) == shard_length(certificate.length_bytes, certificate.k)
    return fits and UnitTree(shard).root == sealed.shard_roots[index]


# ---- the bundle


def open_sealed(data: bytes) -> SealedSegment:
    """Return the bundle that these bytes encode; nothing of it is verified yet.

    Raises:
        ValueTooLarge, MalformedMessage: they encode none.
    """
    return decode(SealedSegment, data, limit_bytes=SEALED_LIMIT_BYTES)


def verify_sealed(
    sealed: SealedSegment, network: Network, replicas: Set[Address], write_quorum: int
) -> None:
    """Return quietly if W replicas certified this segment and its receipts are for its shards.

    `replicas` holds one signing address per replica: two keys of one provider would count twice.
    Who signed the receipts, `stored_shards` tells.

    Raises:
        BadProof: certificate, lists or a receipt do not go together.
        BadSignature: fewer than W different replicas signed, or one signed twice.
    """
    certificate = sealed.certificate
    check_certificate(certificate, sealed.changesets, sealed.shard_roots)
    if len(sealed.signatures) > len(replicas) or len(sealed.receipts) > certificate.n:
        raise BadProof("a bundle has more signatures or receipts than there are parties")
    digest = network.digest(certificate)
    signers = {recover(digest, signature) for signature in sealed.signatures}
    if len(signers) != len(sealed.signatures) or not signers <= replicas:
        raise BadSignature("a certificate is signed by replicas, each once")
    if len(signers) < write_quorum:
        raise BadSignature(f"{write_quorum} replicas must sign, {len(signers)} did")
    for signed in sealed.receipts:
        check_receipt(sealed, signed.receipt)


def check_receipt(sealed: SealedSegment, receipt: StoreReceipt) -> None:
    """Return quietly if a receipt promises exactly the shard that it names of this segment.

    Raises:
        BadProof: it does not.
    """
    certificate = sealed.certificate
    if receipt.segment != certificate.segment or not 0 <= receipt.shard < certificate.n:
        raise BadProof("the store receipt is for another segment or shard")
    if len(receipt.agreement) != 32 or not 0 <= receipt.expiry < 2**63:
        raise BadProof("the store receipt's agreement or expiry is out of range")
    due = unit_count(shard_length(certificate.length_bytes, certificate.k))
    if receipt.root != sealed.shard_roots[receipt.shard] or receipt.units != due:
        raise BadProof("the store receipt promises other bytes than the shard's")


def stored_shards(
    sealed: SealedSegment,
    network: Network,
    signers: Mapping[AgreementId, Address],
    *,
    until: int,
) -> frozenset[int]:
    """Return which shards are promised until `until` (block time, s) by different agreements.

    `signers` says whose signature is good under which agreement; receipts under others, with
    other signatures or that end sooner do not count. An agreement counts for one shard only.
    """
    promised: dict[AgreementId, int] = {}
    for signed in sealed.receipts:
        receipt = signed.receipt
        signer = signers.get(receipt.agreement)
        if signer is None or receipt.expiry < until or receipt.agreement in promised:
            continue
        if _is_good(sealed, signed, network, signer):
            promised[receipt.agreement] = receipt.shard
    return frozenset(promised.values())


def _is_good(
    sealed: SealedSegment, signed: SignedStoreReceipt, network: Network, signer: Address
) -> bool:
    try:
        check_receipt(sealed, signed.receipt)
        check_signer(network, signed.receipt, signed.signature, signer)
    except (BadProof, BadSignature):
        return False  # the answer asked for: this receipt does not count
    return True
