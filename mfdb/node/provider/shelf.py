"""Where a provider keeps what: one function per record kind over an ordered key space.

Records have a checksum (`records`), and so have L, N, k, c, i, u and O.

M dataset number      signed manifest
P dataset number      signed placement entry   A, a              agreements: `agreements`
L dataset log number  changeset id             H dataset         -> tip of my log
X dataset changeset   changeset bytes          h ...             -> header, kept for ever
K dataset changeset   key log entry
N dataset changeset   log number               R ... provider    -> write receipt
r dataset changeset provider                   -> hot key, receipt: heard of, not verified yet
V, T, I               versions of rows: `rows`  F                 -> format of all this
S dataset segment     sealed segment
D segment shard       shard bytes              B                 -> last receipt batch
k dataset segment no  ids marked for it        c ...             -> certificate signed
u dataset             bytes that lie here      i ...             -> ids it lists
e                     chain events read so far
t, w, v               `take_overs`               y dataset segment     all of it came here
l, z                  on leaving: `releases`   d dataset segment     released from everybody
O, o                  what is unsealed, by its HLC: `hot_index`
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from mfdb.kernel.codec import Record
from mfdb.kernel.errors import MalformedMessage, ProtocolViolation, UnknownDataset
from mfdb.kernel.ids import (
    ZERO_HASH,
    Address,
    ChangesetId,
    DatasetId,
    Hash,
)
from mfdb.node.provider import hot_index, records
from mfdb.rules.changeset import Header
from mfdb.rules.key_log import KeyLogEntry
from mfdb.rules.manifest import Manifest, SignedManifest
from mfdb.rules.placement import Placement, SignedPlacement, fold
from mfdb.rules.receipt import WriteReceipt, is_signed
from replication.seal import HotEntry

if TYPE_CHECKING:
    from mfdb.node.commit import Transaction
    from mfdb.rules.evidence import Network

View = records.View


class LogTip(Record, frozen=True):
    """Number and head hash of the last entry of a dataset's log; number -1 before the first.

    `newest` is the highest HLC of all entries, 0 before the first.
    """

    number: int
    head: Hash
    newest: int


ADDRESS_BYTES = 20
ID_BYTES = 32
_NUMBER_BYTES = 8


def number_bytes(value: int) -> bytes:
    """Return a number as keys hold it, in their order.

    Raises:
        MalformedMessage: it is out of range.
    """
    if not 0 <= value < 2**64:
        raise MalformedMessage("a number in a request is out of range")
    return value.to_bytes(8, "big")


# ---- manifests, placement, agreements


def manifests(view: View, dataset: DatasetId) -> tuple[SignedManifest, ...]:
    """Return all manifest versions of a dataset, oldest first."""
    return tuple(_manifest(key, data) for key, data in view.scan(b"M" + dataset))


@lru_cache(maxsize=1024)
def _manifest(key: bytes, data: bytes) -> SignedManifest:
    return records.opened(SignedManifest, key, data)


def manifest(view: View, dataset: DatasetId) -> Manifest:
    """Return the manifest in force.

    Raises:
        UnknownDataset: this provider does not keep the dataset.
    """
    found = manifests(view, dataset)
    if not found:
        raise UnknownDataset(
            f"this provider does not keep dataset 0x{dataset.hex()[:16]}",
            hint="ask a provider that the owner's home record names",
        )
    return found[-1].manifest


def put_manifest(transaction: Transaction, signed: SignedManifest) -> None:
    """Keep a manifest version."""
    transaction.redefines.add(signed.manifest.dataset)
    key = manifest_key(signed.manifest.dataset, signed.manifest.number)
    records.put(transaction, key, signed)


def manifest_key(dataset: DatasetId, number: int) -> bytes:
    """Return the key of a manifest version."""
    return b"M" + dataset + number_bytes(number)


def placements(view: View, dataset: DatasetId) -> tuple[SignedPlacement, ...]:
    """Return the placement log, oldest first."""
    return tuple(records.every(view, b"P" + dataset, SignedPlacement))


def placement(view: View, dataset: DatasetId, network: Network) -> Placement:
    """Return where a dataset stands.

    Raises:
        UnknownDataset: this provider does not keep it.
        DamagedRecord: what is kept of it is not what was verified when it came.
    """
    rules = manifest(view, dataset)
    log = tuple(view.scan(b"P" + dataset))
    try:
        return _folded(log, rules.owner, rules.subject, network)
    except ProtocolViolation as error:
        raise records.damaged(b"P" + dataset, "placement log") from error


@lru_cache(maxsize=1024)
def _folded(
    log: tuple[tuple[bytes, bytes], ...], owner: Address, subject: Hash, network: Network
) -> Placement:
    """Every request asks for the placement; its signatures are verified once per log."""
    entries = [records.opened(SignedPlacement, key, data) for key, data in log]
    return fold(entries, owner=owner, subject=subject, network=network)


def placement_entry(view: View, dataset: DatasetId, number: int) -> SignedPlacement | None:
    """Return an entry of the placement log, or None."""
    return records.get(view, placement_key(dataset, number), SignedPlacement)


def placement_key(dataset: DatasetId, number: int) -> bytes:
    """Return the key of a placement entry."""
    return b"P" + dataset + number_bytes(number)


def put_placement(transaction: Transaction, signed: SignedPlacement) -> None:
    """Keep a placement entry."""
    transaction.redefines.add(signed.entry.dataset)
    key = placement_key(signed.entry.dataset, signed.entry.number)
    records.put(transaction, key, signed)


def drop_placement(transaction: Transaction, signed: SignedPlacement) -> None:
    """Forget a placement entry that another one outranks."""
    transaction.redefines.add(signed.entry.dataset)
    transaction.delete(placement_key(signed.entry.dataset, signed.entry.number))


def datasets(view: View) -> tuple[DatasetId, ...]:
    """Return every dataset this provider keeps something of."""
    ids = dict.fromkeys(DatasetId(key[1:33]) for key, _ in view.scan(b"M"))
    return tuple(ids)


# ---- the hot log


def tip(view: View, dataset: DatasetId) -> LogTip:
    """Return the tip of this provider's log of a dataset."""
    found = records.get(view, b"H" + dataset, LogTip)
    return found or LogTip(number=-1, head=ZERO_HASH, newest=0)


def put_log(
    transaction: Transaction, dataset: DatasetId, changeset: ChangesetId, after: LogTip
) -> None:
    """Append a changeset to the log; `after` is the tip with it."""
    put_log_entry(transaction, dataset, after.number, changeset)
    put_log_number(transaction, dataset, changeset, after.number)
    put_tip(transaction, dataset, after)


def put_log_entry(
    transaction: Transaction, dataset: DatasetId, number: int, changeset: ChangesetId
) -> None:
    """Keep which changeset stands at a log number."""
    records.put_plain(transaction, b"L" + dataset + number_bytes(number), changeset)


def put_log_number(
    transaction: Transaction, dataset: DatasetId, changeset: ChangesetId, number: int
) -> None:
    """Keep at which log number a changeset stands."""
    records.put_plain(transaction, b"N" + dataset + changeset, number_bytes(number))


def put_tip(transaction: Transaction, dataset: DatasetId, after: LogTip) -> None:
    """Keep where the log of a dataset stands."""
    records.put(transaction, b"H" + dataset, after)


def log_number(view: View, dataset: DatasetId, changeset: ChangesetId) -> int | None:
    """Return the log number of a changeset, or None if it never came here."""
    key = b"N" + dataset + changeset
    data = view.get(key)
    return number_in(key, data) if data else None


def number_in(key: bytes, data: bytes) -> int:
    """Return the number that lies under a key of table N or u.

    Raises:
        DamagedRecord: it is damaged.
    """
    return int.from_bytes(records.plain(key, data, _NUMBER_BYTES, "number"), "big")


def log_entry(view: View, dataset: DatasetId, number: int) -> ChangesetId:
    """Return the changeset at a log number.

    Raises:
        DamagedRecord: it is damaged, or is not there.
    """
    key = b"L" + dataset + number_bytes(number)
    data = view.get(key)
    if data is None:
        raise records.damaged(key, "log entry")
    return entry_in(key, data)


def entry_in(key: bytes, data: bytes) -> ChangesetId:
    """Return the changeset that lies under a key of table L.

    Raises:
        DamagedRecord: it is damaged.
    """
    return ChangesetId(Hash(records.plain(key, data, ID_BYTES, "log entry")))


def changeset_data(view: View, dataset: DatasetId, changeset: ChangesetId) -> bytes | None:
    """Return the bytes of an unsealed changeset, or None."""
    return view.get(changeset_key(dataset, changeset))


def changeset_key(dataset: DatasetId, changeset: ChangesetId) -> bytes:
    """Return the key of an unsealed changeset."""
    return b"X" + dataset + changeset


def put_changeset(
    transaction: Transaction, entry: KeyLogEntry, header: Header, data: bytes
) -> None:
    """Keep a changeset: its bytes until they are sealed, header and what opens it for ever."""
    suffix = entry.dataset + entry.changeset
    use_bytes(transaction, entry.dataset, len(data))
    transaction.put(b"X" + suffix, data)
    put_header(transaction, entry.dataset, entry.changeset, header)
    hot = HotEntry(entry.changeset, header.hlc, len(data))
    hot_index.add(transaction, entry.dataset, hot)
    put_key_entry(transaction, entry)


def mend_changeset(
    transaction: Transaction, dataset: DatasetId, changeset: ChangesetId, data: bytes
) -> None:
    """Keep the same changeset's bytes again, good ones in the place of damaged ones."""
    transaction.put(b"X" + dataset + changeset, data)


def header(view: View, dataset: DatasetId, changeset: ChangesetId) -> Header | None:
    """Return the header of a changeset that ever came here, or None."""
    return records.get(view, b"h" + dataset + changeset, Header)


def put_header(
    transaction: Transaction, dataset: DatasetId, changeset: ChangesetId, header: Header
) -> None:
    """Keep the header of a changeset."""
    records.put(transaction, b"h" + dataset + changeset, header)


def release(transaction: Transaction, dataset: DatasetId, changeset: ChangesetId) -> None:
    """Drop the bytes of a changeset that a sealed segment has taken over."""
    transaction.delete(b"X" + dataset + changeset)
    known = header(transaction, dataset, changeset)
    if known is not None:
        length = hot_index.remove(transaction, dataset, known.hlc, changeset)
        use_bytes(transaction, dataset, -length)


def unsealed(view: View, dataset: DatasetId) -> tuple[ChangesetId, ...]:
    """Return the ids of all changesets whose bytes are kept here, sorted."""
    prefix = b"X" + dataset
    return tuple(ChangesetId(key[len(prefix) :]) for key, _ in view.scan(prefix))


def key_entry(view: View, dataset: DatasetId, changeset: ChangesetId) -> KeyLogEntry | None:
    """Return the key log entry of a changeset, or None."""
    return records.get(view, b"K" + dataset + changeset, KeyLogEntry)


def put_key_entry(transaction: Transaction, entry: KeyLogEntry) -> None:
    """Keep a key log entry."""
    records.put(transaction, b"K" + entry.dataset + entry.changeset, entry)


def receipts(
    view: View, dataset: DatasetId, changeset: ChangesetId, network: Network
) -> tuple[WriteReceipt, ...]:
    """Return all receipts kept for a changeset, of every provider, verified.

    Those of other providers are verified here, when they are asked for: most never are.
    """
    suffix = dataset + changeset
    found = list(records.every(view, b"R" + suffix, WriteReceipt))
    verified = {receipt.batch.provider for receipt in found}
    for key, data in view.scan(b"r" + suffix):
        if key[-ADDRESS_BYTES:] in verified:
            continue
        signer, receipt = heard(key, data)
        if is_signed(receipt, network=network, signer=signer):
            found.append(receipt)
    return tuple(found)


def heard(key: bytes, data: bytes) -> tuple[Address, WriteReceipt]:
    """Return another provider's receipt as it was heard of, and the hot key that is to be its.

    Raises:
        DamagedRecord: it is damaged.
    """
    signer, body = _heard(data)
    return signer, records.opened(WriteReceipt, key, body)


def _heard(data: bytes) -> tuple[Address, bytes]:
    body = records.unchecked(data) or data
    return Address(body[:ADDRESS_BYTES]), body[ADDRESS_BYTES:]


def heard_receipt(
    view: View, dataset: DatasetId, changeset: ChangesetId, provider: Address
) -> bytes | None:
    """Return the bytes of another provider's receipt, as it was handed over, or None."""
    data = view.get(b"r" + dataset + changeset + provider)
    return _heard(data)[1] if data else None


def put_heard_receipt(
    transaction: Transaction,
    dataset: DatasetId,
    receipt: WriteReceipt,
    signer: Address,
    data: bytes,
) -> None:
    """Keep another provider's receipt, as encoded, with the hot key that is to have signed it."""
    key = b"r" + dataset + receipt.ack.changeset + receipt.batch.provider
    transaction.put(key, records.checked(signer + data))


def receipt_of(
    view: View, dataset: DatasetId, changeset: ChangesetId, provider: Address
) -> WriteReceipt | None:
    """Return the receipt that this provider gave for a changeset, or None."""
    return records.get(view, b"R" + dataset + changeset + provider, WriteReceipt)


def put_receipt(transaction: Transaction, dataset: DatasetId, receipt: WriteReceipt) -> None:
    """Keep a receipt of this provider's own beside its changeset."""
    key = b"R" + dataset + receipt.ack.changeset + receipt.batch.provider
    records.put(transaction, key, receipt)


def next_batch(transaction: Transaction) -> int:
    """Return the number of the next receipt batch; none is ever used twice."""
    data = transaction.get(b"B")
    number = int.from_bytes(data, "big") + 1 if data else 0
    transaction.put(b"B", number_bytes(number))
    return number


def used_bytes(view: View, dataset: DatasetId) -> int:
    """Return how many bytes of a dataset lie here: unsealed changesets and shards."""
    key = b"u" + dataset
    data = view.get(key)
    return number_in(key, data) if data else 0


def use_bytes(transaction: Transaction, dataset: DatasetId, more_bytes: int) -> None:
    """Count so many bytes of a dataset more, or less."""
    used = max(0, used_bytes(transaction, dataset) + more_bytes)
    records.put_plain(transaction, b"u" + dataset, number_bytes(used))


# ---- the chain


def events_read(view: View) -> int:
    """Return from which block on the chain's events must be read."""
    data = view.get(b"e")
    return int.from_bytes(data, "big") if data else 0


def put_events_read(transaction: Transaction, block: int) -> None:
    """Remember from which block on the chain's events must be read."""
    transaction.put(b"e", number_bytes(block))
