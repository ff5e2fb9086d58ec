"""Signed records by which nodes and identities are found (DESIGN 4).

A `NodeRecord` binds a node's other keys and addresses to its account; a `HomeRecord` tells which
providers keep an identity's public mailbox and its home dataset. The registry on chain keeps the
newest of each; nodes gossip NodeRecords.
"""

from __future__ import annotations

from typing import ClassVar, TypeVar

from mfdb.kernel.codec import Record, decode
from mfdb.kernel.errors import MalformedMessage
from mfdb.kernel.ids import Address, Hash, TransportKey
from mfdb.kernel.limits import RECORD_BYTES
from mfdb.rules.signing import check_network, check_signature

PROVIDER = 1
"""Bit of `NodeRecord.roles`: offers storage."""
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
