"""What is wrong with a date or time that is written well: which field, and what it may be."""

from __future__ import annotations

import re

from mfdb.kernel.errors import NoSuchMoment

_DATE = r"\s*(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})(?:[ T]+|\s*$|(?=[Z+-]))"
_CLOCK = r"\s*(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}))?"
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September",
           "October", "November", "December")  # fmt: skip
_CLOCK_FIELDS = (("hour", 23), ("minute", 59), ("second", 59))


def fault_of(text: str) -> str:
    """Return which field of a date or time is out of its range, nothing if none is.

    >>> fault_of("2023-02-29 12:00")
    'February 2023 has 28 days'
    """
    date = re.match(_DATE, text, re.ASCII)
    if date is not None:
        fault = fault_of_day(*(int(date[name]) for name in ("year", "month", "day")))
        if fault:
            return fault
    clock = re.match(_CLOCK, text[date.end() if date is not None else 0 :], re.ASCII)
    if clock is None:
        return ""
    for name, most in _CLOCK_FIELDS:
        if clock[name] is not None and int(clock[name]) > most:
            return f"{name}s run from 0 to {most}"
    return ""


def days_in(year: int, month: int) -> int:
    """Return the days of a month.

    Own, because the module `calendar` brings locales and takes long to import.
    """
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def no_day(year: int, month: int, day: int) -> NoSuchMoment:
    """Return the error for a day that does not exist."""
    hint = fault_of_day(year, month, day)
    return NoSuchMoment(f"there is no day {year}-{month:02d}-{day:02d}", hint=hint)


def fault_of_day(year: int, month: int, day: int) -> str:
    """Return what is wrong with a day, nothing if it exists."""
    if not 1 <= year <= 9999:
        return "years run from 1 to 9999"
    if not 1 <= month <= 12:
        return "months run from 1 to 12"
    most = days_in(year, month)
    return "" if 1 <= day <= most else f"{_MONTHS[month - 1]} {year} has {most} days"
