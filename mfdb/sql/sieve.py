"""WHERE over whole blocks of rows: what one column decides is decided for a block at once.

A condition qualifies when it names one column and cannot fail. It stands before every condition
that could, so that no row is asked what the rest of WHERE would have spared it. Numbers are
compared by numpy; for everything else the very closure of the row route is asked, once for each
value of a dictionary. What is left of WHERE is asked row by row.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any

from mfdb.kernel.ids import RowId
from mfdb.sql.bound import Context, Field, Lazy, Slot, Strict, Value
from mfdb.sql.compile import compile_expression
from mfdb.sql.functions import COMPARISONS
from mfdb.sql.tables import StoredRow
from mfdb.sql.types import TIMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mfdb.sql.bound import Bound, BoundSelect
    from mfdb.sql.compile import Compiled, Environment
    from mfdb.sql.tables import ColumnScan, Vector

_TURNED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_SAFE = frozenset({*_TURNED, "not", "like"})
_SAFE_LAZY = frozenset({"and", "or", "is_null", "is_true", "is_false", "same", "in", "in_given"})
_NUMBERS = frozenset({"integer", "float", *TIMES})
_STRINGS = frozenset({"text", "bytes"})
_FIXED = ("caller", "now")
"""What an execution knows that is one value for all of its rows."""
_WIDEST = range(-(2**63), 2**63)
_OF_ROWS = ("author", "row_id", "written_at")


class _Condition:
    """A condition on one column."""

    def __init__(self, node: Bound, place: int) -> None:
        self.place = place
        self._ask = compile_expression(node)
        self._sign, self._family, self._other = _comparison(node)

    def asked(self, about: Environment) -> Callable[[Vector], Any]:
        """Return what tells, as a numpy array, for which rows of a block the condition is true."""
        place, ask = self.place, self._ask
        known = _Answers(lambda value: ask({place: value}, about) is True)
        if self._other is None:
            return lambda column: _looked_up(column, known)
        other, sign = self._other((), about), self._sign
        if self._family in _NUMBERS:
            if type(other) is float or (type(other) is int and other in _WIDEST):
                return lambda column: _compared(sign, *column.numbers(), other)
        elif other is not None:
            compare = COMPARISONS[sign]
            known = _Answers(lambda value: value is not None and compare(value, other))
        return lambda column: _looked_up(column, known)


class _Answers(dict[Any, bool]):
    """What a condition says of each value that came up so far."""

    def __init__(self, ask: Callable[[Any], bool]) -> None:
        super().__init__()
        self.ask = ask

    def __missing__(self, value: Any) -> bool:
        answer = self[value] = self.ask(value)
        return answer


def _looked_up(column: Vector, known: _Answers) -> Any:
    """Ask once for each value of all blocks where blocks have dictionaries, else for each row."""
    import numpy as np

    codes, values = column.codes()
    if column.is_coded:
        return np.array([known[value] for value in values], dtype=bool)[codes]
    return np.array(list(map(known.ask, values)), dtype=bool)[codes]


class Sieve:
    """The part of a query's WHERE that blocks are asked, and the columns that the query needs."""

    def __init__(
        self, select: BoundSelect, conditions: Sequence[_Condition], rest: Sequence[Bound]
    ) -> None:
        assert select.source is not None, "a query with conditions has a source"
        self._conditions = conditions
        self._rest = [compile_expression(node) for node in rest]
        self._width = len(select.source.table.columns)
        self._needed = frozenset(node.index for node in _walk(select) if type(node) is Field)
        self.is_whole = not rest
        """Whether nothing of WHERE is left to ask."""

    @classmethod
    def of(cls, select: BoundSelect) -> Sieve | None:
        """Return the sieve of a query, or None if blocks would not help it."""
        source = select.source
        if source is None or source.access is not None or source.where is None:
            return None
        if any(type(node) is Context and node.what in _OF_ROWS for node in _walk(select)):
            return None
        parts = list(_conjuncts(source.where))
        conditions: list[_Condition] = []
        rest: list[Bound] = []
        for at, part in enumerate(parts):
            if not _is_safe(part):
                rest += parts[at:]
                break
            places = {node.index for node in _walk(part) if type(node) is Field}
            if len(places) == 1:
                conditions.append(_Condition(part, places.pop()))
            else:
                rest.append(part)
        return cls(select, conditions, rest) if conditions else None

    def rows(self, scan: ColumnScan, about: Environment) -> Iterator[StoredRow]:
        """Yield the rows of blocks that WHERE keeps, with the columns that the query needs."""
        for run, at in self._found(scan, about):
            columns: list[Any] = [
                scan.merged(run, place).at(at) if place in self._needed else repeat(None)
                for place in range(self._width)
            ]
            for values in zip(*columns, strict=False):
                if all(condition(values, about) is True for condition in self._rest):
                    yield StoredRow(_NO_ID, values, None, 0)

    def items(
        self, scan: ColumnScan, about: Environment, places: Sequence[int]
    ) -> Iterator[tuple[Any, ...]]:
        """Yield these columns of the rows of blocks that WHERE keeps; it has to be whole."""
        assert self.is_whole
        for run, at in self._found(scan, about):
            yield from zip(*(scan.merged(run, place).at(at) for place in places), strict=True)

    def _found(self, scan: ColumnScan, about: Environment) -> Iterator[tuple[Any, Any]]:
        """Yield blocks with the positions, as a numpy array, that every condition keeps."""
        import numpy as np

        conditions = [(one.place, one.asked(about)) for one in self._conditions]
        for run in scan.runs:
            about.allowance.look()
            mask: Any = None
            for place, condition in conditions:
                found = condition(scan.merged(run, place))
                mask = found if mask is None else mask & found
                if not mask.any():
                    break
            if run.outdated:
                mask[list(run.outdated)] = False
            at = np.flatnonzero(mask)
            if len(at):
                yield run, at


_NO_ID = RowId(b"")


def _comparison(node: Bound) -> tuple[str, str, Compiled | None]:
    """Return sign, family and other side of a comparison of a column with one value."""
    if type(node) is not Strict or node.operator not in _TURNED:
        return "", "", None
    sign, (left, right) = node.operator, node.operands
    if type(right) is Field:
        sign, left, right = _TURNED[sign], right, left
    if type(left) is not Field or type(right) not in (Value, Slot):
        return "", "", None
    family = left.type.family
    if family != right.type.family or family not in (*_NUMBERS, *_STRINGS):
        return "", "", None
    return sign, family, compile_expression(right)


def _compared(sign: str, values: Any, nulls: Any, other: float) -> Any:
    """Return where a comparison holds; NaN equals NaN and is greater than all other numbers."""
    import numpy as np

    if other != other:  # noqa: PLR0124 - NaN
        unordered = np.isnan(values)
        mask = {
            "=": unordered,
            ">=": unordered,
            "<>": ~unordered,
            "<": ~unordered,
            "<=": np.ones(len(values), dtype=bool),
            ">": np.zeros(len(values), dtype=bool),
        }[sign]
    else:
        mask = _OPERATORS[sign](values, other)
        if sign in (">", ">=") and values.dtype.kind == "f":
            mask = mask | np.isnan(values)
    return mask if nulls is None else mask & ~nulls


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": lambda values, other: values == other,
    "<>": lambda values, other: values != other,
    "<": lambda values, other: values < other,
    "<=": lambda values, other: values <= other,
    ">": lambda values, other: values > other,
    ">=": lambda values, other: values >= other,
}


def _is_safe(node: Bound) -> bool:
    """Return whether asking a condition fails for no row."""
    if type(node) is Strict:
        return node.operator in _SAFE and all(map(_is_safe, node.operands))
    if type(node) is Lazy:
        return node.operator in _SAFE_LAZY and all(map(_is_safe, node.operands))
    return type(node) in (Field, Value, Slot) or (type(node) is Context and node.what in _FIXED)


def _conjuncts(where: Bound) -> Iterator[Bound]:
    if type(where) is Lazy and where.operator == "and":
        for operand in where.operands:
            yield from _conjuncts(operand)
    else:
        yield where


def _walk(select: Any) -> Iterator[Any]:
    """Yield the nodes of expressions, or of all expressions of a query."""
    left = [select]
    while left:
        node = left.pop()
        if isinstance(node, tuple):
            left.extend(node)
            continue
        yield node
        left.extend(part for name in _PARTS if (part := getattr(node, name, None)) is not None)


_PARTS = (
    "items", "source", "where", "order_by", "expression", "aggregates", "operands", "operand",
    "more", "condition",
)  # fmt: skip
