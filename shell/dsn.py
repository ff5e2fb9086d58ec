"""Names of databases: a directory, a connection string of the drivers, or an alias for either.

mfdb:////srv/work?identity=alice&network=/srv/network.json    an absolute directory
mfdb:///work                                                  a relative one
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mfdb.client.url import SCHEME, locate
from mfdb.kernel.errors import InvalidDefinition
from mfdb.kernel.nearest import nearest_hint
from shell.settings import Target

if TYPE_CHECKING:
    from collections.abc import Mapping


def target_of(name: str, aliases: Mapping[str, str], *, now: Target | None = None) -> Target:
    """Return what a name means; `now` is where one is already, for its network to stay.

    Raises:
        InvalidDefinition: it is no alias and no directory; the hint may name a sub-command.
        InterfaceError, NotSupportedError: a connection string is wrong.
    """
    text = aliases.get(name, name)
    if text.startswith(SCHEME):
        found = locate(text)
        network = None if found.network is None else Path(found.network).expanduser()
        return Target(data=Path(found.data or ""), identity=found.identity, network=network)
    path = Path(text).expanduser()
    if path.is_file():
        raise InvalidDefinition(
            f"{text[:80]} is a file, and a database is a directory",
            hint=f"a script is run by -f {text[:80]}, or \\i",
        )
    if name not in aliases and not path.exists() and "/" not in text:
        raise _unknown(name, aliases)
    return Target(data=path, identity=None, network=None if now is None else now.network)


def _unknown(name: str, aliases: Mapping[str, str]) -> InvalidDefinition:
    from shell.arguments import PROGRAMS

    known = f"aliases: {', '.join(sorted(aliases))}" if aliases else "there are no aliases"
    return InvalidDefinition(
        f"no alias and no directory {name[:80]!r}",
        hint=nearest_hint(name, [*aliases, *PROGRAMS], f"{known}; a new directory: ./{name[:80]}"),
    )
