"""Running bound queries: datasets become Arrow tables, DuckDB answers, answers become our values.

1. the tree is emitted, which tells the columns it reads of each dataset;
2. `relation_of` gives the rows that this identity may read, of those columns;
3. what DuckDB answers is converted back, column by column.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.sql.execute import Result, finisher
from mfdb.sql.parameters import environment
from mfdb.sql.relational.emit_query import QueryEmitter, mark
from mfdb.sql.relational.physical import decode_decimal
from mfdb.sql.relational.relation import name_of, relation_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.sql.allowance import Allowance
    from mfdb.sql.catalogue import TableSchema
    from mfdb.sql.compile import Environment
    from mfdb.sql.parameters import ExecutionContext, Given
    from mfdb.sql.relational.engine import Engine
    from mfdb.sql.relational.physical import Phys
    from mfdb.sql.relational.relation import Relation
    from mfdb.sql.relational.tree import BoundRelational
    from mfdb.sql.tables import Tables


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
        emitter = QueryEmitter(about, lambda table: _size(table, tables))
        sql, columns = emitter.query(self.bound.query)
        sql, relations = _relations(sql, emitter, tables, about.allowance)
        rows = self._engine.run(sql, emitter.values, relations, emitter.functions, about.allowance)
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


def _relations(
    sql: str, emitter: QueryEmitter, tables: Tables, allowance: Allowance
) -> tuple[str, list[Relation]]:
    """Return the SQL with its datasets named, and their rows."""
    used: dict[bytes, set[int]] = {}
    for relation, ref in emitter.tables.items():
        used.setdefault(ref.table.dataset, set()).update(emitter.used.get(relation, ()))
    found: dict[bytes, Relation] = {}
    for relation, ref in emitter.tables.items():
        dataset = ref.table.dataset
        places = sorted(used[dataset])
        if dataset not in found:
            found[dataset] = relation_of(ref.table, places, tables, allowance)
        columns = ", ".join(map(name_of, places)) or "z"
        sql = sql.replace(mark(relation), f"(SELECT {columns} FROM {found[dataset].name})")
    return sql, list(found.values())


def _decoder(phys: Phys) -> Callable[[Any], Any] | None:
    return decode_decimal if phys.kind == "DTEXT" else None


def _size(table: TableSchema, tables: Tables) -> int:
    """Return how many rows of a dataset are known to stand in blocks."""
    scan = tables.columns(table)
    return 0 if scan is None else scan.rows
