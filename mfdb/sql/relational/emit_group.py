"""From aggregates, windows and queries as values to DuckDB's SQL; see `emit` for the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.kernel.errors import DataError, NotSupportedError
from mfdb.sql.arrays import encode
from mfdb.sql.bound import Aggregate, Bound, Context, Lazy, Slot, Strict, Value, WithNulls
from mfdb.sql.compile import compile_expression
from mfdb.sql.functions import AGGREGATES, JSON_AGGREGATES, REGRESSIONS, SPREADS, WITHIN
from mfdb.sql.interval_functions import mean, total
from mfdb.sql.relational import physical as ph
from mfdb.sql.relational.emit import ScalarEmitter
from mfdb.sql.relational.physical import (
    Phys,
    physical,
    shared,
)
from mfdb.sql.relational.pieces import Piece, keyed, loose
from mfdb.sql.relational.regression import REGRESSION
from mfdb.sql.relational.tree import (
    GroupingValue,
    RelationField,
    SeriesValue,
    SubqueryValue,
    WindowValue,
    shape,
)
from mfdb.sql.relational.udf import LISTED, average, average_of, encoded, spread, sum_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mfdb.sql.bound import Sort
    from mfdb.sql.relational.tree import FrameEnd, FrameOf


class ExpressionEmitter(ScalarEmitter):
    """Emits expressions of one statement; queries inside them are its subclass's work."""

    def emit(self, node: Bound) -> Piece:
        """Return the SQL of an expression."""
        if self.groups:
            grouped = self.groups.get(shape(node))
            if grouped is not None:
                return grouped
        return _EMIT[type(node)](self, node)

    # ---- aggregates and windows

    def aggregate(self, node: Aggregate) -> Piece:
        """An aggregate over a group."""
        operands = (*((node.operand,) if node.operand is not None else ()), *node.more)
        after = f" FILTER (WHERE {self.sql(node.condition)})" if node.condition is not None else ""
        order = ", ".join(self.sort(sort) for sort in node.order_by)
        if node.kind in WITHIN:
            return self._within(node.kind, [self.emit(one) for one in operands], after, order)
        return self.aggregated(
            node, node.kind, operands, after, distinct=node.distinct, order=order
        )

    def aggregated(
        self,
        node: Bound,
        kind: str,
        operands: Sequence[Bound],
        after: str,
        *,
        distinct: bool,
        order: str = "",
    ) -> Piece:
        """Return an aggregate, over a group or a window."""
        word = "DISTINCT " if distinct else ""
        if not operands:
            return Piece(f"count(*){after}", ph.BIGINT)
        pieces = [self.emit(operand) for operand in operands]
        piece = pieces[0]
        over = keyed(piece.sql, piece.phys) if distinct or kind == "count" else piece.sql
        if kind == "count":
            return Piece(f"count({word}{over}){after}", ph.BIGINT)
        if kind in ("bool_and", "bool_or", "every"):
            name = "bool_or" if kind == "bool_or" else "bool_and"
            return Piece(f"{name}({piece.sql}){after}", ph.BOOLEAN)
        if kind == "string_agg":
            order = f" ORDER BY {order}" if order else ""
            given = f"{word}{piece.sql}, {pieces[1].sql}{order}"
            return Piece(f"string_agg({given}){after}", ph.VARCHAR)
        if kind in JSON_AGGREGATES:
            return self._json(pieces, word, after, order)
        if kind == "array_agg":
            return self._array(node, piece, word, after, order)
        if kind in REGRESSIONS:
            return self._regression(node, kind, pieces, after)
        return self._computed(node, kind, piece, over, word, after)

    def _computed(
        self, node: Bound, kind: str, piece: Piece, over: str, word: str, after: str
    ) -> Piece:
        """Return an aggregate of one operand that is a number, or has an order."""
        if kind in SPREADS:
            return self._spread(kind, piece, word, after)
        if kind in ("min", "max", "bit_and", "bit_or", "bit_xor"):
            return Piece(f"{kind}({piece.sql}){after}", piece.phys)
        if node.type.family == "interval":
            call = total if kind == "sum" else mean
            name = self.functions.name_of(kind, (LISTED,), "VARCHAR", call, node.position)
            return Piece(f"{name}(list({word}{piece.sql}){after})", ph.VARCHAR)
        if kind == "sum":
            return self._sum(node, piece.phys, f"{word}{over}", after)
        return self._average(piece.phys, f"{word}{over}", after)

    def _json(self, pieces: list[Piece], word: str, after: str, order: str) -> Piece:
        """An array, or an object, of the JSON of each row."""
        opening, closing = ("{", "}") if len(pieces) > 1 else ("[", "]")
        one = " || ': ' || ".join(piece.sql for piece in pieces)
        order = f" ORDER BY {order}" if order else ""
        inside = f"string_agg({word}{one}, ', '{order}){after}"
        return Piece(f"('{opening}' || {inside} || '{closing}')", ph.VARCHAR)

    def _within(self, kind: str, pieces: list[Piece], after: str, order: str) -> Piece:
        """The mode of a group, or what stands at a fraction of its values in order."""
        value = pieces[0]
        if kind == "mode":
            found = f"mode({keyed(value.sql, value.phys)} ORDER BY {order}){after}"
            return Piece(found, value.phys)
        known = f"{value.sql} IS NOT NULL"
        inside = after.removeprefix(" FILTER (WHERE ").removesuffix(")")
        after = f" FILTER (WHERE {known} AND {inside})" if after else f" FILTER (WHERE {known})"
        listed = f"list({value.sql} ORDER BY {order}){after}"
        fraction = pieces[1].sql
        if kind == "percentile_disc":
            at = f"{fraction} * len({listed})"
            at = f"(CASE WHEN {at} < 1 THEN 1 ELSE ceil({at}) END)"
            return Piece(f"list_extract({listed}, CAST({at} AS BIGINT))", value.phys)
        at = f"({fraction} * (len({listed}) - 1))"
        low, high = (
            f"list_extract({listed}, CAST({side}({at}) AS BIGINT) + 1)"
            for side in ("floor", "ceil")
        )
        between = f"{low} + ({at} - floor({at})) * ({high} - {low})"
        return Piece(f"(CASE WHEN floor({at}) = {at} THEN {low} ELSE {between} END)", ph.DOUBLE)

    def grouping(self, node: GroupingValue) -> Piece:
        """Which of the operands a row is not grouped by."""
        if not self.has_sets:
            return Piece("CAST(0 AS BIGINT)", ph.BIGINT)
        return Piece(f"GROUPING({', '.join(map(self.sql, node.operands))})", ph.BIGINT)

    def _sum(self, node: Bound, phys: Phys, over: str, after: str) -> Piece:
        if phys == ph.DTEXT:
            name = self.functions.name_of("sum", (LISTED,), "DTEXT", sum_of, node.position)
            return Piece(f"{name}(list({over}){after})", ph.DTEXT)
        total = f"sum({over}){after}"
        if phys == ph.BIGINT:
            result = ph.BIGINT if node.type.family == "integer" else Phys("DEC", 38, 0)
            return Piece(f"CAST({total} AS {result.sql})", result)
        return Piece(total, Phys("DEC", 38, phys.scale) if phys.kind == "DEC" else phys)

    def _average(self, phys: Phys, over: str, after: str) -> Piece:
        if phys == ph.DOUBLE:
            return Piece(f"avg({over}){after}", ph.DOUBLE)
        if phys == ph.DTEXT:
            name = self.functions.name_of("avg", (LISTED,), "DTEXT", average_of, 0)
            return Piece(f"{name}(list({over}){after})", ph.DTEXT)
        name = self.functions.name_of("mean", ("DIGITS", "BIGINT"), "DTEXT", average, 0)
        total = f"CAST(sum({over}){after} AS VARCHAR)"
        return Piece(f"{name}({total}, count({over}){after})", ph.DTEXT)

    def _array(self, node: Bound, piece: Piece, word: str, after: str, order: str) -> Piece:
        """The values of a group as an array, NULLs too."""
        if piece.phys.kind == "DEC":
            piece = self.text_of(piece)
        takes = f"{piece.phys.kind}[]"
        name = self.functions.name_of("array_agg", (takes,), "BLOB", encode, node.position)
        if word and not order:
            order = f"{piece.sql} ASC NULLS LAST"
        order = f" ORDER BY {order}" if order else ""
        return Piece(f"{name}(list({word}{piece.sql}{order}){after})", ph.BLOB)

    def _regression(self, node: Bound, kind: str, pieces: list[Piece], after: str) -> Piece:
        """Correlation and the like, of two whole lists."""
        gives = physical(node.type)
        takes = ("DOUBLE[]", "DOUBLE[]")
        name = self.functions.name_of(kind, takes, gives.kind, REGRESSION[kind], node.position)
        called = f"{name}({', '.join(f'list({piece.sql}){after}' for piece in pieces)})"
        if kind == "regr_count":
            return Piece(f"coalesce({called}, 0)", gives)
        return Piece(f"CAST({called} AS DOUBLE)", gives)

    def _spread(self, kind: str, piece: Piece, word: str, after: str) -> Piece:
        """Variance and standard deviation: exact numbers give exact ones, of the whole list."""
        if piece.phys == ph.DOUBLE:
            return Piece(f"{kind}({word}{piece.sql}){after}", ph.DOUBLE)
        exact = piece
        if piece.phys == ph.BIGINT:
            exact = Piece(f"CAST({piece.sql} AS DECIMAL(19,0))", Phys("DEC", 19, 0))
        name = self.functions.name_of(kind, (LISTED,), "DTEXT", spread(kind), 0)
        return Piece(f"{name}(list({word}{self.text_of(exact).sql}){after})", ph.DTEXT)

    def window(self, node: WindowValue) -> Piece:
        """A function over a window."""
        after = f" OVER ({self._over(node)})"
        if node.condition is not None:
            after = f" FILTER (WHERE {self.sql(node.condition)}){after}"
        if node.function in AGGREGATES:
            return self.aggregated(node, node.function, node.operands, after, distinct=False)
        pieces = [self.emit(operand) for operand in node.operands]
        if not pieces:
            phys = physical(node.type)
            return Piece(f"{node.function}(){after}", phys)
        phys = pieces[0].phys
        if len(pieces) == 3:
            (first, third), phys = self.alike((pieces[0], pieces[2]))
            given = [first, pieces[1].sql, third]
        else:
            given = [piece.sql for piece in pieces]
        return Piece(f"{node.function}({', '.join(given)}){after}", phys)

    def _over(self, node: WindowValue) -> str:
        parts = []
        if node.partition:
            pieces = [self.emit(part) for part in node.partition]
            parts.append(
                "PARTITION BY " + ", ".join(keyed(piece.sql, piece.phys) for piece in pieces)
            )
        if node.order_by:
            parts.append("ORDER BY " + ", ".join(self.sort(sort) for sort in node.order_by))
        if node.frame is not None:
            parts.append(self._frame(node.frame, node))
        return " ".join(parts)

    def sort(self, sort: Sort) -> str:
        """Return one sort key."""
        piece = self.emit(sort.expression)
        return (
            keyed(piece.sql, piece.phys)
            + (" DESC" if sort.descending else " ASC")
            + (" NULLS FIRST" if sort.nulls_first else " NULLS LAST")
        )

    def _frame(self, frame: FrameOf, node: WindowValue) -> str:
        counted = frame.start.count is not None or (frame.end is not None and frame.end.count)
        if frame.unit == "RANGE" and counted:
            key = self.emit(node.order_by[0].expression)
            family = node.order_by[0].expression.type.family
            if key.phys.kind == "DTEXT" or family not in ("integer", "decimal", "float"):
                raise NotSupportedError(
                    "RANGE with a distance needs a number to order by", position=node.position
                )
        start = self._end(frame.start)
        after = f" EXCLUDE {frame.exclude}" if frame.exclude else ""
        if frame.end is None:
            return f"{frame.unit} {start}{after}"
        return f"{frame.unit} BETWEEN {start} AND {self._end(frame.end)}{after}"

    def _end(self, end: FrameEnd) -> str:
        if end.kind == "CURRENT":
            return "CURRENT ROW"
        if end.count is None:
            return f"UNBOUNDED {end.side}"
        return f"{self.number(end.count, 'a frame')} {end.side}"

    def number(self, bound: Bound, what: str) -> int:
        """Return the value of an expression without columns, which must not be negative."""
        value = compile_expression(bound)((), self.about)
        if value is None or value < 0:
            raise DataError(f"{what} must not be negative", position=bound.position)
        return min(int(value), 2**62)

    # ---- functions that give rows

    def series(self, node: SeriesValue) -> Piece:
        """The values of a list, one in each row."""
        values = self.listed(node)
        return Piece(f"unnest({values.sql})", values.phys)

    def listed(self, node: SeriesValue) -> Piece:
        """The list of the values that a function gives as rows."""
        pieces = [self.emit(operand) for operand in node.operands]
        phys = physical(node.type)
        given = ", ".join(piece.sql for piece in pieces)
        if node.call is None:
            return Piece(f"{node.function}({given})", phys)
        takes, phys, call = tuple(piece.phys.kind for piece in pieces), loose(node), node.call
        if phys in (ph.DTEXT, ph.DOUBLE):  # DuckDB takes a NaN in a list for NULL, too
            call = encoded(call)
        gives = "VARCHAR[]" if phys == ph.DOUBLE else f"{phys.sql}[]"
        name = self.functions.name_of(id(node.call), takes, gives, call, node.position)
        if phys == ph.DOUBLE:
            return Piece(f"CAST({name}({given}) AS DOUBLE[])", phys)
        return Piece(f"{name}({given})", phys)

    # ---- queries

    def subquery(self, node: SubqueryValue) -> Piece:
        """A query as a value."""
        groups, self.groups = self.groups, {}
        sql, columns = self.query(node.query)
        self.groups = groups
        if node.kind == "scalar":
            return Piece(f"({sql})", columns[0])
        if node.kind == "exists":
            return Piece(f"EXISTS ({sql})", ph.BOOLEAN)
        if node.kind in ("some_true", "every_true"):
            decides, stop = (
                ("bool_or", "TRUE") if node.kind == "some_true" else ("bool_and", "FALSE")
            )
            other = "FALSE" if stop == "TRUE" else "TRUE"
            value = (
                f"CASE WHEN {decides}(x.c0) IS {stop} THEN {stop} "
                f"WHEN count(*) > count(x.c0) THEN NULL ELSE {other} END"
            )
            return Piece(f"(SELECT {value} FROM ({sql}) AS x)", ph.BOOLEAN)
        lefts, rights = [], []
        for place, operand in enumerate(map(self.emit, node.operands)):
            phys = shared(operand.phys, columns[place])
            lefts.append(keyed(self.convert(operand, phys), phys))
            column = f"x.c{place}"
            rights.append(keyed(self.convert(Piece(column, columns[place]), phys), phys))
        if rights != [f"x.c{place}" for place in range(len(rights))]:
            sql = f"SELECT {', '.join(rights)} FROM ({sql}) AS x"
        left = lefts[0] if len(lefts) == 1 else f"({', '.join(lefts)})"
        if node.kind == "in":
            return Piece(f"({left} IN ({sql}))", ph.BOOLEAN)
        return Piece(f"({left} {node.sign} {node.kind.upper()} ({sql}))", ph.BOOLEAN)


_E = ExpressionEmitter
_EMIT: dict[type, Callable[[Any, Any], Piece]] = {
    Value: _E.value,
    Slot: _E.slot,
    Context: _E.context,
    RelationField: _E.field,
    Strict: _E.strict,
    WithNulls: _E.with_nulls,
    Lazy: _E.lazy,
    Aggregate: _E.aggregate,
    WindowValue: _E.window,
    SeriesValue: _E.series,
    GroupingValue: _E.grouping,
    SubqueryValue: _E.subquery,
}
