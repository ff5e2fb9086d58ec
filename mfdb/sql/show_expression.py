"""Lowered expressions as SQL again, for errors, SHOW CREATE and SHOW GRANTS."""

from __future__ import annotations

from typing import Any

_INFIX = frozenset({"=", "<>", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "||"})
_WORDS = {"and": "AND", "or": "OR", "like": "LIKE", "ilike": "ILIKE"}
_TESTS = {"is_null": "IS NULL", "is_true": "IS TRUE", "is_false": "IS FALSE"}
_NILADIC = {"author": "row_author()", "caller": "current_identity()", "now": "now()"}


def show_expression(expression: Any) -> str:
    """Return the SQL of a checked expression, as `mfdb.rules.expression` has it."""
    return _show(expression, outer=True)


def _show(node: Any, *, outer: bool = False) -> str:
    operator, *operands = node
    if operator == "column":
        return _name(operands[0])
    if operator == "value":
        return show_value(operands[0])
    if operator in _NILADIC:
        return _NILADIC[operator]
    if operator in ("decimal", "float"):
        inner = operands[0]
        return str(inner[1]) if inner[0] == "value" else _show(inner)
    text = _composed(operator, operands)
    return text if outer or operator not in _BARE_INSIDE_PARENTHESES else f"({text})"


_BARE_INSIDE_PARENTHESES = _INFIX | set(_WORDS) | set(_TESTS) | {"not", "in", "same", "negative"}


def _composed(operator: str, operands: list[Any]) -> str:
    shown = [_show(operand) for operand in operands]
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
        return f"-{shown[0]}"
    if operator == "same":
        return f"{shown[0]} IS NOT DISTINCT FROM {shown[1]}"
    return _list_like(operator, shown)


def _list_like(operator: str, shown: list[str]) -> str:
    if operator == "in":
        return f"{shown[0]} IN ({', '.join(shown[1:])})"
    if operator == "case":
        pairs = [
            f"WHEN {shown[index]} THEN {shown[index + 1]}" for index in range(0, len(shown) - 1, 2)
        ]
        otherwise = f" ELSE {shown[-1]}" if len(shown) % 2 else ""
        return f"CASE {' '.join(pairs)}{otherwise} END"
    return f"{operator}({', '.join(shown)})"


def _name(name: str) -> str:
    plain = name.isidentifier() and name.isascii() and name == name.lower()
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
    return str(value)
