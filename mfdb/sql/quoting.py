"""Texts as parts of SQL: quoted names and literals, and format(), with PostgreSQL's rules."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mfdb.kernel.errors import InvalidParameter, ValueTooLarge
from mfdb.kernel.limits import ROW_BYTES
from mfdb.sql.scanner import RESERVED

if TYPE_CHECKING:
    from collections.abc import Sequence

_PLAIN = r"[a-z_][a-z0-9_$]*"
_NAMES_ONLY = frozenset(
    """BETWEEN BIGINT BIT BOOLEAN CHAR CHARACTER COALESCE DEC DECIMAL EXISTS EXTRACT FLOAT GREATEST
    GROUPING INOUT INT INTEGER INTERVAL LEAST NATIONAL NCHAR NONE NORMALIZE NULLIF NUMERIC OUT
    OVERLAY POSITION PRECISION REAL ROW SETOF SMALLINT SUBSTRING TIME TIMESTAMP TREAT TRIM VALUES
    VARCHAR""".split()  # noqa: SIM905 - as in scanner.py
)
"""Words that PostgreSQL quotes besides the reserved ones, since they name functions or types."""
_SPEC = r"%(?:(?P<place>\d{1,9})\$)?(?P<left>-?)(?P<width>\d{1,9}|\*(?:\d{1,9}\$)?)?(?P<kind>.?)"


def quote_ident(name: str) -> str:
    """Return a name as it stands in SQL, in quotes where it needs them."""
    word = name.upper()
    if re.fullmatch(_PLAIN, name) and word not in RESERVED and word not in _NAMES_ONLY:
        return name
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """Return a text as a literal, with E before it if it holds backslashes."""
    quoted = "'" + text.replace("'", "''").replace("\\", "\\\\") + "'"
    return f"E{quoted}" if "\\" in text else quoted


def quote_nullable(text: str | None) -> str:
    """Return a text as a literal, NULL as the word."""
    return "NULL" if text is None else quote_literal(text)


def formatted(template: str | None, arguments: Sequence[str | None]) -> str | None:
    """Return a template with its `%s`, `%I`, `%L` and `%%` filled in, as format() does.

    Raises:
        InvalidParameter: it asks for what is not there, or is no template.
        ValueTooLarge: the result is longer than a row.
    """
    if template is None:
        return None
    return _Filling(arguments).filled(template)


class _Filling:
    """One call of format(): which argument comes next, and how much was written."""

    def __init__(self, arguments: Sequence[str | None]) -> None:
        self._arguments = arguments
        self._next = 0
        self._size = 0

    def filled(self, template: str) -> str:
        parts: list[str] = []
        place = 0
        for spec in re.finditer(_SPEC, template, re.DOTALL):
            if spec.start() < place:
                continue
            parts += (template[place : spec.start()], self._one(spec))
            self._size += sum(map(len, parts[-2:]))
            self._check(0)
            place = spec.end()
        return "".join([*parts, template[place:]])

    def _check(self, more: int) -> None:
        if self._size + more > ROW_BYTES:
            raise ValueTooLarge(f"the result is over {ROW_BYTES} bytes")

    def _one(self, spec: re.Match[str]) -> str:
        kind = spec["kind"]
        if kind == "%" and spec.end() - spec.start() == 2:
            return "%"
        if kind not in ("s", "I", "L"):
            raise InvalidParameter(
                f"format() knows no %{kind}" if kind else "a template of format() ends in %",
                hint="use %s, %I (a name), %L (a literal), and %% for a percent sign",
            )
        width = self._width(spec["width"])
        place = int(spec["place"]) if spec["place"] else None
        text = _SHOWN[kind](self._argument(place))
        self._check(abs(width))
        is_left = bool(spec["left"]) or width < 0
        return text.ljust(abs(width)) if is_left else text.rjust(width)

    def _width(self, written: str | None) -> int:
        if not written:
            return 0
        if written[0] != "*":
            return int(written)
        given = self._argument(int(written[1:-1]) if len(written) > 1 else None)
        try:
            width = int(given or 0)
        except ValueError:
            raise InvalidParameter("a width of format() is an integer") from None
        if abs(width) > ROW_BYTES:
            raise ValueTooLarge(f"the result is over {ROW_BYTES} bytes")
        return width

    def _argument(self, place: int | None) -> str | None:
        if place == 0:
            raise InvalidParameter("arguments of format() count from 1")
        index = self._next if place is None else place - 1
        if index >= len(self._arguments):
            raise InvalidParameter("format() has too few arguments")
        self._next = index + 1
        return self._arguments[index]


def _name(text: str | None) -> str:
    if text is None:
        raise InvalidParameter("a name must not be NULL", hint="write %L for a value")
    return quote_ident(text)


_SHOWN = {"s": lambda text: text or "", "I": _name, "L": quote_nullable}
