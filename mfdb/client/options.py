"""`WITH (...)` and `ALTER ... SET (...)`: options parsed, unknown ones refused with a hint."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from mfdb.kernel.errors import BadType, DataError, InvalidDefinition
from mfdb.kernel.ids import Address, Wei, parse_address, parse_mft
from mfdb.kernel.limits import ROW_BYTES
from mfdb.kernel.nearest import nearest_hint
from mfdb.rules.manifest import Ordering, Profile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mfdb.sql.statement import Option

    OptionValue = str | int | bool | bytes | None

_SECONDS = {
    "second": 1,
    "minute": 60,
    "hour": 3_600,
    "day": 86_400,
    "week": 7 * 86_400,
    "month": 30 * 86_400,
    "year": 365 * 86_400,
}
_INTERVAL = re.compile(r"(\d{1,9}) *([a-z]+?)s?\Z")
_RATIO = re.compile(r"(\d{1,3}) */ *(\d{1,3})\Z")
_ONLY_AT_CREATION = frozenset({"local", "ordering"})
_ONLY_LATER = frozenset({"providers"})
_ALIASES = {"redundancy": "replicas"}
_MOST_KIB = ROW_BYTES // 1024
FOR_EVER = "forever"
MOVING = frozenset({"replicas", "erasure", "providers"})
"""Options that change who holds what of a dataset on a network."""


class DatasetOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a dataset; None where the statement says nothing."""

    local: bool = False
    ordering: Ordering | None = None
    profile: Profile = msgspec.field(default_factory=Profile)
    retention_s: int | None = None
    """0: rows are kept for ever."""
    price_ceiling: Wei | None = None
    deposit: Wei | None = None
    max_message_kib: int | None = None
    providers: tuple[Address, ...] | None = None


def parse_options(
    options: Iterable[Option], base: Profile | None = None, *, creates: bool
) -> DatasetOptions:
    """Return the options of a statement; `base` is the profile in force.

    Raises:
        InvalidDefinition: an option is unknown, twice, of a wrong kind, or fixed since creation.
        SchemaViolation: the profile does not keep its promise.
    """
    options = [_by_its_name(option) for option in options]
    given = {option.name: option for option in options}
    seen: set[str] = set()
    for option in options:
        _refuse(option, seen, creates=creates)
        seen.add(option.name)
    return DatasetOptions(
        local=truth(given["local"]) if "local" in given else False,
        ordering=_ordering(given["ordering"]) if "ordering" in given else None,
        profile=_profile(given, base),
        retention_s=_retention(given["retention"]) if "retention" in given else None,
        price_ceiling=_amount(given["price_ceiling"]) if "price_ceiling" in given else None,
        deposit=_amount(given["deposit"]) if "deposit" in given else None,
        max_message_kib=_kib(given["max_message"]) if "max_message" in given else None,
        providers=_addresses(given["providers"]) if "providers" in given else None,
    )


def _by_its_name(option: Option) -> Option:
    """Return an option under the name that it has here."""
    return msgspec.structs.replace(option, name=_ALIASES.get(option.name, option.name))


def parse_interval_s(text: str) -> int | None:
    """Return the seconds of an interval like '10 seconds', or None if it is none."""
    match = _INTERVAL.match(text.strip().lower())
    if match is None or match[2] not in _SECONDS:
        return None
    return int(match[1]) * _SECONDS[match[2]]


def shown_interval(seconds: int) -> str:
    """Return an interval as statements have it: in days, or the greatest unit that divides it.

    >>> [shown_interval(seconds) for seconds in (90 * 86_400, 86_400, 5_400, 61)]
    ['90 days', '1 day', '90 minutes', '61 seconds']
    """
    units = ("day", "hour", "minute", "second")
    unit = next(one for one in units if seconds % _SECONDS[one] == 0)
    count = seconds // _SECONDS[unit]
    return f"{count} {unit}{'' if count == 1 else 's'}"


def _refuse(option: Option, seen: set[str], *, creates: bool) -> None:
    if option.name not in NAMES:
        hint = nearest_hint(option.name, NAMES, f"options: {', '.join(NAMES)}")
        raise InvalidDefinition(
            f"there is no option {option.name}", hint=hint, position=option.position
        )
    if option.name in seen:
        raise InvalidDefinition(f"option {option.name} is set twice", position=option.position)
    if option.name in _ONLY_AT_CREATION and not creates:
        raise InvalidDefinition(
            f"option {option.name} is chosen when a dataset is created", position=option.position
        )
    if option.name in _ONLY_LATER and creates:
        raise InvalidDefinition(
            f"option {option.name} can be set only of a dataset that stands",
            hint="its first providers are chosen by their offers; ALTER DATASET ... SET moves it",
            position=option.position,
        )


def _addresses(option: Option) -> tuple[Address, ...]:
    words = option.value.split(",") if isinstance(option.value, str) else []
    try:
        found = tuple(parse_address(word.strip()) for word in words)
    except BadType as error:
        raise _wrong(option, "'0x..., 0x...'") from error
    if not found or len(set(found)) != len(found):
        raise _wrong(option, "'0x..., 0x...', each once")
    return found


def _profile(given: dict[str, Option], base: Profile | None) -> Profile:
    numbers: dict[str, int] = {
        name: _whole(given[name])
        for name in ("replicas", "write_quorum", "read_quorum")
        if name in given
    }
    if "replicas" in numbers and base is None:
        majority = numbers["replicas"] // 2 + 1
        numbers = {"write_quorum": majority, "read_quorum": majority} | numbers
    if "erasure" in given:
        numbers["k"], numbers["n"] = _ratio(given["erasure"])
    profile = msgspec.structs.replace(base or Profile(), **numbers)
    profile.check()
    return profile


def _wrong(option: Option, wanted: str) -> InvalidDefinition:
    return InvalidDefinition(
        f"option {option.name} is not {option.value!r}",
        hint=f"write {option.name} = {wanted}",
        position=option.position,
    )


def truth(option: Option) -> bool:
    """Return whether an option is on, as one without a value is.

    Raises:
        InvalidDefinition: it is neither.
    """
    words = {"true": True, "on": True, "false": False, "off": False, "": True}
    value = option.value
    if value is None:
        return True
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    raise _wrong(option, "true")


def _whole(option: Option) -> int:
    value = option.value
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(option, "3")
    return value


def _kib(option: Option) -> int:
    value = _whole(option)
    if not 1 <= value <= _MOST_KIB:
        raise _wrong(option, f"64: KiB, from 1 to {_MOST_KIB}")
    return value


def _ratio(option: Option) -> tuple[int, int]:
    match = _RATIO.match(option.value) if isinstance(option.value, str) else None
    if match is None:
        raise _wrong(option, "'4/6'")
    return int(match[1]), int(match[2])


def _ordering(option: Option) -> Ordering:
    words = {"owner": Ordering.OWNER, "free": Ordering.FREE}
    if isinstance(option.value, str) and option.value.lower() in words:
        return words[option.value.lower()]
    raise _wrong(option, "'owner' or 'free'")


def _retention(option: Option) -> int:
    if isinstance(option.value, str) and option.value.strip().lower() == FOR_EVER:
        return 0
    seconds = parse_interval_s(option.value) if isinstance(option.value, str) else None
    if not seconds:
        raise _wrong(option, f"'90 days', or '{FOR_EVER}'")
    return seconds


def _amount(option: Option) -> Wei:
    text = str(option.value).strip()
    number, _, unit = text.partition(" ")
    if unit.strip().upper() != "MFT":
        raise _wrong(option, "0.002 MFT")
    try:
        return parse_mft(number)
    except DataError as error:
        error.position = option.position
        raise


NAMES = (
    "replicas",
    "write_quorum",
    "read_quorum",
    "erasure",
    "providers",
    "retention",
    "price_ceiling",
    "deposit",
    "max_message",
    "ordering",
    "local",
)
