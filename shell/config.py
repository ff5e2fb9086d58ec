"""Where each option's value comes from: command line, environment, configuration file, default.

The file is TOML: one key per option, and a table `[aliases]` of databases by name.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mfdb.kernel.errors import InvalidDefinition, OperationalError
from mfdb.kernel.nearest import nearest_hint
from shell.options import (
    DECLARED,
    NAMES,
    Options,
    Refused,
    default_of,
    meaning_of,
    read_as,
    variable_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE_BYTES = 2**20
"""Longest configuration file that is read."""
ALIASES = "aliases"
_PLATFORM: str = sys.platform


class Found(NamedTuple):
    """The value of an option and where it was found."""

    value: object
    source: str


class Config(NamedTuple):
    """The options of a process: the value and source of each, and the named databases."""

    found: Mapping[str, Found]
    aliases: Mapping[str, str]
    path: Path | None

    @property
    def options(self) -> Options:
        """The values alone."""
        return Options(**{name: found.value for name, found in self.found.items()})  # type: ignore[arg-type]  # read_as made each what its field says

    def rows(self) -> list[tuple[str, object, str, str]]:
        """Return name, value, source and meaning of every option."""
        return [(name, *self.found[name], meaning_of(name)) for name in NAMES]


def default_path(environ: Mapping[str, str]) -> Path:
    """Return where the configuration file is looked for: MFDB_CONFIG, else the user's own."""
    named = environ.get("MFDB_CONFIG")
    if named:
        return Path(named)
    if _PLATFORM == "linux":  # as platformdirs says, without the time it takes to import
        base = environ.get("XDG_CONFIG_HOME") or "~/.config"
        return Path(base).expanduser() / "mfdb" / "config.toml"
    import platformdirs

    return platformdirs.user_config_path("mfdb", appauthor=False) / "config.toml"


def load(
    flags: Mapping[str, object], environ: Mapping[str, str], path: Path | None, *, must_be: bool
) -> Config:
    """Return the configuration; `path` None reads no file, `must_be` refuses one that is not there.

    Raises:
        OperationalError: the file cannot be read.
        InvalidDefinition: it or a variable says what no option takes.
    """
    text = None if path is None else _read(path, must_be=must_be)
    given, aliases = ({}, {}) if text is None or path is None else parse(text, str(path))
    found = {name: _find(name, flags, environ, given, str(path)) for name in NAMES}
    return Config(found=found, aliases=aliases, path=None if text is None else path)


def parse(text: str, name: str) -> tuple[dict[str, object], dict[str, str]]:
    """Return the options and the aliases of a configuration file.

    Raises:
        InvalidDefinition: it is no TOML, or says what no option takes.
    """
    import tomllib

    try:
        whole = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidDefinition(
            f"{name} is not TOML: {error}", hint='write lines like: format = "box"'
        ) from error
    aliases = _aliases(whole.pop(ALIASES, {}), name)
    for key, value in whole.items():
        if key not in NAMES:
            raise InvalidDefinition(f"{name}: there is no option {key[:60]!r}", hint=_near(key))
        _checked(key, value, name)
    return whole, aliases


def _near(key: str) -> str:
    return nearest_hint(key.replace("-", "_"), NAMES, "`mfdb config` lists them")


def _aliases(value: object, name: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise InvalidDefinition(
            f"{name}: {ALIASES} must be a table of texts",
            hint='[aliases] then lines like: work = "mfdb:////srv/work?identity=alice"',
        )
    return value


def _checked(name: str, value: object, source: str) -> object:
    try:
        return read_as(name, value)
    except Refused as wanted:
        raise InvalidDefinition(
            f"{source}: {name} is not {str(value)[:60]!r}", hint=f"{name} takes {wanted}"
        ) from wanted


def _find(
    name: str,
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    given: Mapping[str, object],
    path: str,
) -> Found:
    if flags.get(name) is not None:
        flag = "--" + name.replace("_", "-")
        return Found(_checked(name, flags[name], flag), flag)
    variable = variable_of(name)
    if variable in environ:
        return Found(_checked(name, environ[variable], variable), variable)
    if name in given:
        return Found(read_as(name, given[name]), path)
    for other in DECLARED[name].also:
        if other in environ:
            return Found(environ[other], other)
    return Found(default_of(name), "default")


def _read(path: Path, *, must_be: bool) -> str | None:
    try:
        with path.open("rb") as stream:
            data = stream.read(FILE_BYTES + 1)
    except FileNotFoundError:
        if not must_be:
            return None
        raise OperationalError(
            f"there is no configuration file {path}", hint="mfdb config --example shows one"
        ) from None
    except OSError as error:
        raise OperationalError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > FILE_BYTES:
        raise InvalidDefinition(f"{path} is over {FILE_BYTES} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidDefinition(f"{path} is not UTF-8 (byte {error.start})") from error
