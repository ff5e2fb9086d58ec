"""Connection strings: where the data lies and who asks, in one text (the form of RFC 3986).

    mfdb://                            a temporary database, gone with its connection
    mfdb:///data/box                   the directory data/box
    mfdb:////var/lib/box               the directory /var/lib/box
    mfdb://alice@/data/box?timeout=5   as the identity alice; statements may take five seconds
    mfdb://alice@devnet/data/box       on the development network of this machine

What stands behind `?`: identity, network (the path of a network file), timeout (seconds),
autocommit (true or false). Where other databases have a host stands the name of a network that
this machine knows (`network_file`): a network has no host and port, its nodes find each other
through the chain that its file names. A text that is no `mfdb://` is the path of a data directory.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from mfdb.kernel.errors import InterfaceError, NotSupportedError
from mfdb.kernel.nearest import nearest_hint

if TYPE_CHECKING:
    from urllib.parse import SplitResult

SCHEME = "mfdb://"
MEMORY = ":memory:"
_NETWORK = re.compile(r"[a-z0-9_-]{1,64}\Z")
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
        NotSupportedError: it names a host or a port instead of a network.
    """
    if not text.startswith(SCHEME):
        return Location(data=text)
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InterfaceError(f"{text!r} is no connection string: {error}") from error
    if port is not None or (host and _NETWORK.match(host) is None):
        raise NotSupportedError(
            f"a connection string cannot name the host {parts.netloc.rpartition('@')[2][:80]}",
            hint="a network is named by its file, mfdb:///DIR?network=FILE, or mfdb://devnet/DIR",
        )
    return _location(parts, host)


def network_file(name: str) -> Path:
    """Return the file of a network that this machine knows by a name.

    `devnet` is the network that `mfdb devnet up` makes in the user's own data directory; another
    name is that of a file NAME.json in its directory `networks`.

    Raises:
        InterfaceError: there is no such file.
    """
    import platformdirs

    from mfdb.client.opening import default_directory

    root = default_directory()
    known = {path.stem: path for path in sorted((root / "networks").glob("*.json"))}
    for directory in (Path(platformdirs.user_data_dir("mfdb")), root):
        devnet = directory / "devnet" / "network.json"
        if devnet.exists():
            known["devnet"] = devnet
    if name in known:
        return known[name]
    made = f"it would be {root}/networks/{name}.json"
    if name == "devnet":
        made = "`mfdb devnet up` makes it"
    raise InterfaceError(
        f"there is no network {name} here (known: {', '.join(known) or 'none'})",
        hint=f"{made}; any network by its file: mfdb:///DIR?network=FILE",
    )


def _location(parts: SplitResult, network: str | None) -> Location:
    found: dict[str, Any] = {"data": unquote(parts.path[1:]) or MEMORY}
    if network:
        found["network"] = str(network_file(network))
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
    hint = nearest_hint(name, _OPTIONS, f"options: {', '.join(_OPTIONS)}")
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
