"""The placement log: which provider holds what of a dataset, under which agreement (DESIGN 5).

It stands beside the manifest so that repair needs no owner. An entry is signed by the owner, or -
under the owner's repair mandate - by the provider that takes over lost shards itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar

from mfdb.kernel.account import recover
from mfdb.kernel.codec import Record
from mfdb.kernel.errors import BadProof, BadSignature
from mfdb.kernel.ids import ZERO_ADDRESS, ZERO_HASH, Address, DatasetId, Hash
from mfdb.rules.evidence import Agreement, Network, RepairMandate, check_signer
from mfdb.rules.signing import check_network, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mfdb.kernel.ids import AgreementId

SLOTS = 255
"""Of each role; the code has no more shards (`replication.field.MAX_SHARDS`)."""


class Role(IntEnum):
    """What a provider holds: the whole hot log, or one shard of every sealed segment."""

    REPLICA = 0
    SHARD = 1


class Assignment(Record, frozen=True):
    """A slot of a role and who fills it; the zero address leaves it empty."""

    role: Role
    slot: int
    provider: Address


class SignedAgreement(Record, frozen=True):
    """An agreement with both signatures; the client's is empty under a mandate."""

    agreement: Agreement
    client_signature: bytes
    provider_signature: bytes


class SignedMandate(Record, frozen=True):
    """A repair mandate with its owner's signature."""

    mandate: RepairMandate
    signature: bytes


class PlacementEntry(Record, frozen=True):
    """One change of placement. `case` names the conviction that a mandate's entry answers."""

    network: Hash
    dataset: DatasetId
    number: int
    previous: Hash
    assignments: tuple[Assignment, ...]
    agreements: tuple[SignedAgreement, ...]
    mandate: SignedMandate | None
    case: bytes

    DOMAIN: ClassVar[str] = "mfdb.placement.v1"


class SignedPlacement(Record, frozen=True):
    """A placement entry with the signature of the owner or of the provider that takes over."""

    entry: PlacementEntry
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a dataset stands after an entry of its log."""

    dataset: DatasetId | None = None
    number: int = -1
    head: Hash = ZERO_HASH
    replicas: Mapping[int, Address] = field(default_factory=dict)
    shards: Mapping[int, Address] = field(default_factory=dict)
    agreements: Mapping[Address, SignedAgreement] = field(default_factory=dict)
    mandate: SignedMandate | None = None
    certifiers: frozenset[Address] = frozenset()
    """Everybody who is or was a replica: their signatures under certificates hold for ever."""
    former: Mapping[int, tuple[Address, ...]] = field(default_factory=dict)
    """Who held the shard of a slot before, the latest first: until released they keep it."""

    @property
    def providers(self) -> tuple[Address, ...]:
        """Everybody who holds something, each once, replicas first, in slot order."""
        replicas = [self.replicas[slot] for slot in sorted(self.replicas)]
        shards = [self.shards[slot] for slot in sorted(self.shards)]
        return tuple(dict.fromkeys(replicas + shards))

    @property
    def replica_set(self) -> tuple[Address, ...]:
        """The replicas in slot order."""
        return tuple(self.replicas[slot] for slot in sorted(self.replicas))

    def agreement_of(self, provider: Address) -> AgreementId | None:
        """Return the id of the agreement with a provider, or None."""
        signed = self.agreements.get(provider)
        return signed.agreement.id if signed else None


def fold(
    entries: Iterable[SignedPlacement], *, owner: Address, subject: Hash, network: Network
) -> Placement:
    """Return the placement after a log of entries, each verified.

    Raises:
        WrongNetwork, BadProof, BadSignature: an entry does not belong or may not stand.
    """
    placement = Placement()
    for signed in entries:
        placement = extend(placement, signed, owner=owner, subject=subject, network=network)
    return placement


def extend(
    placement: Placement,
    signed: SignedPlacement,
    *,
    owner: Address,
    subject: Hash,
    network: Network,
) -> Placement:
    """Return the placement after one more entry.

    Raises:
        WrongNetwork, BadProof, BadSignature: the entry does not follow or may not stand.
    """
    entry = signed.entry
    check_network(entry.network, network.id)
    if (entry.number, entry.previous) != (placement.number + 1, placement.head):
        raise BadProof("the placement entry does not follow the log's head")
    _check_shape(entry, placement)
    mandate = entry.mandate or placement.mandate
    _check_author(signed, placement, owner=owner, mandate=mandate, network=network)
    for agreement in entry.agreements:
        _check_agreement(agreement, owner=owner, subject=subject, mandate=mandate, network=network)
    agreements = {**placement.agreements}
    agreements.update({made.agreement.provider: made for made in entry.agreements})
    replicas = _assigned(placement.replicas, entry, Role.REPLICA)
    after = replace(
        placement,
        dataset=entry.dataset,
        number=entry.number,
        head=digest_of(entry),
        replicas=replicas,
        certifiers=placement.certifiers | frozenset(replicas.values()),
        shards=_assigned(placement.shards, entry, Role.SHARD),
        former=_former(placement, entry),
        agreements=agreements,
        mandate=mandate,
    )
    if any(provider not in agreements for provider in after.providers):
        raise BadProof("a provider is placed without an agreement")
    return after


def merged(
    known: Sequence[SignedPlacement], told: Sequence[SignedPlacement]
) -> tuple[SignedPlacement, ...]:
    """Return the log that stands, of a known one and (the end of) one that was told.

    Two take-overs that run at the same time follow the same entry. Everybody ends with the same
    one of them: that which the owner went on from, then that of the lower case; whoever wrote what
    then stands no longer writes it again, after what does. Nothing is verified here.

    Raises:
        BadProof: what is told begins behind the end of what is known.
    """
    start = told[0].entry.number if told else 0
    if not 0 <= start <= len(known):
        raise BadProof("the placement entry does not follow the log's head")
    other = (*known[:start], *told)
    at = common(known, other)
    if at == min(len(known), len(other)):
        return other if len(other) > len(known) else tuple(known)
    return other if _rank(other[at:]) < _rank(known[at:]) else tuple(known)


def common(one: Sequence[SignedPlacement], other: Sequence[SignedPlacement]) -> int:
    """Return with how many equal entries two logs begin."""
    pairs = zip(one, other, strict=False)
    return next(
        (at for at, (a, b) in enumerate(pairs) if a.entry != b.entry), min(len(one), len(other))
    )


def _rank(branch: Sequence[SignedPlacement]) -> tuple[bool, bytes, bytes]:
    by_owner = any(not signed.entry.case for signed in branch)
    return not by_owner, branch[0].entry.case, digest_of(branch[0].entry)


def _check_shape(entry: PlacementEntry, placement: Placement) -> None:
    if placement.dataset not in (None, entry.dataset):
        raise BadProof("the placement entry is of another dataset")
    if len(entry.case) not in (0, 32):
        raise BadProof("a case id has 32 bytes")
    if any(not 0 <= assignment.slot < SLOTS for assignment in entry.assignments):
        raise BadProof(f"a slot is a number below {SLOTS}")


def _assigned(
    slots: Mapping[int, Address], entry: PlacementEntry, role: Role
) -> dict[int, Address]:
    changed = {a.slot: a.provider for a in entry.assignments if a.role is role}
    filled = {**slots, **changed}
    return {slot: who for slot, who in filled.items() if who != ZERO_ADDRESS}


def _former(placement: Placement, entry: PlacementEntry) -> dict[int, tuple[Address, ...]]:
    former = {**placement.former}
    for slot, holder in placement.shards.items():
        if _assigned({slot: holder}, entry, Role.SHARD).get(slot) != holder:
            before = (who for who in former.get(slot, ()) if who != holder)
            former[slot] = (holder, *before)
    return former


def _check_author(
    signed: SignedPlacement,
    placement: Placement,
    *,
    owner: Address,
    mandate: SignedMandate | None,
    network: Network,
) -> None:
    entry = signed.entry
    author = recover(digest_of(entry), signed.signature)
    if author == owner:
        return
    takes_over = all(a.role is Role.SHARD and a.provider == author for a in entry.assignments)
    if mandate is None or not takes_over or not entry.case:
        raise BadSignature("the placement entry is signed neither by owner nor under a mandate")
    if entry.mandate is not None and entry.mandate != placement.mandate:
        raise BadSignature("only the owner may give a mandate")
    check_signer(network, mandate.mandate, mandate.signature, owner)


def _check_agreement(
    signed: SignedAgreement,
    *,
    owner: Address,
    subject: Hash,
    mandate: SignedMandate | None,
    network: Network,
) -> None:
    """The provider's signature may be a delegate's; the deposits contract has checked it."""
    agreement = signed.agreement
    if agreement.subject != subject or agreement.client != owner:
        raise BadProof("the agreement is for another dataset or client")
    if agreement.mandate == ZERO_HASH:
        check_signer(network, agreement, signed.client_signature, owner)
    elif mandate is None or agreement.mandate != mandate.mandate.struct_hash():
        raise BadProof("the agreement names a mandate that the owner did not give")
