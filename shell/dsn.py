"""Names of databases: a directory, `mfdb://...`, or an alias of the configuration file.

mfdb:///srv/work?identity=alice&network=/srv/network.json     an absolute directory
mfdb:work                                                     a relative one
mfdb:                                                         your own
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from mfdb.kernel.errors import InvalidDefinition
from shell.settings import Target, default_data

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEYS = ("identity", "network")


def target_of(name: str, aliases: Mapping[str, str], *, now: Target | None = None) -> Target:
    """Return what a name means; `now` is where one is already, for `identity` alone to change.

    Raises:
        InvalidDefinition: it is no alias and no directory, or its form is wrong.
    """
    text = aliases.get(name, name)
    if text.startswith("mfdb:"):
        return _parsed(text)
    path = Path(text).expanduser()
    if name not in aliases and not path.exists() and "/" not in text:
        import difflib

        near = difflib.get_close_matches(name, aliases, n=1)
        known = f"aliases: {', '.join(sorted(aliases))}" if aliases else "there are no aliases"
        raise InvalidDefinition(
            f"no alias and no directory {name[:80]!r}",
            hint=f"did you mean {near[0]}?" if near else f"{known}; a new directory: ./{name[:80]}",
        )
    return Target(data=path, identity=None, network=None if now is None else now.network)


def _parsed(text: str) -> Target:
    parts = urlsplit(text)
    if parts.netloc:
        raise InvalidDefinition(
            f"{text[:80]!r} names a host, and mfdb has none",
            hint="write mfdb:///directory?identity=NAME&network=FILE",
        )
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    for key in given:
        if key not in _KEYS:
            import difflib

            near = difflib.get_close_matches(key, _KEYS, n=1)
            raise InvalidDefinition(
                f"a database has no {key[:40]!r}",
                hint=f"did you mean {near[0]}?" if near else "identity and network are known",
            )
    path = Path(unquote(parts.path)).expanduser() if parts.path else default_data()
    network = given.get("network")
    return Target(
        data=path,
        identity=given.get("identity") or None,
        network=Path(network) if network else None,
    )
