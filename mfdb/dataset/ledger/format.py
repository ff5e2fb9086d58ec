"""What a ledger consists of: signed headers, and slots that hold an operation or only its hash.

    slot  = 0x00 || salt (16 bytes) || operation     while the values are there
          = 0x01 || leaf (32 bytes) || parent (u64)  once they were destroyed
    leaf  = SHA-256(slot while the values are there)
    root  = SHA-256(domain, 0x00, leaf, leaf, ...)

So a header's root holds whether or not some of its operations were destroyed, and nobody can try
values against a leaf whose salt is gone.
"""

from __future__ import annotations

from enum import IntEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar

from mfdb.kernel.codec import Record, decode_own, encode
from mfdb.kernel.digest import tagged_hash
from mfdb.kernel.errors import CorruptRecord
from mfdb.kernel.ids import ZERO_HASH, Address, ChangesetId, DatasetId, Hash
from mfdb.rules.evidence import EMBEDDED
from mfdb.rules.manifest import Ordering
from mfdb.rules.signing import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mfdb.dataset.ledger.form import Form
    from mfdb.kernel.account import Account
    from mfdb.rules.manifest import Manifest

FORMAT = 1
SALT_BYTES = 16
LIVE, GONE = b"\x00", b"\x01"
_OPERATION_AT = 1 + SALT_BYTES
_LEAF_BYTES = 32


class Kind(IntEnum):
    """What an operation does to a row."""

    INSERT = 0
    UPDATE = 1
    DELETE = 2


class LocalHeader(Record, frozen=True):
    """What the owner signs of each changeset: operations `first` to `first + count - 1`."""

    format: int
    network: Hash
    dataset: DatasetId
    manifest: Hash
    acl_epoch: int
    signer: Address
    number: int
    previous: Hash
    hlc: int
    first: int
    count: int
    root: Hash

    DOMAIN: ClassVar[str] = "mfdb.ledger.v1"


class LedgerEntry(Record, frozen=True):
    """A signed header; the next one names its id."""

    header: LocalHeader
    signature: bytes

    @property
    def id(self) -> ChangesetId:
        """Id of the changeset: header and signature."""
        return _id_of(digest_of(self.header), self.signature)

    @property
    def last(self) -> int:
        """The sequence of its last operation."""
        return self.header.first + self.header.count - 1


class LedgerHead(Record, frozen=True):
    """Where a ledger stands: how many changesets and operations it has, and the last one's id."""

    number: int = 0
    sequence: int = 0
    previous: Hash = ZERO_HASH
    hlc: int = 0


class LocalOperation(Record, frozen=True):
    """One change of one row.

    `parent` is the sequence of the version that it supersedes, `place` the one that first showed
    the row (both 0 in an insert). `values` stand in the order of the columns of the manifest that
    the header names; of a deleted row they keep the clear and key columns.
    """

    kind: Kind
    parent: int
    place: int
    values: tuple[Any, ...]


class LedgerRow(Record, frozen=True, gc=False):
    """A visible row as it is stored: by which operation, first shown by which, and when."""

    sequence: int
    place: int
    hlc: int
    values: tuple[Any, ...]


def _id_of(digest: Hash, signature: bytes) -> ChangesetId:
    return ChangesetId(tagged_hash("mfdb.ledger-id.v1", digest, signature))


def sign_next(
    form: Form, head: LedgerHead, account: Account, *, hlc: int, leaves: Sequence[bytes]
) -> tuple[bytes, bytes, LedgerHead]:
    """Sign the changeset of the operations that come next, by their leaves.

    Return the encoding of its `LedgerEntry`, the key under which that stands, and where the ledger
    stands then, with the id of the changeset.
    """
    manifest, last = form.manifest, head.sequence + len(leaves)
    header = LocalHeader(
        format=FORMAT,
        network=manifest.network,
        dataset=manifest.dataset,
        manifest=form.manifest_hash,
        acl_epoch=manifest.acl_epoch,
        signer=account.address,
        number=head.number,
        previous=head.previous,
        hlc=hlc,
        first=head.sequence + 1,
        count=len(leaves),
        root=root_of(leaves),
    )
    body = encode(header)
    digest = tagged_hash(LocalHeader.DOMAIN, body)
    signature = account.sign(digest)
    entry = b"\x92" + body + encode(signature)
    after = LedgerHead(head.number + 1, last, Hash(_id_of(digest, signature)), hlc)
    return entry, form.entries + last.to_bytes(8, "big"), after


def has_ledger(manifest: Manifest) -> bool:
    """Return whether a dataset is kept in a ledger: it lives here only, in its owner's order."""
    return manifest.network == EMBEDDED and manifest.ordering is Ordering.OWNER


def leaf_of(slot: bytes) -> bytes:
    """Return the hash by which a slot counts in the root."""
    if slot[:1] == LIVE:
        return sha256(slot).digest()
    return slot[1 : 1 + _LEAF_BYTES]


def root_of(leaves: Iterable[bytes]) -> Hash:
    """Return what a header says of all its operations."""
    return tagged_hash("mfdb.ledger-root.v1", b"".join(leaves))


def operation_in(slot: bytes) -> LocalOperation | None:
    """Return the operation of a slot, or None if it was destroyed.

    Raises:
        CorruptRecord: it holds neither.
    """
    if slot[:1] == LIVE:
        return decode_own(LocalOperation, slot[_OPERATION_AT:])
    if slot[:1] == GONE and len(slot) == 1 + _LEAF_BYTES + 8:
        return None
    raise CorruptRecord("a slot of the ledger is damaged")


def parent_in(slot: bytes) -> int:
    """Return the sequence that a slot's operation supersedes, also when it was destroyed."""
    if slot[_OPERATION_AT : _OPERATION_AT + 2] == _INSERT and slot[:1] == LIVE:
        return 0
    operation = operation_in(slot)
    return int.from_bytes(slot[-8:], "big") if operation is None else operation.parent


def destroyed(slot: bytes) -> tuple[bytes, int]:
    """Return a slot without its operation and salt, and what it superseded, which is kept.

    Raises:
        CorruptRecord: it holds no operation.
    """
    if slot[:1] == LIVE and slot.startswith(_INSERT, _OPERATION_AT):
        return GONE + sha256(slot).digest() + _NO_PARENT, 0
    parent = parent_in(slot)
    return GONE + leaf_of(slot) + parent.to_bytes(8, "big"), parent


_KINDS = tuple(b"\x94" + bytes((kind,)) for kind in Kind)
INSERTS = encode(LocalOperation(Kind.INSERT, 0, 0, ()))[:-1]
"""What stands before the values of every insert: its encoding up to them."""
_INSERT = INSERTS[:2]
_NO_PARENT = bytes(8)


def before_values(kind: Kind, parent: int, place: int) -> bytes:
    """Return the encoding of an operation up to its values."""
    return _KINDS[kind] + encode(parent) + encode(place)


def row_before_values(sequence: int, place: int, hlc: int) -> bytes:
    """Return the encoding of a stored row up to its values."""
    return b"\x94" + encode(sequence) + encode(place) + encode(hlc)
