"""Where a node listens: "host:port", an IPv6 host in brackets."""

from __future__ import annotations

import re
from typing import NamedTuple

from mfdb.kernel.errors import InterfaceError

_FORM = re.compile(
    r"(?:\[(?P<six>[0-9a-fA-F:.%]{2,60})\]|(?P<host>[A-Za-z0-9._-]{1,253})):(?P<port>\d{1,5})"
)


class HostPort(NamedTuple):
    """An address, taken apart."""

    host: str
    port: int


def parse_host_port(text: str) -> HostPort:
    """Return host and port of an address.

    Raises:
        InterfaceError: the text is no address.

    >>> parse_host_port("127.0.0.1:4001")
    HostPort(host='127.0.0.1', port=4001)
    """
    match = _FORM.fullmatch(text)
    if match is None or int(match["port"]) > 65535:
        raise InterfaceError(f"not an address: {text[:80]!r}", hint='write "host:port"')
    return HostPort(match["six"] or match["host"], int(match["port"]))


def show_host_port(host: str, port: int) -> str:
    """Return the text form of an address.

    >>> show_host_port("::1", 4001)
    '[::1]:4001'
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
