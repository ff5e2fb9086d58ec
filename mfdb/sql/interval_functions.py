"""Arithmetic with intervals and times of day, age, and what else takes or gives an interval.

Working values: days for DATE, microseconds for TIMESTAMP, TIMESTAMPTZ (UTC) and TIME, the texts of
`interval` for INTERVAL.
"""

from __future__ import annotations

import contextlib
import datetime
import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from mfdb.kernel.errors import DivisionByZero, InvalidParameter, NoSuchMoment, NumberOutOfRange
from mfdb.sql.interval import (
    DAY_US,
    HOUR_US,
    MONTH_DAYS,
    SECOND_US,
    Parts,
    decode,
    encode,
)
from mfdb.sql.moment_faults import days_in, no_day
from mfdb.sql.types import (
    DECIMAL,
    DOUBLE,
    INTERVAL,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    fit,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction

    from mfdb.sql.types import SqlType

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_UNIT_US = {
    "microsecond": 1, "millisecond": 1_000, "second": SECOND_US, "minute": 60 * SECOND_US,
    "hour": HOUR_US,
}  # fmt: skip
_UNIT_MONTHS = {
    "month": 1, "quarter": 3, "year": 12, "decade": 120, "century": 1_200, "millennium": 12_000,
}  # fmt: skip


# ---- moments


def shifted(us: int, interval: str, sign: int = 1) -> int:
    """Return a moment so much later: months first, then days, then microseconds.

    Raises:
        NumberOutOfRange: it is beyond the years 1 to 9999.
    """
    months, days, rest = decode(interval)
    if months:
        us = _by_months(us, sign * months)
    moved = fit(us + sign * (days * DAY_US + rest), TIMESTAMP)
    assert isinstance(moved, int)
    return moved


def _by_months(us: int, months: int) -> int:
    """The 31st becomes the last day of a shorter month."""
    at = _EPOCH + datetime.timedelta(microseconds=us)
    year, month = divmod(at.year * 12 + at.month - 1 + months, 12)
    if not 1 <= year <= 9999:
        raise NumberOutOfRange("times run from the year 1 to the year 9999")
    day = min(at.day, days_in(year, month + 1))
    return (at.replace(year=year, month=month + 1, day=day) - _EPOCH) // _US


_US = datetime.timedelta(microseconds=1)


def between(late: int, early: int) -> str:
    """Return the days and microseconds from one moment to another."""
    days, us = _towards_zero(late - early, DAY_US)
    return encode(Parts(0, days, us))


def _towards_zero(value: int, unit: int) -> tuple[int, int]:
    sign = -1 if value < 0 else 1
    quotient, rest = divmod(abs(value), unit)
    return sign * quotient, sign * rest


def age(late: int, early: int) -> str:
    """Return the years, months, days and time between two moments, as people count them."""
    sign = 1
    if late < early:
        sign, late, early = -1, early, late
    end, start = (_EPOCH + datetime.timedelta(microseconds=us) for us in (late, early))
    months = (end.year - start.year) * 12 + end.month - start.month
    days = end.day - start.day
    us = late % DAY_US - early % DAY_US
    if us < 0:
        us, days = us + DAY_US, days - 1
    if days < 0:
        days += days_in(start.year, start.month)
        months -= 1
    return encode(Parts(sign * months, sign * days, sign * us))


def of_clock(us: int, interval: str, sign: int = 1) -> int:
    """Return a time of day so much later, round the clock."""
    return (us + sign * decode(interval).us) % DAY_US


def make_time(hour: int, minute: int, second: float) -> int:
    """Return a time of day of its parts.

    Raises:
        NoSuchMoment: there is no such time.
    """
    if not (0 <= hour <= 23 and 0 <= minute <= 59 and 0 <= second < 60):
        raise NoSuchMoment(f"there is no time {hour}:{minute:02d}:{second}")
    return hour * HOUR_US + minute * 60 * SECOND_US + round(second * SECOND_US)


def make_timestamp(year: int, month: int, day: int, hour: int, minute: int, second: float) -> int:
    """Return a moment of its parts.

    Raises:
        NoSuchMoment: there is none.
    """
    try:
        midnight = datetime.datetime(year, month, day, tzinfo=datetime.UTC)
    except (ValueError, OverflowError):
        raise no_day(year, month, day) from None
    return (midnight - _EPOCH) // _US + make_time(hour, minute, second)


# ---- time zones


def _zone(name: str) -> datetime.tzinfo:
    """Return the zone of a name of the IANA data base, or of an offset, which counts westwards.

    PostgreSQL reads offsets as POSIX does: +02:00 is two hours behind UTC.

    Raises:
        InvalidParameter: there is none.
    """
    import zoneinfo  # rarely asked for

    offset = re.fullmatch(_OFFSET, name.strip(), re.ASCII)
    if offset is not None:
        minutes = int(offset[2]) * 60 + int(offset[3] or 0)
        if minutes < 24 * 60:
            return datetime.timezone(datetime.timedelta(minutes=-int(offset[1] + str(minutes))))
    elif re.fullmatch(_ZONE, name, re.ASCII) is not None:
        with contextlib.suppress(zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            return datetime.UTC if name.upper() == "UTC" else zoneinfo.ZoneInfo(name)
    raise InvalidParameter(f"there is no time zone {name[:40]}", hint="UTC, Europe/Paris ...")


_OFFSET = r"([+-])(\d{1,2}):?(\d{2})?"
_ZONE = r"[A-Za-z][\w+-]{0,30}(/[\w+-]{1,30}){0,2}"


def in_zone(name: str, us: int) -> int:
    """Return what clocks of a zone show at a moment."""
    there = (_EPOCH + datetime.timedelta(microseconds=us)).astimezone(_zone(name))
    return (there.replace(tzinfo=datetime.UTC) - _EPOCH) // _US


def of_zone(name: str, us: int) -> int:
    """Return the moment at which clocks of a zone show a time."""
    shown = (_EPOCH + datetime.timedelta(microseconds=us)).replace(tzinfo=_zone(name))
    return (shown - _EPOCH) // _US


# ---- intervals


def added(left: str, right: str, sign: int = 1) -> str:
    """Return the sum of two intervals, part by part."""
    return encode(Parts(*(a + sign * b for a, b in zip(decode(left), decode(right), strict=True))))


def negated(value: str) -> str:
    """Return an interval backwards."""
    months, days, us = decode(value)
    return encode(Parts(-months, -days, -us))


def times(value: str, factor: float) -> str:
    """Return an interval so many times; fractions of months and days spill over."""
    return _scaled(decode(value), _finite(factor))


def divided(value: str, divisor: float) -> str:
    """Return a part of an interval.

    Raises:
        DivisionByZero: by 0.
    """
    if divisor == 0:
        raise DivisionByZero("division by zero")
    return _scaled(decode(value), 1 / _finite(divisor))


def _finite(number: float) -> Fraction:
    if not math.isfinite(number):
        raise NumberOutOfRange("an interval is multiplied by finite numbers only")
    from fractions import Fraction  # rarely asked for

    return Fraction(number)


def _scaled(parts: Parts, factor: Fraction) -> str:
    months = parts.months * factor
    whole_months = int(months)
    spilled = round((months - whole_months) * MONTH_DAYS, 6)  # so does PostgreSQL
    days = parts.days * factor
    whole_days = int(days)
    rest = round(((days - whole_days) + spilled) * DAY_US)
    more, rest = _towards_zero(rest, DAY_US)
    return encode(Parts(whole_months, whole_days + more, rest + round(parts.us * factor)))


def justify_hours(value: str) -> str:
    """Return an interval whose 24 hours are days."""
    months, days, us = decode(value)
    more, us = _towards_zero(us, DAY_US)
    days += more
    if days > 0 > us:
        days, us = days - 1, us + DAY_US
    elif days < 0 < us:
        days, us = days + 1, us - DAY_US
    return encode(Parts(months, days, us))


def justify_days(value: str) -> str:
    """Return an interval whose 30 days are months."""
    months, days, us = decode(value)
    more, days = _towards_zero(days, MONTH_DAYS)
    months += more
    if months > 0 > days:
        months, days = months - 1, days + MONTH_DAYS
    elif months < 0 < days:
        months, days = months + 1, days - MONTH_DAYS
    return encode(Parts(months, days, us))


def justify_interval(value: str) -> str:
    """Return an interval with both done, and of one sign."""
    months, days, us = decode(justify_days(justify_hours(value)))
    if months > 0 and (days < 0 or (days == 0 and us < 0)):
        months, days = months - 1, days + MONTH_DAYS
    elif months < 0 and (days > 0 or (days == 0 and us > 0)):
        months, days = months + 1, days - MONTH_DAYS
    if days > 0 > us:
        days, us = days - 1, us + DAY_US
    elif days < 0 < us:
        days, us = days + 1, us - DAY_US
    return encode(Parts(months, days, us))


def total(values: list[str | None]) -> str | None:
    """Return the sum of intervals, None of none."""
    known = [value for value in values if value is not None]
    result: str | None = None
    for value in known:
        result = value if result is None else added(result, value)
    return result


def mean(values: list[str | None]) -> str | None:
    """Return the average of intervals, None of none."""
    sum_of = total(values)
    count = sum(value is not None for value in values)
    return None if sum_of is None else divided(sum_of, count)


# ---- fields


def _unit(field: str) -> str:
    name = field.lower()
    if name in ("centuries", "century"):
        return "century"
    if name in ("millennia", "millenniums", "millennium"):
        return "millennium"
    return name.removesuffix("s")


def part_of_interval(field: str, value: str) -> Decimal:
    """Return a field of an interval as an exact number.

    Raises:
        InvalidParameter: it has no such field.
    """
    months, days, us = decode(value)
    name = _unit(field)
    if name == "epoch":
        years, rest = _towards_zero(months, 12)
        seconds = Decimal(years) * 31_557_600 + (rest * MONTH_DAYS + days) * 86_400
        return seconds + Decimal(us).scaleb(-6)
    if name == "year":
        return Decimal(_towards_zero(months, 12)[0])
    if name == "month":
        return Decimal(_towards_zero(months, 12)[1])
    if name == "quarter":
        return Decimal(_towards_zero(_towards_zero(months, 12)[1], 3)[0] + 1)
    if name in _UNIT_MONTHS:
        return Decimal(_towards_zero(months, _UNIT_MONTHS[name])[0])
    if name == "day":
        return Decimal(days)
    if name == "hour":
        return Decimal(_towards_zero(us, HOUR_US)[0])
    return part_of_clock(field, us)


def part_of_clock(field: str, us: int) -> Decimal:
    """Return a field of a time of day as an exact number.

    Raises:
        InvalidParameter: it has no such field.
    """
    name = _unit(field)
    sign, within = (-1, -us) if us < 0 else (1, us)
    if name == "epoch":
        return Decimal(us).scaleb(-6)
    if name == "hour":
        return Decimal(sign * (within // HOUR_US))
    if name == "minute":
        return Decimal(sign * (within // (60 * SECOND_US) % 60))
    scale = {"second": 6, "millisecond": 3, "microsecond": 0}.get(name)
    if scale is None:
        raise InvalidParameter(
            f"there is no field {field[:20]} here",
            hint="fields: epoch, hour, minute, second, milliseconds, microseconds; of an INTERVAL "
            "also day, month, quarter, year, decade, century, millennium",
        )
    return Decimal(sign * (within % (60 * SECOND_US))).scaleb(-scale)


def cut_interval(field: str, value: str) -> str:
    """Return an interval cut to whole units.

    Raises:
        InvalidParameter: there is no such unit.
    """
    months, days, us = decode(value)
    name = _unit(field)
    if name in _UNIT_MONTHS:
        size = _UNIT_MONTHS[name]
        return encode(Parts(_towards_zero(months, size)[0] * size))
    if name == "day":
        return encode(Parts(months, days))
    if name not in _UNIT_US:
        raise InvalidParameter(f"an interval is not cut to {field[:20]}", hint="day, hour, month")
    size = _UNIT_US[name]
    return encode(Parts(months, days, _towards_zero(us, size)[0] * size))


def _approximate(read: Callable[[str, Any], Decimal]) -> Callable[[str, Any], float]:
    return lambda field, value: float(read(field, value))


_Form = tuple[tuple[str, ...], "SqlType | None", "Callable[..., Any]"]
INTERVAL_FUNCTIONS: dict[str, list[_Form]] = {
    "age": [
        (("timestamp", "timestamp"), INTERVAL, age),
        (("timestamptz", "timestamptz"), INTERVAL, age),
    ],
    "timezone": [
        (("text", "timestamptz"), TIMESTAMP, in_zone),
        (("text", "timestamp"), TIMESTAMPTZ, of_zone),
    ],
    "justify_hours": [(("interval",), INTERVAL, justify_hours)],
    "justify_days": [(("interval",), INTERVAL, justify_days)],
    "justify_interval": [(("interval",), INTERVAL, justify_interval)],
    "make_time": [(("integer", "integer", "float"), TIME, make_time)],
    "make_timestamp": [
        (("integer",) * 5 + ("float",), TIMESTAMP, make_timestamp),
    ],
    "extract": [
        (("text", "interval"), DECIMAL, part_of_interval),
        (("text", "time"), DECIMAL, part_of_clock),
    ],
    "date_part": [
        (("text", "interval"), DOUBLE, _approximate(part_of_interval)),
        (("text", "time"), DOUBLE, _approximate(part_of_clock)),
    ],
    "date_trunc": [(("text", "interval"), INTERVAL, cut_interval)],
}


# ---- operators: the families of both sides -> the types they come in, the result, the function


def _back(call: Callable[[Any, Any, int], Any]) -> Callable[[Any, Any], Any]:
    return lambda left, right: call(left, right, -1)


def _flipped(call: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda left, right: call(right, left)


def _of_day(day: int, interval: str, sign: int = 1) -> int:
    return shifted(day * DAY_US, interval, sign)


def _joined(day: int, clock: int) -> int:
    return day * DAY_US + clock


_Operator = tuple["SqlType", "Callable[[Any, Any], Any]"]
OPERATORS: dict[tuple[str, str, str], _Operator] = {
    ("date", "+", "interval"): (TIMESTAMP, _of_day),
    ("interval", "+", "date"): (TIMESTAMP, _flipped(_of_day)),
    ("date", "-", "interval"): (TIMESTAMP, _back(_of_day)),
    ("date", "+", "time"): (TIMESTAMP, _joined),
    ("time", "+", "date"): (TIMESTAMP, _flipped(_joined)),
    ("time", "+", "interval"): (TIME, of_clock),
    ("interval", "+", "time"): (TIME, _flipped(of_clock)),
    ("time", "-", "interval"): (TIME, _back(of_clock)),
    ("time", "-", "time"): (INTERVAL, lambda late, early: encode(Parts(0, 0, late - early))),
    ("interval", "+", "interval"): (INTERVAL, added),
    ("interval", "-", "interval"): (INTERVAL, _back(added)),
    ("interval", "*", "float"): (INTERVAL, times),
    ("float", "*", "interval"): (INTERVAL, _flipped(times)),
    ("interval", "/", "float"): (INTERVAL, divided),
}
for _kind in (TIMESTAMP, TIMESTAMPTZ):
    _more: dict[tuple[str, str, str], _Operator] = {
        (_kind.family, "+", "interval"): (_kind, shifted),
        ("interval", "+", _kind.family): (_kind, _flipped(shifted)),
        (_kind.family, "-", "interval"): (_kind, _back(shifted)),
        (_kind.family, "-", _kind.family): (INTERVAL, between),
    }
    OPERATORS |= _more
