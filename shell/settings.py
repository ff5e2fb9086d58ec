"""What the command line, the environment and the meta commands can set."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping


class Format(enum.StrEnum):
    """How results are written."""

    TABLE = "table"
    BOX = "box"
    VERTICAL = "vertical"
    CSV = "csv"
    TSV = "tsv"
    JSON = "json"
    JSONL = "jsonl"
    MARKDOWN = "markdown"


FOR_PEOPLE = frozenset({Format.TABLE, Format.BOX, Format.VERTICAL, Format.MARKDOWN})
"""Formats that also show tags, row counts and timing; the others hold data only."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Which database to work on: directory, identity and network (None: the default of each)."""

    data: Path
    identity: str | None = None
    network: Path | None = None


class Display(msgspec.Struct, kw_only=True):
    """How a session shows things; meta commands change it."""

    format: Format = Format.TABLE
    expanded: bool = False
    timing: bool = False
    colour: bool = False

    @property
    def chosen(self) -> Format:
        r"""The format in force: `\x` turns a table into its vertical form."""
        tabular = self.format in (Format.TABLE, Format.BOX)
        return Format.VERTICAL if self.expanded and tabular else self.format


def default_data(environ: Mapping[str, str]) -> Path:
    """Return the data directory used when none is named: MFDB_DATA, else the user's own."""
    chosen = environ.get("MFDB_DATA")
    if chosen:
        return Path(chosen)
    import platformdirs

    return platformdirs.user_data_path("mfdb", appauthor=False)


def default_network(environ: Mapping[str, str]) -> Path | None:
    """Return the network file named by MFDB_NETWORK, or None (no network)."""
    chosen = environ.get("MFDB_NETWORK")
    return Path(chosen) if chosen else None


def wants_colour(environ: Mapping[str, str], *, terminal: bool) -> bool:
    """Return whether to colour: only on a terminal, never with NO_COLOR set (no-color.org)."""
    return terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
