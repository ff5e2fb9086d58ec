"""Values and rows as SQL: the `insert` format and what `.dump` writes."""

from __future__ import annotations

import datetime
import decimal
import math
from functools import lru_cache
from typing import TYPE_CHECKING

from shell.table import blocks
from shell.values import exact, json_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from shell.settings import Look

ROWS_A_STATEMENT = 100
"""So many rows stand in one INSERT: few statements, and none too long to read or edit."""
UNNAMED = "result"
"""The dataset that rows are inserted into when a query names none."""


def literal(value: object) -> str:
    """Return a value as a literal that gives it back.

    >>> literal("it's"), literal(b"ab"), literal(None), literal(1.5), literal(float("nan"))
    ("'it''s'", "X'6162'", 'NULL', '1.5', "CAST('nan' AS DOUBLE PRECISION)")
    """
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case float() if not math.isfinite(value):
            return f"CAST('{value}' AS DOUBLE PRECISION)"
        case decimal.Decimal():
            return exact(value)
        case int() | float():
            return str(value)
        case bytes():
            return f"X'{value.hex()}'"
        case datetime.datetime():
            return quoted_text(value.isoformat(sep=" "))
        case dict() | list():
            return quoted_text(json_text(value))
        case _:
            return quoted_text(exact(value))


def quoted_text(text: str) -> str:
    """Return a string literal."""
    return "'" + text.replace("'", "''") + "'"


@lru_cache(maxsize=10_000)
def quoted_name(name: str) -> str:
    """Return a name as SQL takes it, in quotes only where it needs them.

    >>> quoted_name("inbox"), quoted_name("Odd name"), quoted_name("order")
    ('inbox', '"Odd name"', '"order"')
    """
    from mfdb.sql.scanner import RESERVED

    plain = name.isascii() and name.isidentifier() and name == name.lower()
    if plain and name.upper() not in RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'


def insert_into(
    names: Sequence[str], rows: Iterable[Sequence[object]], look: Look
) -> Iterator[str]:
    """Yield INSERT statements of the rows."""
    columns = ", ".join(map(quoted_name, names))
    head = f"INSERT INTO {look.dataset or UNNAMED} ({columns}) VALUES\n"
    for block in blocks(rows, ROWS_A_STATEMENT):
        lines = ("  (" + ", ".join(map(literal, row)) + ")" for row in block)
        yield head + ",\n".join(lines) + ";\n"
