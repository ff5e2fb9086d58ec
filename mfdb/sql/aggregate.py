"""count, sum, min, max and avg, without GROUP BY: NULLs do not count, nothing sums to NULL."""

from __future__ import annotations

import math
from decimal import Decimal
from sys import getsizeof
from typing import TYPE_CHECKING, Any, Protocol

from mfdb.sql.compile import compile_expression, order_key
from mfdb.sql.functions import divide_decimal, whole
from mfdb.sql.types import EXACT, bounded

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.sql.bound import Aggregate
    from mfdb.sql.compile import Compiled, Environment

_SLOT_BYTES = 128
"""What a value takes in a set, besides itself."""


class Running(Protocol):
    """An aggregate while rows go by."""

    def add(self, values: Any, about: Environment) -> None:
        """Take one row."""
        ...

    def result(self) -> Any:
        """Return the value over all rows taken."""
        ...


def compile_aggregate(node: Aggregate) -> Callable[[], Running]:
    """Return what makes a fresh running aggregate."""
    if node.operand is None:
        return _CountRows
    operand = compile_expression(node.operand)
    kind, family = node.kind, node.operand.type.family
    gathers: dict[str, Callable[[], _Gather]] = {
        "count": _Count,
        "sum": lambda: _Sum(family, big=node.type.family == "decimal"),
        "avg": lambda: _Average(family),
        "min": lambda: _Extreme(least=True),
        "max": lambda: _Extreme(least=False),
    }
    gather = gathers[kind]
    distinct = node.distinct
    return lambda: _Over(operand, gather(), distinct=distinct)


class _CountRows:
    __slots__ = ("_count",)

    def __init__(self) -> None:
        self._count = 0

    def add(self, _values: Any, _about: Environment) -> None:
        self._count += 1

    def result(self) -> int:
        return self._count


class _Gather(Protocol):
    def take(self, value: Any) -> None: ...

    def result(self) -> Any: ...


class _Over:
    """Feeds the values of an expression, each once if distinct, without NULLs."""

    __slots__ = ("_gather", "_operand", "_seen")

    def __init__(self, operand: Compiled, gather: _Gather, *, distinct: bool) -> None:
        self._operand = operand
        self._gather = gather
        self._seen: set[Any] | None = set() if distinct else None

    def add(self, values: Any, about: Environment) -> None:
        value = self._operand(values, about)
        if value is None:
            return
        if self._seen is not None:
            key = "NaN" if value != value else (value,)  # noqa: PLR0124 - NaN
            if key in self._seen:
                return
            self._seen.add(key)
            about.allowance.charge(getsizeof(value) + _SLOT_BYTES)
        self._gather.take(value)

    def result(self) -> Any:
        return self._gather.result()


class _Count:
    __slots__ = ("_count",)

    def __init__(self) -> None:
        self._count = 0

    def take(self, _value: Any) -> None:
        self._count += 1

    def result(self) -> int:
        return self._count


class _Sum:
    """Integers sum exactly; to BIGINT, or to DECIMAL if the operand was BIGINT already."""

    __slots__ = ("_big", "_family", "_total")

    def __init__(self, family: str, *, big: bool) -> None:
        self._family = family
        self._big = big
        self._total: Any = None

    def take(self, value: Any) -> None:
        if self._total is None:
            self._total = value
        elif self._family == "decimal":
            self._total = EXACT.add(self._total, value)
        else:
            self._total += value

    def result(self) -> Any:
        if self._total is None or self._family == "float":
            return self._total
        if self._family == "integer" and not self._big:
            return whole(self._total)
        return bounded(Decimal(self._total))


class _Average:
    __slots__ = ("_count", "_sum")

    def __init__(self, family: str) -> None:
        self._sum = _Sum(family, big=True)
        self._count = 0

    def take(self, value: Any) -> None:
        self._sum.take(value)
        self._count += 1

    def result(self) -> Any:
        total = self._sum.result()
        if total is None:
            return None
        if isinstance(total, float):
            return total / self._count if not math.isinf(total) else total
        return divide_decimal(total, Decimal(self._count))


class _Extreme:
    __slots__ = ("_best", "_least")

    def __init__(self, *, least: bool) -> None:
        self._least = least
        self._best: Any = None

    def take(self, value: Any) -> None:
        if self._best is None:
            self._best = value
        elif self._least:
            self._best = min(self._best, value, key=order_key)
        else:
            self._best = max(self._best, value, key=order_key)

    def result(self) -> Any:
        return self._best
