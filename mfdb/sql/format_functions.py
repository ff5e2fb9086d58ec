"""to_char, to_date and to_timestamp: values written and read by PostgreSQL's templates, in English.

A template of times is cut into fields (`YYYY`, `Mon`, `HH24` ...) with their modifiers (`FM` writes
without padding, `TH` an ordinal), texts in double quotes, and letters that stand for themselves.
"""

from __future__ import annotations

import datetime
import math
import re
from decimal import ROUND_HALF_UP, Decimal
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from mfdb.kernel.errors import (
    DataError,
    InvalidText,
    NoSuchMoment,
    NotSupportedError,
    NumberOutOfRange,
    ValueTooLarge,
)
from mfdb.sql.interval import DAY_US, HOUR_US, SECOND_US, decode
from mfdb.sql.moment_faults import fault_of_day
from mfdb.sql.types import EXACT

if TYPE_CHECKING:
    from collections.abc import Callable

TEMPLATE_CHARACTERS = 1_000
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_NAME_WIDTH = 9
"""Names of days and months are padded to the longest, unless FM."""
_ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII")
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_JULIAN = 2_440_588
"""The Julian day of 1970-01-01."""


class Field(NamedTuple):
    """A piece of a template: a field, or (without a name) a text as it is."""

    name: str
    text: str
    plain: bool = False
    """FM: without padding."""
    ordinal: str = ""
    """TH or th: 1ST, 1st."""


_FIELDS = (
    "Y,YYY", "YYYY", "YYY", "YY", "Y", "IYYY", "IYY", "IY", "I", "BC", "AD", "B.C.", "A.D.",
    "MONTH", "MON", "MM", "RM", "DAY", "DY", "DDD", "IDDD", "DD", "ID", "D", "WW", "W", "IW", "CC",
    "J", "Q", "HH24", "HH12", "HH", "MI", "SSSSS", "SSSS", "SS", "MS", "US", "FF1", "FF2", "FF3",
    "FF4", "FF5", "FF6", "AM", "PM", "A.M.", "P.M.", "TZH", "TZM", "TZ", "OF",
)  # fmt: skip


@cache
def _piece() -> re.Pattern[str]:
    """Return what finds the parts of a template; made on first use, for it takes milliseconds."""
    return re.compile(
        r'"(?P<quoted>(?:[^"\\]|\\.)*)"?|(?P<fm>FM)?(?P<field>'
        + "|".join(re.escape(name) for name in sorted(_FIELDS, key=len, reverse=True))
        + r")(?P<th>TH)?|(?P<plain>\\.|.)",
        re.IGNORECASE | re.DOTALL,
    )


@lru_cache(maxsize=64)
def fields_of(template: str) -> tuple[Field, ...]:
    """Return the fields and texts of a template.

    Raises:
        ValueTooLarge: it is over 1,000 characters long.
    """
    if len(template) > TEMPLATE_CHARACTERS:
        raise ValueTooLarge(f"a template has at most {TEMPLATE_CHARACTERS} characters")
    found = []
    for piece in _piece().finditer(template):
        if piece["field"]:
            ordinal = piece["th"] or ""
            found.append(Field(piece["field"].upper(), piece["field"], bool(piece["fm"]), ordinal))
        elif piece["quoted"] is not None:
            found.append(Field("", re.sub(r"\\(.)", r"\1", piece["quoted"])))
        else:
            found.append(Field("", piece["plain"][-1]))
    return tuple(found)


# ---- times as text


class Moment:
    """What a template may ask of a moment, or of an interval: `date` is None for that."""

    def __init__(self, us: int, *, zone: str = "") -> None:
        self.date: datetime.date | None = (_EPOCH + datetime.timedelta(microseconds=us)).date()
        self.year, self.month, self.day = self.date.year, self.date.month, self.date.day
        self.us = us % DAY_US
        self.zone = zone

    @classmethod
    def of_interval(cls, value: str) -> Moment:
        """Return what a template may ask of an interval."""
        made = cls(0)
        months, made.day, made.us = decode(value)
        sign = -1 if months < 0 else 1
        made.year, made.month = sign * (abs(months) // 12), sign * (abs(months) % 12)
        made.date = None
        return made

    @property
    def hour(self) -> int:
        """Hours; of an interval perhaps more than 23, or negative."""
        return int(self.us / HOUR_US)

    @property
    def minute(self) -> int:
        """Minutes of the hour."""
        return (
            int(self.us / (60 * SECOND_US)) % 60 if self.us >= 0 else -(-self.us // 60_000_000 % 60)
        )

    @property
    def second(self) -> int:
        """Seconds of the minute."""
        return self.us // SECOND_US % 60 if self.us >= 0 else -(-self.us // SECOND_US % 60)

    @property
    def fraction(self) -> int:
        """Microseconds of the second."""
        return abs(self.us) % SECOND_US

    def known(self, field: str) -> datetime.date:
        """Return the day.

        Raises:
            DataError: an interval has none.
        """
        if self.date is None:
            raise DataError(f"an interval has no {field}")
        return self.date


def _cased(name: str, field: Field) -> str:
    """DAY, Day and day each write a name in their own letters."""
    text = field.text
    if text.isupper():
        name = name.upper()
    elif text.islower():
        name = name.lower()
    return (
        name
        if field.plain or (len(text) <= 3 and text.upper() != "DAY")
        else name.ljust(_NAME_WIDTH)
    )


def _roman(at: Moment, field: Field) -> str:
    if not at.month:
        return ""
    text = _ROMAN[at.month - 1] if field.plain else _ROMAN[at.month - 1].ljust(4)
    return text if field.text.isupper() else text.lower()


def _half(at: Moment, field: Field) -> str:
    half = "pm" if at.hour % 24 >= 12 else "am"
    if "." in field.text:
        half = f"{half[0]}.{half[1]}."
    return half.upper() if field.text[0].isupper() else half


def _era(field: Field) -> str:
    era = "a.d." if "." in field.text else "ad"
    return era.upper() if field.text[0].isupper() else era


def _fraction(digits: int) -> Callable[[Moment, Field], str]:
    return lambda at, _field: f"{at.fraction:06d}"[:digits]


_WORDS: dict[str, Callable[[Moment, Field], str]] = {
    "MONTH": lambda at, field: _cased(MONTHS[at.month - 1], field) if at.month else "",
    "MON": lambda at, field: _cased(MONTHS[at.month - 1][:3], field) if at.month else "",
    "DAY": lambda at, field: _cased(DAYS[at.known("day").isoweekday() % 7], field),
    "DY": lambda at, field: _cased(DAYS[at.known("day").isoweekday() % 7][:3], field),
    "RM": _roman,
    **dict.fromkeys(("AM", "PM", "A.M.", "P.M."), _half),
    **dict.fromkeys(("AD", "BC", "A.D.", "B.C."), lambda _at, field: _era(field)),
    "TZ": lambda at, field: at.zone if field.text.isupper() else at.zone.lower(),
    "OF": lambda _at, _field: "+00",
    "TZH": lambda _at, _field: "+00",
    "TZM": lambda _at, _field: "00",
    "Y,YYY": lambda at, _field: f"{at.year // 1000},{at.year % 1000:03d}",
    "MS": lambda at, _field: f"{at.fraction // 1000:03d}",
    "US": lambda at, _field: f"{at.fraction:06d}",
    **{f"FF{digits}": _fraction(digits) for digits in range(1, 7)},
}
"""Fields that FM does not pad as numbers."""


def _day_of_year(at: Moment) -> int:
    return at.known("day").timetuple().tm_yday


def _half_hour(at: Moment) -> int:
    hour = abs(at.hour) % 12 or 12
    return -hour if at.hour < 0 else hour


_NUMBERS: dict[str, tuple[int, Callable[[Moment], int]]] = {
    "YYYY": (4, lambda at: at.year),
    "YYY": (3, lambda at: at.year % 1000),
    "YY": (2, lambda at: at.year % 100),
    "Y": (1, lambda at: at.year % 10),
    "IYYY": (4, lambda at: at.known("week").isocalendar().year),
    "IYY": (3, lambda at: at.known("week").isocalendar().year % 1000),
    "IY": (2, lambda at: at.known("week").isocalendar().year % 100),
    "I": (1, lambda at: at.known("week").isocalendar().year % 10),
    "MM": (2, lambda at: at.month),
    "DD": (2, lambda at: at.day),
    "DDD": (3, lambda at: _day_of_year(at) if at.date else at.day),
    "IDDD": (
        3,
        lambda at: (at.known("week").isocalendar().week - 1) * 7 + at.known("week").isoweekday(),
    ),
    "D": (1, lambda at: at.known("day").isoweekday() % 7 + 1),
    "ID": (1, lambda at: at.known("day").isoweekday()),
    "WW": (2, lambda at: (_day_of_year(at) - 1) // 7 + 1),
    "W": (1, lambda at: (at.day - 1) // 7 + 1),
    "IW": (2, lambda at: at.known("week").isocalendar().week),
    "CC": (2, lambda at: (at.year + 99) // 100),
    "J": (1, lambda at: (at.known("day") - _EPOCH.date()).days + _JULIAN),
    "Q": (1, lambda at: (at.month + 2) // 3),
    "HH24": (2, lambda at: at.hour),
    "HH12": (2, _half_hour),
    "HH": (2, _half_hour),
    "MI": (2, lambda at: at.minute),
    "SS": (2, lambda at: at.second),
    "SSSS": (1, lambda at: at.us // SECOND_US),
    "SSSSS": (1, lambda at: at.us // SECOND_US),
}


def _ordinal(number: int, letters: str) -> str:
    tens, ones = number // 10 % 10, number % 10
    ending = "th" if tens == 1 else {1: "st", 2: "nd", 3: "rd"}.get(ones, "th")
    return ending.upper() if letters.isupper() else ending


def written(at: Moment, template: str) -> str:
    """Return a moment as a template has it."""
    parts = []
    for field in fields_of(template):
        if not field.name:
            parts.append(field.text)
        elif field.name in _WORDS:
            parts.append(_WORDS[field.name](at, field))
        else:
            width, read = _NUMBERS[field.name]
            number = read(at)
            sign = "-" if number < 0 else ""
            width -= len(sign) if field.name == "DD" else 0
            shown = sign + str(abs(number)).zfill(1 if field.plain else width)
            parts.append(shown + (_ordinal(number, field.ordinal) if field.ordinal else ""))
    return "".join(parts)


# ---- numbers as text


class _Number(NamedTuple):
    """A template of a number, taken apart."""

    before: str
    after: str
    plain: bool
    sign: str


@cache
def _number_piece() -> re.Pattern[str]:
    return re.compile(
        r'"[^"]*"?|FM|PR|MI|PL|SG|TH|EEEE|RN|[09.,DGSLV$]|\\.|.', re.IGNORECASE | re.DOTALL
    )


@lru_cache(maxsize=64)
def number_pieces(template: str) -> tuple[str, ...]:
    """Return the pieces of a template of numbers, those that are known in capitals.

    Raises:
        NotSupportedError: one is EEEE, RN or V.
        ValueTooLarge: it is over 1,000 characters long.
    """
    if len(template) > TEMPLATE_CHARACTERS:
        raise ValueTooLarge(f"a template has at most {TEMPLATE_CHARACTERS} characters")
    pieces = []
    for piece in _number_piece().findall(template):
        upper = piece.upper()
        if upper in ("EEEE", "RN", "V"):
            raise NotSupportedError(f"there is no {upper} of numbers in templates")
        pieces.append(upper if upper in _KNOWN else piece)
    return tuple(pieces)


_KNOWN = frozenset(
    {"FM", "PR", "MI", "PL", "SG", "TH", "0", "9", ".", ",", "D", "G", "S", "L", "$"}
)


def number_to_char(value: Decimal, template: str) -> str:
    """Return a number as a template has it.

    Raises:
        NotSupportedError: the template asks for EEEE, RN or V.
    """
    pieces = number_pieces(template)
    point = next((at for at, piece in enumerate(pieces) if piece in (".", "D")), len(pieces))
    whole_digits = sum(piece in "09" for piece in pieces[:point])
    scale = sum(piece in "09" for piece in pieces[point:])
    rounded = abs(value).quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP, context=EXACT)
    negative = value < 0 and rounded != 0
    whole, _, fraction = f"{rounded:f}".partition(".")
    if whole == "0" and whole_digits:
        whole = ""
    if len(whole) > whole_digits:
        whole, fraction = "#" * whole_digits, "#" * scale
    return _filled(pieces, point, whole.rjust(whole_digits), fraction, negative=negative)


def _float_to_char(value: float, template: str) -> str:
    if not math.isfinite(value):
        raise NumberOutOfRange("to_char writes finite numbers only")
    return number_to_char(Decimal(f"{value:.15g}"), template)


def _filled(
    pieces: tuple[str, ...], point: int, whole: str, fraction: str, *, negative: bool
) -> str:
    """Return the template with the digits in their places, and the sign in its own."""
    plain = "FM" in pieces
    digits = _digits(pieces, point, whole, fraction, plain=plain)
    begun = min((at for at, digit in digits.items() if digit not in ("", " ")), default=point)
    shown = [
        digits[at]
        if at in digits
        else (
            ("," if at > begun else " ")
            if piece in (",", "G")
            else _literal(piece, negative=negative)
        )
        for at, piece in enumerate(pieces)
    ]
    first = next((at for at, piece in enumerate(pieces) if piece in _OF_NUMBER), 0)
    head, text = "".join(shown[:first]), "".join(shown[first:])
    if "S" in pieces:
        text = _anchored(text, negative=negative, behind=pieces[-1] == "S")
    elif "PR" in pieces:
        text = _bracketed(text, negative=negative)
    elif "MI" not in pieces and "SG" not in pieces:
        text = _signed(text, negative=negative)
    return (head + text).replace(" ", "") if plain else head + text


def _digits(
    pieces: tuple[str, ...], point: int, whole: str, fraction: str, *, plain: bool
) -> dict[int, str]:
    """Return what stands in each place of a digit: 0 fills from the first 0 of the template on."""
    places = [at for at, piece in enumerate(pieces) if piece in ("0", "9")]
    found = dict(zip(places, whole + fraction, strict=True))
    before = [at for at in places if at < point]
    filled = next((at for at in before if pieces[at] == "0"), point)
    for at in before:
        if found[at] == " " and at >= filled:
            found[at] = "0"
    if plain:
        for at in reversed(places[len(before) :]):
            if found[at] != "0" or pieces[at] == "0":
                break
            found[at] = ""
    is_bare = not any(found[at] for at in places[len(before) :])
    if before and found[before[-1]] == " " and is_bare:
        found[before[-1]] = "0"
    return found


def _literal(piece: str, *, negative: bool) -> str:
    if piece in (".", "D"):
        return "."
    if piece in _SIGNS:
        return _SIGNS[piece][negative]
    if piece in ("FM", "PR", "TH", "L"):
        return " " if piece == "L" else ""
    return piece.strip('"') if piece[0] == '"' else piece[-1]


_OF_NUMBER = frozenset({"0", "9", ".", ",", "D", "G"})
_SIGNS = {"MI": (" ", "-"), "PL": ("+", " "), "SG": ("+", "-"), "S": ("", "")}


def _signed(text: str, *, negative: bool) -> str:
    blank = len(text) - len(text.lstrip(" "))
    return " " * blank + ("-" if negative else " ") + text[blank:]


def _bracketed(text: str, *, negative: bool) -> str:
    blank = len(text) - len(text.lstrip(" "))
    return " " * blank + ("<" if negative else " ") + text[blank:] + (">" if negative else " ")


def _anchored(text: str, *, negative: bool, behind: bool) -> str:
    sign = "-" if negative else "+"
    if behind:
        return text + sign
    blank = len(text) - len(text.lstrip(" "))
    return " " * blank + sign + text[blank:]


# ---- text as times


_READ_WIDTH = {
    "YYYY": 4, "YYY": 3, "YY": 2, "Y": 1, "MM": 2, "DD": 2, "DDD": 3, "HH24": 2, "HH12": 2, "HH": 2,
    "MI": 2, "SS": 2, "MS": 3, "US": 6, "SSSS": 5, "SSSSS": 5,
}  # fmt: skip


def read(text: str, template: str) -> int:
    """Return the moment that a text spells in the fields of a template, in microseconds.

    Raises:
        InvalidText: it does not suit the template, or there is no such moment.
        NotSupportedError: the template has fields that only writing knows.
    """
    found: dict[str, int] = {}
    position = 0
    for field in fields_of(template):
        while position < len(text) and text[position].isspace():
            position += 1
        if field.name:
            position = _read_field(text, position, field, found)
        elif not field.text.isspace() and position < len(text):
            position += 1 if not text[position].isalnum() or text[position] == field.text else 0
    return _moment(found, text)


def _read_field(text: str, position: int, field: Field, found: dict[str, int]) -> int:
    name = field.name
    if name in ("MONTH", "MON", "DAY", "DY", "AM", "PM", "A.M.", "P.M."):
        return _read_word(text, position, name, found)
    if name not in _READ_WIDTH:
        raise NotSupportedError(f"a time is not read by the field {name}")
    width = _READ_WIDTH[name]
    digits = re.compile(rf"[+-]?\d{{1,{width}}}", re.ASCII).match(text, position)
    if digits is None:
        raise InvalidText(f"{text[:40]!r} has no number for {name}")
    number = int(digits.group())
    if name in ("MS", "US"):
        number = int(digits.group().ljust(width, "0")) * (1_000 if name == "MS" else 1)
    if name in ("YY", "YYY", "Y"):
        number += 2_000 if number < 70 else 1_900
    found[_SLOTS.get(name, name)] = number
    return digits.end()


_SLOTS = {
    "YYY": "YYYY", "YY": "YYYY", "Y": "YYYY", "HH12": "HH12", "HH": "HH12", "MS": "US",
    "SSSS": "SSSSS",
}  # fmt: skip


def _read_word(text: str, position: int, name: str, found: dict[str, int]) -> int:
    rest = text[position:].lower()
    if name in ("AM", "PM", "A.M.", "P.M."):
        half = re.match(r"([ap])\.?m\.?", rest)
        if half is None:
            raise InvalidText(f"{text[:40]!r} says neither am nor pm")
        found["PM"] = int(half[1] == "p")
        return position + half.end()
    names = MONTHS if name.startswith("M") else DAYS
    for number, whole in enumerate(names, 1):
        known = whole.lower() if name in ("MONTH", "DAY") else whole[:3].lower()
        if rest.startswith(known):
            if names is MONTHS:
                found["MM"] = number
            return position + len(known)
    raise InvalidText(f"{text[:40]!r} names no {'month' if names is MONTHS else 'day'}")


def _moment(found: dict[str, int], text: str) -> int:
    hour = found.get("HH24", 0)
    if "HH12" in found:
        hour = found["HH12"] % 12 + 12 * found.get("PM", 0)
    seconds = hour * 3_600 + found.get("MI", 0) * 60 + found.get("SS", 0)
    year, month, at = found.get("YYYY", 1), found.get("MM", 1), found.get("DD", 1)
    fault = fault_of_day(year, month, at)
    if not fault and not (hour < 24 and found.get("MI", 0) < 60 and found.get("SS", 0) < 60):
        fault = "hours run from 0 to 23, minutes and seconds to 59"
    if fault:
        raise NoSuchMoment(f"{text[:40]!r} is no moment", hint=fault)
    day = datetime.date(year, month, at)
    days = (day - _EPOCH.date()).days + max(found.get("DDD", 1) - 1, 0)
    return days * DAY_US + found.get("SSSSS", seconds) * SECOND_US + found.get("US", 0)


def _date_to_char(days: int, template: str) -> str:
    return written(Moment(days * DAY_US, zone="UTC"), template)


CALLS: dict[tuple[str, str], Callable[..., Any]] = {
    ("to_char", "timestamptz"): lambda us, template: written(Moment(us, zone="UTC"), template),
    ("to_char", "timestamp"): lambda us, template: written(Moment(us), template),
    ("to_char", "date"): _date_to_char,
    ("to_char", "interval"): lambda value, form: written(Moment.of_interval(value), form),
    ("to_char", "decimal"): number_to_char,
    ("to_char", "float"): _float_to_char,
    ("to_date", "text"): lambda text, template: read(text, template) // DAY_US,
    ("to_timestamp", "text"): read,
}
"""What each function does for a first operand of a family; `format_forms` says what it gives."""
