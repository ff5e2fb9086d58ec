"""What nodes ask of each other: one record per request (docs/format.md).

Requests are tagged canonical MessagePack arrays; their answers are `mfdb.node.answers`. A request
that the dataset's rules govern is judged for the identity that said Hello on the connection.
"""

from __future__ import annotations

from typing import get_args

from mfdb.kernel.codec import Record, decode, encode
from mfdb.kernel.ids import Address, AgreementId, CaseId, ChangesetId, DatasetId, Hash, SegmentId
from mfdb.kernel.limits import FRAME_BYTES
from mfdb.node.answers import DatasetState, LogItem
from mfdb.node.dues import PayCheque
from mfdb.rules.evidence import Agreement, SealCertificate, SignedRelease, StoreReceipt
from mfdb.rules.key_log import KeyLogEntry
from mfdb.rules.manifest import SignedManifest
from mfdb.rules.placement import SignedPlacement
from mfdb.rules.receipt import WriteReceipt
from mfdb.rules.records import SignedNodeRecord
from replication.segment import SealedSegment

VERSION = 1
SPANS = 256
"""Spans of places in a `GetRows` or `GetChanges`."""


class Hello(Record, frozen=True, tag="hello"):
    """First request on a connection, both ways: who speaks; free of charge."""

    version: int
    record: SignedNodeRecord


class ProposeAgreement(Record, frozen=True, tag="agree?"):
    """Ask a provider to sign an agreement."""

    agreement: Agreement


class PutManifest(Record, frozen=True, tag="manifest"):
    """Hand over a manifest version."""

    signed: SignedManifest


class PutPlacement(Record, frozen=True, tag="placement"):
    """Hand over placement entries, oldest first; known ones are ignored.

    Answered by the `PlacementLog` that then stands: of two that parted, everybody keeps the same.
    """

    dataset: DatasetId
    entries: tuple[SignedPlacement, ...]


class GetDataset(Record, frozen=True, tag="dataset?"):
    """Ask for the rules and whereabouts of a dataset."""

    dataset: DatasetId


class GetHistory(Record, frozen=True, tag="history?"):
    """Ask for the manifests and placement entries that have these numbers and higher ones."""

    dataset: DatasetId
    manifests: int
    placements: int


class GetSegments(Record, frozen=True, tag="segments?"):
    """Ask for the sealed segments that follow one, in the order of their ids."""

    dataset: DatasetId
    after: SegmentId


class FindDatasets(Record, frozen=True, tag="find?"):
    """Ask which datasets of an owner and name are kept here, of those the asker has a part in."""

    owner: Address
    name: str


class PutChangeset(Record, frozen=True, tag="put"):
    """Write: a changeset and what opens it. Answered by `Acknowledged` once it is durable."""

    data: bytes
    entry: KeyLogEntry


class PutChangesets(Record, frozen=True, tag="puts"):
    """Write several changesets, each for itself. Answered by `AllAnswered`, in their order."""

    puts: tuple[PutChangeset, ...]


class PutReceipts(Record, frozen=True, tag="receipts"):
    """Hand over the receipts that other replicas gave for a changeset."""

    dataset: DatasetId
    receipts: tuple[WriteReceipt, ...]


class ReadLog(Record, frozen=True, tag="log?"):
    """Ask for log entries with a number above `after`; at most `limit_bytes` of data.

    `min_hlc` is what the asker has seen already: a replica that has nothing so new says so.
    """

    dataset: DatasetId
    after: int
    limit_bytes: int
    min_hlc: int = 0


class Follow(Record, frozen=True, tag="follow"):
    """Open a stream of `LogPage`s above `after`, now and as they come."""

    dataset: DatasetId
    after: int


class GetKeys(Record, frozen=True, tag="keys?"):
    """Ask for key log entries of sealed changesets."""

    dataset: DatasetId
    changesets: tuple[ChangesetId, ...]


class GetRoot(Record, frozen=True, tag="root?"):
    """Ask a replica to sign where its log stands; the nonce shows that it did so just now."""

    dataset: DatasetId
    nonce: Hash


class GetRows(Record, frozen=True, tag="rows?"):
    """Ask a replica to sign which rows it has, and to show those in some spans of places.

    At most `SPANS` of them; without any it shows none, and its root tells whether two copies are
    the same.
    """

    dataset: DatasetId
    spans: tuple[tuple[bytes, bytes], ...]
    nonce: Hash


class GetChanges(Record, frozen=True, tag="changes?"):
    """Ask for the log entries above `after` that made the versions of the rows in some spans."""

    dataset: DatasetId
    spans: tuple[tuple[bytes, bytes], ...]
    after: int


class GetReceipts(Record, frozen=True, tag="receipts?"):
    """Ask for all receipts that a provider keeps of a changeset, its own and the others'."""

    dataset: DatasetId
    changeset: ChangesetId


class Reconcile(Record, frozen=True, tag="reconcile"):
    """One message of range-based set reconciliation over the unsealed changesets."""

    dataset: DatasetId
    message: bytes


class GetCopies(Record, frozen=True, tag="copies?"):
    """A replica asks another for changesets that it lacks."""

    dataset: DatasetId
    changesets: tuple[ChangesetId, ...]


class Shred(Record, frozen=True, tag="shred"):
    """The owner asks to destroy row salts: (changeset, operation index) pairs."""

    dataset: DatasetId
    salts: tuple[tuple[ChangesetId, int], ...]


class SealNow(Record, frozen=True, tag="seal"):
    """The owner asks a replica to seal what is unsealed."""

    dataset: DatasetId


class Heal(Record, frozen=True, tag="heal"):
    """The owner asks a replica to catch up with the others now, and to fill gaps in segments."""

    dataset: DatasetId


class Recode(Record, frozen=True, tag="recode"):
    """The owner asks a replica to seal segments of another code than the profile's once more.

    So many at most, so that the owner can tell how far it is.
    """

    dataset: DatasetId
    at_most: int


class PutCopies(Record, frozen=True, tag="copies"):
    """A reader hands changesets over to a replica that lacks them.

    The owner any that are good, whoever else only what some provider of the dataset acknowledged.
    """

    dataset: DatasetId
    items: tuple[LogItem, ...]


class PutReleases(Record, frozen=True, tag="released"):
    """The owner lets providers go: from segments that others took over, or from an agreement."""

    dataset: DatasetId
    releases: tuple[SignedRelease, ...]


class ListHot(Record, frozen=True, tag="hot?"):
    """A replica asks another what it holds unsealed; the answer is its mark for that segment."""

    dataset: DatasetId
    number: int


class PrepareSeal(Record, frozen=True, tag="prepare"):
    """The leader asks a replica to compute a segment that it is about to propose. Answered `Done`.

    Both compute it at the same time, and the replica signs what it finds to be the same.
    """

    dataset: DatasetId
    number: int
    changesets: tuple[ChangesetId, ...]


class ProposeSeal(Record, frozen=True, tag="certify?"):
    """A replica asks another to sign a seal certificate over these changesets.

    `begun` is a replica's signature over it from an attempt that was not finished, or empty.
    """

    dataset: DatasetId
    certificate: SealCertificate
    changesets: tuple[ChangesetId, ...]
    shard_roots: tuple[Hash, ...]
    begun: bytes


class PutShard(Record, frozen=True, tag="shard"):
    """Store one shard of a certified segment (receipts are not in the bundle yet)."""

    dataset: DatasetId
    bundle: SealedSegment
    shard: int
    data: bytes


class PutSealed(Record, frozen=True, tag="sealed"):
    """Hand over a segment's bundle with its store receipts."""

    dataset: DatasetId
    bundle: SealedSegment


class GetShard(Record, frozen=True, tag="shard?"):
    """Ask for one shard of a segment."""

    dataset: DatasetId
    segment: SegmentId
    shard: int


class Audit(Record, frozen=True, tag="audit"):
    """Ask for proofs of the units of a shard that a beacon draws."""

    receipt: StoreReceipt
    beacon: Hash


class TakeOver(Record, frozen=True, tag="takeover"):
    """Ask a spare provider to rebuild the shards lost in a case, under the owner's mandate.

    The state has a page each of manifests and placement entries; whoever asks tells the others.
    """

    case: CaseId
    agreement: AgreementId
    segment: SegmentId
    state: DatasetState


Request = (
    Hello
    | ProposeAgreement
    | PutManifest
    | PutPlacement
    | GetDataset
    | GetHistory
    | GetSegments
    | FindDatasets
    | PutChangeset
    | PutChangesets
    | PutReceipts
    | ReadLog
    | Follow
    | GetKeys
    | GetRoot
    | GetRows
    | GetChanges
    | GetReceipts
    | Reconcile
    | GetCopies
    | Shred
    | SealNow
    | Heal
    | Recode
    | PutCopies
    | PutReleases
    | ListHot
    | PrepareSeal
    | ProposeSeal
    | PutShard
    | PutSealed
    | GetShard
    | Audit
    | TakeOver
    | PayCheque
)

FREE = (Hello, PayCheque)
"""Requests that cost nothing, so that a debtor can always identify itself and pay."""


_LARGE = frozenset[type[Record]](
    (
        GetDataset,
        GetHistory,
        GetSegments,
        ReadLog,
        Follow,
        GetCopies,
        GetKeys,
        GetShard,
        GetRows,
        GetChanges,
    )
)


def answer_bytes(kind: type[Record]) -> int:
    """Return at how many bytes the answer to a kind of request is reserved; both sides agree."""
    return 2**21 if kind in _LARGE else 2**14


_BY_TAG: dict[bytes, type[Record]] = {
    encode(kind.__struct_config__.tag): kind for kind in get_args(Request)
}


def open_request(body: bytes) -> Request:
    """Return the request in a frame.

    Raises:
        ValueTooLarge, MalformedMessage: there is none.
    """
    # The tag, a short text, is the first element: of one kind less is to be looked for.
    kind = _BY_TAG.get(body[1 : 2 + (body[1] & 0x1F)]) if len(body) > 1 else None
    request: Request = decode(kind or Request, body, limit_bytes=FRAME_BYTES)  # type: ignore[arg-type,assignment]  # a union is no type object
    return request
