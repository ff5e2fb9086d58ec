"""Lowered expressions as SQL again, for errors, SHOW CREATE and SHOW GRANTS."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mfdb.sql.convert import to_text
from mfdb.sql.scanner import RESERVED
from mfdb.sql.types import IDENTITY, SqlType, from_storage

if TYPE_CHECKING:
    from collections.abc import Mapping

_INFIX = frozenset(
    {"=", "<>", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "||", "~", "~*", "!~", "!~*"}
)
_WORDS = {"and": "AND", "or": "OR", "like": "LIKE", "ilike": "ILIKE"}
_TESTS = {"is_null": "IS NULL", "is_true": "IS TRUE", "is_false": "IS FALSE"}
_NILADIC = {
    "author": "row_author()",
    "caller": "current_identity()",
    "now": "now()",
    "uuid": "gen_random_uuid()",
}


def show_expression(expression: Any, types: Mapping[str, SqlType] | None = None) -> str:
    """Return the SQL of a checked expression, as `mfdb.rules.expression` has it.

    With the `types` of columns, constants of days, times and the like are written as such, so that
    the text can be read back.
    """
    return _Writer(types or {}).show(expression, outer=True)


def show_constant(value: Any, kind: SqlType) -> str:
    """Return the literal of a stored value of a type."""
    if value is None or kind.family not in _QUOTED:
        return show_value(value)
    text = to_text(from_storage(value, kind), kind).replace("'", "''")
    return f"'{text}'" if kind.family == "array" else f"{kind.name} '{text}'"


_QUOTED = frozenset({"date", "timestamp", "timestamptz", "time", "interval", "uuid", "identity",
                     "array"})  # fmt: skip
"""Families whose stored values are not what one writes."""
_INSIDE = _INFIX | set(_WORDS) | set(_TESTS) | {"not", "in", "same", "negative"}
"""What stands in parentheses within another expression."""
_ALIKE = frozenset({"=", "<>", "<", "<=", ">", ">=", "in", "same", "coalesce"})
"""Operators whose operands are of one type."""


class _Writer:
    """Writes one expression, knowing the types of the columns that it may name."""

    def __init__(self, types: Mapping[str, SqlType]) -> None:
        self._types = types

    def show(self, node: Any, *, outer: bool = False, kind: SqlType | None = None) -> str:
        operator, *operands = node
        if operator == "column":
            return quoted_name(operands[0])
        if operator == "value":
            return show_value(operands[0]) if kind is None else show_constant(operands[0], kind)
        if operator in _NILADIC:
            return _NILADIC[operator]
        if operator == "float" and operands[0][0] != "value":
            return f"CAST({self.show(operands[0], outer=True)} AS DOUBLE PRECISION)"
        if operator in ("decimal", "float"):
            inner = operands[0]
            return str(inner[1]) if inner[0] == "value" else self.show(inner)
        text = self._composed(operator, operands, kind)
        return text if outer or operator not in _INSIDE else f"({text})"

    def _composed(self, operator: str, operands: list[Any], kind: SqlType | None) -> str:
        if operator == "case":
            return self._case(operands, kind)
        common = self._common(operands) if operator in _ALIKE else None
        shown = [self.show(operand, kind=common or kind) for operand in operands]
        if operator in _INFIX:
            return f"{shown[0]} {operator} {shown[1]}"
        if operator in ("and", "or"):
            return f" {_WORDS[operator]} ".join(shown)
        if operator in _WORDS:
            escape = f" ESCAPE {shown[2]}" if len(shown) > 2 else ""
            return f"{shown[0]} {_WORDS[operator]} {shown[1]}{escape}"
        if operator in _TESTS:
            return f"{shown[0]} {_TESTS[operator]}"
        if operator == "not":
            return f"NOT {shown[0]}"
        if operator == "negative":
            return f"- {shown[0]}"
        if operator == "same":
            return f"{shown[0]} IS NOT DISTINCT FROM {shown[1]}"
        if operator == "in":
            return f"{shown[0]} IN ({', '.join(shown[1:])})"
        return f"{operator}({', '.join(shown)})"

    def _case(self, operands: list[Any], kind: SqlType | None) -> str:
        results = operands[1::2] + (operands[-1:] if len(operands) % 2 else [])
        kind = self._common(results) or kind
        pairs = [
            f"WHEN {self.show(operands[at])} THEN {self.show(operands[at + 1], kind=kind)}"
            for at in range(0, len(operands) - 1, 2)
        ]
        otherwise = f" ELSE {self.show(operands[-1], kind=kind)}" if len(operands) % 2 else ""
        return f"CASE {' '.join(pairs)}{otherwise} END"

    def _common(self, operands: list[Any]) -> SqlType | None:
        """Return the type of operands of one type, as far as columns tell it."""
        for operand in operands:
            operator, *parts = operand
            if operator == "column" and parts[0] in self._types:
                return self._types[parts[0]]
            if operator in ("author", "caller"):
                return IDENTITY
            if operator == "coalesce" and (found := self._common(parts)) is not None:
                return found
        return None


def quoted_name(name: str) -> str:
    """Return a name as it is written, in quotes where it needs them."""
    plain = name.isidentifier() and name.isascii() and name == name.lower()
    plain = plain and name.upper() not in RESERVED
    return name if plain else '"' + name.replace('"', '""') + '"'


def show_value(value: Any) -> str:
    """Return the literal of a stored value."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, bytes):
        return f"X'{value.hex()}'"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, float) and not math.isfinite(value):
        return f"CAST('{value}' AS DOUBLE PRECISION)"
    return repr(value) if isinstance(value, float) else str(value)
