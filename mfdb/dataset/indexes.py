"""Secondary indexes of a replica: their definitions, their entries, and building them online.

An entry's key is the packed values (in the index's own directions) and the row's id or place, its
value the locator of the visible row. Values that pack to more than `WHOLE_BYTES` keep their first
bytes and a hash: equality stays exact, a range may then give too many rows, never too few, and the
order of rows that share so long a beginning is not promised.

    create: definition written, not ready -> every write keeps entries from now on
            -> existing rows are indexed in portions, writers in between -> ready
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.dataset.layout import (
    IndexInfo,
    StoredRow,
    index_info_key,
    index_prefix,
    of_dataset,
    shown_key,
)
from mfdb.dataset.ledger.format import has_ledger
from mfdb.dataset.rows import row_reader
from mfdb.dataset.working import load, parse, save
from mfdb.kernel.errors import DuplicateRow, ProgrammingError, UnknownColumn
from mfdb.rules.clauses import Unique
from mfdb.store.ordered import Desc, pack, pack_column, prefix_end

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.dataset.working import Working
    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.rules.manifest import Manifest
    from mfdb.store.ordered import Plain
    from mfdb.store.port import Snapshot

WHOLE_BYTES = 256
KEPT_BYTES = 224
COLUMNS = 16
EVERY = 2**62
ROW_ID_BYTES = 32
_HANDLE_BYTES = 64
"""Longer handles of rows stand hashed at the end of an entry, because keys have a limit."""
_FLIP = bytes(255 - n for n in range(256))
_NULL = pack(None)
_AFTER_NULL_DOWN = bytes([255 - _NULL[0] + 1])


class Index(msgspec.Struct, frozen=True):
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
        return self.entry_of(row.values, row.row)

    def entry_of(self, values: Sequence[Any], handle: bytes) -> bytes:
        """Return the key of the entry of a row with these values."""
        return self.prefix + self.packed(values) + suffix(handle)

    def entries(self, rows: Sequence[Sequence[Any]], handles: Sequence[bytes]) -> list[bytes]:
        """Return the keys of many rows' entries."""
        prefix, packed = self.prefix, self._packed_all(rows)
        if max(map(len, handles), default=0) > _HANDLE_BYTES:
            handles = list(map(suffix, handles))
        return [prefix + key + end for key, end in zip(packed, handles, strict=True)]

    def _packed_all(self, rows: Sequence[Sequence[Any]]) -> list[bytes]:
        if len(self.places) > 1 or self.places[0][1]:
            return list(map(self.packed, rows))
        at = self.places[0][0]
        packed = pack_column([values[at] for values in rows])
        if max(map(len, packed), default=0) > WHOLE_BYTES:
            return list(map(shortened, packed))
        return packed

    def start(self, values: Sequence[Plain]) -> bytes:
        """Return the first bytes of all entries whose first columns have these values."""
        directions = (down for _, down in self.places)
        turned = [
            Desc(value) if down else value for value, down in zip(values, directions, strict=False)
        ]
        packed = pack(*turned)
        if len(values) == len(self.places):
            return self.prefix + shortened(packed)
        return self.prefix + packed[:KEPT_BYTES]

    def between(self, values: Sequence[Plain], bounds: Span) -> tuple[bytes, bytes | None]:
        """Return the keys whose first columns have these values, the next one within bounds."""
        start = self.start(values)
        room = len(self.prefix) + KEPT_BYTES - len(start)
        if room <= 0:
            return start, None
        return span(start, bounds, descending=self.places[len(values)][1], room=room)


class Span(msgspec.Struct, frozen=True):
    """Values of one column between two packed bounds; None is no bound. NULLs never lie inside."""

    low: bytes | None = None
    low_open: bool = False
    high: bytes | None = None
    high_open: bool = False


def span(
    prefix: bytes, between: Span, *, descending: bool = False, room: int = KEPT_BYTES
) -> tuple[bytes, bytes | None]:
    """Return the keys start <= key < stop whose first part after the prefix lies inside.

    A stop of None means: as long as the key begins with `start`. Of longer bounds no more than
    `room` bytes count, so that too many keys may lie inside, never too few.
    """
    first, first_open, last, last_open = (
        between.low,
        between.low_open,
        between.high,
        between.high_open,
    )
    below, above = b"", _NULL
    if descending:
        first, first_open, last, last_open = last, last_open, first, first_open
        first = None if first is None else first.translate(_FLIP)
        last = None if last is None else last.translate(_FLIP)
        below, above = _AFTER_NULL_DOWN, b"\xff"
    start = prefix + (below if first is None else first[:room])
    if first is not None and first_open and len(first) <= room:
        start = prefix_end(start) or start + b"\xff"
    if last is None:
        return start, prefix + above
    stop = prefix + last[:room]
    return start, stop if last_open and len(last) <= room else prefix_end(stop)


def suffix(handle: bytes) -> bytes:
    """Return what tells a row's entry from those of other rows with the same values."""
    return handle if len(handle) <= _HANDLE_BYTES else sha256(handle).digest()


def shortened(packed: bytes) -> bytes:
    """Return packed values as they stand in an entry."""
    if len(packed) <= WHOLE_BYTES:
        return packed
    return packed[:KEPT_BYTES] + sha256(packed).digest()


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


def build_some(
    working: Working, manifest: Manifest, name: str, after: bytes, count: int
) -> bytes | None:
    """Enter the next visible rows into an index; return where to go on, None at the end.

    Rows that are written meanwhile enter by themselves, so that nobody has to wait.
    """
    index = next(one for one in indexes_of(working, manifest) if one.info.name == name)
    prefix = of_dataset(b"d", manifest.dataset)
    start = prefix + after + b"\x00" if after else prefix
    done, last, read = 0, b"", row_reader(manifest)
    for key, value in working.under.scan(start, prefix_end(prefix)):
        locator = key[len(prefix) :]
        working.put(index.entry(read(locator, value)), locator)
        done, last = done + 1, locator
        if done == count:
            return last
    return None


def make_ready(working: Working, manifest: Manifest, name: str) -> None:
    """Let an index be read, whose rows are all in it.

    Raises:
        DuplicateRow: it is UNIQUE, and two rows have the same values.
    """
    index = next(one for one in indexes_of(working, manifest) if one.info.name == name)
    if index.info.unique:
        _check_whole(working, manifest, index)
    ready = msgspec.structs.replace(index.info, is_ready=True)
    save(working, index_info_key(manifest.dataset, name), ready)


def define_uniques(working: Working, manifest: Manifest, me: Address) -> list[str]:
    """Define the index that each UNIQUE over columns stands on; return the names of new ones.

    Rows of one's own are held to it, others' are taken as they are.
    """
    there = {index.info.name for index in indexes_of(working, manifest)}
    fresh = [clause for clause in manifest.of_kind(Unique) if clause.name not in there]
    for clause in fresh:
        columns = [(name, False) for name in clause.columns]
        define(working, manifest, clause.name, columns, unique=manifest.owner == me)
    return [clause.name for clause in fresh]


def follow(working: Working, before: Manifest, now: Manifest) -> None:
    """Let indexes go on under other names of their columns; those of dropped columns go."""
    numbers = dict(zip(before.layout.numbers, (one.name for one in before.columns), strict=True))
    today = dict(zip(now.layout.numbers, (one.name for one in now.columns), strict=True))
    names = {old: today.get(number) for number, old in numbers.items()}
    gone = {one.name for one in before.of_kind(Unique)} - {one.name for one in now.of_kind(Unique)}
    for _, value in list(working.scan(of_dataset(b"i", now.dataset))):
        info = parse(IndexInfo, value)
        columns = tuple((names.get(name), down) for name, down in info.columns)
        if info.name in gone or any(name is None for name, _ in columns):
            remove(working, now.dataset, info.name)
        elif columns != info.columns:
            renamed = tuple((name, down) for name, down in columns if name is not None)
            after = msgspec.structs.replace(info, columns=renamed)
            save(working, index_info_key(now.dataset, info.name), after)


def _check_whole(source: Snapshot, manifest: Manifest, index: Index) -> None:
    before, read, local = b"", row_reader(manifest), has_ledger(manifest)
    for key, locator in source.scan(index.prefix):
        packed = key[: -len(suffix(locator))] if local else key[:-ROW_ID_BYTES]
        if packed == before:
            data = source.get(shown_key(manifest.dataset, locator))
            row = None if data is None else read(locator, data)
            if row is not None and all(row.values[at] is not None for at, _ in index.places):
                raise duplicate(manifest, index.info)
        before = packed


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
            key != start + suffix(row.row) and working.get(key) is not None
            for key, _ in under.scan(start)
        ):
            raise duplicate(manifest, index.info)
        seen.add(start)


def duplicate(manifest: Manifest, info: IndexInfo) -> DuplicateRow:
    """Return the error that two rows have the same values in a UNIQUE index."""
    names = ", ".join(name for name, _ in info.columns)
    return DuplicateRow(
        f"dataset {manifest.name} has a row with that ({names}) already",
        hint=f"index {info.name} is UNIQUE: choose other values, or UPDATE that row",
    )
