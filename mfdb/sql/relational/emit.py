"""From bound expressions to DuckDB's SQL, with our semantics spelled out.

What DuckDB does not do exactly our way is a call of our own function, the same one that the row
route calls (`udf.py`). Constants and parameters are typed parameters, never text.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.sql.bound import Bound, Context, Lazy, Slot, Strict, Value, WithNulls
from mfdb.sql.lists import element_of
from mfdb.sql.regular_forms import MATCHES
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
from mfdb.sql.relational.re2 import pattern_of
from mfdb.sql.relational.risk import WIDTH, is_leaf, is_risky
from mfdb.sql.relational.tree import (
    AUTHOR,
    ROW_ID,
    RelationField,
)
from mfdb.sql.relational.udf import Functions, same

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mfdb.sql.compile import Environment
    from mfdb.sql.relational.tree import RelationalQuery

DOUBLED_CHARACTERS = 20_000
"""Longer conditions are not guarded against errors of branches that should not be taken."""


class ScalarEmitter:
    """Emits what is computed of one row; groups, windows and queries are its subclasses' work."""

    def __init__(self, about: Environment) -> None:
        self.about = about
        self.values: list[Any] = []
        self.functions = Functions()
        self.relations: dict[int, list[Phys]] = {}
        self.used: dict[int, set[int]] = {}
        self.groups: dict[Any, Piece] = {}
        self.has_sets = False

    def emit(self, node: Bound) -> Piece:
        """Return the SQL of an expression."""
        raise NotImplementedError

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
        if node.what == "random":
            return Piece("random()", ph.DOUBLE)
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
        takes, arguments = _given(pieces)
        name = self.functions.name_of(
            id(node.call), tuple(takes), gives.kind, node.call, node.position
        )
        called = f"{name}({', '.join(arguments)})"
        # DuckDB takes a NaN that a function returns for NULL, so that floats come back as text.
        return Piece(f"CAST({called} AS DOUBLE)" if gives == ph.DOUBLE else called, gives)

    def with_nulls(self, node: WithNulls) -> Piece:
        """A call of ours that sees NULLs, its last operands perhaps as one list."""
        gives = loose(node)
        pieces = [self.emit(operand) for operand in node.operands]
        head = pieces if node.listed is None else pieces[: node.listed]
        takes, arguments = _given(head)
        if node.listed is not None:
            shown, phys = "[]", ph.VARCHAR
            if len(pieces) > node.listed:
                listed = pieces[node.listed :]
                if listed[0].phys.kind == "DEC":  # each with its own scale
                    listed = [self.text_of(piece) for piece in listed]
                values, phys = self.alike(listed)
                shown = f"[{', '.join(values)}]"
            takes.append(f"{phys.kind}[]")
            arguments.append(f"CAST({shown} AS {phys.sql}[])")
        name = self.functions.name_of(
            id(node.call), tuple(takes), gives.kind, node.call, node.position, nulls=True
        )
        called = f"{name}({', '.join(arguments)})"
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

    def matching(self, node: Strict, pieces: list[Piece]) -> Piece | None:
        """Regular expressions that are written out, as far as RE2 has the same."""
        pattern = node.operands[1]
        written = self.about.parameters[pattern.index] if isinstance(pattern, Slot) else None
        written = pattern.value if isinstance(pattern, Value) else written
        flags = "i" if node.operator.endswith("*") else ""
        as_re2 = pattern_of(written, flags) if isinstance(written, str) else None
        if as_re2 is None:
            return None
        self.values[-1] = as_re2  # the pattern was the last to become a parameter
        found = f"regexp_matches({pieces[0].sql}, {pieces[1].sql})"
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


def _given(pieces: Sequence[Piece]) -> tuple[list[str], list[str]]:
    """Return in what kinds operands come to a function of ours, and their SQL."""
    takes, arguments = [], []
    for piece in pieces:
        is_exact = piece.phys.kind == "DEC"
        takes.append("DIGITS" if is_exact else piece.phys.kind)
        arguments.append(f"CAST({piece.sql} AS VARCHAR)" if is_exact else piece.sql)
    return takes, arguments


_E = ScalarEmitter
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
