"""Running bound queries: rows become Arrow tables, DuckDB answers, answers become our values.

1. the tree is emitted, which tells the columns it reads of each dataset;
2. `Tables.scan` gives the rows that this identity may read, and they are turned into columns;
3. what DuckDB answers is converted back, column by column.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.sql.execute import Result, finisher
from mfdb.sql.parameters import environment
from mfdb.sql.relational.emit_query import QueryEmitter, mark
from mfdb.sql.relational.physical import decode_decimal, encode_decimal, physical
from mfdb.sql.relational.tree import AUTHOR, ROW_ID, WRITTEN_AT
from mfdb.sql.tables import FullScan
from mfdb.sql.types import from_storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mfdb.sql.catalogue import TableSchema
    from mfdb.sql.compile import Environment
    from mfdb.sql.parameters import ExecutionContext, Given
    from mfdb.sql.relational.engine import Engine
    from mfdb.sql.relational.physical import Phys
    from mfdb.sql.relational.tree import BoundRelational
    from mfdb.sql.tables import StoredRow, Tables
    from mfdb.sql.types import SqlType

_COUNTER_BITS = 16
_MILLISECOND_US = 1_000


class CompiledRelational:
    """A bound query and the engine that runs it."""

    def __init__(self, bound: BoundRelational, engine: Engine) -> None:
        self.bound = bound
        self._engine = engine

    def run(self, tables: Tables, given: Given, context: ExecutionContext) -> Result:
        """Return the answer.

        Raises:
            WrongParameters, DataError, OperationalError: it cannot be computed.
        """
        about = environment(self.bound.parameters, given, context)
        rows = self.working(tables, about)
        kinds = [output.type for output in self.bound.outputs]
        finish = finisher(kinds)
        return Result(self.bound.outputs, (finish(list(row)) for row in rows))

    def working(self, tables: Tables, about: Environment) -> list[tuple[Any, ...]]:
        """Return the rows of the answer in working form."""
        emitter = QueryEmitter(about)
        sql, columns = emitter.query(self.bound.query)
        sql, relations = _relations(sql, emitter, tables)
        rows = self._engine.run(sql, emitter.values, relations, emitter.functions)
        decoders = [_decoder(phys) for phys in columns]
        if any(decoders):
            rows = [
                tuple(
                    value if decode is None or value is None else decode(value)
                    for value, decode in zip(row, decoders, strict=True)
                )
                for row in rows
            ]
        return rows


def _relations(sql: str, emitter: QueryEmitter, tables: Tables) -> tuple[str, dict[str, Any]]:
    """Return the SQL with its datasets named, and their rows by those names."""
    used: dict[bytes, set[int]] = {}
    for relation, ref in emitter.tables.items():
        used.setdefault(ref.table.dataset, set()).update(emitter.used.get(relation, ()))
    relations: dict[str, Any] = {}
    names: dict[bytes, str] = {}
    for relation, ref in emitter.tables.items():
        places = sorted(used[ref.table.dataset])
        name = names.get(ref.table.dataset)
        if name is None:
            name = names[ref.table.dataset] = f"t{len(names)}"
            relations[name] = _arrow(ref.table, places, tables)
        sql = sql.replace(mark(relation), _selected(name, ref.table, places))
    return sql, relations


def _decoder(phys: Phys) -> Callable[[Any], Any] | None:
    return decode_decimal if phys.kind == "DTEXT" else None


def _selected(name: str, table: TableSchema, used: list[int]) -> str:
    """Return the source of a dataset; its own DECIMALs come as text and are cast here."""
    items = []
    for place in used:
        if place < 0:
            items.append(f"m{-place}")
            continue
        phys = physical(table.columns[place].type)
        column = f"c{place}"
        items.append(f"CAST({column} AS {phys.sql}) AS {column}" if phys.kind == "DEC" else column)
    return f"(SELECT {', '.join(items) or 'z'} FROM {name})"


def _arrow(table: TableSchema, used: list[int], tables: Tables) -> Any:
    """Return the rows of a dataset, of the used columns only, as an Arrow table."""
    import arro3.core as arrow

    kinds = {
        "BIGINT": arrow.DataType.int64(),
        "DOUBLE": arrow.DataType.float64(),
        "VARCHAR": arrow.DataType.utf8(),
        "BOOLEAN": arrow.DataType.bool(),
        "BLOB": arrow.DataType.binary(),
    }
    rows = list(tables.scan(table, FullScan()))
    if not used:
        return arrow.Table({"z": arrow.Array([True] * len(rows), type=kinds["BOOLEAN"])})
    columns: dict[str, Any] = {}
    for place in used:
        if place < 0:
            values, kind = _about_rows(rows, place)
            columns[f"m{-place}"] = arrow.Array(values, type=kinds[kind])
            continue
        column = table.columns[place].type
        kind = physical(column).kind
        stored = [row.values[place] for row in rows]
        if kind == "DTEXT":
            stored = [_encoded(value, column) for value in stored]
        elif kind == "DEC":
            stored = [None if value is None else str(value) for value in stored]
        found = kinds["VARCHAR" if kind in ("DEC", "DTEXT") else kind]
        columns[f"c{place}"] = arrow.Array(stored, type=found)
    return arrow.Table(columns)


def _encoded(value: Any, kind: SqlType) -> str | None:
    working = from_storage(value, kind)
    return None if working is None else encode_decimal(working)  # type: ignore[arg-type] # a DECIMAL's


def _about_rows(rows: Iterable[StoredRow], place: int) -> tuple[list[Any], str]:
    if place == AUTHOR:
        return [None if row.author is None else bytes(row.author) for row in rows], "BLOB"
    if place == ROW_ID:
        return [bytes(row.row_id) for row in rows], "BLOB"
    assert place == WRITTEN_AT
    return [(row.hlc >> _COUNTER_BITS) * _MILLISECOND_US for row in rows], "BIGINT"
