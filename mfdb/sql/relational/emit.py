"""From bound expressions to DuckDB's SQL, with our semantics spelled out.

What DuckDB does not do exactly our way is a call of our own function, the same one that the row
route calls (`udf.py`). Constants and parameters are typed parameters, never text.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.kernel.errors import NotSupportedError
from mfdb.sql.bind_operator import MATCHES
from mfdb.sql.bound import Aggregate, Bound, Context, Lazy, Slot, Strict, Value
from mfdb.sql.functions import AGGREGATES, JSON_AGGREGATES, SPREADS
from mfdb.sql.interval_functions import mean, total
from mfdb.sql.lists import element_of
from mfdb.sql.relational import physical as ph
from mfdb.sql.relational.physical import (
    Phys,
    encode_decimal,
    native,
    physical,
    shared,
    together,
)
from mfdb.sql.relational.pieces import Piece, exact, guarded_float, keyed, loose
from mfdb.sql.relational.risk import WIDTH, is_leaf, is_risky
from mfdb.sql.relational.tree import (
    AUTHOR,
    ROW_ID,
    RelationField,
    SeriesValue,
    SubqueryValue,
    WindowValue,
    shape,
)
from mfdb.sql.relational.udf import LISTED, Functions, average, average_of, same, spread, sum_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mfdb.sql.bound import Sort
    from mfdb.sql.compile import Environment
    from mfdb.sql.relational.tree import FrameEnd, FrameOf, RelationalQuery

DOUBLED_CHARACTERS = 20_000
"""Longer conditions are not guarded against errors of branches that should not be taken."""


class ExpressionEmitter:
    """Emits expressions of one statement; queries inside them are its subclass's work."""

    def __init__(self, about: Environment) -> None:
        self.about = about
        self.values: list[Any] = []
        self.functions = Functions()
        self.relations: dict[int, list[Phys]] = {}
        self.used: dict[int, set[int]] = {}
        self.groups: dict[Any, Piece] = {}

    def emit(self, node: Bound) -> Piece:
        """Return the SQL of an expression."""
        if self.groups:
            grouped = self.groups.get(shape(node))
            if grouped is not None:
                return grouped
        return _EMIT[type(node)](self, node)

    def sql(self, node: Bound) -> str:
        """Return the SQL of a condition."""
        return self.emit(node).sql

    def query(self, query: RelationalQuery) -> tuple[str, list[Phys]]:
        """Return the SQL of a query and how its columns travel."""
        raise NotImplementedError

    # ---- leaves

    def parameter(self, value: Any, phys: Phys) -> Piece:
        """Return a typed parameter."""
        self.values.append(value)
        return Piece(f"CAST(${len(self.values)} AS {phys.sql})", phys)

    def value(self, node: Value) -> Piece:
        """A constant."""
        if isinstance(node.value, Decimal):
            return self._decimal(node.value)
        if node.value is None and node.type.family == "decimal":
            return Piece("CAST(NULL AS DECIMAL(1,0))", Phys("DEC", 1, 0))
        return self._plain(node.value, physical(node.type))

    def _plain(self, value: Any, phys: Phys) -> Piece:
        if value is None:
            return Piece(f"CAST(NULL AS {phys.sql})", phys)
        if isinstance(value, bool):
            return Piece("TRUE" if value else "FALSE", phys)
        if isinstance(value, int) and phys == ph.BIGINT:
            return Piece(f"CAST({value} AS BIGINT)", phys)
        return self.parameter(value, phys)

    def _decimal(self, value: Decimal) -> Piece:
        digits = f"{value:f}"
        whole, _, fraction = digits.lstrip("-").partition(".")
        phys = native(len(whole.lstrip("0")), len(fraction))
        if phys is None:
            return self.parameter(encode_decimal(value), ph.DTEXT)
        return Piece(f"CAST('{digits}' AS {phys.sql})", phys)

    def slot(self, node: Slot) -> Piece:
        """A parameter of the statement; without a type, its value tells how it travels."""
        value = self.about.parameters[node.index]
        if isinstance(value, Decimal):
            return self._decimal(value)
        if node.type.family != "unknown" or value is None:
            return self.value(Value(type=node.type, position=node.position, value=value))
        kinds = ((bool, ph.BOOLEAN), (int, ph.BIGINT), (float, ph.DOUBLE), (bytes, ph.BLOB))
        for kind, phys in kinds:
            if isinstance(value, kind):
                return self._plain(value, phys)
        return self.parameter(value, ph.VARCHAR)

    def context(self, node: Context) -> Piece:
        """What the execution knows."""
        if node.what == "caller":
            caller = self.about.caller
            return self.parameter(None if caller is None else bytes(caller), ph.BLOB)
        if node.what == "uuid":
            return Piece("unhex(replace(CAST(uuid() AS VARCHAR), '-', ''))", ph.BLOB)
        assert node.what == "now", "what a row knows is a field here"
        return self._plain(self.about.now_us, ph.BIGINT)

    def field(self, node: RelationField) -> Piece:
        """A column of something in FROM."""
        self.used.setdefault(node.relation, set()).add(node.index)
        if node.index < 0:
            phys = ph.BLOB if node.index in (AUTHOR, ROW_ID) else ph.BIGINT
            return Piece(f"r{node.relation}.m{-node.index}", phys)
        return Piece(f"r{node.relation}.c{node.index}", self.relations[node.relation][node.index])

    # ---- exact numbers

    def text_of(self, piece: Piece) -> Piece:
        """Return an exact number as a text that sorts as it does."""
        if piece.phys.kind == "DTEXT":
            return piece
        name = self.functions.name_of("same", ("DIGITS",), "DTEXT", same, 0)
        return Piece(f"{name}(CAST({piece.sql} AS VARCHAR))", ph.DTEXT)

    def convert(self, piece: Piece, phys: Phys) -> str:
        """Return the SQL of a value in another kind that can hold it."""
        if piece.phys == phys:
            return piece.sql
        if phys.kind == "DTEXT":
            return self.text_of(piece).sql
        return f"CAST({piece.sql} AS {phys.sql})"

    def alike(self, pieces: Sequence[Piece], *, compared: bool = False) -> tuple[list[str], Phys]:
        """Return values in one common kind; only compared ones may change their scale."""
        phys = pieces[0].phys
        for piece in pieces[1:]:
            phys = shared(phys, piece.phys) if compared else together(phys, piece.phys)
        return [self.convert(piece, phys) for piece in pieces], phys

    def keys(self, nodes: Sequence[Bound]) -> list[str]:
        """Return values in one common kind, so that equal numbers are equal."""
        sqls, phys = self.alike([self.emit(node) for node in nodes], compared=True)
        return [keyed(sql, phys) for sql in sqls]

    # ---- functions

    def strict(self, node: Strict) -> Piece:
        """A function that gives NULL for NULL."""
        build = _NATIVE.get(node.operator)
        pieces = [self.emit(operand) for operand in node.operands]
        found = build(self, node, pieces) if build is not None else None
        return found if found is not None else self.call(node, pieces)

    def call(self, node: Strict, pieces: list[Piece]) -> Piece:
        """Return a call of the very function that the row route calls."""
        gives = loose(node)
        takes, arguments = [], []
        for piece in pieces:
            if piece.phys.kind == "DEC":
                takes.append("DIGITS")
                arguments.append(f"CAST({piece.sql} AS VARCHAR)")
            else:
                takes.append(piece.phys.kind)
                arguments.append(piece.sql)
        name = self.functions.name_of(
            id(node.call), tuple(takes), gives.kind, node.call, node.position
        )
        called = f"{name}({', '.join(arguments)})"
        # DuckDB takes a NaN that a function returns for NULL, so that floats come back as text.
        return Piece(f"CAST({called} AS DOUBLE)" if gives == ph.DOUBLE else called, gives)

    def comparison(self, node: Strict, pieces: list[Piece]) -> Piece:
        """`=`, `<` and the like."""
        (left, right), phys = self.alike(pieces, compared=True)
        sign = node.operator
        return Piece(f"({keyed(left, phys)} {sign} {keyed(right, phys)})", ph.BOOLEAN)

    def arithmetic(self, node: Strict, pieces: list[Piece]) -> Piece | None:
        """Arithmetic where DuckDB's is ours: integers, and exact numbers that fit."""
        if len(pieces) != 2 or node.type.family not in ("integer", "decimal", "float"):
            return None
        if node.operator in ("/", "%", "^") and not pieces[0].phys == ph.BIGINT == pieces[1].phys:
            return None
        left, right = pieces
        if left.phys == ph.BIGINT == right.phys and node.type.family == "integer":
            sign = {"/": "//"}.get(node.operator, node.operator)
            return Piece(f"({left.sql} {sign} {right.sql})", ph.BIGINT)
        if left.phys.kind == "DEC" == right.phys.kind:
            return exact(node.operator, left, right)
        if left.phys == ph.DOUBLE == right.phys and all(map(is_leaf, node.operands)):
            return guarded_float(node.operator, left.sql, right.sql)
        return None

    def negative(self, _node: Strict, pieces: list[Piece]) -> Piece | None:
        """`-x`."""
        piece = pieces[0]
        return None if piece.phys.kind == "DTEXT" else Piece(f"(-{piece.sql})", piece.phys)

    def inverse(self, _node: Strict, pieces: list[Piece]) -> Piece:
        """NOT."""
        return Piece(f"(NOT {pieces[0].sql})", ph.BOOLEAN)

    def length(self, _node: Strict, pieces: list[Piece]) -> Piece | None:
        """Characters of a text."""
        if pieces[0].phys != ph.VARCHAR:
            return None
        return Piece(f"length({pieces[0].sql})", ph.BIGINT)

    def concatenation(self, node: Strict, pieces: list[Piece]) -> Piece | None:
        """`||` of texts."""
        if node.type.family != "text":
            return None
        return Piece(f"({pieces[0].sql} || {pieces[1].sql})", ph.VARCHAR)

    def like(self, node: Strict, pieces: list[Piece]) -> Piece | None:
        """LIKE with a constant pattern that escapes nothing."""
        pattern = node.operands[1]
        if len(pieces) != 2 or not isinstance(pattern, Value) or "\\" in str(pattern.value):
            return None
        return Piece(f"({pieces[0].sql} LIKE {pieces[1].sql})", ph.BOOLEAN)

    def matching(self, node: Strict, pieces: list[Piece]) -> Piece:
        """Regular expressions; a dot is any letter, as in PostgreSQL."""
        self.functions.matches = True
        options = "si" if node.operator.endswith("*") else "s"
        found = f"regexp_matches({pieces[0].sql}, {pieces[1].sql}, '{options}')"
        return Piece(f"(NOT {found})" if node.operator[0] == "!" else found, ph.BOOLEAN)

    def cast(self, node: Strict, pieces: list[Piece]) -> Piece | None:
        """The casts that DuckDB does as we do."""
        piece, source, target = pieces[0], node.operands[0].type, node.type
        pair = (source.family, target.family)
        if pair == ("integer", "integer") and WIDTH[source.name] <= WIDTH[target.name]:
            return piece
        if pair == ("integer", "float") and target.name != "REAL":
            return Piece(f"CAST({piece.sql} AS DOUBLE)", ph.DOUBLE)
        if pair == ("integer", "text") and not target.numbers:
            return Piece(f"CAST({piece.sql} AS VARCHAR)", ph.VARCHAR)
        if pair == ("integer", "decimal") and target.name == "DECIMAL" and not target.numbers:
            return Piece(f"CAST({piece.sql} AS DECIMAL(19,0))", Phys("DEC", 19, 0))
        if pair == ("decimal", "decimal") and target.name == "DECIMAL" and not target.numbers:
            return piece
        if pair == ("decimal", "float") and piece.phys.kind == "DEC" and target.name != "REAL":
            if piece.phys.precision <= 15:
                return Piece(f"CAST({piece.sql} AS DOUBLE)", ph.DOUBLE)
            return None
        if source.family == "date" and target.family in ("timestamp", "timestamptz"):
            return Piece(f"({piece.sql} * 86400000000)", ph.BIGINT)
        return None

    # ---- what decides itself about NULL

    def lazy(self, node: Lazy) -> Piece:
        """And, or, IS, IN, CASE, coalesce and the like."""
        built: Piece = _LAZY[node.operator](self, node)
        return built

    def logical(self, node: Lazy) -> Piece:
        """AND and OR, from left to right where a later operand could fail."""
        parts = [self.sql(operand) for operand in node.operands]
        word = node.operator.upper()
        whole = "(" + f" {word} ".join(parts) + ")"
        if any(map(is_risky, node.operands[1:])) and len(whole) < DOUBLED_CHARACTERS:
            stop = "FALSE" if word == "AND" else "TRUE"
            tests = "".join(f" WHEN ({part}) IS {stop} THEN {stop}" for part in parts[:-1])
            return Piece(f"(CASE{tests} ELSE {whole} END)", ph.BOOLEAN)
        return Piece(whole, ph.BOOLEAN)

    def test(self, node: Lazy) -> Piece:
        """IS NULL, IS TRUE, IS FALSE."""
        word = {"is_null": "NULL", "is_true": "TRUE", "is_false": "FALSE"}[node.operator]
        return Piece(f"({self.sql(node.operands[0])} IS {word})", ph.BOOLEAN)

    def distinct(self, node: Lazy) -> Piece:
        """IS NOT DISTINCT FROM."""
        left, right = self.keys(node.operands)
        return Piece(f"({left} IS NOT DISTINCT FROM {right})", ph.BOOLEAN)

    def membership(self, node: Lazy) -> Piece:
        """IN a list."""
        subject, *choices = self.keys(node.operands)
        whole = f"({subject} IN ({', '.join(choices)}))"
        if any(map(is_risky, node.operands[2:])) and len(whole) < DOUBLED_CHARACTERS:
            tests = "".join(f" WHEN {subject} = {choice} THEN TRUE" for choice in choices[:-1])
            whole = f"(CASE WHEN {subject} IS NULL THEN NULL{tests} ELSE {whole} END)"
        return Piece(whole, ph.BOOLEAN)

    def among(self, node: Lazy) -> Piece:
        """= ANY of a list that was given, which is written out."""
        subject, slot = node.operands
        assert isinstance(slot, Slot), "the binder puts a parameter there"
        given = self.about.parameters[slot.index]
        if not given:
            nothing = None if given is None else False
            return self.value(Value(type=node.type, position=node.position, value=nothing))
        kind = element_of(slot.type)
        listed = [Value(type=kind, position=slot.position, value=one) for one in given]
        return self.membership(msgspec.structs.replace(node, operands=(subject, *listed)))

    def case(self, node: Lazy) -> Piece:
        """CASE: conditions and results in turn, then perhaps ELSE."""
        operands = node.operands
        conditions = [self.sql(operand) for operand in operands[0:-1:2]]
        results = list(operands[1::2])
        if len(operands) % 2:
            results.append(operands[-1])
        values, phys = self.alike([self.emit(result) for result in results])
        branches = "".join(
            f" WHEN {condition} THEN {value}"
            for condition, value in zip(conditions, values, strict=False)
        )
        otherwise = f" ELSE {values[-1]}" if len(operands) % 2 else ""
        return Piece(f"(CASE{branches}{otherwise} END)", phys)

    def chosen(self, node: Lazy) -> Piece:
        """Coalesce, greatest, least."""
        values, phys = self.alike([self.emit(operand) for operand in node.operands])
        return Piece(f"{node.operator}({', '.join(values)})", phys)

    def nullif(self, node: Lazy) -> Piece:
        """NULL if both are equal."""
        first = self.emit(node.operands[0])
        left, right = self.keys(node.operands)
        return Piece(f"(CASE WHEN {left} = {right} THEN NULL ELSE {first.sql} END)", first.phys)

    def joined(self, node: Lazy) -> Piece:
        """`concat` and `concat_ws` pass NULLs over, here as there."""
        parts = ", ".join(self.sql(operand) for operand in node.operands)
        return Piece(f"{node.operator}({parts})", ph.VARCHAR)

    # ---- aggregates and windows

    def aggregate(self, node: Aggregate) -> Piece:
        """An aggregate over a group."""
        operands = (*((node.operand,) if node.operand is not None else ()), *node.more)
        after = f" FILTER (WHERE {self.sql(node.condition)})" if node.condition is not None else ""
        order = ", ".join(self.sort(sort) for sort in node.order_by)
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
        if kind in SPREADS:
            return self._spread(kind, piece, word, after)
        if kind in ("min", "max", "bit_and", "bit_or"):
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
        if frame.end is None:
            return f"{frame.unit} {start}"
        return f"{frame.unit} BETWEEN {start} AND {self._end(frame.end)}"

    def _end(self, end: FrameEnd) -> str:
        if end.kind == "CURRENT":
            return "CURRENT ROW"
        if end.count is None:
            return f"UNBOUNDED {end.side}"
        return f"{self.number(end.count, 'a frame')} {end.side}"

    def number(self, bound: Bound, what: str) -> int:
        """Return the value of an expression without columns, which must not be negative."""
        from mfdb.kernel.errors import DataError
        from mfdb.sql.compile import compile_expression

        value = compile_expression(bound)((), self.about)
        if value is None or value < 0:
            raise DataError(f"{what} must not be negative", position=bound.position)
        return min(int(value), 2**62)

    # ---- functions that give rows

    def series(self, node: SeriesValue) -> Piece:
        """The values of a list, one in each row."""
        pieces = [self.emit(operand) for operand in node.operands]
        phys = physical(node.type)
        given = ", ".join(piece.sql for piece in pieces)
        if node.call is None:
            return Piece(f"unnest({node.function}({given}))", phys)
        takes = tuple(piece.phys.kind for piece in pieces)
        gives = f"{phys.sql}[]"
        name = self.functions.name_of(id(node.call), takes, gives, node.call, node.position)
        return Piece(f"unnest({name}({given}))", phys)

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
        assert node.operand is not None
        operand = self.emit(node.operand)
        phys = columns[0]
        phys = shared(operand.phys, phys)
        column = keyed(self.convert(Piece("x.c0", columns[0]), phys), phys)
        if column != "x.c0":
            sql = f"SELECT {column} FROM ({sql}) AS x"
        left = keyed(self.convert(operand, phys), phys)
        if node.kind == "in":
            return Piece(f"({left} IN ({sql}))", ph.BOOLEAN)
        return Piece(f"({left} {node.sign} {node.kind.upper()} ({sql}))", ph.BOOLEAN)


_E = ExpressionEmitter
_NATIVE: dict[str, Callable[[Any, Strict, list[Piece]], Piece | None]] = {
    **dict.fromkeys(("=", "<>", "<", "<=", ">", ">="), _E.comparison),
    **dict.fromkeys(("+", "-", "*", "/", "%", "^"), _E.arithmetic),
    "negative": _E.negative,
    "not": _E.inverse,
    "length": _E.length,
    "||": _E.concatenation,
    "like": _E.like,
    **dict.fromkeys(MATCHES, _E.matching),
    "cast": _E.cast,
}
_LAZY: dict[str, Callable[[Any, Lazy], Piece]] = {
    "and": _E.logical,
    "or": _E.logical,
    "is_null": _E.test,
    "is_true": _E.test,
    "is_false": _E.test,
    "same": _E.distinct,
    "in": _E.membership,
    "in_given": _E.among,
    "case": _E.case,
    "coalesce": _E.chosen,
    "greatest": _E.chosen,
    "least": _E.chosen,
    "nullif": _E.nullif,
    "concat": _E.joined,
    "concat_ws": _E.joined,
}
_EMIT: dict[type, Callable[[Any, Any], Piece]] = {
    Value: _E.value,
    Slot: _E.slot,
    Context: _E.context,
    RelationField: _E.field,
    Strict: _E.strict,
    Lazy: _E.lazy,
    Aggregate: _E.aggregate,
    WindowValue: _E.window,
    SeriesValue: _E.series,
    SubqueryValue: _E.subquery,
}
