"""Connection strings: where the data lies and who asks, in one text (the form of RFC 3986).

    mfdb://                            a temporary database, gone with its connection
    mfdb:///data/box                   the directory data/box
    mfdb:////var/lib/box               the directory /var/lib/box
    mfdb://alice@/data/box?timeout=5   as the identity alice; statements may take five seconds

What stands behind `?`: identity, network (the path of a network file), timeout (seconds),
autocommit (true or false). A text that is no `mfdb://` is the path of a data directory.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from mfdb.kernel.errors import InterfaceError, NotSupportedError

if TYPE_CHECKING:
    from urllib.parse import SplitResult

SCHEME = "mfdb://"
MEMORY = ":memory:"
_OPTIONS = ("identity", "network", "timeout", "autocommit")
_TRUTHS = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """What a connection string says; None where it says nothing."""

    data: str | None = None
    identity: str | None = None
    network: str | None = None
    timeout_s: float | None = None
    autocommit: bool | None = None


def locate(text: str) -> Location:
    """Return what a connection string, or the path of a data directory, says.

    Raises:
        InterfaceError: an option is unknown, twice, or has no such value.
        NotSupportedError: it names a host; networks are named by their file.
    """
    if not text.startswith(SCHEME):
        return Location(data=text)
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError as error:
        raise InterfaceError(f"{text!r} is no connection string: {error}") from error
    if host:
        raise NotSupportedError(
            f"a connection string cannot name the host {host}",
            hint="name a directory, and the network by its file: mfdb:///DIR?network=FILE",
        )
    return _location(parts)


def _location(parts: SplitResult) -> Location:
    found: dict[str, Any] = {"data": unquote(parts.path[1:]) or MEMORY}
    if parts.username:
        found["identity"] = unquote(parts.username)
    if parts.password is not None:
        raise InterfaceError(
            "a connection string holds no passphrase",
            hint="pass passphrase=..., or name a file in MFDB_PASSPHRASE_FILE",
        )
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        key = {"timeout": "timeout_s"}.get(name, name)
        if name not in _OPTIONS:
            raise _unknown(name)
        if key in found:
            raise InterfaceError(f"the connection string says {name} twice")
        found[key] = _value(name, value)
    return Location(**found)


def _unknown(name: str) -> InterfaceError:
    near = get_close_matches(name, _OPTIONS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"options: {', '.join(_OPTIONS)}"
    return InterfaceError(f"a connection string has no option {name[:40]!r}", hint=hint)


def _value(name: str, value: str) -> Any:
    if name == "autocommit":
        if value.lower() not in _TRUTHS:
            raise InterfaceError(f"autocommit is true or false, not {value[:40]!r}")
        return _TRUTHS[value.lower()]
    if name == "timeout":
        return _seconds(value)
    return value


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise InterfaceError(f"timeout is a number of seconds, not {value[:40]!r}")
    return seconds
