"""Functions that make moments and intervals, or put moments into bins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.kernel.errors import NoSuchMoment, NotSupportedError
from mfdb.sql.interval import DAY_US, HOUR_US, SECOND_US, Parts, decode, encode
from mfdb.sql.interval_functions import make_timestamp
from mfdb.sql.types import BOOLEAN, INTERVAL, TIMESTAMP, TIMESTAMPTZ, fit

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.sql.types import SqlType


def binned(stride: str, us: int, origin: int) -> int:
    """Return the beginning of the bin, so long and counted from an origin, that a moment lies in.

    Raises:
        NotSupportedError: the bins have months.
        NoSuchMoment: they have no length.
    """
    months, days, rest = decode(stride)
    if months:
        raise NotSupportedError(
            "bins have no months or years", hint="date_trunc('month', ...) does"
        )
    size = days * DAY_US + rest
    if size <= 0:
        raise NoSuchMoment("bins must be longer than nothing")
    start = fit(origin + (us - origin) // size * size, TIMESTAMP)
    assert isinstance(start, int)
    return start


def make_interval(*parts: float) -> str:
    """Return an interval of years, months, weeks, days, hours, minutes and seconds."""
    seconds = parts[6] if len(parts) == 7 else 0
    whole = [*map(int, parts[:6]), *[0] * (6 - len(parts))]
    clock = whole[4] * HOUR_US + whole[5] * 60 * SECOND_US + round(seconds * SECOND_US)
    return encode(Parts(whole[0] * 12 + whole[1], whole[2] * 7 + whole[3], clock))


def _always(_value: object) -> bool:
    """Nothing here is infinite."""
    return True


_Form = tuple[tuple[str, ...], "SqlType | None", "Callable[..., Any]"]
MOMENT_FUNCTIONS: dict[str, list[_Form]] = {
    "date_bin": [
        (("interval", "timestamp", "timestamp"), TIMESTAMP, binned),
        (("interval", "timestamptz", "timestamptz"), TIMESTAMPTZ, binned),
    ],
    "make_interval": [
        (("integer",) * 6 + ("float",), INTERVAL, make_interval),
        *((("integer",) * count, INTERVAL, make_interval) for count in range(7)),
    ],
    "make_timestamptz": [(("integer",) * 5 + ("float",), TIMESTAMPTZ, make_timestamp)],
    "isfinite": [
        ((family,), BOOLEAN, _always) for family in ("date", "timestamp", "timestamptz", "interval")
    ],
}
