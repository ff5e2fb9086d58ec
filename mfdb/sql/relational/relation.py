"""Datasets as the Arrow tables that DuckDB reads: whole blocks where there are some, else rows.

A column travels as `physical` says. What has to be converted for that (exact numbers, which are
stored as text) is converted once per block and kept. Texts of a relation all have a dictionary or
none has: DuckDB wants one schema, and groups and compares codes quicker than texts.
"""

from __future__ import annotations

from itertools import count, islice
from typing import TYPE_CHECKING, Any

from mfdb.dataset.blocks.columns import coded, is_coded, plain
from mfdb.sql.compile import written_at_us
from mfdb.sql.relational.physical import DTEXT, Phys, encode_decimal, physical
from mfdb.sql.relational.tree import AUTHOR, ROW_ID, WRITTEN_AT
from mfdb.sql.tables import FullScan
from mfdb.sql.types import from_storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mfdb.sql.allowance import Allowance
    from mfdb.sql.catalogue import TableSchema
    from mfdb.sql.tables import Column, ColumnScan, RowBlock, StoredRow, Tables
    from mfdb.sql.types import SqlType

ROWS = 4_096
"""Rows of one batch where they come one by one: a dictionary's two-byte codes fit them."""
_numbers = count(1)


class Relation:
    """An Arrow table under a name of its own, good as long as the rows are these."""

    __slots__ = ("name", "rows", "size_bytes", "table")

    def __init__(self, table: Any) -> None:
        self.name = f"t{next(_numbers)}"
        self.table = table
        self.rows = int(table.num_rows)
        self.size_bytes = int(table.nbytes)


class _Made:
    """An Arrow array as `ColumnScan.derived` keeps it."""

    __slots__ = ("arrow",)
    is_coded = False

    def __init__(self, array: Any) -> None:
        self.arrow = array

    @property
    def size_bytes(self) -> int:
        return int(self.arrow.nbytes)

    def values(self) -> list[Any]:
        return list(self.arrow.to_pylist())

    def codes(self) -> tuple[Any, list[Any]]:
        raise NotImplementedError

    def numbers(self) -> tuple[Any, Any]:
        raise NotImplementedError

    def at(self, positions: Any) -> list[Any]:
        raise NotImplementedError


def name_of(place: int) -> str:
    """Return what a column of a dataset is called in its relation."""
    return f"c{place}" if place >= 0 else f"m{-place}"


def relation_of(
    table: TableSchema, places: Sequence[int], tables: Tables, allowance: Allowance
) -> Relation:
    """Return the rows of a dataset, of these columns only.

    Raises:
        CorruptRecord: a block is damaged.
        OutOfMemory, StatementCancelled: the rows are too many, or somebody wants it to stop.
    """
    scan = None if ROW_ID in places else tables.columns(table)
    if scan is None:
        batches = _row_batches(table, places, _rows(table, tables))
        return Relation(_table(table, places, _held(batches, allowance)))
    made: Relation = scan.kept(
        ("relation", *places),
        lambda: Relation(
            _table(table, places, _held(_block_batches(table, places, scan), allowance))
        ),
    )
    return made


def _held(batches: Iterable[dict[str, Any]], allowance: Allowance) -> Iterator[dict[str, Any]]:
    """Yield batches, charging the statement that holds them."""
    for batch in batches:
        allowance.look()
        allowance.charge(sum(int(array.nbytes) for array in batch.values()))
        yield batch


def _rows(table: TableSchema, tables: Tables) -> Iterator[StoredRow]:
    return tables.scan(table, FullScan())


def _table(table: TableSchema, places: Sequence[int], batches: Iterable[dict[str, Any]]) -> Any:
    import arro3.core as arrow

    found = list(batches)
    if not found:
        found = [dict(_row_batch(table, places, []))]
    for place in places:
        if _kind(table, place).kind in ("VARCHAR", "BLOB"):
            _unify(found, name_of(place))
    return arrow.Table.from_batches([arrow.RecordBatch(batch) for batch in found])


def _unify(batches: list[dict[str, Any]], name: str) -> None:
    """Give a column of all batches a dictionary, or none, as most of them have it."""
    have = [is_coded(batch[name]) for batch in batches]
    wanted = sum(have) * 2 > len(have)
    for batch, has in zip(batches, have, strict=True):
        if has is not wanted:
            batch[name] = coded(batch[name]) if wanted else plain(batch[name])


# ---- from blocks


def _block_batches(
    table: TableSchema, places: Sequence[int], scan: ColumnScan
) -> Iterator[dict[str, Any]]:
    if not places:
        yield _truths(scan.rows)
    else:
        for block in scan.blocks:
            yield {
                name_of(place): _current(_block_column(table, place, scan, block), block)
                for place in places
            }
    yield from _row_batches(table, places, scan.fresh())


def _block_column(table: TableSchema, place: int, scan: ColumnScan, block: RowBlock) -> Any:
    phys = _kind(table, place)
    if phys.kind == "DEC":
        return scan.derived(block, place, phys.sql, lambda c: _Made(_exact(c.arrow, phys))).arrow
    if phys.kind == "DTEXT":
        kind = table.columns[place].type
        return scan.derived(block, place, "DTEXT", lambda column: _encoded(column, kind)).arrow
    return scan.column(block, place).arrow


def _current(array: Any, block: RowBlock) -> Any:
    """Return a column without the rows that changed since the block was made."""
    if not block.outdated:
        return array
    import arro3.core as arrow
    import numpy as np

    holds = np.ones(block.size, dtype=bool)
    holds[list(block.outdated)] = False
    return array.take(arrow.Array.from_numpy(np.flatnonzero(holds)))


def _encoded(column: Column, kind: SqlType) -> Column:
    codes, values = column.codes()
    texts = [_text(value, kind) for value in values]
    return _Made(_array([texts[code] for code in codes.tolist()], DTEXT))


# ---- from rows


def _row_batches(
    table: TableSchema, places: Sequence[int], rows: Iterable[StoredRow]
) -> Iterator[dict[str, Any]]:
    left = iter(rows)
    while part := list(islice(left, ROWS)):
        yield _row_batch(table, places, part)


def _row_batch(table: TableSchema, places: Sequence[int], rows: list[StoredRow]) -> dict[str, Any]:
    if not places:
        return _truths(len(rows))
    return {name_of(place): _row_column(table, place, rows) for place in places}


def _row_column(table: TableSchema, place: int, rows: list[StoredRow]) -> Any:
    phys = _kind(table, place)
    if place < 0:
        return _array(list(map(_BESIDE[place], rows)), phys)
    stored = [row.values[place] for row in rows]
    if phys.kind == "DTEXT":
        kind = table.columns[place].type
        stored = [_text(value, kind) for value in stored]
    if phys.kind == "DEC":
        return _exact(_array([None if v is None else str(v) for v in stored], DTEXT), phys)
    return _array(stored, phys)


_BESIDE: dict[int, Callable[[StoredRow], Any]] = {
    AUTHOR: lambda row: None if row.author is None else bytes(row.author),
    ROW_ID: lambda row: bytes(row.lasting_id),
    WRITTEN_AT: lambda row: written_at_us(row.hlc),
}


def _text(value: Any, kind: SqlType) -> str | None:
    working = from_storage(value, kind)
    return None if working is None else encode_decimal(working)  # type: ignore[arg-type] # a DECIMAL's


# ---- arrays


def _kind(table: TableSchema, place: int) -> Phys:
    if place >= 0:
        return physical(table.columns[place].type)
    return Phys("BIGINT") if place == WRITTEN_AT else Phys("BLOB")


def _array(values: list[Any], phys: Phys) -> Any:
    import arro3.core as arrow

    kinds = {
        "BIGINT": arrow.DataType.int64,
        "DOUBLE": arrow.DataType.float64,
        "VARCHAR": arrow.DataType.utf8,
        "DTEXT": arrow.DataType.utf8,
        "BOOLEAN": arrow.DataType.bool,
        "BLOB": arrow.DataType.binary,
    }
    return arrow.Array(values, type=kinds[phys.kind]())


def _truths(size: int) -> dict[str, Any]:
    """Return rows of which nothing is read but how many there are."""
    import arro3.core as arrow
    import numpy as np

    return {"z": arrow.Array.from_numpy(np.ones(size, dtype=bool))}


def _exact(texts: Any, phys: Phys) -> Any:
    import arro3.core as arrow

    return plain(texts).cast(arrow.DataType.decimal128(phys.precision, phys.scale))
