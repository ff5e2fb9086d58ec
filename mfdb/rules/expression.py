"""Expressions in grants and CHECKs: nested arrays that every node evaluates alike.

    ["and", [">", ["column", "stars"], ["value", 3]], ["=", ["author"], ["caller"]]]

The first element names the operator (`OPERATORS` has the arities). Values are None, bool, int,
float, str and bytes. Three-valued like SQL, and total: where SQL would raise (types
that do not suit, an overflow, a division by zero, an operator nobody knows) the whole is None, so
that no IS NULL around an error can make it true; and None never allows.
No clock, no other row, no randomness: the same row gives the same answer everywhere, for ever.
"""

from __future__ import annotations

import math
from decimal import Context, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

from mfdb.kernel.errors import SchemaViolation
from mfdb.rules.pattern import like_matcher

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mfdb.kernel.ids import Address

DEPTH = 32
NODES = 512
CONSTANT_BYTES = 4_096
RESULT_BYTES = 16 * 2**20
_INTEGERS: Final = range(-(2**63), 2**63)
_CONTEXT = Context(prec=60, traps=[])
_ANY = (1, 256)

OPERATORS: Final[dict[str, tuple[int, int]]] = {
    "value": (1, 1),
    "column": (1, 1),
    "author": (0, 0),
    "caller": (0, 0),
    "and": _ANY,
    "or": _ANY,
    "not": (1, 1),
    "=": (2, 2),
    "<>": (2, 2),
    "<": (2, 2),
    "<=": (2, 2),
    ">": (2, 2),
    ">=": (2, 2),
    "+": (2, 2),
    "-": (2, 2),
    "*": (2, 2),
    "/": (2, 2),
    "%": (2, 2),
    "||": (2, 2),
    "negative": (1, 1),
    "is_null": (1, 1),
    "is_true": (1, 1),
    "is_false": (1, 1),
    "same": (2, 2),
    "in": (2, 256),
    "like": (2, 3),
    "ilike": (2, 3),
    **dict.fromkeys(("~", "~*", "!~", "!~*"), (2, 2)),
    "case": _ANY,
    "coalesce": _ANY,
    "length": (1, 1),
    "octet_length": (1, 1),
    "lower": (1, 1),
    "upper": (1, 1),
    "abs": (1, 1),
    "substr": (2, 3),
    "decimal": (1, 1),
    "float": (1, 1),
}
"""Operator -> least and most operands."""


def check(expression: object) -> None:
    """Return quietly if this is an expression that every node can evaluate.

    Raises:
        SchemaViolation: it is not, is too deep or too large, or has an unknown operator.
    """
    left = [(expression, 1)]
    count = 0
    while left:
        node, depth = left.pop()
        count += 1
        if depth > DEPTH or count > NODES:
            raise SchemaViolation(
                f"an expression has at most {DEPTH} levels and {NODES} parts",
                hint="simplify the condition",
            )
        operator, operands = _check_node(node)
        if operator not in ("value", "column"):
            left.extend((operand, depth + 1) for operand in operands)


def _check_node(node: object) -> tuple[str, Sequence[Any]]:
    if not isinstance(node, list | tuple) or not node or not isinstance(node[0], str):
        raise SchemaViolation("an expression is an array that begins with its operator")
    operator, operands = node[0], node[1:]
    if operator not in OPERATORS:
        raise SchemaViolation(f"an expression has no operator {operator[:40]!r}")
    least, most = OPERATORS[operator]
    if not least <= len(operands) <= most:
        raise SchemaViolation(f"{operator} takes {least} to {most} operands")
    if operator == "column" and not (isinstance(operands[0], str) and len(operands[0]) <= 128):
        raise SchemaViolation("a column is named by a string of at most 128 characters")
    if operator == "value":
        _check_constant(operands[0])
    return operator, operands


def _check_constant(value: object) -> None:
    if value is None or isinstance(value, bool | float):
        return
    if isinstance(value, int):
        if value not in _INTEGERS:
            raise SchemaViolation("an integer in an expression has at most 64 bits")
    elif not isinstance(value, str | bytes) or len(value) > CONSTANT_BYTES:
        raise SchemaViolation(f"a constant is a scalar of at most {CONSTANT_BYTES} bytes")


def columns_of(expression: object) -> frozenset[str]:
    """Return the columns that a checked expression names."""
    names: set[str] = set()
    left: list[Any] = [expression]
    while left:
        node = left.pop()
        if node[0] == "column":
            names.add(node[1])
        elif node[0] != "value":
            left.extend(node[1:])
    return frozenset(names)


def evaluate(
    expression: Any,
    row: Mapping[str, Any],
    *,
    author: Address | None,
    caller: Address | None,
) -> Any:
    """Return the value of an expression over one row; None where it has none.

    `author` is who wrote the row, `caller` who asks. A column that the row lacks is None.
    """
    try:
        return _Evaluation(row, author, caller).of(expression, 0)
    except _NoAnswer:
        return None


class _NoAnswer(Exception):
    """SQL would raise here: the whole expression has no value."""


class _Evaluation:
    """One evaluation: the row, and how deep we are."""

    __slots__ = ("_author", "_caller", "_row")

    def __init__(
        self, row: Mapping[str, Any], author: Address | None, caller: Address | None
    ) -> None:
        self._row = row
        self._author = author
        self._caller = caller

    def of(self, node: Any, depth: int) -> Any:
        """Return the value of one node."""
        if depth > DEPTH or not isinstance(node, list | tuple) or not node:
            raise _NoAnswer
        operator, operands = node[0], list(node[1:])
        arity = OPERATORS.get(operator) if isinstance(operator, str) else None
        if arity is None or not arity[0] <= len(operands) <= arity[1]:
            raise _NoAnswer
        lazy = _LAZY.get(operator)
        if lazy is not None:
            return lazy(self, operands, depth + 1)
        values = []
        for operand in operands:
            value = self.of(operand, depth + 1)
            if value is None:
                return None  # what stands after a NULL is not looked at, so it cannot fail either
            values.append(value)
        result = _STRICT[operator](*values)
        if result is None:
            raise _NoAnswer
        return result

    def value(self, operands: list[Any], _depth: int) -> Any:
        """A constant."""
        return operands[0]

    def column(self, operands: list[Any], _depth: int) -> Any:
        """A column of the row."""
        name = operands[0]
        return self._row.get(name) if isinstance(name, str) else None

    def author(self, _operands: list[Any], _depth: int) -> Any:
        """Who wrote the row."""
        return self._author

    def caller(self, _operands: list[Any], _depth: int) -> Any:
        """Who asks."""
        return self._caller

    def conjunction(self, operands: list[Any], depth: int) -> bool | None:
        """AND: false wins over unknown, unknown over true."""
        unknown = False
        for operand in operands:
            value = self.of(operand, depth)
            if value is False:
                return False
            unknown = unknown or value is not True
        return None if unknown else True

    def disjunction(self, operands: list[Any], depth: int) -> bool | None:
        """OR: true wins over unknown, unknown over false."""
        unknown = False
        for operand in operands:
            value = self.of(operand, depth)
            if value is True:
                return True
            unknown = unknown or value is not False
        return None if unknown else False

    def is_null(self, operands: list[Any], depth: int) -> bool:
        """Whether there is no value."""
        return self.of(operands[0], depth) is None

    def is_true(self, operands: list[Any], depth: int) -> bool:
        """Whether it is true, and not unknown."""
        return self.of(operands[0], depth) is True

    def is_false(self, operands: list[Any], depth: int) -> bool:
        """Whether it is false, and not unknown."""
        return self.of(operands[0], depth) is False

    def same(self, operands: list[Any], depth: int) -> bool:
        """IS NOT DISTINCT FROM: NULL is the same as NULL."""
        left, right = (self.of(operand, depth) for operand in operands)
        if left is None or right is None:
            return left is right
        return _equal(left, right)

    def member(self, operands: list[Any], depth: int) -> bool | None:
        """IN: unknown if no choice matches and one of them, or the subject, is NULL."""
        subject = self.of(operands[0], depth)
        if subject is None:
            return None
        found: bool | None = False
        for operand in operands[1:]:
            choice = self.of(operand, depth)
            if choice is None:
                found = None
            elif _equal(subject, choice):
                return True
        return found

    def coalesce(self, operands: list[Any], depth: int) -> Any:
        """The first value that is not NULL."""
        for operand in operands:
            value = self.of(operand, depth)
            if value is not None:
                return value
        return None

    def case(self, operands: list[Any], depth: int) -> Any:
        """CASE: condition, result, condition, result, … and perhaps an ELSE."""
        for index in range(0, len(operands) - 1, 2):
            if self.of(operands[index], depth) is True:
                return self.of(operands[index + 1], depth)
        return self.of(operands[-1], depth) if len(operands) % 2 else None


_LAZY: dict[str, Callable[[_Evaluation, list[Any], int], Any]] = {
    "value": _Evaluation.value,
    "column": _Evaluation.column,
    "author": _Evaluation.author,
    "caller": _Evaluation.caller,
    "and": _Evaluation.conjunction,
    "or": _Evaluation.disjunction,
    "is_null": _Evaluation.is_null,
    "is_true": _Evaluation.is_true,
    "is_false": _Evaluation.is_false,
    "same": _Evaluation.same,
    "in": _Evaluation.member,
    "coalesce": _Evaluation.coalesce,
    "case": _Evaluation.case,
}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _order(left: Any, right: Any) -> int | None:
    """Return -1, 0 or 1, or None if the two cannot be compared; NaN is above every number."""
    if _is_number(left) and _is_number(right):
        nan_left, nan_right = left != left, right != right  # noqa: PLR0124 - NaN is not itself
        if nan_left or nan_right:
            return int(nan_left) - int(nan_right)
    elif type(left) is not type(right):
        return None
    return int(left > right) - int(left < right)


def _is(left: Any, right: Any, test: Callable[[int], bool]) -> bool | None:
    order = _order(left, right)
    return None if order is None else test(order)


def _equal(left: Any, right: Any) -> bool:
    order = _order(left, right)
    if order is None:
        raise _NoAnswer
    return order == 0


def _comparison(test: Callable[[int], bool]) -> Callable[[Any, Any], bool | None]:
    return lambda left, right: _is(left, right, test)


def _bounded(value: Any) -> Any:
    """Return a number that every node can hold, else None."""
    if isinstance(value, int):
        return value if value in _INTEGERS else None
    if isinstance(value, Decimal):
        return value if value.is_finite() else None
    return value


def _arithmetic(operator: str) -> Callable[[Any, Any], Any]:
    def compute(left: Any, right: Any) -> Any:
        if not (_is_number(left) and _is_number(right)):
            return None
        if isinstance(left, float) or isinstance(right, float):
            left, right = float(left), float(right)
        elif isinstance(left, Decimal) or isinstance(right, Decimal):
            return _bounded(_DECIMAL[operator](Decimal(left), Decimal(right)))
        if operator in ("/", "%") and right == 0:
            return None
        value = _PLAIN[operator](left, right)
        overflowed = isinstance(value, float) and math.isinf(value)
        if overflowed and not (math.isinf(left) or math.isinf(right)):
            return None
        return _bounded(value)

    return compute


def _divide(left: Any, right: Any) -> Any:
    """Truncating for integers, as in PostgreSQL."""
    if isinstance(left, float):
        return left / right
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _remainder(left: Any, right: Any) -> Any:
    """The remainder has the sign of the dividend, as in PostgreSQL."""
    if isinstance(left, float):
        raise _NoAnswer  # SQL has no remainder of floats
    return left - right * _divide(left, right)


_PLAIN: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": _divide,
    "%": _remainder,
}
_DECIMAL: dict[str, Callable[[Decimal, Decimal], Decimal]] = {
    "+": _CONTEXT.add,
    "-": _CONTEXT.subtract,
    "*": _CONTEXT.multiply,
    "/": _CONTEXT.divide,
    "%": _CONTEXT.remainder,
}


def _concatenate(left: Any, right: Any) -> Any:
    if type(left) is not type(right) or not isinstance(left, str | bytes):
        return None
    return left + right if len(left) + len(right) <= RESULT_BYTES else None


def _like(*, folded: bool) -> Callable[..., bool | None]:
    def matches(text: Any, pattern: Any, escape: Any = "\\") -> bool | None:
        if not all(isinstance(value, str) for value in (text, pattern, escape)):
            return None
        matcher = like_matcher(pattern, escape, folded=folded)
        return None if matcher is None else matcher(text)

    return matches


def _regular(sign: str) -> Callable[[Any, Any], bool | None]:
    wanted, flags = not sign.startswith("!"), "i" if sign.endswith("*") else ""

    def matches(text: Any, pattern: Any) -> bool | None:
        from mfdb.rules.regular.matching import TooMuchWork, regular
        from mfdb.rules.regular.parse import NoPattern

        if not isinstance(text, str) or not isinstance(pattern, str):
            return None
        try:
            return regular(pattern, flags).test(text) is wanted
        except (NoPattern, TooMuchWork):
            return None

    return matches


def _substr(text: Any, start: Any, count: Any = None) -> Any:
    if not isinstance(text, str | bytes) or not _is_whole(start):
        return None
    if count is None:
        return text[max(start - 1, 0) :]
    if not _is_whole(count) or count < 0:
        return None
    return text[max(start - 1, 0) : max(start - 1 + count, 0)]


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _decimal(value: Any) -> Decimal | None:
    """A DECIMAL is stored as its text; comparing needs its value."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    if isinstance(value, str) and len(value) > CONSTANT_BYTES:
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _float(value: Any) -> float | None:
    try:
        return float(value) if _is_number(value) else None
    except OverflowError:
        return None


def _length(value: Any) -> int | None:
    return len(value) if isinstance(value, str | bytes) else None


def _octet_length(value: Any) -> int | None:
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))
    return len(value) if isinstance(value, bytes) else None


_STRICT: dict[str, Callable[..., Any]] = {
    "not": lambda value: (not value) if isinstance(value, bool) else None,
    "=": _comparison(lambda order: order == 0),
    "<>": _comparison(lambda order: order != 0),
    "<": _comparison(lambda order: order < 0),
    "<=": _comparison(lambda order: order <= 0),
    ">": _comparison(lambda order: order > 0),
    ">=": _comparison(lambda order: order >= 0),
    **{operator: _arithmetic(operator) for operator in ("+", "-", "*", "/", "%")},
    "||": _concatenate,
    "negative": lambda value: _bounded(-value) if _is_number(value) else None,
    "like": _like(folded=False),
    "ilike": _like(folded=True),
    **{sign: _regular(sign) for sign in ("~", "~*", "!~", "!~*")},
    "length": _length,
    "octet_length": _octet_length,
    "lower": lambda value: value.lower() if isinstance(value, str) else None,
    "upper": lambda value: value.upper() if isinstance(value, str) else None,
    "abs": lambda value: _bounded(abs(value)) if _is_number(value) else None,
    "substr": _substr,
    "decimal": _decimal,
    "float": _float,
}
