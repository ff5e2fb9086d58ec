"""Signed records by which nodes and identities are found (DESIGN 4).

A `NodeRecord` binds a node's other keys and addresses to its account; a `HomeRecord` tells which
providers keep an identity's public mailbox and its home dataset. The registry on chain keeps the
newest of each; nodes gossip NodeRecords.
"""

from __future__ import annotations

from typing import ClassVar, TypeVar

from mfdb.kernel.codec import Record, decode
from mfdb.kernel.errors import MalformedMessage
from mfdb.kernel.ids import Address, Hash, TransportKey, Wei
from mfdb.kernel.limits import RECORD_BYTES
from mfdb.rules.signing import check_network, check_signature

MIB = 2**20
PROVIDER = 1
"""Bit of `NodeRecord.roles`: offers storage."""
MAX_PRICE = 2**128
DRAINING = 2
"""Bit of `NodeRecord.roles`: takes nothing new, and asks to be let go of what it keeps."""


class NodeRecord(Record, frozen=True):
    """How to reach a node and by which keys it speaks; `time_s` orders a node's records.

    `signer` is the hot key that signs receipts; `seal_key` the X25519 key others encrypt to.
    """

    network: Hash
    identity: Address
    signer: Address
    transport_key: TransportKey
    seal_key: bytes
    underlays: tuple[str, ...]
    chequebook: Address
    roles: int
    time_s: int

    DOMAIN: ClassVar[str] = "mfdb.node.v1"


class HomeRecord(Record, frozen=True):
    """Where an identity's mailbox and home dataset are kept, and the key to write to it."""

    network: Hash
    identity: Address
    seal_key: bytes
    key_epoch: int
    mailbox_providers: tuple[Address, ...]
    home_providers: tuple[Address, ...]
    time_s: int

    DOMAIN: ClassVar[str] = "mfdb.home.v1"


class OfferRecord(Record, frozen=True):
    """What a provider asks for storage: `price` for `per_bytes` kept for `per_s` seconds.

    `deposit_per_mib` backs each MiB (zero: as its node is set). `capacity_bytes` is all that it
    lets; with zero the offer is withdrawn. It stands until `valid_until` (seconds since 1970, 0 for
    ever). `time_s` orders a provider's offers.
    """

    network: Hash
    identity: Address
    capacity_bytes: int
    price: Wei
    per_bytes: int
    per_s: int
    deposit_per_mib: Wei
    valid_until: int
    time_s: int

    DOMAIN: ClassVar[str] = "mfdb.offer.v1"

    def fee_per_mib(self, epoch_s: int) -> Wei:
        """Return the fee of a MiB for an epoch, rounded up to a whole wei."""
        return Wei(-(-self.price * MIB * epoch_s // (self.per_bytes * self.per_s)))

    def free_bytes(self, used_bytes: int, now_s: float) -> int:
        """Return what of the offer is free at a time; nothing once it has ended."""
        if self.valid_until and self.valid_until <= now_s:
            return 0
        return max(0, self.capacity_bytes - used_bytes)


class SignedOfferRecord(Record, frozen=True):
    """An offer with its provider's signature."""

    record: OfferRecord
    signature: bytes


class SignedNodeRecord(Record, frozen=True):
    """A node record with its account's signature."""

    record: NodeRecord
    signature: bytes


class SignedHomeRecord(Record, frozen=True):
    """A home record with its account's signature."""

    record: HomeRecord
    signature: bytes


S = TypeVar("S", SignedNodeRecord, SignedHomeRecord)


def open_record(kind: type[S], data: bytes, *, network: Hash) -> S:
    """Return a signed record from bytes, verified.

    Raises:
        ValueTooLarge, MalformedMessage, WrongNetwork, BadSignature: it is not good.
    """
    signed = decode(kind, data, limit_bytes=RECORD_BYTES)
    record = signed.record
    check_network(record.network, network)
    check_signature(record, signed.signature, record.identity)
    if len(record.seal_key) != 32:
        raise MalformedMessage("a seal key has 32 bytes")
    return signed


def open_offer(data: bytes, *, network: Hash, identity: Address) -> OfferRecord:
    """Return an identity's offer from bytes, verified.

    Raises:
        ValueTooLarge, MalformedMessage, WrongNetwork, BadSignature: it is not good.
    """
    signed = decode(SignedOfferRecord, data, limit_bytes=RECORD_BYTES)
    record = signed.record
    check_network(record.network, network)
    check_signature(record, signed.signature, identity)
    numbers = (record.capacity_bytes, record.valid_until, record.time_s)
    if record.identity != identity or any(not 0 <= number < 2**63 for number in numbers):
        raise MalformedMessage("an offer of somebody else, or with numbers out of range")
    if not (0 < record.per_bytes < 2**63 and 0 < record.per_s < 2**63):
        raise MalformedMessage("an offer has a price for more than nothing")
    if record.price >= MAX_PRICE or record.deposit_per_mib >= MAX_PRICE:
        raise MalformedMessage("an offer's price is out of range")
    return record
