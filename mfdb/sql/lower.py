"""From a bound expression to the form that stands in manifests (`mfdb.rules.expression`).

CHECKs, DEFAULTs and the conditions of grants are judged by every node, also by one that speaks no
SQL. What that form cannot say is refused here, with its position.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from mfdb.kernel.errors import InvalidPattern, MfdbError, NotSupportedError, SchemaViolation
from mfdb.rules.expression import check
from mfdb.sql.bound import Bound, Context, Field, Lazy, Slot, Strict, Value
from mfdb.sql.convert import placed
from mfdb.sql.regular_forms import MATCHES
from mfdb.sql.types import to_storage

_SAME = frozenset(
    {"=", "<>", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "||", "negative", "not", "like",
     "ilike", "~", "~*", "!~", "!~*", "length", "octet_length", "lower", "upper", "abs", "substr",
     "and", "or", "is_null", "is_true", "is_false", "same", "in", "case", "coalesce"}
)  # fmt: skip
_NAMES = {"char_length": "length", "character_length": "length", "substring": "substr"}
NOW = ["now"]
"""A DEFAULT of the time of writing; it is no part of conditions, which know no clock."""


UUID = ["uuid"]
"""A DEFAULT of a random UUID."""


def lower(node: Bound, what: str) -> Any:
    """Return a condition or constant in the form that every node evaluates.

    Raises:
        NotSupportedError: that form cannot say it.
        SchemaViolation: it is too deep or too large.
    """
    expression = _lower(node, what)
    try:
        check(expression)
    except SchemaViolation as error:
        raise placed(error, node.position) from None
    return expression


def lower_default(node: Bound) -> Any:
    """Return a DEFAULT: `["now"]`, or an expression over no row."""
    if isinstance(node, Strict) and node.operator == "cast" and _is_now(node.operands[0]):
        node = node.operands[0]
    if isinstance(node, Context) and node.what == "uuid":
        return list(UUID)
    return list(NOW) if _is_now(node) else lower(node, "DEFAULT")


def _is_now(node: Bound) -> bool:
    return isinstance(node, Context) and node.what == "now"


def _lower(node: Bound, what: str) -> Any:
    if isinstance(node, Value):
        if isinstance(node.value, Decimal):
            return ["decimal", ["value", to_storage(node.value)]]
        return ["value", node.value]
    if isinstance(node, Field):
        column = ["column", node.name]
        return ["decimal", column] if node.type.family == "decimal" else column
    if isinstance(node, Context) and node.what in ("author", "caller"):
        return [node.what]
    if isinstance(node, Strict) and node.operator == "cast":
        return _lower_cast(node, what)
    if isinstance(node, Strict) and node.operator in MATCHES:
        _check_pattern(node.operands[1])
    if isinstance(node, Strict | Lazy):
        operator = _NAMES.get(node.operator, node.operator)
        if operator in _SAME:
            return [operator, *(_lower(operand, what) for operand in node.operands)]
    raise _refused(node, what)


def _check_pattern(node: Bound) -> None:
    """A pattern that is none would let no row in, and say so to nobody."""
    from mfdb.sql.regular_functions import compiled

    if isinstance(node, Value) and isinstance(node.value, str):
        try:
            compiled(node.value)
        except InvalidPattern as error:
            raise placed(error, node.position) from None


def _lower_cast(node: Strict, what: str) -> Any:
    operand = node.operands[0]
    source, target = operand.type.family, node.type.family
    inner = _lower(operand, what)
    if target == "decimal" and source in ("integer", "decimal") and not node.type.numbers:
        return ["decimal", inner]
    if target == "float" and source in ("integer", "decimal", "float"):
        return ["float", inner]
    if source == target and not node.type.numbers and node.type.name != "SMALLINT":
        return inner
    if target == "text" and source == "text":
        return inner
    raise _refused(node, what)


def _refused(node: Bound, what: str) -> MfdbError:
    named = getattr(node, "operator", None) or getattr(node, "what", None)
    shown = "a parameter" if isinstance(node, Slot) else f"{named or 'this'}"
    return NotSupportedError(
        f"{what} cannot say {shown}: every node has to judge it alike",
        hint="use columns, constants, comparisons, AND/OR/NOT, LIKE, ~, arithmetic, length, lower",
        position=node.position,
    )
