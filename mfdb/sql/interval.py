"""Spans of time as PostgreSQL has them: months, days and microseconds, which do not convert.

The working value of an INTERVAL is a text: its length in microseconds (a month of 30 days, a day of
24 hours), by which intervals compare, in digits that sort as it does; then its parts, in full:

    20000000002592000000000!1,0,0
"""

from __future__ import annotations

import datetime
import re
from functools import cache
from typing import Final, NamedTuple

from mfdb.kernel.errors import NumberOutOfRange

SECOND_US: Final = 1_000_000
HOUR_US: Final = 3_600 * SECOND_US
DAY_US: Final = 24 * HOUR_US
MONTH_DAYS: Final = 30
YEAR_DAYS: Final = 365
_LONGEST_DAYS: Final = 999_999_999
"""Python's timedelta holds no more, and the driver gives one."""
_OFFSET: Final = 2 * 10**22
CHARACTERS: Final = 200
"""Longest text of an interval."""


class Parts(NamedTuple):
    """The three parts of an interval."""

    months: int = 0
    days: int = 0
    us: int = 0


def encode(parts: Parts) -> str:
    """Return the working value of an interval.

    Raises:
        NumberOutOfRange: it is longer than 999,999,999 days.
    """
    months, days, us = parts
    total = (months * MONTH_DAYS + days) * DAY_US + us
    reach = (abs(months) * 31 + abs(days)) * DAY_US + abs(us)
    if reach > _LONGEST_DAYS * DAY_US:
        raise NumberOutOfRange("an interval lasts 999,999,999 days at most")
    return f"{total + _OFFSET:023d}!{months},{days},{us}"


def decode(value: str) -> Parts:
    """Return the parts of a working value."""
    months, days, us = value.partition("!")[2].split(",")
    return Parts(int(months), int(days), int(us))


def length(value: str) -> str:
    """Return what intervals compare by, as a text that sorts as it does."""
    return value.partition("!")[0]


class Interval(datetime.timedelta):
    """An interval as applications get it: a timedelta (months of 30 days, years of 365).

    It keeps the parts that a timedelta mixes: `months`, `whole_days` and `us` (microseconds). Its
    text is PostgreSQL's.
    """

    months: int
    whole_days: int
    us: int

    def __new__(cls, parts: Parts) -> Interval:
        """Make an interval of its parts."""
        years, months = divmod(abs(parts.months), 12)
        sign = -1 if parts.months < 0 else 1
        days = parts.days + sign * (years * YEAR_DAYS + months * MONTH_DAYS)
        made = super().__new__(cls, days=days, microseconds=parts.us)
        made.months, made.whole_days, made.us = parts
        return made

    def __str__(self) -> str:
        """Return the text that PostgreSQL writes."""
        return to_text(Parts(self.months, self.whole_days, self.us))

    def __repr__(self) -> str:
        """Return the text in the call that would read it."""
        return f"Interval({str(self)!r})"

    def __reduce__(self) -> tuple[type[Interval], tuple[Parts]]:
        """Keep the parts where the interval is copied or pickled."""
        return Interval, (Parts(self.months, self.whole_days, self.us),)


def of_timedelta(value: datetime.timedelta) -> str:
    """Return the working value of a span that an application passes.

    Raises:
        NumberOutOfRange: it is too long.
    """
    if isinstance(value, Interval):
        return encode(Parts(value.months, value.whole_days, value.us))
    us = value.seconds * SECOND_US + value.microseconds
    if value.days < 0 and us:  # -1 hour is told as -1 day and 23 hours
        return encode(Parts(0, value.days + 1, us - DAY_US))
    return encode(Parts(0, value.days, us))


# ---- text


def to_text(parts: Parts) -> str:
    """Return `1 year 2 mons 3 days 04:05:06.7`, as PostgreSQL writes it."""
    years, months = _whole(parts.months, 12)
    shown: list[str] = []
    negative_before = False
    for count, unit in ((years, "year"), (months, "mon"), (parts.days, "day")):
        if count:
            sign = "+" if negative_before and count > 0 else ""
            shown.append(f"{sign}{count} {unit}{'' if count == 1 else 's'}")
            negative_before = count < 0
    if parts.us or not shown:
        sign = "-" if parts.us < 0 else "+" if negative_before else ""
        shown.append(sign + clock_text(abs(parts.us)))
    return " ".join(shown)


def clock_text(us: int) -> str:
    """Return `04:05:06.7` for microseconds; hours may be more than 23."""
    seconds, fraction = divmod(us, SECOND_US)
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return text + f".{fraction:06d}".rstrip("0") if fraction else text


def _whole(value: int, unit: int) -> tuple[int, int]:
    """Divide towards zero, as parts of an interval are shown."""
    sign = -1 if value < 0 else 1
    quotient, rest = divmod(abs(value), unit)
    return sign * quotient, sign * rest


_UNITS: dict[str, tuple[str, int]] = {}
for _names, _part, _size in (
    ("us usec usecs usecond useconds microsecond microseconds", "us", 1),
    ("ms msec msecs msecond mseconds millisecond milliseconds", "us", 1_000),
    ("s sec secs second seconds", "us", SECOND_US),
    ("m min mins minute minutes", "us", 60 * SECOND_US),
    ("h hr hrs hour hours", "us", HOUR_US),
    ("d day days", "days", 1),
    ("w week weeks", "days", 7),
    ("mon mons month months", "months", 1),
    ("y yr yrs year years", "months", 12),
    ("dec decs decade decades", "months", 120),
    ("c cent century centuries", "months", 1_200),
    ("mil mils millennium millennia", "months", 12_000),
):
    for _name in _names.split():
        _UNITS[_name] = (_part, _size)


@cache
def _token() -> re.Pattern[str]:
    """Return what reads a part of an interval; made on first use."""
    return re.compile(
        r"\s*(?:(?P<clock>[+-]?\d{1,10}:\d{1,2}(?::\d{1,2}(?:\.\d{0,9})?)?)"
        r"|(?P<years>[+-]?\d{1,9})-(?P<months>\d{1,2})(?![\d.])"
        r"|(?P<count>[+-]?(?:\d{1,18}(?:\.\d{0,18})?|\.\d{1,18}))\s*(?P<unit>[a-z]+)?"
        r"|(?P<ago>ago)|(?P<at>@))\s*",
        re.ASCII,
    )


@cache
def _iso() -> re.Pattern[str]:
    """Return what reads an interval of ISO 8601."""
    return re.compile(
        r"P(?=[-\dT])(?P<date>(?:-?\d+(?:\.\d+)?[YMWD])*)(?:T(?P<time>(?:-?\d+(?:\.\d+)?[HMS])*))?",
        re.ASCII,
    )


_ISO_PART = re.compile(r"(-?\d+(?:\.\d+)?)([A-Z])")
_ISO_DATE = {"Y": "year", "M": "month", "W": "week", "D": "day"}
_ISO_TIME = {"H": "hour", "M": "minute", "S": "second"}


class _Sum:
    """Parts that are added up; fractions of months become days, those of days microseconds."""

    def __init__(self) -> None:
        from fractions import Fraction  # slow to load, and few statements have intervals

        self._exact = Fraction
        self.months = self.days = self.us = Fraction(0)

    def add(self, digits: str, unit: str) -> bool:
        """Take so many of a unit; False if there is no such unit."""
        found = _UNITS.get(unit)
        if found is None:
            return False
        part, size = found
        setattr(self, part, getattr(self, part) + self._exact(digits) * size)
        return True

    def parts(self, sign: int = 1) -> Parts:
        """Return what was added up."""
        months = int(self.months)
        days = self.days + (self.months - months) * MONTH_DAYS
        whole = int(days)
        us = round(self.us + (days - whole) * DAY_US)
        return Parts(sign * months, sign * whole, sign * us)


def parse(text: str) -> Parts | None:
    """Return the parts that a text spells, PostgreSQL's or ISO 8601's; None if it spells none."""
    text = text.strip()
    if not text or len(text) > CHARACTERS:
        return None
    if text[0] == "P":
        return _parse_iso(text)
    found = _Sum()
    sign, position, text = 1, 0, text.lower()
    while position < len(text):
        token = _token().match(text, position)
        if token is None or not _take(token, found, is_last=token.end() == len(text)):
            return None
        if token["ago"]:
            sign = -1
        position = token.end()
    return found.parts(sign)


def _take(token: re.Match[str], found: _Sum, *, is_last: bool) -> bool:
    if token["clock"]:
        us = parse_clock(token["clock"])
        found.us += us or 0
        return us is not None
    if token["years"]:
        sign = -1 if token["years"].startswith("-") else 1
        found.months += int(token["years"]) * 12 + sign * int(token["months"])
        return int(token["months"]) < 12
    if token["count"]:
        # A number without a unit is of days before a clock time, of seconds at the end.
        unit = token["unit"] or ("second" if is_last else "day")
        return found.add(token["count"], unit)
    return bool(token["at"]) or is_last


def parse_clock(text: str) -> int | None:
    """Return the microseconds of `[-]HH:MM[:SS[.ffffff]]`; None if minutes or seconds are no."""
    sign = -1 if text.startswith("-") else 1
    parts = text.lstrip("+-").split(":")
    seconds, _, fraction = (parts[2] if len(parts) > 2 else "0").partition(".")
    minutes = int(parts[1])
    if minutes > 59 or int(seconds) > 59:
        return None
    us = int(seconds) * SECOND_US + round(int(fraction.ljust(9, "0")) / 1_000)
    return sign * (int(parts[0]) * HOUR_US + minutes * 60 * SECOND_US + us)


def _parse_iso(text: str) -> Parts | None:
    whole = _iso().fullmatch(text)
    if whole is None:
        return None
    found = _Sum()
    for part, units in ((whole["date"], _ISO_DATE), (whole["time"], _ISO_TIME)):
        for count, letter in _ISO_PART.findall(part or ""):
            found.add(count, units[letter])
    return found.parts()
