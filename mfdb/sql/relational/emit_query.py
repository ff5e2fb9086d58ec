"""From bound queries to DuckDB's SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.sql.bound import Bound, Lazy
from mfdb.sql.relational.emit_group import ExpressionEmitter
from mfdb.sql.relational.physical import BIGINT, DTEXT, Phys, physical, together
from mfdb.sql.relational.pieces import Piece, keyed
from mfdb.sql.relational.risk import is_risky
from mfdb.sql.relational.tree import (
    BoundCore,
    BoundSet,
    BoundValues,
    CteRef,
    JoinRef,
    QueryRef,
    SeriesRef,
    TableRef,
    shape,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mfdb.sql.catalogue import TableSchema
    from mfdb.sql.compile import Environment
    from mfdb.sql.relational.tree import BoundCte, Ref, RelationalQuery, SortKey


class QueryEmitter(ExpressionEmitter):
    """Emits one statement; `tables` are the datasets it reads, by relation."""

    def __init__(self, about: Environment, size: Callable[[TableSchema], int]) -> None:
        """`size` tells about how many rows a dataset has."""
        super().__init__(about)
        self._size = size
        self.tables: dict[int, TableRef] = {}
        self._ctes: dict[int, list[Phys]] = {}

    def query(self, query: RelationalQuery) -> tuple[str, list[Phys]]:
        """Return the SQL of a query, whose columns are c0, c1 ..., and how they travel."""
        groups, self.groups = self.groups, {}
        had_sets, self.has_sets = self.has_sets, False
        head = self._with(query.ctes)
        if isinstance(query.body, BoundCore):
            beside = [key for key in query.order_by if key.place is None] if query.ties else []
            sql, columns = self._core(query.body, beside)
        elif isinstance(query.body, BoundValues):
            sql, columns = self._values(query.body)
        else:
            sql, columns = self._set(query.body)
        if query.order_by:
            sql += " ORDER BY " + ", ".join(self._sort(key, columns) for key in query.order_by)
            if query.ties and query.limit is not None:
                sql = self._tied(query, sql, columns)
        self.groups, self.has_sets = groups, had_sets
        if query.ties:
            return head + sql, columns
        if query.limit is not None and (count := self._count(query.limit)) is not None:
            sql += f" LIMIT {count}"
        if query.offset is not None and (count := self._count(query.offset)) is not None:
            sql += f" OFFSET {count}"
        return head + sql, columns

    def _tied(self, query: RelationalQuery, sql: str, columns: list[Phys]) -> str:
        """Return the rows that OFFSET and FETCH let pass, and those equal to the last of them."""
        assert query.limit is not None
        passed = 0 if query.offset is None else self._count(query.offset) or 0
        wanted = self._count(query.limit)
        keys, beside = [], 0
        for key in query.order_by:
            if key.place is None:
                column, beside = f"y.s{beside}", beside + 1
            else:
                column = keyed(f"y.c{key.place}", columns[key.place])
            keys.append(column + _direction(key))
        order = f"(ORDER BY {', '.join(keys)})"
        test = f"z.n > {passed}"
        if wanted is not None:
            test += f" AND z.k <= {passed + wanted}" if wanted else " AND FALSE"
        names = _names(len(columns))
        counted = f"SELECT y.*, row_number() OVER {order} AS n, rank() OVER {order} AS k"
        return f"SELECT {names} FROM ({counted} FROM ({sql}) AS y) AS z WHERE {test} ORDER BY z.n"

    def _count(self, bound: Bound) -> int | None:
        from mfdb.sql.compile import compile_expression

        if compile_expression(bound)((), self.about) is None:
            return None
        return self.number(bound, "LIMIT and OFFSET")

    def _sort(self, key: SortKey, columns: list[Phys]) -> str:
        if key.place is not None:
            sql = str(key.place + 1)
        else:
            assert key.expression is not None
            piece = self.emit(key.expression)
            sql = keyed(piece.sql, piece.phys)
        del columns
        return sql + _direction(key)

    # ---- WITH

    def _with(self, ctes: Sequence[BoundCte]) -> str:
        if not ctes:
            return ""
        parts = [self._recursive(cte) if cte.recursive else self._named(cte) for cte in ctes]
        word = "WITH RECURSIVE " if any(cte.recursive for cte in ctes) else "WITH "
        return word + ", ".join(parts) + " "

    def _named(self, cte: BoundCte) -> str:
        sql, columns = self.query(cte.query)
        self._ctes[cte.number] = columns
        kept = {None: "", True: "MATERIALIZED ", False: "NOT MATERIALIZED "}[cte.materialised]
        return f"q{cte.number}({_names(len(columns))}) AS {kept}({sql})"

    def _recursive(self, cte: BoundCte) -> str:
        body = cte.query.body
        assert isinstance(body, BoundSet)
        part = body.parts[0]
        sql, have = self.query(body.first)
        columns = [DTEXT if phys.kind == "DEC" else phys for phys in have]
        self._ctes[cte.number] = columns
        again, got = self.query(part.query)
        first = self._adjusted(sql, have, columns, compared=not part.all)
        step = self._adjusted(again, got, columns, compared=not part.all)
        word = "UNION ALL" if part.all else "UNION"
        return f"q{cte.number}({_names(len(columns))}) AS ({first} {word} {step})"

    # ---- SELECT

    def _core(self, core: BoundCore, beside: Sequence[SortKey] = ()) -> tuple[str, list[Phys]]:
        # The last of the sources is what DuckDB builds a hash table of.
        ordered = sorted(core.sources, key=self._rows, reverse=True)
        sources = ", ".join(self._source(source) for source in ordered)
        where = self._where(core)
        groups = self._groups(core)
        pieces = [self.emit(item) for item in core.items]
        shown = [keyed(piece.sql, piece.phys) if core.distinct else piece.sql for piece in pieces]
        sql = "SELECT " + ("DISTINCT " if core.distinct else self._distinct_on(core))
        sql += ", ".join(f"{item} AS c{place}" for place, item in enumerate(shown))
        for place, key in enumerate(beside):
            assert key.expression is not None, "it names no item"
            piece = self.emit(key.expression)
            sql += f", {keyed(piece.sql, piece.phys)} AS s{place}"
        if sources:
            sql += f" FROM {sources}"
        sql += where + groups
        if core.having is not None:
            sql += f" HAVING {self.sql(core.having)}"
        return sql, [piece.phys for piece in pieces]

    def _distinct_on(self, core: BoundCore) -> str:
        if not core.distinct_on:
            return ""
        pieces = [self.emit(bound) for bound in core.distinct_on]
        return f"DISTINCT ON ({', '.join(keyed(piece.sql, piece.phys) for piece in pieces)}) "

    def _groups(self, core: BoundCore) -> str:
        if not core.group_by and core.grouping_sets is None:
            return ""
        keys = []
        found = {}
        for group in core.group_by or ():
            piece = self.emit(group)
            sql = keyed(piece.sql, piece.phys)
            keys.append(sql)
            found[shape(group)] = Piece(sql, piece.phys)
        self.groups = found
        if core.grouping_sets is not None:
            self.has_sets = True
            sets = (f"({', '.join(keys[place] for place in one)})" for one in core.grouping_sets)
            return f" GROUP BY GROUPING SETS ({', '.join(sets)})"
        return " GROUP BY " + ", ".join(keys)

    def _where(self, core: BoundCore) -> str:
        if core.where is None:
            return ""
        parts = _conjuncts(core.where)
        single = len(core.sources) == 1 and not isinstance(core.sources[0], JoinRef)
        conditions: list[str] = []
        for part in parts:
            sql = self.sql(part)
            if single and conditions and is_risky(part):
                before = " AND ".join(conditions)
                conditions = [f"(CASE WHEN {before} THEN {sql} ELSE FALSE END)"]
            else:
                conditions.append(sql)
        return " WHERE " + " AND ".join(conditions)

    # ---- FROM

    def _source(self, ref: Ref) -> str:
        if isinstance(ref, JoinRef):
            left, right = self._source(ref.left), self._source(ref.right)
            if ref.kind in ("INNER", "CROSS") and self._rows(ref.left) < self._rows(ref.right):
                left, right = right, left
            if ref.condition is None:
                return f"({left} CROSS JOIN {right})"
            return f"({left} {ref.kind} JOIN {right} ON {self.sql(ref.condition)})"
        if isinstance(ref, QueryRef):
            groups, self.groups = self.groups, {}
            sql, columns = self.query(ref.query)
            self.groups = groups
            self.relations[ref.relation] = columns
            word = "LATERAL " if ref.lateral else ""
            return f"{word}({sql}) AS r{ref.relation}({_names(len(columns))})"
        if isinstance(ref, SeriesRef):
            values = self.listed(ref.series)
            if ref.ordinality:
                self.relations[ref.relation] = [values.phys, BIGINT]
                numbers = f"range(1, len({values.sql}) + 1)"
                given = f"unnest({values.sql}) AS c0, unnest({numbers}) AS c1"
                return f"(SELECT {given}) AS r{ref.relation}(c0, c1)"
            self.relations[ref.relation] = [values.phys]
            return f"(SELECT unnest({values.sql}) AS c0) AS r{ref.relation}(c0)"
        if isinstance(ref, CteRef):
            self.relations[ref.relation] = self._ctes[ref.cte]
            return f"q{ref.cte} AS r{ref.relation}"
        self.relations[ref.relation] = [physical(column.type) for column in ref.table.columns]
        self.tables[ref.relation] = ref
        return f"{mark(ref.relation)} AS r{ref.relation}"

    def _rows(self, ref: Ref) -> int:
        """Return about how many rows a source has, as far as that is known."""
        if isinstance(ref, JoinRef):
            return max(self._rows(ref.left), self._rows(ref.right))
        if isinstance(ref, SeriesRef) or (isinstance(ref, QueryRef) and ref.lateral):
            return -1  # it may name the sources before it
        return self._size(ref.table) if isinstance(ref, TableRef) else 0

    # ---- VALUES and set operations

    def _values(self, values: BoundValues) -> tuple[str, list[Phys]]:
        rows = [[self.emit(value) for value in row] for row in values.rows]
        columns = []
        for place in range(len(rows[0])):
            phys = rows[0][place].phys
            for row in rows[1:]:
                phys = together(phys, row[place].phys)
            columns.append(phys)
        shown = ", ".join(
            "(" + ", ".join(self.convert(p, k) for p, k in zip(row, columns, strict=True)) + ")"
            for row in rows
        )
        names = _names(len(columns))
        return f"SELECT {names} FROM (VALUES {shown}) AS v({names})", columns

    def _set(self, body: BoundSet) -> tuple[str, list[Phys]]:
        found = [self.query(query) for query in (body.first, *(part.query for part in body.parts))]
        columns = found[0][1]
        for _, other in found[1:]:
            columns = [together(one, two) for one, two in zip(columns, other, strict=True)]
        compared = any(not part.all for part in body.parts)
        sqls = [self._adjusted(sql, have, columns, compared=compared) for sql, have in found]
        chain = f"({sqls[0]})"
        for part, sql in zip(body.parts, sqls[1:], strict=True):
            chain += f" {part.sign}{' ALL' if part.all else ''} ({sql})"
        return chain, columns

    def _adjusted(self, sql: str, have: list[Phys], want: list[Phys], *, compared: bool) -> str:
        """Return a query whose columns travel as wanted; `compared` ones lose their scale."""
        shown = []
        for place, (one, other) in enumerate(zip(have, want, strict=True)):
            value = self.convert(Piece(f"x.c{place}", one), other)
            shown.append(keyed(value, other) if compared else value)
        if all(value == f"x.c{place}" for place, value in enumerate(shown)):
            return sql
        items = ", ".join(f"{value} AS c{place}" for place, value in enumerate(shown))
        return f"SELECT {items} FROM ({sql}) AS x"


def _direction(key: SortKey) -> str:
    direction = " DESC" if key.descending else " ASC"
    return direction + (" NULLS FIRST" if key.nulls_first else " NULLS LAST")


def mark(relation: int) -> str:
    """Return what stands for a dataset until it is known which of its columns are needed."""
    return f"@{relation}@"


def _names(count: int) -> str:
    return ", ".join(f"c{place}" for place in range(count))


def _conjuncts(node: Bound) -> list[Bound]:
    if isinstance(node, Lazy) and node.operator == "and":
        return [part for operand in node.operands for part in _conjuncts(operand)]
    return [node]
