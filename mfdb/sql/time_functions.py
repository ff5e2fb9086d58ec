"""Functions of dates and times: their fields, and cutting them off.

Working values are days or microseconds since 1970 (UTC); a TIMESTAMPTZ is looked at in UTC.
"""

from __future__ import annotations

import datetime
import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from mfdb.kernel.errors import InvalidParameter, NotSupportedError, NumberOutOfRange
from mfdb.sql.convert import DAY_US
from mfdb.sql.moment_faults import no_day
from mfdb.sql.types import DATE, DECIMAL, DOUBLE, TIMESTAMP, TIMESTAMPTZ, fit

if TYPE_CHECKING:
    from collections.abc import Callable

SECOND_US = 1_000_000
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_FIELDS: dict[str, Callable[[datetime.datetime], float]] = {
    "year": lambda at: at.year,
    "isoyear": lambda at: at.isocalendar().year,
    "quarter": lambda at: (at.month + 2) // 3,
    "month": lambda at: at.month,
    "week": lambda at: at.isocalendar().week,
    "day": lambda at: at.day,
    "dow": lambda at: at.isoweekday() % 7,
    "isodow": lambda at: at.isoweekday(),
    "doy": lambda at: at.timetuple().tm_yday,
    "hour": lambda at: at.hour,
    "minute": lambda at: at.minute,
    "second": lambda at: at.second + at.microsecond / SECOND_US,
    "milliseconds": lambda at: at.second * 1_000 + at.microsecond / 1_000,
    "microseconds": lambda at: at.second * SECOND_US + at.microsecond,
    "century": lambda at: (at.year + 99) // 100,
    "decade": lambda at: at.year // 10,
    "millennium": lambda at: (at.year + 999) // 1_000,
}
_CLOCK_FIELDS = frozenset({"hour", "minute", "second", "milliseconds", "microseconds"})
_SCALES = {"second": 6, "epoch": 6, "millisecond": 3}
"""Digits behind the point of the fields that have some."""
_CUTS = ("microseconds", "milliseconds", "second", "minute", "hour", "day", "week", "month",
         "quarter", "year", "decade", "century", "millennium")  # fmt: skip


def _at(us: int) -> datetime.datetime:
    return _EPOCH + datetime.timedelta(microseconds=us)


def _us(at: datetime.datetime) -> int:
    return (at - _EPOCH) // datetime.timedelta(microseconds=1)


def part_of_time(field: str, us: int) -> float:
    """Return a field of a time, `epoch` for the seconds since 1970.

    Raises:
        InvalidParameter: there is no such field.
    """
    name = field.lower()
    if name == "epoch":
        return us / SECOND_US
    read = _FIELDS.get(name) or _FIELDS.get(name.removesuffix("s"))
    if read is None:
        raise InvalidParameter(
            f"a time has no field {field[:20]}", hint=f"fields: epoch, {', '.join(_FIELDS)}"
        )
    return float(read(_at(us)))


def exact_part_of_time(field: str, us: int) -> Decimal:
    """Return a field of a time as an exact number, seconds with six digits behind the point.

    Raises:
        InvalidParameter: there is no such field.
    """
    digits = _SCALES.get(field.lower().removesuffix("s"), 0)
    if not digits:
        return Decimal(int(part_of_time(field, us)))
    exact = us if field.lower() == "epoch" else us % (60 * SECOND_US)
    return Decimal(exact).scaleb(-digits)


def exact_part_of_date(field: str, days: int) -> Decimal:
    """Return a field of a date as an exact number.

    Raises:
        InvalidParameter, NotSupportedError: it has no such field.
    """
    if field.lower() in _CLOCK_FIELDS:
        raise NotSupportedError(
            f"a DATE has no {field.lower()}", hint="extract it from a TIMESTAMP or TIME"
        )
    if field.lower() == "epoch":
        return Decimal(days * DAY_US // SECOND_US)
    return exact_part_of_time(field, days * DAY_US)


def part_of_date(field: str, days: int) -> float:
    """Return a field of a date."""
    return part_of_time(field, days * DAY_US)


def cut_time(field: str, us: int) -> int:
    """Return the beginning of the year, day, hour ... that a time lies in.

    Raises:
        InvalidParameter: there is nothing of that name to cut to.
    """
    name = field.lower()
    name = name if name in _CUTS else name.removesuffix("s")
    at = _at(us)
    if name == "microseconds":
        return us
    if name == "milliseconds":
        return us - us % 1_000
    whole: dict[str, Any] = {"microsecond": 0}
    for unit, values in (
        ("second", {}),
        ("minute", {"second": 0}),
        ("hour", {"minute": 0}),
        ("day", {"hour": 0}),
        ("month", {"day": 1}),
        ("year", {"month": 1}),
    ):
        whole |= values
        if name == unit:
            return _us(at.replace(**whole))
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    if name == "week":
        return _us(midnight - datetime.timedelta(days=midnight.weekday()))
    if name == "quarter":
        return _us(midnight.replace(day=1, month=(at.month - 1) // 3 * 3 + 1))
    years = {"decade": (10, 0), "century": (100, 1), "millennium": (1_000, 1)}.get(name)
    if years is None:
        raise InvalidParameter(
            f"a time is not cut to {field[:20]}", hint=f"units: {', '.join(_CUTS)}"
        )
    size, first = years
    return _us(
        midnight.replace(day=1, month=1, year=max((at.year - first) // size * size + first, 1))
    )


def make_date(year: int, month: int, day: int) -> int:
    """Return a date of its parts.

    Raises:
        NoSuchMoment: there is no such day.
    """
    try:
        return datetime.date(year, month, day).toordinal() - _EPOCH.toordinal()
    except (ValueError, OverflowError):
        raise no_day(year, month, day) from None


def to_timestamp(seconds: float) -> int:
    """Return the time so many seconds after 1970.

    Raises:
        NumberOutOfRange: it is beyond the years 1 to 9999.
    """
    if not math.isfinite(seconds):
        raise NumberOutOfRange("times run from the year 1 to the year 9999")
    value = fit(round(seconds * SECOND_US), TIMESTAMPTZ)
    assert isinstance(value, int)
    return value


TIME_FUNCTIONS: dict[str, list[tuple[tuple[str, ...], Any, Callable[..., Any]]]] = {
    "date_part": [
        (("text", "date"), DOUBLE, part_of_date),
        (("text", "timestamp"), DOUBLE, part_of_time),
        (("text", "timestamptz"), DOUBLE, part_of_time),
    ],
    "extract": [
        (("text", "date"), DECIMAL, exact_part_of_date),
        (("text", "timestamp"), DECIMAL, exact_part_of_time),
        (("text", "timestamptz"), DECIMAL, exact_part_of_time),
    ],
    "date_trunc": [
        (("text", "timestamp"), TIMESTAMP, cut_time),
        (("text", "timestamptz"), TIMESTAMPTZ, cut_time),
    ],
    "make_date": [(("integer", "integer", "integer"), DATE, make_date)],
    "to_timestamp": [(("float",), TIMESTAMPTZ, to_timestamp)],
}
