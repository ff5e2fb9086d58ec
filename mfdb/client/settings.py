"""What SET changes for the rest of a session."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from mfdb.client.options import parse_interval_s
from mfdb.kernel.errors import InvalidDefinition, NotSupportedError
from mfdb.kernel.nearest import nearest_hint
from mfdb.sql.allowance import MEMORY_LIMIT_BYTES, UNITS, shown_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.sql.statement import SetOption

LEAST_MEMORY_BYTES, MOST_MEMORY_BYTES = 16 * 2**20, 2**46
_SIZE = re.compile(r"(\d{1,9}) ?(kb|mb|gb)\Z", re.IGNORECASE)


MOST_BLOCKS = 1000


@dataclass(slots=True)
class SessionSettings:
    """The settings of one session.

    `owner`: whose datasets names without an owner mean, an address that USE sets; empty: our own.
    `freshness`: "latest" asks the network before each read, "cached" reads what is here, an
    interval like "10 seconds" asks if the last time is longer ago. `sealed_sender`: rows inserted
    into somebody else's mailbox name their author to the reader only. `route`: "row" and
    "relational" force queries onto one of the two, "auto" takes the row route where it can answer.
    `memory_limit`: bytes that one statement may hold, on either route.
    `wait`: how many blocks, its own counted, must hold a transaction before a statement about
    money returns.
    What PostgreSQL's drivers and tools set besides has one value here, the one that holds.
    """

    freshness: str = "latest"
    sealed_sender: bool = False
    route: str = "auto"
    memory_limit: int = MEMORY_LIMIT_BYTES
    wait: int = 1
    timezone: str = "UTC"
    search_path: str = "public"
    client_encoding: str = "UTF8"
    standard_conforming_strings: bool = True
    owner: str = ""

    def rows(self) -> list[tuple[object, ...]]:
        """Return name, value and default of each setting."""
        named = [(item.name, getattr(self, item.name), item.default) for item in fields(self)]
        return [(name, _shown(name, now), _shown(name, default)) for name, now, default in named]

    def set(self, option: SetOption) -> None:
        """Change one setting; None means its default.

        Raises:
            InvalidDefinition: there is no such setting, or no such value for it.
        """
        defaults = {item.name: item.default for item in fields(self)}
        if option.name not in defaults:
            hint = nearest_hint(option.name, defaults, "SHOW SETTINGS lists them")
            raise InvalidDefinition(
                f"there is no setting {option.name}", hint=hint, position=option.position
            )
        if option.name == "owner":
            raise InvalidDefinition(
                "USE says whose datasets are meant",
                hint='USE name, USE "0x...", USE DEFAULT',
                position=option.position,
            )
        value = defaults[option.name] if option.value is None else _CHECKS[option.name](option)
        setattr(self, option.name, value)

    def is_due(self, age_s: float | None) -> bool:
        """Return whether a dataset synced so long ago (None: never) is synced before a read."""
        if age_s is None:
            return True
        if self.freshness == "latest":
            return True
        if self.freshness == "cached":
            return False
        return age_s > (parse_interval_s(self.freshness) or 0)


def _route(option: SetOption) -> str:
    return _one_of(option, "auto", "row", "relational")


def _one_of(option: SetOption, *words: str) -> str:
    text = str(option.value).strip().lower()
    if text not in words:
        raise _wrong(option, f"{', '.join(words[:-1])} or {words[-1]}")
    return text


def _freshness(option: SetOption) -> str:
    text = str(option.value).strip().lower()
    if text in ("latest", "cached") or parse_interval_s(text) is not None:
        return text
    raise _wrong(option, "latest, cached or '10 seconds'")


def _truth(option: SetOption) -> bool:
    words = {"on": True, "true": True, "off": False, "false": False}
    found = words.get(str(option.value).strip().lower())
    if found is None:
        raise _wrong(option, "on")
    return found


def _memory(option: SetOption) -> int:
    match = _SIZE.match(str(option.value).strip())
    size_bytes = int(match[1]) * UNITS[match[2].lower()] if match is not None else 0
    if not LEAST_MEMORY_BYTES <= size_bytes <= MOST_MEMORY_BYTES:
        raise _wrong(option, f"'512MB': from {shown_bytes(LEAST_MEMORY_BYTES)} on")
    return size_bytes


def _blocks(option: SetOption) -> int:
    value = option.value
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_BLOCKS:
        raise _wrong(option, f"1, or up to {MOST_BLOCKS} blocks")
    return value


def _zone(option: SetOption) -> str:
    if str(option.value).strip().lower() in ("utc", "gmt", "z", "etc/utc", "default"):
        return "UTC"
    raise NotSupportedError(
        f"times are shown in UTC, not in {option.value!r}",
        hint="x AT TIME ZONE 'Asia/Tokyo' tells what clocks show there",
        position=option.position,
    )


def _path(option: SetOption) -> str:
    names = {name.strip().strip('"').lower() for name in str(option.value).split(",")}
    if names <= {"public", "$user", "pg_catalog"}:
        return "public"
    raise NotSupportedError(
        "there are no schemas to search",
        hint="owner.name is somebody else's dataset; a directory is a database",
        position=option.position,
    )


def _encoding(option: SetOption) -> str:
    if str(option.value).strip().lower().replace("-", "") in ("utf8", "unicode"):
        return "UTF8"
    raise _wrong(option, "'UTF8'")


def _conforming(option: SetOption) -> bool:
    if not _truth(option):
        raise _wrong(option, "on; E'...' has backslashes")
    return True


_CHECKS: dict[str, Callable[[SetOption], object]] = {
    "client_encoding": _encoding,
    "freshness": _freshness,
    "memory_limit": _memory,
    "route": _route,
    "search_path": _path,
    "sealed_sender": _truth,
    "wait": _blocks,
    "standard_conforming_strings": _conforming,
    "timezone": _zone,
}


def _wrong(option: SetOption, wanted: str) -> InvalidDefinition:
    return InvalidDefinition(
        f"setting {option.name} is not {option.value!r}",
        hint=f"SET {option.name} = {wanted}",
        position=option.position,
    )


def _shown(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return shown_bytes(value) if name == "memory_limit" and isinstance(value, int) else str(value)
