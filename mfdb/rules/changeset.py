"""The changeset: the unit of atomic writing, signing, replication and billing (DESIGN 5).

A changeset id is the hash of its header, which commits to every operation by a Merkle root, and of
its signature; a version id names one operation of it. Validity never depends on the order of
arrival.
"""

from __future__ import annotations

import hashlib
from enum import IntEnum
from typing import Any, ClassVar

import msgspec

from mfdb.kernel.clock import Hlc
from mfdb.kernel.codec import Record, decode, encode
from mfdb.kernel.digest import tagged_hash
from mfdb.kernel.errors import BadProof, MalformedMessage, ProtocolViolation
from mfdb.kernel.ids import (
    ZERO_HASH,
    Address,
    ChangesetId,
    DatasetId,
    Hash,
    RowId,
    VersionId,
)
from mfdb.kernel.limits import CHANGESET_BYTES, OPERATIONS
from mfdb.rules.columns import check_values
from mfdb.rules.merkle import MerkleTree, leaf_hash
from mfdb.rules.signing import check_network, check_signature, digest_of

FORMAT = 1
VERSION_DOMAIN = "mfdb.version.v1"
_FREE_DOMAIN = "mfdb.row.free.v1"
RUN_BYTES = 16
NONCE_BYTES = 16


class OperationKind(IntEnum):
    """What an operation does to a row."""

    INSERT = 0
    UPDATE = 1
    DELETE = 2


class Operation(Record, frozen=True, gc=False):
    """One change of one row.

    `parent` is the version it supersedes (empty for an insert). `sealed` is the ciphertext of the
    sealed columns, `clear` the values of the clear ones. `salt_commitment` and `commitment` bind
    the row salt and the plaintext, so that a disclosed row can be verified (`columns`).
    """

    kind: OperationKind
    row: RowId
    parent: bytes
    sealed: bytes
    clear: tuple[Any, ...]
    salt_commitment: Hash
    commitment: Hash


class Header(Record, frozen=True):
    """What the signer signs.

    `identity` is empty when the sender is sealed; `run` names a writing run of the signer, in
    which `number` and `previous` chain its changesets; `key_commitment` binds the data key.
    """

    format: int
    network: Hash
    dataset: DatasetId
    manifest: Hash
    acl_epoch: int
    key_epoch: int
    signer: Address
    identity: bytes
    run: bytes
    number: int
    previous: Hash
    hlc: int
    nonce: bytes
    key_commitment: Hash
    operation_count: int
    operations_root: Hash

    DOMAIN: ClassVar[str] = "mfdb.changeset.v1"

    @property
    def stamp(self) -> Hlc:
        """The hybrid logical time of the write."""
        return Hlc(self.hlc)

    @property
    def seal_context(self) -> Hash:
        """What ciphertexts are bound to: the header before the operations are known."""
        bare = msgspec.structs.replace(self, operation_count=0, operations_root=ZERO_HASH)
        return tagged_hash("mfdb.seal.v1", encode(bare))


class Changeset(Record, frozen=True):
    """A header, its signature and the operations it commits to."""

    header: Header
    signature: bytes
    operations: tuple[Operation, ...]

    @property
    def id(self) -> ChangesetId:
        """Id of the changeset: header and signature, so that equal ids have equal bytes."""
        return ChangesetId(
            tagged_hash("mfdb.changeset-id.v1", digest_of(self.header), self.signature)
        )


class _PlainOperation(Record, frozen=True, gc=False):
    """An operation without clear values, as nearly all are."""

    kind: OperationKind
    row: RowId
    parent: bytes
    sealed: bytes
    clear: tuple[()]
    salt_commitment: Hash
    commitment: Hash


class _PlainChangeset(Record, frozen=True):
    header: Header
    signature: bytes
    operations: tuple[_PlainOperation, ...]


def operations_root(operations: tuple[Operation, ...]) -> Hash:
    """Return the Merkle root over the encoded operations."""
    return MerkleTree([leaf_hash(encode(operation)) for operation in operations]).root


def version_id(changeset: ChangesetId, index: int) -> VersionId:
    """Return the id of the row version that operation `index` of a changeset makes."""
    return VersionId(tagged_hash(VERSION_DOMAIN, changeset, index.to_bytes(4, "big")))


def version_ids(changeset: ChangesetId, count: int) -> list[VersionId]:
    """Return the version ids of all operations of a changeset, each as `version_id` gives it."""
    start = VERSION_DOMAIN.encode() + b"\x00" + changeset
    return [
        VersionId(Hash(hashlib.sha256(start + index.to_bytes(4, "big")).digest()))
        for index in range(count)
    ]


def free_row_id(dataset: DatasetId, signer: Address, nonce: bytes, index: int) -> RowId:
    """Return the id of a row inserted into a free dataset: nobody can squat or overwrite it."""
    return RowId(tagged_hash(_FREE_DOMAIN, dataset, signer, nonce, index.to_bytes(4, "big")))


def free_row_ids(header: Header, count: int) -> list[RowId]:
    """Return the ids of the first rows of a changeset, each as `free_row_id` gives it."""
    start = b"\x00".join((_FREE_DOMAIN.encode(), header.dataset)) + header.signer + header.nonce
    return [
        RowId(Hash(hashlib.sha256(start + index.to_bytes(4, "big")).digest()))
        for index in range(count)
    ]


def keyed_row_id(dataset: DatasetId, keyed_hash: bytes) -> RowId:
    """Return the id of a row in an owner-ordered dataset, from the keyed hash of its key."""
    return RowId(tagged_hash("mfdb.row.keyed.v1", dataset, keyed_hash))


def open_changeset(data: bytes) -> Changeset:
    """Return the changeset that these bytes encode; nothing of it is verified yet.

    Raises:
        ValueTooLarge, MalformedMessage: they encode none.
    """
    return decode(Changeset, data, limit_bytes=CHANGESET_BYTES, usual=_PlainChangeset)


def is_changeset(id_: ChangesetId, data: bytes) -> bool:
    """Return whether these bytes are those of the changeset with this id, and no bit was turned."""
    try:
        changeset = open_changeset(data)
    except ProtocolViolation:
        return False
    header = changeset.header
    return changeset.id == id_ and operations_root(changeset.operations) == header.operations_root


def check_changeset(changeset: Changeset, *, network: Hash, dataset: DatasetId) -> None:
    """Return quietly if signature, commitments and row ids of a changeset are right.

    Whether its signer was allowed to is another question (`authorise`).

    Raises:
        WrongNetwork, BadSignature, BadProof, MalformedMessage: something is not.
    """
    header = changeset.header
    check_network(header.network, network)
    _check_sizes(header)
    if header.dataset != dataset or header.format != FORMAT:
        raise BadProof("the changeset belongs to another dataset or format")
    if not 1 <= len(changeset.operations) <= OPERATIONS:
        raise BadProof(f"a changeset has 1 to {OPERATIONS} operations")
    if header.operation_count != len(changeset.operations):
        raise BadProof("the header counts other operations than there are")
    if operations_root(changeset.operations) != header.operations_root:
        raise BadProof("the operations do not match the header's root")
    if header.identity and header.identity != header.signer:
        raise BadProof("the header names an identity that did not sign it")
    if not 0 <= header.hlc < 2**64 or not 0 <= header.number < 2**63:
        raise BadProof("a stamp or number is out of range")
    check_signature(header, changeset.signature, header.signer)
    _check_operations(changeset)


def _check_sizes(header: Header) -> None:
    """Providers keep headers for ever, so nothing in them may be long (ids are sized types)."""
    if len(header.run) != RUN_BYTES or len(header.nonce) != NONCE_BYTES:
        raise MalformedMessage(f"run and nonce have {RUN_BYTES} and {NONCE_BYTES} bytes")
    if not 0 <= header.acl_epoch < 2**63 or not 0 <= header.key_epoch < 2**63:
        raise MalformedMessage("an epoch is out of range")


def _check_operations(changeset: Changeset) -> None:
    for operation in changeset.operations:
        due = 0 if operation.kind is OperationKind.INSERT else 32
        if len(operation.parent) != due:
            raise BadProof("an insert has no parent version, every other operation has one")
        if operation.clear:
            check_values(operation.clear)
    if len({operation.row for operation in changeset.operations}) != len(changeset.operations):
        raise BadProof("a changeset touches a row at most once")


def check_free_rows(changeset: Changeset) -> None:
    """Return quietly if every inserted row of a free dataset has the id that is due to it.

    Raises:
        BadProof: one does not.
    """
    ids = free_row_ids(changeset.header, len(changeset.operations))
    for index, (operation, due) in enumerate(zip(changeset.operations, ids, strict=True)):
        if operation.kind is OperationKind.INSERT and operation.row != due:
            raise BadProof(f"operation {index} takes a row id that is not due to it")
