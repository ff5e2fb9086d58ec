"""How a session shows things, and which database it works on."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


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
    INSERT = "insert"
    HTML = "html"


class Expanded(enum.StrEnum):
    """Whether rows are written one line per column; AUTO: if the screen is too narrow."""

    OFF = "off"
    ON = "on"
    AUTO = "auto"


FOR_PEOPLE = frozenset({Format.TABLE, Format.BOX, Format.VERTICAL, Format.MARKDOWN})
"""Formats that also show tags, row counts and timing; the others hold data only."""
_TABULAR = frozenset({Format.TABLE, Format.BOX})


class Look(NamedTuple):
    """What a writer of results must know besides the rows.

    `column_width` 0 cuts nothing; `screen_width` 0 never turns a table into its vertical form.
    """

    null: str = "NULL"
    column_width: int = 0
    screen_width: int = 0
    tuples_only: bool = False
    quiet: bool = False
    colour: bool = False
    dataset: str = ""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Which database to work on: directory, identity and network (None: the default of each)."""

    data: Path
    identity: str | None = None
    network: Path | None = None


class Display(msgspec.Struct, kw_only=True):
    """How a session shows things; meta commands change it."""

    format: Format = Format.TABLE
    expanded: Expanded = Expanded.OFF
    null: str = "NULL"
    column_width: int = 0
    tuples_only: bool = False
    quiet: bool = False
    timing: bool = False
    colour: bool = False

    @property
    def chosen(self) -> Format:
        r"""The format in force: `\x` turns a table into its vertical form."""
        is_turned = self.expanded is Expanded.ON and self.format in _TABULAR
        return Format.VERTICAL if is_turned else self.format

    def look(self, screen_width: int, dataset: str = "") -> Look:
        """Return what the writers need; `screen_width` is 0 where there is no screen."""
        return Look(
            null=self.null,
            column_width=self.column_width,
            screen_width=screen_width if self.expanded is Expanded.AUTO else 0,
            tuples_only=self.tuples_only,
            quiet=self.quiet,
            colour=self.colour,
            dataset=dataset,
        )


def default_data() -> Path:
    """Return the data directory used when none is named: the user's own."""
    import platformdirs

    return platformdirs.user_data_path("mfdb", appauthor=False)


def wants_colour(environ: Mapping[str, str], *, terminal: bool, wish: str = "auto") -> bool:
    """Return whether to colour: as wished, else on a terminal without NO_COLOR (no-color.org)."""
    if wish != "auto":
        return wish == "always"
    return terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
