"""The changeset: the unit of atomic writing, signing, replication and billing (DESIGN 5).

A changeset id is the hash of its header, which commits to every operation by one hash, and of its
signature; a version id names one operation of it. Validity never depends on the order of
arrival.
"""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, ClassVar

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
from mfdb.kernel.once import once
from mfdb.rules.columns import check_values
from mfdb.rules.operations import Body, Operation, OperationKind, open_body, operations_root
from mfdb.rules.signing import check_network, check_signed, digest_of

if TYPE_CHECKING:
    from collections.abc import Sequence

FORMAT = 2
FORMAT_1 = 1
"""What releases before wrote: an array of operations, each hashed; it is read for ever."""
VERSION_DOMAIN = "mfdb.version.v1"
_VERSION_INDEX_BYTES = 4
_ORIGIN_BYTES = 32 + _VERSION_INDEX_BYTES
_FREE_DOMAIN_1 = "mfdb.row.free.v1"
STEM_FIRST_BYTES = 5
"""Bytes of a row id before the index: enough to keep the rows of a changeset together."""
INDEX_BYTES = 2
ORDER_BYTES = 8
"""Bytes of a clear primary key with which the ids of its rows begin."""
RUN_BYTES = 16
NONCE_BYTES = 16


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


class Changeset(Record, frozen=True, dict=True):
    """A header, its signature and the operations it commits to.

    `body` is a `Body`'s bytes; in format 1 the operations themselves.
    """

    header: Header
    signature: bytes
    body: bytes | tuple[Operation, ...]

    @once
    def id(self) -> ChangesetId:
        """Id of the changeset: header and signature, so that equal ids have equal bytes."""
        return changeset_id(self.digest, self.signature)

    @once
    def digest(self) -> Hash:
        """What the signer signs: the hash of the header."""
        return digest_of(self.header)

    @once
    def columns(self) -> Body | None:
        """The operations column by column; None in format 1.

        Raises:
            MalformedMessage: the body holds none.
        """
        return open_body(self.body) if isinstance(self.body, bytes) else None

    @once
    def operations(self) -> tuple[Operation, ...]:
        """The operations one by one; what looks at many rows looks at `columns`.

        Raises:
            MalformedMessage: the body holds none.
        """
        if isinstance(self.body, tuple):
            return self.body
        columns = self.columns
        assert columns is not None, "a body of bytes has columns"
        return columns.operations(partial(due_row_ids, self.header))

    @once
    def count(self) -> int:
        """How many operations there are."""
        columns = self.columns
        return len(self.operations) if columns is None else len(columns.sealed)

    @once
    def rows(self) -> Sequence[bytes]:
        """The ids of the rows that its operations touch."""
        columns = self.columns
        if columns is None:
            return [operation.row for operation in self.operations]
        return columns.row_ids or due_row_ids(self.header, len(columns.sealed))

    @once
    def kinds(self) -> frozenset[OperationKind]:
        """What its operations do."""
        columns = self.columns
        if columns is None:
            return frozenset(operation.kind for operation in self.operations)
        return frozenset(map(OperationKind, set(columns.kinds))) if columns.kinds else _INSERTS

    @once
    def is_plain(self) -> bool:
        """Whether all it does is to insert the rows that are due to it, without clear values."""
        columns = self.columns
        return columns is not None and not columns.rows and not columns.clear


def composed(
    header: Header, signature: bytes, body: bytes, *, columns: Body, rows: Sequence[bytes]
) -> Changeset:
    """Return a changeset whose writer knows already what others have to find in its bytes."""
    made = Changeset(header, signature, body)
    made.__dict__.update(columns=columns, rows=rows)
    return made


def changeset_id(digest: Hash, signature: bytes) -> ChangesetId:
    """Return the id of a changeset from its header's digest and its signature."""
    return ChangesetId(tagged_hash("mfdb.changeset-id.v1", digest, signature))


_INSERTS = frozenset({OperationKind.INSERT})


class _PlainOperation(Record, frozen=True, gc=False):
    """An operation of format 1 without clear values, as nearly all are."""

    kind: OperationKind
    row: RowId
    parent: bytes
    sealed: bytes
    clear: tuple[()]
    salt_commitment: Hash
    commitment: Hash


class _InColumns(Record, frozen=True):
    """A changeset of the present format, the types of which bound how deep it is."""

    header: Header
    signature: bytes
    body: bytes


class _PlainChangeset(Record, frozen=True):
    header: Header
    signature: bytes
    body: tuple[_PlainOperation, ...]


def version_id(changeset: ChangesetId, index: int) -> VersionId:
    """Return the id of the row version that operation `index` of a changeset makes."""
    return VersionId(
        tagged_hash(VERSION_DOMAIN, changeset, index.to_bytes(_VERSION_INDEX_BYTES, "big"))
    )


def version_ids(changeset: ChangesetId, count: int) -> list[VersionId]:
    """Return the version ids of all operations of a changeset, each as `version_id` gives it."""
    start = VERSION_DOMAIN.encode() + b"\x00" + changeset
    return [
        VersionId(Hash(hashlib.sha256(start + index.to_bytes(4, "big")).digest()))
        for index in range(count)
    ]


def version_at(origin: bytes) -> VersionId:
    """Return the version that changeset id and index name; or what is given, a version's id."""
    if len(origin) != _ORIGIN_BYTES:
        return VersionId(Hash(origin))
    return VersionId(tagged_hash(VERSION_DOMAIN, origin))


def version_origin(changeset: ChangesetId, index: int) -> bytes:
    """Return what `version_at` takes of operation `index` of a changeset."""
    return changeset + index.to_bytes(_VERSION_INDEX_BYTES, "big")


def version_origins(changeset: ChangesetId, count: int) -> list[bytes]:
    """Return what `version_at` takes of all operations of a changeset."""
    return [changeset + index.to_bytes(_VERSION_INDEX_BYTES, "big") for index in range(count)]


def free_row_id(dataset: DatasetId, signer: Address, nonce: bytes, index: int) -> RowId:
    """Return the id of a row of format 1 in a free dataset: nobody can squat or overwrite it."""
    return RowId(tagged_hash(_FREE_DOMAIN_1, dataset, signer, nonce, index.to_bytes(4, "big")))


def due_row_ids(header: Header, count: int) -> list[RowId]:
    """Return the ids of the first rows that a changeset inserts into a free dataset.

    In format 2 the rows of a changeset are neighbours in every table that is ordered by row: a
    hash of its own names them all, with the index of each in it.
    """
    if header.format == FORMAT_1:
        start = (
            b"\x00".join((_FREE_DOMAIN_1.encode(), header.dataset)) + header.signer + header.nonce
        )
        return [
            RowId(Hash(hashlib.sha256(start + index.to_bytes(4, "big")).digest()))
            for index in range(count)
        ]
    stem = row_stem(header)
    first, rest = stem[:STEM_FIRST_BYTES], stem[STEM_FIRST_BYTES:]
    return [
        RowId(Hash(first + index.to_bytes(INDEX_BYTES, "big") + rest)) for index in range(count)
    ]


def row_stem(header: Header) -> bytes:
    """Return the 30 bytes that the rows due to a changeset of format 2 have in common."""
    stem = tagged_hash("mfdb.row.free.v2", header.dataset, header.signer, header.nonce)
    return stem[: 32 - INDEX_BYTES]


def keyed_row_id(dataset: DatasetId, keyed_hash: bytes) -> RowId:
    """Return the id of a row in an owner-ordered dataset, from the keyed hash of its key."""
    return RowId(tagged_hash("mfdb.row.keyed.v1", dataset, keyed_hash))


def ordered_row_id(dataset: DatasetId, keyed_hash: bytes, packed_key: bytes) -> RowId:
    """Return the id of a row whose key is clear: ids have the order of keys, as far as they go."""
    rest = keyed_row_id(dataset, keyed_hash)
    return RowId(Hash(order_of(packed_key) + rest[ORDER_BYTES:]))


def order_of(packed_key: bytes) -> bytes:
    """Return how the id begins of a row with a clear key, or with a key that begins so."""
    return packed_key[:ORDER_BYTES].ljust(ORDER_BYTES, b"\x00")


def open_changeset(data: bytes) -> Changeset:
    """Return the changeset that these bytes encode; nothing of it is verified yet.

    Raises:
        ValueTooLarge, MalformedMessage: they encode none.
    """
    try:
        plain = decode(_InColumns, data, limit_bytes=CHANGESET_BYTES)
        made = Changeset(plain.header, plain.signature, plain.body)
    except MalformedMessage:
        made = decode(Changeset, data, limit_bytes=CHANGESET_BYTES, usual=_PlainChangeset)
    _check_body(made)
    return made


def _check_body(changeset: Changeset) -> None:
    has_columns = changeset.columns is not None
    if has_columns != (changeset.header.format != FORMAT_1):
        raise MalformedMessage("a changeset's operations have the form of another format")


def is_changeset(id_: ChangesetId, data: bytes) -> bool:
    """Return whether these bytes are those of the changeset with this id, and no bit was turned."""
    try:
        changeset = open_changeset(data)
    except ProtocolViolation:
        return False
    header = changeset.header
    return changeset.id == id_ and operations_root(changeset.body) == header.operations_root


def check_changeset(changeset: Changeset, *, network: Hash, dataset: DatasetId) -> None:
    """Return quietly if signature, commitments and row ids of a changeset are right.

    Whether its signer was allowed to is another question (`authorise`).

    Raises:
        WrongNetwork, BadSignature, BadProof, MalformedMessage: something is not.
    """
    header = changeset.header
    check_network(header.network, network)
    _check_sizes(header)
    if header.dataset != dataset or header.format not in (FORMAT_1, FORMAT):
        raise BadProof("the changeset belongs to another dataset or format")
    _check_body(changeset)
    if not 1 <= changeset.count <= OPERATIONS:
        raise BadProof(f"a changeset has 1 to {OPERATIONS} operations")
    if header.operation_count != changeset.count:
        raise BadProof("the header counts other operations than there are")
    if operations_root(changeset.body) != header.operations_root:
        raise BadProof("the operations do not match the header's root")
    if header.identity and header.identity != header.signer:
        raise BadProof("the header names an identity that did not sign it")
    if not 0 <= header.hlc < 2**64 or not 0 <= header.number < 2**63:
        raise BadProof("a stamp or number is out of range")
    check_signed(changeset.digest, changeset.signature, header.signer, kind="Header")
    _check_operations(changeset)


def _check_sizes(header: Header) -> None:
    """Providers keep headers for ever, so nothing in them may be long (ids are sized types)."""
    if len(header.run) != RUN_BYTES or len(header.nonce) != NONCE_BYTES:
        raise MalformedMessage(f"run and nonce have {RUN_BYTES} and {NONCE_BYTES} bytes")
    if not 0 <= header.acl_epoch < 2**63 or not 0 <= header.key_epoch < 2**63:
        raise MalformedMessage("an epoch is out of range")


def _check_operations(changeset: Changeset) -> None:
    columns = changeset.columns
    if columns is not None:  # what stands in columns was looked at when they were opened
        if columns.rows and len(set(columns.row_ids)) != len(columns.sealed):
            raise BadProof("a changeset touches a row at most once")
        return
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
    if changeset.columns is not None and changeset.columns.has_due_rows:
        return
    ids = due_row_ids(changeset.header, changeset.count)
    for index, (operation, due) in enumerate(zip(changeset.operations, ids, strict=True)):
        if operation.kind is OperationKind.INSERT and operation.row != due:
            raise BadProof(f"operation {index} takes a row id that is not due to it")
