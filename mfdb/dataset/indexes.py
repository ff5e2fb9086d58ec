"""Secondary indexes of a replica: their definitions, their entries, and building them online.

An entry's key is the packed values (in the index's own directions) and the row's id or place, its
value the locator of the visible row. Values that pack to more than `WHOLE_BYTES` keep their first
bytes and a hash: equality stays exact, a range may then give too many rows, never too few, and the
order of rows that share so long a beginning is not promised.

    create: definition written, not ready -> every write keeps entries from now on
            -> existing rows are indexed in portions, writers in between -> ready
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from mfdb.dataset.layout import IndexInfo, index_info_key, index_prefix, of_dataset
from mfdb.dataset.working import load, parse, save
from mfdb.kernel.errors import DuplicateRow, ProgrammingError, UnknownColumn
from mfdb.store.ordered import Desc, pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.dataset.layout import StoredRow
    from mfdb.dataset.working import Working
    from mfdb.kernel.ids import DatasetId
    from mfdb.rules.manifest import Manifest
    from mfdb.store.ordered import Plain
    from mfdb.store.port import Snapshot

WHOLE_BYTES = 256
_KEPT_BYTES = 224
COLUMNS = 16


@dataclass(frozen=True, slots=True)
class Index:
    """A secondary index with the places of its columns in a row."""

    info: IndexInfo
    prefix: bytes
    places: tuple[tuple[int, bool], ...]

    def packed(self, values: Sequence[Any]) -> bytes:
        """Return what a row's values are ordered by."""
        parts = [Desc(values[at]) if down else values[at] for at, down in self.places]
        return shortened(pack(*parts))

    def entry(self, row: StoredRow) -> bytes:
        """Return the key of a row's entry."""
        return self.prefix + self.packed(row.values) + row.row

    def start(self, values: Sequence[Plain]) -> bytes:
        """Return the first bytes of all entries whose first columns have these values."""
        directions = (down for _, down in self.places)
        turned = [
            Desc(value) if down else value for value, down in zip(values, directions, strict=False)
        ]
        packed = pack(*turned)
        if len(values) == len(self.places):
            return self.prefix + shortened(packed)
        return self.prefix + packed[:_KEPT_BYTES]


def shortened(packed: bytes) -> bytes:
    """Return packed values as they stand in an entry."""
    if len(packed) <= WHOLE_BYTES:
        return packed
    return packed[:_KEPT_BYTES] + sha256(packed).digest()


def indexes_of(source: Snapshot, manifest: Manifest) -> list[Index]:
    """Return the secondary indexes of a dataset, also those that are being built."""
    places = {column.name: at for at, column in enumerate(manifest.columns)}
    found = []
    for _, value in source.scan(of_dataset(b"i", manifest.dataset)):
        info = parse(IndexInfo, value)
        if all(name in places for name, _ in info.columns):
            at = tuple((places[name], down) for name, down in info.columns)
            found.append(Index(info, index_prefix(manifest.dataset, info.number), at))
    return found


def define(
    working: Working,
    manifest: Manifest,
    name: str,
    columns: Sequence[tuple[str, bool]],
    *,
    unique: bool,
) -> IndexInfo:
    """Write the definition of a new index, not ready yet.

    Raises:
        UnknownColumn: the dataset has no such column.
        ProgrammingError: there is an index of that name, or the columns make none.
    """
    names = [column for column, _ in columns]
    for column in names:
        if all(column != known.name for known in manifest.columns):
            raise UnknownColumn(f"dataset {manifest.name} has no column {column}")
    if not 1 <= len(names) <= COLUMNS or len(set(names)) != len(names):
        raise ProgrammingError(f"an index has 1 to {COLUMNS} columns, each once")
    stored = load(working, IndexInfo, index_info_key(manifest.dataset, name))
    if stored is not None and stored.is_ready:
        raise ProgrammingError(f"an index {name} of {manifest.name} is there already")
    taken = [index.info.number for index in indexes_of(working, manifest)]
    number = stored.number if stored is not None else max(taken, default=-1) + 1
    _clear(working, manifest.dataset, number)
    info = IndexInfo(name, number, tuple(columns), unique)
    save(working, index_info_key(manifest.dataset, name), info)
    return info


def remove(working: Working, dataset: DatasetId, name: str) -> bool:
    """Remove an index; return whether there was one."""
    key = index_info_key(dataset, name)
    info = load(working, IndexInfo, key)
    if info is None:
        return False
    _clear(working, dataset, info.number)
    working.delete(key)
    return True


def _clear(working: Working, dataset: DatasetId, number: int) -> None:
    for key, _ in list(working.scan(index_prefix(dataset, number))):
        working.delete(key)


def check_unique(
    under: Snapshot, working: Working, manifest: Manifest, index: Index, fresh: Sequence[StoredRow]
) -> None:
    """Return quietly if none of the fresh rows repeats another row's values; NULLs never do.

    `under` is the state before the batch, `working` the batch with the fresh rows in it.

    Raises:
        DuplicateRow: one does.
    """
    seen: set[bytes] = set()
    for row in fresh:
        if any(row.values[at] is None for at, _ in index.places):
            continue
        start = index.prefix + index.packed(row.values)
        if start in seen or any(
            key != start + row.row and working.get(key) is not None for key, _ in under.scan(start)
        ):
            raise _duplicate(manifest, index.info)
        seen.add(start)


def _duplicate(manifest: Manifest, info: IndexInfo) -> DuplicateRow:
    names = ", ".join(name for name, _ in info.columns)
    return DuplicateRow(
        f"dataset {manifest.name} has a row with that ({names}) already",
        hint=f"index {info.name} is UNIQUE: choose other values, or UPDATE that row",
    )
