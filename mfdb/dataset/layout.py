"""Where a replica keeps what: key prefixes and stored records, one table here.

| key                                   | value                                               |
|---------------------------------------|-----------------------------------------------------|
| `F`                                   | format version of the directory, its feed's id      |
| `m` dataset number                    | `SignedManifest`                                    |
| `n` owner name                        | dataset id                                          |
| `t` dataset                           | why the dataset is given up (dropped)               |
| `g` dataset                           | `Chain` of a writing run, or a ledger's `LedgerHead` |
| `o` dataset changeset                 | `Outgoing`: written, not acknowledged yet           |
| `c` dataset changeset                 | `Envelope`: the signed changeset and its verdict    |
| `k` dataset changeset                 | `KeyLogEntry` without its salts                     |
| `z` dataset changeset chunk           | the salts, `SALTS` in each chunk                    |
| `r` dataset changeset                 | write receipts                                      |
| `p` dataset missing changeset         | nothing: the changeset waits for what is missing    |
| `w` dataset row                       | `RowState`: heads, where it is shown; `FreshState`  |
| `h` dataset stem                      | `RowRuns`: rows that nobody changed since           |
| `v` dataset version                   | `VersionMeta` of versions superseded long ago       |
| `x` dataset version                   | `VersionMeta` before the last revocation            |
| `l` dataset last-sequence             | `LedgerEntry`: a signed header, by its last change  |
| `q` dataset first-sequence            | slots of some operations of a ledger, in order      |
| `d` dataset locator                   | `StoredRow`, or a ledger's `LedgerRow`: plaintext   |
| `u` dataset column value locator      | nothing: index of a UNIQUE column                   |
| `i` dataset name                      | `IndexInfo`: a secondary index                      |
| `j` dataset index values row          | locator: an entry of a secondary index              |
| `f` dataset last-sequence             | `FeedBlock` or `FeedRun`: a batch of the changelog  |
| `s` dataset name                      | what the network layer remembers (where a sync is)  |
| `a` `b` `e` `y`                       | column blocks: see `mfdb.dataset.blocks.records`    |

A locator is the packed primary key and the row id (in a ledger the key alone); without a key it is
the place at which the row was first seen, 8 bytes. Everything but the plaintext tables can be
rebuilt from `m`, `c`, `k` and `z`, or from `m`, `l` and `q`. `mfdb.dataset.ledger` says which
datasets have a ledger; they have no `o c k z r p w v x f`.

Row ids are hashes, so that every table under them costs a page of its own per row: hence only `w`
is written for a new row, and the versions stand in it (a few of them, the rest in `v`). For a run
of one's own new rows there is one `h` instead (`mfdb.dataset.row_runs`).
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

from mfdb.dataset.acceptance import VersionMeta
from mfdb.kernel.codec import Record
from mfdb.kernel.ids import ChangesetId, DatasetId, Hash, RowId, VersionId
from mfdb.rules.changeset import STEM_FIRST_BYTES, Changeset, version_at
from mfdb.rules.key_log import KeyLogEntry
from mfdb.rules.receipt import WriteReceipt
from mfdb.store.ordered import pack

if TYPE_CHECKING:
    from mfdb.kernel.ids import Address
    from mfdb.rules.manifest import Manifest
    from mfdb.store.ordered import Plain

FORMAT = 5
FORMAT_KEY = b"F"


class Verdict(IntEnum):
    """What became of a changeset that is kept."""

    PARKED = 0
    APPLIED = 1
    DENIED = 2


class DirectoryInfo(Record, frozen=True):
    """What a replica's directory is: its format and the random id of its feeds."""

    format: int
    feed: bytes


class Envelope(Record, frozen=True):
    """A signed changeset as it was received, and the verdict."""

    changeset: Changeset
    verdict: Verdict


class Outgoing(Record, frozen=True):
    """A changeset of ours that no quorum has acknowledged yet."""

    changeset: Changeset
    entry: KeyLogEntry


class RowState(Record, frozen=True, gc=False):
    """The valid heads of a row, where and in which version it is shown, and versions before.

    `past` are superseded versions, newest last; beyond a few they move to a table of their own.
    """

    versions: tuple[VersionMeta, ...] = ()
    locator: bytes = b""
    shown: bytes = b""
    place: bytes = b""
    past: tuple[VersionMeta, ...] = ()

    @property
    def heads(self) -> tuple[VersionId, ...]:
        """The ids of the valid heads."""
        return tuple(version.version for version in self.versions)


class FreshState(Record, frozen=True, gc=False):
    """The state of a row that nobody changed since operation `index` of a changeset inserted it.

    It has another number of fields than a `RowState`, which tells them apart.
    """

    changeset: ChangesetId
    index: int
    locator: bytes
    place: bytes
    author: bytes
    hlc: int
    clear: dict[str, Any]


class RowRun(Record, frozen=True, gc=False):
    """Rows that one changeset inserted, shown one after the other from change `place` on.

    `rest` is what follows the index in their ids (`mfdb.rules.changeset`).
    """

    rest: bytes
    changeset: ChangesetId
    count: int
    place: int
    author: bytes
    hlc: int


class RowRuns(Record, frozen=True):
    """The runs whose rows' ids begin alike."""

    runs: tuple[RowRun, ...]


class StoredRow(Record, frozen=True, gc=False):
    """One visible row: values in the order of the manifest's columns.

    `origin` is its version as `mfdb.rules.changeset.version_at` takes it: for a new row of one's
    own it is not hashed before somebody asks. Like `LedgerRow` a row is part of no cycle, so that
    the collector need not look at thousands.
    """

    row: RowId
    origin: bytes
    author: bytes
    hlc: int
    values: tuple[Any, ...]

    @property
    def version(self) -> VersionId:
        """The version in which the row is shown."""
        return version_at(self.origin)


class FeedEntry(Record, frozen=True, gc=False):
    """One change of one visible row.

    `old` names the version that was shown before, `new` the one shown since (empty: gone), as
    `version_at` takes it. Values are opened when somebody asks; `kept` are clear and key columns
    of a row that is gone.
    """

    row: RowId
    old: bytes
    new: bytes
    author: bytes
    hlc: int
    kept: dict[str, Any]


class FeedBlock(Record, frozen=True):
    """The changes of one batch; the key says the number of the last one."""

    entries: tuple[FeedEntry, ...]


class FeedRun(Record, frozen=True):
    """The changes of a batch of one's own new rows; the key says the number of the last one.

    `stem` and `rest` are what stands before and after the index in the rows' ids.
    """

    stem: bytes
    rest: bytes
    changeset: ChangesetId
    count: int
    author: bytes
    hlc: int


class IndexInfo(Record, frozen=True):
    """A secondary index: columns with "descending", and whether all rows are in it yet."""

    name: str
    number: int
    columns: tuple[tuple[str, bool], ...]
    unique: bool
    is_ready: bool = False


class Receipts(Record, frozen=True):
    """The receipts that are kept of a changeset."""

    receipts: tuple[WriteReceipt, ...]


def manifest_key(dataset: DatasetId, number: int) -> bytes:
    """Return the key of one manifest version."""
    return b"m" + dataset + number.to_bytes(4, "big")


def name_key(owner: Address, name: str) -> bytes:
    """Return the key under which an owner's dataset is found by name."""
    return b"n" + owner + name.encode()


def of_dataset(table: bytes, dataset: DatasetId) -> bytes:
    """Return the prefix of everything that a table holds of a dataset."""
    return table + dataset


def dropped_key(dataset: DatasetId) -> bytes:
    """Return the key of the mark of a dropped dataset."""
    return b"t" + dataset


def chain_key(dataset: DatasetId) -> bytes:
    """Return the key of the identity's writing run, or of a ledger's head."""
    return b"g" + dataset


def outgoing_key(dataset: DatasetId, changeset: ChangesetId) -> bytes:
    """Return the key of an unacknowledged changeset."""
    return b"o" + dataset + changeset


def envelope_key(dataset: DatasetId, changeset: ChangesetId) -> bytes:
    """Return the key of a signed changeset."""
    return b"c" + dataset + changeset


def entry_key(dataset: DatasetId, changeset: ChangesetId) -> bytes:
    """Return the key of what opens a changeset."""
    return b"k" + dataset + changeset


def salts_key(dataset: DatasetId, changeset: ChangesetId, chunk: int) -> bytes:
    """Return the key of a chunk of a changeset's row salts."""
    return b"z" + dataset + changeset + chunk.to_bytes(2, "big")


def receipts_key(dataset: DatasetId, changeset: ChangesetId) -> bytes:
    """Return the key of a changeset's receipts."""
    return b"r" + dataset + changeset


def parked_key(dataset: DatasetId, missing: Hash, changeset: ChangesetId) -> bytes:
    """Return the key that says that a changeset waits for something."""
    return b"p" + dataset + missing + changeset


def version_key(dataset: DatasetId, version: VersionId) -> bytes:
    """Return the key of a row version."""
    return b"v" + dataset + version


def former_version_key(dataset: DatasetId, version: VersionId) -> bytes:
    """Return the key of a row version that counted before the last revocation."""
    return b"x" + dataset + version


def row_key(dataset: DatasetId, row: RowId) -> bytes:
    """Return the key of a row's state."""
    return b"w" + dataset + row


def runs_key(dataset: DatasetId, row: bytes) -> bytes:
    """Return the key of the runs that a row may be in."""
    return b"h" + dataset + row[:STEM_FIRST_BYTES]


def entries_key(dataset: DatasetId, last: int) -> bytes:
    """Return the key of the signed header of a ledger that ends with an operation."""
    return b"l" + dataset + last.to_bytes(8, "big")


def slots_key(dataset: DatasetId, first: int) -> bytes:
    """Return the key of the run of slots that begins with an operation."""
    return b"q" + dataset + first.to_bytes(8, "big")


def shown_key(dataset: DatasetId, locator: bytes) -> bytes:
    """Return the key of a visible row."""
    return b"d" + dataset + locator


def unique_prefix(dataset: DatasetId, column: int, value: Plain) -> bytes:
    """Return the prefix of the visible rows that hold a value in a UNIQUE column."""
    return b"u" + dataset + column.to_bytes(2, "big") + pack(value)


def index_info_key(dataset: DatasetId, name: str) -> bytes:
    """Return the key of a secondary index's definition."""
    return b"i" + dataset + name.encode()


def index_prefix(dataset: DatasetId, number: int) -> bytes:
    """Return the prefix of a secondary index's entries."""
    return b"j" + dataset + number.to_bytes(2, "big")


def feed_key(dataset: DatasetId, sequence: int) -> bytes:
    """Return the key of the block of changes that ends with this one."""
    return b"f" + dataset + sequence.to_bytes(8, "big")


def mark_key(dataset: DatasetId, name: str) -> bytes:
    """Return the key of something the network layer remembers."""
    return b"s" + dataset + name.encode()


def key_locator(manifest: Manifest, values: tuple[Any, ...]) -> bytes:
    """Return the packed primary key of a row."""
    places = {column.name: at for at, column in enumerate(manifest.columns)}
    return pack(*(values[places[column.name]] for column in manifest.key_columns))
