"""Values across forms: Python <-> working <-> text, and casts between types.

Each conversion either gives a value of the type or one of our errors; nothing is guessed.
"""

from __future__ import annotations

import datetime
import math
import uuid
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.kernel.errors import BadType, InvalidText, MfdbError, NoSuchMoment, NumberOutOfRange
from mfdb.kernel.ids import parse_address, show
from mfdb.kernel.nesting import JSON_DEPTH, is_deep_json
from mfdb.sql import interval as spans
from mfdb.sql.types import (
    EXACT,
    NUMBERS,
    TIMES,
    Scalar,
    SqlType,
    StoredScalar,
    bounded,
    cut_short,
    fit,
    from_storage,
    to_storage,
)

if TYPE_CHECKING:
    from collections.abc import Callable

DAY_US = spans.DAY_US
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_EPOCH_DAY = _EPOCH.toordinal()
_MICROSECOND = datetime.timedelta(microseconds=1)
_TRUE = frozenset({"t", "true", "y", "yes", "on", "1"})
_FALSE = frozenset({"f", "false", "n", "no", "off", "0"})
NUMBER_CHARACTERS = 2_100


# ---- Python values


def to_stored(value: object, kind: SqlType) -> StoredScalar:
    """Return the stored form of an application's value for a column of a type.

    Raises:
        BadType, InvalidText, NumberOutOfRange, ValueTooLarge: it is no value of that type.
    """
    return to_storage(fit(to_working(value, kind), kind))


def from_stored(value: StoredScalar, kind: SqlType) -> object:
    """Return a stored value as applications get it."""
    return to_python(from_storage(value, kind), kind)


def to_working(value: object, kind: SqlType) -> Scalar:
    """Return an application's value in working form.

    Raises:
        BadType, InvalidText, NumberOutOfRange: it is no value of that type.
    """
    if value is None:
        return None
    if isinstance(value, bytearray | memoryview):
        value = bytes(value)
    if kind.family == "array":
        accepted: bytes = _arrays().accept(value, kind)
        return accepted
    found = _ACCEPTS[kind.family](value)
    if found is None:
        if kind.family == "unknown":
            raise BadType(
                f"{type(value).__name__} {_shown(value)} is no value of SQL",
                hint="write what it is: CAST(? AS INTEGER[])"
                if isinstance(value, list | tuple)
                else "pass None, a bool, number, str, bytes, date, time, timedelta or UUID",
            )
        raise BadType(
            f"{type(value).__name__} {_shown(value)} is no {kind}",
            hint=(isinstance(value, str) and _fault(value, kind))
            or f"pass a value that {kind} can hold, or cast it",
        )
    return found


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        return f"of {len(value)} bytes"
    return cut_short(value if isinstance(value, int) else repr(value))


def _accept_boolean(value: object) -> Scalar:
    return value if isinstance(value, bool) else None


def _accept_integer(value: object) -> Scalar:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**64:
        return int(value)
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() < 20:
        return int(value) if value == int(value) else None
    return None


def _accept_decimal(value: object) -> Scalar:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | Decimal):
        return bounded(Decimal(value))
    return bounded(Decimal(repr(value))) if isinstance(value, float) else None


def _accept_float(value: object) -> Scalar:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if math.isinf(number) and not (isinstance(value, float) or _is_infinite(value)):
        raise NumberOutOfRange("the number is out of the range of DOUBLE PRECISION")
    return number


def _is_infinite(value: object) -> bool:
    return isinstance(value, Decimal) and value.is_infinite()


def _accept_text(value: object) -> Scalar:
    if not isinstance(value, str):
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidText("a text holds what UTF-8 cannot encode (a lone surrogate)") from None
    return str(value)


def _accept_bytes(value: object) -> Scalar:
    return value if isinstance(value, bytes) else None


def _accept_date(value: object) -> Scalar:
    if isinstance(value, datetime.datetime):
        return None
    if isinstance(value, datetime.date):
        return value.toordinal() - _EPOCH_DAY
    return _parse_date(value) if isinstance(value, str) else None


def _accept_timestamp(value: object) -> Scalar:
    if isinstance(value, datetime.datetime):
        return _microseconds(value)
    if isinstance(value, datetime.date):
        return (value.toordinal() - _EPOCH_DAY) * DAY_US
    return _parse_timestamp(value) if isinstance(value, str) else None


def _microseconds(value: datetime.datetime) -> int:
    """A time without a zone is UTC."""
    aware = value if value.tzinfo is not None else value.replace(tzinfo=datetime.UTC)
    return (aware - _EPOCH) // _MICROSECOND


def _accept_time(value: object) -> Scalar:
    if isinstance(value, datetime.time) and value.tzinfo is None:
        seconds = value.hour * 3_600 + value.minute * 60 + value.second
        return seconds * spans.SECOND_US + value.microsecond
    return _parse_time(value) if isinstance(value, str) else None


def _accept_interval(value: object) -> Scalar:
    if isinstance(value, datetime.timedelta):
        return spans.of_timedelta(value)
    return _parse_interval(value) if isinstance(value, str) else None


def _accept_json(value: object) -> Scalar:
    if isinstance(value, str):
        return _parse_json(value)
    if isinstance(value, Decimal):
        return _parse_json(f"{value:f}")
    if isinstance(value, dict | list | tuple | int | float):
        try:
            text = msgspec.json.encode(value).decode()
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidText(f"no JSON: {str(error)[:80]}") from error
        if "null" in text and not _is_finite(value):  # null is what they were made
            raise InvalidText("no JSON: numbers there are finite", hint="give None for null")
        return text
    return None


def _is_finite(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    return not isinstance(value, list | tuple) or all(map(_is_finite, value))


def _accept_uuid(value: object) -> Scalar:
    if isinstance(value, uuid.UUID):
        return value.bytes
    if isinstance(value, bytes):
        return value if len(value) == 16 else None
    return _parse_uuid(value) if isinstance(value, str) else None


def _accept_identity(value: object) -> Scalar:
    if isinstance(value, bytes):
        return value if len(value) == 20 else None
    return _parse_identity(value) if isinstance(value, str) else None


def _accept_unknown(value: object) -> Scalar:
    """A parameter whose place says nothing of its type keeps its own."""
    if isinstance(value, str):
        return _accept_text(value)
    if isinstance(value, bool | int | float | bytes | Decimal):
        return value
    if isinstance(value, datetime.timedelta):
        return str(spans.Interval(spans.decode(spans.of_timedelta(value))))
    if isinstance(value, datetime.datetime | datetime.date | datetime.time | uuid.UUID):
        return str(value)
    return None


_ACCEPTS: dict[str, Callable[[Any], Scalar]] = {
    "boolean": _accept_boolean,
    "integer": _accept_integer,
    "decimal": _accept_decimal,
    "float": _accept_float,
    "text": _accept_text,
    "bytes": _accept_bytes,
    "date": _accept_date,
    "timestamp": _accept_timestamp,
    "timestamptz": _accept_timestamp,
    "time": _accept_time,
    "interval": _accept_interval,
    "json": _accept_json,
    "uuid": _accept_uuid,
    "identity": _accept_identity,
    "unknown": _accept_unknown,
}


def to_python(value: Scalar, kind: SqlType) -> object:
    """Return a working value as applications get it."""
    if value is None:
        return None
    if kind.family == "date" and isinstance(value, int):
        return datetime.date.fromordinal(value + _EPOCH_DAY)
    if kind.family == "timestamptz" and isinstance(value, int):
        return _EPOCH + datetime.timedelta(microseconds=value)
    if kind.family == "timestamp" and isinstance(value, int):
        return (_EPOCH + datetime.timedelta(microseconds=value)).replace(tzinfo=None)
    if kind.family == "time" and isinstance(value, int):
        return (_EPOCH + datetime.timedelta(microseconds=value)).time()
    if kind.family == "interval" and isinstance(value, str):
        return spans.Interval(spans.decode(value))
    if kind.family == "uuid" and isinstance(value, bytes):
        return uuid.UUID(bytes=value)
    if kind.family == "identity" and isinstance(value, bytes):
        return show(value)
    if kind.family == "array" and isinstance(value, bytes):
        return _arrays().give(value, kind)
    return value


def _arrays() -> Any:
    """Return the module of arrays, which is loaded with the first of them."""
    from mfdb.sql import arrays

    return arrays


# ---- text


def to_text(value: Scalar, kind: SqlType) -> str:
    """Return the text of a working value, as PostgreSQL writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    if kind.family == "time" and isinstance(value, int):
        return spans.clock_text(value)
    if kind.family == "array":
        return str(_arrays().text_of(value, kind))
    shown = to_python(value, kind)
    if isinstance(shown, bytes):
        return "\\x" + shown.hex()
    if isinstance(shown, datetime.datetime):
        return str(shown)[:-3] if shown.tzinfo is not None else str(shown)
    return str(shown)


def _float_text(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(value).removesuffix(".0")


def parse_text(text: str, kind: SqlType) -> Scalar:
    """Return the working value that a text spells.

    Raises:
        InvalidText: it spells none of that type; NoSuchMoment: one that does not exist.
    """
    if kind.family == "array":
        array: bytes = _arrays().read(text, kind)
        return array
    found = _PARSES[kind.family](text)
    if found is None:
        shown = text if len(text) <= 60 else text[:57] + "..."
        fault = _fault(text, kind)
        if fault:
            raise NoSuchMoment(f"{shown!r} is no {kind}", hint=fault)
        raise InvalidText(f"{shown!r} is no {kind}", hint=_EXAMPLES.get(kind.family, ""))
    return fit(found, kind)


def _fault(text: str, kind: SqlType) -> str:
    if kind.family not in (*TIMES, "time"):
        return ""
    from mfdb.sql.moment_faults import fault_of  # with the first mistake

    return fault_of(text)


_EXAMPLES = {
    "boolean": "write TRUE or FALSE",
    "integer": "write digits only",
    "date": "write 2026-01-31",
    "timestamp": "write 2026-01-31 12:00:00",
    "timestamptz": "write 2026-01-31 12:00:00+00:00",
    "time": "write 12:00:00",
    "interval": "write 1 day, or 2 hours 30 minutes",
    "identity": "write 0x and 40 hex digits",
    "uuid": "write 32 hex digits, with or without dashes",
    "bytes": r"write \x and hex digits",
}


def _parse_boolean(text: str) -> Scalar:
    word = text.strip().lower()
    return True if word in _TRUE else False if word in _FALSE else None


def _parse_integer(text: str) -> Scalar:
    if len(text) > NUMBER_CHARACTERS or "_" in text:
        return None
    try:
        return int(text)
    except ValueError:
        return None


def _parse_decimal(text: str) -> Scalar:
    if len(text) > NUMBER_CHARACTERS or "_" in text:
        return None
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        return None
    return bounded(number) if number.is_finite() else None


def _parse_float(text: str) -> Scalar:
    if len(text) > NUMBER_CHARACTERS or "_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _parse_bytes(text: str) -> Scalar:
    if not text.startswith("\\x"):
        return text.encode("utf-8", "surrogatepass") if "\\" not in text else None
    try:
        return bytes.fromhex(text[2:])
    except ValueError:
        return None


def _parse_date(text: str) -> Scalar:
    try:
        return datetime.date.fromisoformat(text.strip()).toordinal() - _EPOCH_DAY
    except ValueError:
        found = _parse_timestamp(text)
        return found // DAY_US if isinstance(found, int) else None


def _parse_timestamp(text: str) -> Scalar:
    try:
        return _microseconds(datetime.datetime.fromisoformat(text.strip()))
    except (ValueError, OverflowError):
        return None


def _parse_time(text: str) -> Scalar:
    try:
        return _accept_time(datetime.time.fromisoformat(text.strip()))
    except ValueError:
        moment = _parse_timestamp(text)
        return moment % DAY_US if isinstance(moment, int) else None


def _parse_interval(text: str) -> Scalar:
    parts = spans.parse(text)
    return None if parts is None else spans.encode(parts)


def _parse_json(text: str) -> Scalar:
    if text.count("[") + text.count("{") > JSON_DEPTH and is_deep_json(text):
        return None
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return text


def _parse_uuid(text: str) -> Scalar:
    try:
        return uuid.UUID(text.strip()).bytes
    except ValueError:
        return None


def _parse_identity(text: str) -> Scalar:
    try:
        return parse_address(text.strip())
    except BadType:
        return None


_PARSES: dict[str, Callable[[str], Scalar]] = {
    "boolean": _parse_boolean,
    "integer": _parse_integer,
    "decimal": _parse_decimal,
    "float": _parse_float,
    "text": lambda text: text,
    "bytes": _parse_bytes,
    "date": _parse_date,
    "timestamp": _parse_timestamp,
    "timestamptz": _parse_timestamp,
    "time": _parse_time,
    "interval": _parse_interval,
    "json": _parse_json,
    "uuid": _parse_uuid,
    "identity": _parse_identity,
    "unknown": lambda text: text,
}


# ---- casts


def caster(source: SqlType, target: SqlType) -> Callable[[Any], Scalar] | None:
    """Return the function that casts a non-NULL working value, or None if there is no such cast."""
    if target.family in ("text", "json"):
        if source.family in ("text", "json", "unknown"):
            return lambda value: parse_text(_as_text(value, source), target)
        if target.family == "json":
            return None
        return lambda value: fit(to_text(value, source), target)
    if source.family in ("text", "unknown"):
        if source.family == "unknown":
            return lambda value: fit(_from_unknown(value, target), target)
        return lambda value: parse_text(value, target)
    if source.family in NUMBERS and target.family in NUMBERS:
        return _number_caster(target)
    if source.family in TIMES and target.family in TIMES:
        return _time_caster(source, target)
    if source.family == "array" == target.family:
        return _array_caster(source, target)
    if source.family == target.family:
        return lambda value: fit(value, target)
    return _odd_caster(source, target)


def _array_caster(source: SqlType, target: SqlType) -> Callable[[Any], Scalar] | None:
    """An array is cast element by element."""
    arrays = _arrays()
    element, wanted = arrays.element_of(source), arrays.element_of(target)
    change = caster(element, wanted)
    if change is None:
        return None
    return lambda value: arrays.encode(
        [None if one is None else change(one) for one in arrays.decode(value, element)]
    )


def _odd_caster(source: SqlType, target: SqlType) -> Callable[[Any], Scalar] | None:
    if (source.family, target.family) == ("integer", "boolean"):
        return lambda value: value != 0
    if (source.family, target.family) == ("boolean", "integer"):
        return int
    if target.family == "time" and source.family in ("timestamp", "timestamptz"):
        return lambda value: value % DAY_US
    if (source.family, target.family) == ("time", "interval"):
        return lambda value: spans.encode(spans.Parts(us=value))
    if (source.family, target.family) == ("interval", "time"):
        return lambda value: spans.decode(value).us % DAY_US
    if {source.family, target.family} <= {"bytes", "uuid", "identity"}:
        return lambda value: to_working(value, target)
    return None


def _as_text(value: Scalar, source: SqlType) -> str:
    return value if isinstance(value, str) else to_text(value, source)


def _from_unknown(value: Scalar, target: SqlType) -> Scalar:
    """Cast a parameter of which only the value tells the type."""
    if isinstance(value, str):
        return parse_text(value, target)
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        if target.family in NUMBERS:
            return _number_caster(target)(value)
        if target.family == "boolean":
            return value != 0
    return to_working(value, target)


def _number_caster(target: SqlType) -> Callable[[Any], Scalar]:
    convert = {"integer": _to_integer, "decimal": _to_decimal, "float": _accept_float}
    change = convert[target.family]
    return lambda value: fit(change(value), target)


def _to_integer(value: Any) -> Scalar:
    """Floats round half to even, decimals half away from zero, as in PostgreSQL."""
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NumberOutOfRange(f"{_float_text(value)} is no integer")
        return int(Decimal(value).to_integral_value(ROUND_HALF_EVEN))
    return int(value.to_integral_value(context=EXACT))


def _to_decimal(value: Any) -> Scalar:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NumberOutOfRange(f"{_float_text(value)} is no DECIMAL")
        return bounded(Decimal(f"{value:.15g}"))
    return bounded(Decimal(value))


def _time_caster(source: SqlType, target: SqlType) -> Callable[[Any], Scalar]:
    if source.family == "date" and target.family != "date":
        return lambda value: value * DAY_US
    if target.family == "date" and source.family != "date":
        return lambda value: value // DAY_US
    return lambda value: value


def placed(error: MfdbError, position: int) -> MfdbError:
    """Return the error with a position, if it had none."""
    if error.position is None:
        error.position = position
    return error
