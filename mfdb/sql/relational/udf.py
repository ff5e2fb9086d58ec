"""Functions of ours that DuckDB calls for what it does not do our way."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from mfdb.kernel.errors import MfdbError
from mfdb.sql.convert import placed
from mfdb.sql.functions import divide_decimal
from mfdb.sql.relational.physical import decode_decimal, encode_decimal
from mfdb.sql.types import EXACT, bounded

if TYPE_CHECKING:
    from collections.abc import Callable

LISTED = "VARCHAR[]"
"""The physical kind of the exact numbers of a group."""


class Function:
    """One function of a statement: its name there, what it takes and gives, and how."""

    def __init__(
        self, name: str, takes: tuple[str, ...], gives: str, call: Callable[..., Any]
    ) -> None:
        self.name = name
        self.takes = takes
        self.gives = gives
        self.call = call


class Functions:
    """The functions of one statement, and the errors that their calls raised."""

    def __init__(self) -> None:
        self.found: dict[Any, Function] = {}
        self.errors: list[MfdbError] = []

    def name_of(
        self,
        key: Any,
        takes: tuple[str, ...],
        gives: str,
        call: Callable[..., Any],
        position: int,
        *,
        nulls: bool = False,
    ) -> str:
        """Return the name under which DuckDB calls a function of ours, with `nulls` or without."""
        wanted = (key, takes, gives, position, nulls)
        known = self.found.get(wanted)
        if known is None:
            known = Function(
                f"f{len(self.found)}",
                tuple(_SQL.get(kind, kind) for kind in takes),
                _SQL.get(gives, "VARCHAR" if gives == "DOUBLE" else gives),
                _fixed(len(takes), self._guarded(takes, gives, call, position, nulls=nulls)),
            )
            self.found[wanted] = known
        return known.name

    def _guarded(
        self,
        takes: tuple[str, ...],
        gives: str,
        call: Callable[..., Any],
        position: int,
        *,
        nulls: bool,
    ) -> Callable[[tuple[Any, ...]], Any]:
        decoders = [_DECODE.get(kind) for kind in takes]
        encode = _ENCODE.get(gives)
        errors = self.errors

        def guarded(arguments: tuple[Any, ...]) -> Any:
            if not nulls and None in arguments:
                return None
            try:
                value = call(
                    *(
                        argument if decode is None or argument is None else decode(argument)
                        for argument, decode in zip(arguments, decoders, strict=True)
                    )
                )
            except MfdbError as error:
                errors.append(placed(error, position))
                raise
            return value if encode is None or value is None else encode(value)

        return guarded


_SQL = {"DTEXT": "VARCHAR", "DIGITS": "VARCHAR", "DTEXT[]": "VARCHAR[]"}
_ENCODE: dict[str, Callable[[Any], str]] = {"DTEXT": encode_decimal, "DOUBLE": repr}
_DECODE: dict[str, Callable[[Any], Any]] = {
    "DTEXT": decode_decimal,
    "DIGITS": Decimal,
    "DTEXT[]": lambda texts: [None if text is None else decode_decimal(text) for text in texts],
}


def _fixed(count: int, call: Callable[[tuple[Any, ...]], Any]) -> Callable[..., Any]:
    """Return the call with as many parameters as DuckDB is told: it counts them."""
    if count == 1:
        return lambda a: call((a,))
    if count == 2:
        return lambda a, b: call((a, b))
    if count == 3:
        return lambda a, b, c: call((a, b, c))
    if count == 4:
        return lambda a, b, c, d: call((a, b, c, d))
    if count == 5:
        return lambda a, b, c, d, e: call((a, b, c, d, e))
    if count == 6:
        return lambda a, b, c, d, e, f: call((a, b, c, d, e, f))
    assert count == 7, "no function of ours takes more"
    return lambda a, b, c, d, e, f, g: call((a, b, c, d, e, f, g))


# ---- aggregates over exact numbers that DuckDB cannot hold


def sum_of(texts: list[str | None]) -> Decimal | None:
    """Return the sum of encoded numbers, None of none."""
    total: Decimal | None = None
    for text in texts:
        if text is not None:
            value = decode_decimal(text)
            total = value if total is None else EXACT.add(total, value)
    return None if total is None else bounded(total)


def average_of(texts: list[str | None]) -> Decimal | None:
    """Return the mean of encoded numbers, None of none."""
    total = sum_of(texts)
    if total is None:
        return None
    return divide_decimal(total, Decimal(sum(text is not None for text in texts)))


def spread(kind: str) -> Callable[[list[str | None]], Decimal | None]:
    """Return the variance or deviation of that name, with PostgreSQL's digits."""
    sample, root = kind not in ("var_pop", "stddev_pop"), kind.startswith("stddev")

    def call(texts: list[str | None]) -> Decimal | None:
        values = [decode_decimal(text) for text in texts if text is not None]
        count = len(values)
        if count < 1 + sample:
            return None
        total, squares = Decimal(0), Decimal(0)
        for value in values:
            total = EXACT.add(total, value)
            squares = EXACT.add(squares, EXACT.multiply(value, value))
        above = EXACT.subtract(EXACT.multiply(count, squares), EXACT.multiply(total, total))
        if above <= 0:
            return Decimal(0)
        variance = divide_decimal(bounded(above), Decimal(count * (count - sample)))
        if not root:
            return variance
        scale = Decimal(1).scaleb(int(variance.as_tuple().exponent))
        return EXACT.sqrt(variance).quantize(scale, context=EXACT)

    return call


def average(total: Decimal, count: int) -> Decimal:
    """Return a mean with as many digits as PostgreSQL shows."""
    return divide_decimal(total, Decimal(count))


def encoded(call: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """Return a function that gives exact numbers, or floats, as one that gives their texts."""

    def call_encoded(*arguments: Any) -> list[Any]:
        return [
            None if one is None else repr(one) if isinstance(one, float) else encode_decimal(one)
            for one in call(*arguments)
        ]

    return call_encoded


def same(value: Decimal) -> Decimal:
    """Return a number as it is: its encoding changes."""
    return value
