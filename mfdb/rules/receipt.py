"""Write receipts: a provider's signed promise to produce a changeset's bytes (DESIGN 5, 8).

One signature covers all acknowledgements of a group commit: they are the leaves of a Merkle tree
whose root is signed; each receipt carries its own leaf and path (length 0 for a group of one).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from mfdb.kernel.codec import Record
from mfdb.kernel.digest import tagged_hash
from mfdb.kernel.errors import BadProof, ProtocolViolation
from mfdb.kernel.ids import ZERO_HASH, Address, AgreementId, ChangesetId, DatasetId, Hash
from mfdb.rules.evidence import AckBatch, Network, WriteAck, check_signer
from mfdb.rules.merkle import MerkleTree, check_path, leaf_hash
from mfdb.rules.units import UnitTree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.kernel.account import Account


BATCHES = 2**14
"""Verdicts over signed batches that are remembered, a few hundred bytes each."""


class WriteReceipt(Record, frozen=True):
    """The acknowledgement of one changeset by one provider."""

    ack: WriteAck
    batch: AckBatch
    index: int
    path: tuple[Hash, ...]
    signature: bytes


class LogRoot(Record, frozen=True):
    """Where a replica's log of a dataset stands: its head commits to every entry in it.

    `nonce` is the asker's, so that an old root never passes for the newest.
    """

    network: Hash
    dataset: DatasetId
    provider: Address
    number: int
    head: Hash
    nonce: Hash

    DOMAIN: ClassVar[str] = "mfdb.log-root.v1"


class SignedLogRoot(Record, frozen=True):
    """A log root with its replica's (hot key's) signature."""

    root: LogRoot
    signature: bytes


class Promised(NamedTuple):
    """What every receipt for the same bytes promises: their unit tree's root and leaf count."""

    root: Hash
    units: int

    @classmethod
    def of(cls, data: bytes) -> Promised:
        """Return what a receipt for these bytes promises."""
        return cls.by(UnitTree(data))

    @classmethod
    def by(cls, tree: UnitTree) -> Promised:
        """Return what a receipt for the bytes under this tree promises."""
        return cls(tree.root, tree.count)


def log_head(previous: Hash, number: int, changeset: ChangesetId) -> Hash:
    """Return the head of a provider's log after an entry; the first one follows zero."""
    return tagged_hash("mfdb.log.v1", previous, number.to_bytes(8, "big"), changeset)


def acknowledge(
    agreement: AgreementId,
    changeset: ChangesetId,
    promised: Promised,
    *,
    place: tuple[int, Hash],
    expiry: int,
) -> WriteAck:
    """Return the acknowledgement of a changeset; `place` is log number and log head."""
    return WriteAck(
        agreement=agreement,
        changeset=Hash(changeset),
        root=promised.root,
        units=promised.units,
        log_number=place[0],
        log_head=place[1],
        expiry=expiry,
    )


def sign_batch(
    acks: Sequence[WriteAck],
    *,
    provider: Address,
    number: int,
    signer: Account,
    network: Network,
) -> tuple[WriteReceipt, ...]:
    """Return one receipt per ack under a single signature."""
    tree = MerkleTree([leaf_hash(ack.words()) for ack in acks])
    batch = AckBatch(provider=provider, number=number, root=tree.root, count=len(acks))
    signature = signer.sign(network.digest(batch))
    return tuple(
        [
            WriteReceipt(ack, batch, index, tree.path(index), signature)
            for index, ack in enumerate(acks)
        ]
    )


def check_write_receipt(
    receipt: WriteReceipt, data: bytes, *, network: Network, signer: Address
) -> None:
    """Return quietly if a receipt promises exactly these bytes and `signer` signed it.

    Raises:
        BadProof, BadSignature: it does not.
    """
    check_promise(receipt, Promised.of(data), network=network, signer=signer)


def check_promise(
    receipt: WriteReceipt, promised: Promised, *, network: Network, signer: Address
) -> None:
    """Do what `check_write_receipt` does, for bytes of which the root is known already.

    Raises:
        BadProof, BadSignature: it does not promise them, or is not signed.
    """
    check_form(receipt, promised)
    check_signer(network, receipt.batch, receipt.signature, signer)


def check_form(receipt: WriteReceipt, promised: Promised) -> None:
    """Return quietly if a receipt promises these bytes, if only its batch is signed.

    Raises:
        BadProof: it does not.
    """
    check_bytes(receipt, promised)
    _check_leaf(receipt)


def check_bytes(receipt: WriteReceipt, promised: Promised) -> None:
    """Return quietly if a receipt says that it is for these bytes.

    Raises:
        BadProof: it does not.
    """
    if receipt.ack.root != promised.root or receipt.ack.units != promised.units:
        raise BadProof("the receipt is for other bytes")


def _check_leaf(receipt: WriteReceipt) -> None:
    check_path(
        receipt.batch.root,
        leaf_hash(receipt.ack.words()),
        receipt.path,
        index=receipt.index,
        count=receipt.batch.count,
    )


def is_signed(receipt: WriteReceipt, *, network: Network, signer: Address) -> bool:
    """Return whether a receipt is of a batch that was signed by a provider's hot key.

    Receipts of one batch share a signature, and are read often: the verdict is remembered.
    """
    try:
        _check_leaf(receipt)
    except ProtocolViolation:
        return False
    return _is_batch_signed(receipt.batch, receipt.signature, network, signer)


@lru_cache(maxsize=BATCHES)
def _is_batch_signed(batch: AckBatch, signature: bytes, network: Network, signer: Address) -> bool:
    try:
        check_signer(network, batch, signature, signer)
    except ProtocolViolation:
        return False
    return True


FIRST_LOG_HEAD = ZERO_HASH
