"""What a contract may read: cheques, agreements, mandates, receipts, certificates (DESIGN 11).

Each is a frozen struct of fixed-width fields with one EIP-712 type string. `struct_hash()` gives
its id; `Network.digest(...)` the digest that is signed. The Vyper contracts hash the same words in
the same order; `docs/format.md` lists them and `tests/conformance/vectors/` pins them. All of them
raise MalformedMessage if a field does not fit its type (`typed_data.words`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar, Protocol

from mfdb.kernel.account import recover
from mfdb.kernel.codec import Record
from mfdb.kernel.digest import tagged_hash
from mfdb.kernel.errors import BadSignature
from mfdb.kernel.ids import ZERO_ADDRESS, Address, AgreementId, DatasetId, Hash, SegmentId, Wei
from mfdb.kernel.once import once
from mfdb.kernel.typed_data import SigningDomain, struct_hash, typed_digest, word, words

CHEQUE_DOMAIN = "mfdb chequebook"
NETWORK_DOMAIN = "mfdb"


class Typed(Protocol):
    """A struct that has an EIP-712 hash."""

    def struct_hash(self) -> Hash:
        """Return the EIP-712 struct hash."""
        ...


class Network(Record, frozen=True):
    """Which network evidence belongs to: a chain and the deposits contract on it."""

    chain_id: int
    deposits: Address

    @property
    def id(self) -> Hash:
        """32 bytes that every off-chain record carries; zero chain id means embedded, no chain."""
        return _network_id(self)

    def digest(self, evidence: Typed) -> Hash:
        """Return the digest to sign for a piece of evidence on this network."""
        return typed_digest(_domain_of(self), evidence.struct_hash())


@lru_cache(maxsize=64)
def _network_id(network: Network) -> Hash:
    return tagged_hash("mfdb.network.v1", word(network.chain_id), word(network.deposits))


@lru_cache(maxsize=64)
def _domain_of(network: Network) -> SigningDomain:
    return SigningDomain(name=NETWORK_DOMAIN, chain_id=network.chain_id, contract=network.deposits)


EMBEDDED = Network(chain_id=0, deposits=ZERO_ADDRESS).id
"""The network of datasets that live on one machine only."""


class Agreement(Record, frozen=True, dict=True):
    """A provider's duty towards a client for one dataset, backed by an earmarked deposit.

    `subject` blinds the dataset (`subject_of`). Bytes are user-visible storage, fees are in
    wei per epoch and paid in arrears, times are seconds of block time. `mandate` is the struct
    hash of the repair mandate that replaced the client's signature, or zero.
    """

    subject: Hash
    client: Address
    provider: Address
    capacity_bytes: int
    fee_per_epoch: Wei
    epoch_s: int
    start: int
    end: int
    tail_s: int
    deposit: Wei
    answer_window_s: int
    mandate: Hash
    nonce: Hash

    TYPE: ClassVar[str] = (
        "Agreement(bytes32 subject,address client,address provider,uint64 capacity,"
        "uint256 feePerEpoch,uint64 epochSeconds,uint64 start,uint64 end,uint64 tail,"
        "uint256 deposit,uint64 answerWindow,bytes32 mandate,bytes32 nonce)"
    )

    def struct_hash(self) -> Hash:
        """Return the EIP-712 struct hash, which is also the agreement's id."""
        return struct_hash(
            self.TYPE,
            self.subject,
            self.client,
            self.provider,
            self.capacity_bytes,
            self.fee_per_epoch,
            self.epoch_s,
            self.start,
            self.end,
            self.tail_s,
            self.deposit,
            self.answer_window_s,
            self.mandate,
            self.nonce,
        )

    @once
    def id(self) -> AgreementId:
        """Id of the agreement; every receipt names it."""
        return AgreementId(self.struct_hash())


class RepairMandate(Record, frozen=True):
    """The owner's standing order: repair may be agreed in my name within these bounds.

    `budget` bounds the sum, over all agreements made under it, of repair fee and storage fees.
    """

    subject: Hash
    owner: Address
    fee_cap_per_epoch: Wei
    repair_fee: Wei
    budget: Wei
    min_deposit: Wei
    capacity_bytes: int
    expiry: int
    nonce: Hash

    TYPE: ClassVar[str] = (
        "RepairMandate(bytes32 subject,address owner,uint256 feeCapPerEpoch,uint256 repairFee,"
        "uint256 budget,uint256 minDeposit,uint64 capacity,uint64 expiry,bytes32 nonce)"
    )

    def struct_hash(self) -> Hash:
        """Return the EIP-712 struct hash, which is also the mandate's id."""
        return struct_hash(
            self.TYPE,
            self.subject,
            self.owner,
            self.fee_cap_per_epoch,
            self.repair_fee,
            self.budget,
            self.min_deposit,
            self.capacity_bytes,
            self.expiry,
            self.nonce,
        )


class Release(Record, frozen=True):
    """A client's word that a provider owes it nothing any more of a segment.

    With a segment of zeros: of the whole agreement, which the provider then may terminate.
    """

    agreement: AgreementId
    segment: SegmentId

    TYPE: ClassVar[str] = "Release(bytes32 agreement,bytes32 segment)"

    def struct_hash(self) -> Hash:
        """Return the EIP-712 struct hash."""
        return struct_hash(self.TYPE, self.agreement, self.segment)


class SignedRelease(Record, frozen=True):
    """A release with its client's signature."""

    release: Release
    signature: bytes


class StoreReceipt(Record, frozen=True):
    """A provider's promise to produce any unit of a shard until `expiry` (block time, seconds)."""

    agreement: AgreementId
    segment: SegmentId
    shard: int
    root: Hash
    units: int
    expiry: int

    TYPE: ClassVar[str] = (
        "StoreReceipt(bytes32 agreement,bytes32 segment,uint64 shard,bytes32 root,uint64 units,"
        "uint64 expiry)"
    )

    def struct_hash(self) -> Hash:
        """Return the EIP-712 struct hash."""
        return struct_hash(
            self.TYPE, self.agreement, self.segment, self.shard, self.root, self.units, self.expiry
        )


class WriteAck(Record, frozen=True):
    """What a provider acknowledges for one changeset; a leaf of a group commit's receipt tree.

    `root` and `units` are the Merkle tree over the changeset's bytes in 512-byte units;
    `log_number` and `log_head` chain the provider's log of this dataset.
    """

    agreement: AgreementId
    changeset: Hash
    root: Hash
    units: int
    log_number: int
    log_head: Hash
    expiry: int

    LAYOUT: ClassVar[str] = (
        "WriteAck(bytes32 agreement,bytes32 changeset,bytes32 root,uint64 units,"
        "uint64 logNumber,bytes32 logHead,uint64 expiry)"
    )

    def words(self) -> bytes:
        """Return the seven 32-byte words that are hashed as the leaf; no type hash before them."""
        return words(
            self.LAYOUT,
            self.agreement,
            self.changeset,
            self.root,
            self.units,
            self.log_number,
            self.log_head,
            self.expiry,
        )


class AckBatch(Record, frozen=True):
    """The signed part of a write receipt: the Merkle root over the acks of one group commit."""

    provider: Address
    number: int
    root: Hash
    count: int

    TYPE: ClassVar[str] = "AckBatch(address provider,uint64 number,bytes32 root,uint64 count)"

    def struct_hash(self) -> Hash:
        """Return the EIP-712 struct hash."""
        return struct_hash(self.TYPE, self.provider, self.number, self.root, self.count)


class SealCertificate(Record, frozen=True):
    """What W replicas sign when a segment is sealed and coded k of n.

    `changesets` is the Merkle root over the sorted changeset ids, `shards` that over the n shard
    roots; the first k of them and `length_bytes` fix the segment's bytes. Its struct hash is the
    segment's id.
    """

    subject: Hash
    number: int
    changesets: Hash
    count: int
    length_bytes: int
    k: int
    n: int
    shards: Hash

    TYPE: ClassVar[str] = (
        "SealCertificate(bytes32 subject,uint64 number,bytes32 changesets,uint64 count,"
        "uint64 length,uint64 k,uint64 n,bytes32 shards)"
    )

    def struct_hash(self) -> Hash:
        """Return the EIP-712 struct hash, which is also the segment's id."""
        return struct_hash(
            self.TYPE,
            self.subject,
            self.number,
            self.changesets,
            self.count,
            self.length_bytes,
            self.k,
            self.n,
            self.shards,
        )

    @property
    def segment(self) -> SegmentId:
        """Id of the sealed segment."""
        return _segment_of(self)


@lru_cache(maxsize=1024)
def _segment_of(certificate: SealCertificate) -> SegmentId:
    """Whoever looks at a bundle asks for it several times over: the hash is computed once."""
    return SegmentId(certificate.struct_hash())


class Cheque(Record, frozen=True):
    """A cumulative promise to pay from a chequebook; the newest one replaces all before it."""

    chequebook: Address
    beneficiary: Address
    cumulative_payout: Wei
    serial: int
    valid_from: int
    valid_until: int

    TYPE: ClassVar[str] = (
        "Cheque(address chequebook,address beneficiary,uint256 cumulativePayout,uint64 serial,"
        "uint64 validFrom,uint64 validUntil)"
    )

    def struct_hash(self) -> Hash:
        """Return the EIP-712 struct hash."""
        return struct_hash(
            self.TYPE,
            self.chequebook,
            self.beneficiary,
            self.cumulative_payout,
            self.serial,
            self.valid_from,
            self.valid_until,
        )

    def digest(self, chain_id: int) -> Hash:
        """Return the digest that the issuer signs; bound to this chain and chequebook."""
        domain = SigningDomain(name=CHEQUE_DOMAIN, chain_id=chain_id, contract=self.chequebook)
        return typed_digest(domain, self.struct_hash())


def subject_of(dataset: DatasetId, salt: bytes) -> Hash:
    """Return the name a dataset has on chain: blind to all who do not know dataset and salt."""
    return tagged_hash("mfdb.subject.v1", dataset, salt)


def check_signer(network: Network, evidence: Typed, signature: bytes, signer: Address) -> None:
    """Return quietly if `signer` signed this evidence on this network.

    Raises:
        MalformedMessage: a field does not fit its type.
        BadSignature: it did not.
    """
    found = recover(network.digest(evidence), signature)
    if found != signer:
        name = type(evidence).__name__
        raise BadSignature(f"{name} signed by 0x{found.hex()}, not by 0x{signer.hex()}")
