"""What nodes answer each other: one record per answer (docs/format.md).

Answers are tagged canonical MessagePack arrays, as the requests are (`mfdb.node.requests`).
"""

from __future__ import annotations

from typing import TypeVar

from mfdb.kernel.codec import Record, decode
from mfdb.kernel.errors import MalformedMessage
from mfdb.kernel.ids import ChangesetId, DatasetId
from mfdb.kernel.limits import FRAME_BYTES
from mfdb.node.dues import Offer, Standing
from mfdb.rules.evidence import StoreReceipt
from mfdb.rules.key_log import KeyLogEntry
from mfdb.rules.manifest import SignedManifest
from mfdb.rules.placement import SignedPlacement
from mfdb.rules.receipt import SignedLogRoot, WriteReceipt
from mfdb.rules.records import SignedNodeRecord
from mfdb.rules.row_tree import RowProof, SignedRowRoot
from replication.audit import AuditAnswer
from replication.seal import HotEntry
from replication.segment import SealedSegment

SEGMENTS_BYTES = 2**20
"""Segments whose bytes come to that make a page; the last one of a page may go beyond."""


class SealReport(Record, frozen=True):
    """What one sealing did."""

    segments: int
    changesets: int
    bytes: int
    receipts: int


class LogItem(Record, frozen=True):
    """One entry of a provider's log; `data` is empty once a segment took the changeset over."""

    number: int
    changeset: ChangesetId
    data: bytes
    entry: KeyLogEntry | None
    receipts: tuple[WriteReceipt, ...]


class Welcome(Record, frozen=True, tag="welcome"):
    """Answer to Hello."""

    version: int
    record: SignedNodeRecord
    offer: Offer | None
    standing: Standing


class Done(Record, frozen=True, tag="done"):
    """It is done, durably."""


class Signed(Record, frozen=True, tag="signed"):
    """A signature that was asked for."""

    signature: bytes


class DatasetState(Record, frozen=True, tag="dataset"):
    """A first page each of the manifest versions, the placement log and the sealed segments.

    In other places all of them: where a node keeps them, and for who takes over.
    """

    manifests: tuple[SignedManifest, ...]
    placements: tuple[SignedPlacement, ...]
    segments: tuple[SealedSegment, ...]


class PlacementLog(Record, frozen=True, tag="placed"):
    """The placement log of a dataset as it stands here, from the first entry on that was told.

    Oldest first; if it fills a page (`SEGMENTS_BYTES`), others follow (`GetHistory`).
    """

    entries: tuple[SignedPlacement, ...]


class History(Record, frozen=True, tag="history"):
    """Manifests and placement entries; where they fill a page (`SEGMENTS_BYTES`), others follow."""

    manifests: tuple[SignedManifest, ...]
    placements: tuple[SignedPlacement, ...]


class Segments(Record, frozen=True, tag="segments"):
    """Sealed segments; if they fill a page (`SEGMENTS_BYTES`), others follow."""

    bundles: tuple[SealedSegment, ...]


class Datasets(Record, frozen=True, tag="datasets"):
    """Datasets that are kept there, in the order of their ids."""

    ids: tuple[DatasetId, ...]


class Acknowledged(Record, frozen=True, tag="acked"):
    """A write receipt."""

    receipt: WriteReceipt


class Answered(Record, frozen=True):
    """A write receipt, or the refusal of one changeset among several."""

    receipt: WriteReceipt | None
    refusal: bytes


class AllAnswered(Record, frozen=True, tag="answered"):
    """What became of several changesets."""

    answers: tuple[Answered, ...]


class LogPage(Record, frozen=True, tag="log"):
    """Log entries in order; `more` says that there are more right now.

    `behind` is the highest HLC of the whole log if that is below the `min_hlc` asked for.
    """

    items: tuple[LogItem, ...]
    more: bool
    behind: int | None = None


class Keys(Record, frozen=True, tag="keys"):
    """Key log entries."""

    entries: tuple[KeyLogEntry, ...]


class Root(Record, frozen=True, tag="root"):
    """Where a replica's log stands, signed."""

    signed: SignedLogRoot


class Rows(Record, frozen=True, tag="rows"):
    """Which rows a replica has, signed, and the proof of those that were asked for."""

    signed: SignedRowRoot
    proof: RowProof


class Receipts(Record, frozen=True, tag="receipts-of"):
    """Write receipts, the promises of several providers."""

    receipts: tuple[WriteReceipt, ...]


class Reconciled(Record, frozen=True, tag="reconciled"):
    """The next message of a reconciliation, empty when it is over, and what the asker lacks."""

    message: bytes
    have: tuple[ChangesetId, ...]


class Copies(Record, frozen=True, tag="copies"):
    """Changesets with what opens them and the receipts given for them."""

    items: tuple[LogItem, ...]


class SealedReport(Record, frozen=True, tag="sealed-report"):
    """Answer to SealNow."""

    report: SealReport


class Stored(Record, frozen=True, tag="stored"):
    """A store receipt and its signature."""

    receipt: StoreReceipt
    signature: bytes


class Shard(Record, frozen=True, tag="shard-data"):
    """A shard's bytes."""

    data: bytes


class Proofs(Record, frozen=True, tag="proofs"):
    """The units asked for."""

    answer: AuditAnswer


class HotList(Record, frozen=True, tag="hot"):
    """What a replica holds unsealed, and what it has signed for that segment already, if any."""

    entries: tuple[HotEntry, ...]
    signed: tuple[ChangesetId, ...]


Answer = (
    Welcome
    | Done
    | Signed
    | DatasetState
    | PlacementLog
    | History
    | Segments
    | Datasets
    | Acknowledged
    | AllAnswered
    | LogPage
    | Keys
    | Root
    | Rows
    | Receipts
    | Reconciled
    | Copies
    | SealedReport
    | Stored
    | Shard
    | Proofs
    | HotList
)

A = TypeVar("A", bound=Record)


def open_answer(kind: type[A], body: bytes) -> A:
    """Return the answer in a frame, which must be of the kind that was asked for.

    Raises:
        ValueTooLarge, MalformedMessage: it is not.
    """
    try:
        return decode(kind, body, limit_bytes=FRAME_BYTES)
    except MalformedMessage:
        answer: Answer = decode(Answer, body, limit_bytes=FRAME_BYTES)  # type: ignore[arg-type]  # a union is no type object
        raise MalformedMessage(f"expected {kind.__name__}, got {type(answer).__name__}") from None
