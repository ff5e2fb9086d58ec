"""What a dump consists of: one record per signed thing, and at the end a list of all of them.

Each part has a key within its dataset and a fingerprint of its bytes. The *inventory* of a dump
lists both for everything that was kept when it was taken, also for what only its forerunners carry;
so an incremental dump knows what is new, and a chain can be shown to be whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, TypeAlias

from mfdb.dataset.layout import IndexInfo
from mfdb.dataset.ledger.format import LedgerEntry, LedgerHead
from mfdb.kernel.codec import Record, encode
from mfdb.kernel.digest import tagged_hash
from mfdb.kernel.ids import Address, ChangesetId, DatasetId, Hash
from mfdb.rules.changeset import Changeset
from mfdb.rules.evidence import Network
from mfdb.rules.key_log import KeyLogEntry
from mfdb.rules.manifest import SignedManifest
from mfdb.rules.placement import SignedPlacement
from mfdb.rules.receipt import WriteReceipt
from mfdb.rules.records import SignedNodeRecord
from replication.segment import SealedSegment

if TYPE_CHECKING:
    from collections.abc import Sequence

FINGERPRINT_BYTES = 16

Item: TypeAlias = tuple[bytes, bytes]
"""The key of a part within its dataset and the fingerprint of its bytes."""


class DumpHead(Record, frozen=True, tag="head"):
    """The first part: whose dump it is, the how-manieth of its chain, after which and when."""

    format: int
    identity: Address
    number: int
    previous: Hash
    time_s: int


class ManifestPart(Record, frozen=True, tag="manifest"):
    """A version of a dataset's rules."""

    signed: SignedManifest

    @property
    def dataset(self) -> DatasetId:
        """Which dataset it belongs to."""
        return self.signed.manifest.dataset

    @property
    def key(self) -> bytes:
        """Its key within the dataset."""
        return b"m" + self.signed.manifest.number.to_bytes(4, "big")


class IndexPart(Record, frozen=True, tag="index"):
    """The definition of a secondary index; its entries are made anew."""

    dataset: DatasetId
    info: IndexInfo

    @property
    def key(self) -> bytes:
        """Its key within the dataset."""
        return b"i" + self.info.name.encode()


class EntryPart(Record, frozen=True, tag="entry"):
    """A signed header of a ledger; its slots follow."""

    entry: LedgerEntry

    @property
    def dataset(self) -> DatasetId:
        """Which dataset it belongs to."""
        return self.entry.header.dataset


class SlotsPart(Record, frozen=True, tag="slots"):
    """Runs of slots of a ledger, as they are stored; `first` is the sequence of the first slot."""

    dataset: DatasetId
    first: int
    runs: tuple[tuple[bytes, ...], ...]


class ChangesetPart(Record, frozen=True, tag="changeset"):
    """A signed changeset."""

    changeset: Changeset

    @property
    def dataset(self) -> DatasetId:
        """Which dataset it belongs to."""
        return self.changeset.header.dataset

    @property
    def key(self) -> bytes:
        """Its key within the dataset."""
        return b"c" + self.changeset.id


class KeysPart(Record, frozen=True, tag="keys"):
    """What opens a changeset, for who has the read key."""

    entry: KeyLogEntry

    @property
    def dataset(self) -> DatasetId:
        """Which dataset it belongs to."""
        return self.entry.dataset

    @property
    def key(self) -> bytes:
        """Its key within the dataset."""
        return b"k" + self.entry.changeset


class ReceiptsPart(Record, frozen=True, tag="receipts"):
    """The receipts that providers gave for a changeset."""

    dataset: DatasetId
    changeset: ChangesetId
    receipts: tuple[WriteReceipt, ...]

    @property
    def key(self) -> bytes:
        """Its key within the dataset."""
        return b"r" + self.changeset


class UnsentPart(Record, frozen=True, tag="unsent"):
    """A changeset that waits in the outbox, with what opens it."""

    changeset: Changeset
    entry: KeyLogEntry

    @property
    def dataset(self) -> DatasetId:
        """Which dataset it belongs to."""
        return self.changeset.header.dataset

    @property
    def key(self) -> bytes:
        """Its key within the dataset."""
        return b"o" + self.entry.changeset


class PlacementPart(Record, frozen=True, tag="placement"):
    """An entry of the placement log."""

    signed: SignedPlacement

    @property
    def dataset(self) -> DatasetId:
        """Which dataset it belongs to."""
        return self.signed.entry.dataset

    @property
    def key(self) -> bytes:
        """Its key within the dataset."""
        return b"p" + self.signed.entry.number.to_bytes(8, "big")


class SegmentPart(Record, frozen=True, tag="segment"):
    """A seal certificate with its receipts; the shards stay with the providers."""

    dataset: DatasetId
    bundle: SealedSegment

    @property
    def key(self) -> bytes:
        """Its key within the dataset."""
        return b"s" + self.bundle.certificate.segment


class NodePart(Record, frozen=True, tag="node"):
    """A provider's node record: by which key it signs its receipts."""

    dataset: DatasetId
    signed: SignedNodeRecord

    @property
    def key(self) -> bytes:
        """Its key within the dataset."""
        return b"n" + self.signed.record.identity


class NetworkPart(Record, frozen=True, tag="network"):
    """The network of a dataset: chain and contract that its evidence is for."""

    dataset: DatasetId
    network: Network

    @property
    def key(self) -> bytes:
        """Its key within the dataset."""
        return b"w"


class DroppedPart(Record, frozen=True, tag="dropped"):
    """The mark of a dataset that was dropped here, and why."""

    dataset: DatasetId
    reason: bytes

    @property
    def key(self) -> bytes:
        """Its key within the dataset."""
        return b"t"


class InventoryPart(Record, frozen=True, tag="inventory"):
    """What is kept of a dataset: its ledger's head and (some of) its other parts."""

    dataset: DatasetId
    ledger: LedgerHead
    items: tuple[Item, ...]


class DumpSummary(Record, frozen=True):
    """What the identity signs of a dump: its place in its chain and the hash of all bytes before.

    The hash of the summary is the dump's id.
    """

    format: int
    identity: Address
    number: int
    previous: Hash
    time_s: int
    parts: int
    length_bytes: int
    content: Hash

    DOMAIN: ClassVar[str] = "mfdb.dump.v1"


class DumpEnd(Record, frozen=True, tag="end"):
    """The last part, in a frame of its own."""

    summary: DumpSummary
    signature: bytes


Keyed = (
    ManifestPart
    | IndexPart
    | ChangesetPart
    | KeysPart
    | ReceiptsPart
    | UnsentPart
    | PlacementPart
    | SegmentPart
    | NodePart
    | NetworkPart
    | DroppedPart
)
"""Parts that an inventory lists one by one; of a ledger it names the head."""
Kept = Keyed | EntryPart | SlotsPart
Part = DumpHead | Kept | InventoryPart | DumpEnd


def item_of(part: Keyed) -> Item:
    """Return what an inventory says of a part."""
    return part.key, tagged_hash("mfdb.dump-item.v1", encode(part))[:FINGERPRINT_BYTES]


class Stock:
    """What is kept of one dataset: its ledger's head and the fingerprints of its other parts."""

    __slots__ = ("items", "ledger")

    def __init__(self) -> None:
        self.ledger = LedgerHead()
        self.items: dict[bytes, bytes] = {}

    def add(self, ledger: LedgerHead, items: Sequence[Item]) -> None:
        """Take in one part of an inventory."""
        self.ledger = ledger
        self.items.update(items)


Inventory: TypeAlias = dict[DatasetId, Stock]
"""What is kept of all datasets."""
