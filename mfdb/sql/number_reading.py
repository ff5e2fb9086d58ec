"""to_number(): the number that a text spells in a template, read as PostgreSQL does."""

from __future__ import annotations

from decimal import Decimal

from mfdb.kernel.errors import InvalidText
from mfdb.sql.format_functions import number_pieces
from mfdb.sql.types import bounded

_DATA = frozenset("0123456789.,+-")
_SIGNED = frozenset({"S", "SG", "MI", "PL", "PR"})


def read_number(text: str, template: str) -> Decimal:
    """Return the number that a text spells in the places of a template.

    Raises:
        InvalidText: it has no digit there.
        NotSupportedError: the template asks for EEEE, RN or V.
        ValueTooLarge: the template is too long.
    """
    pieces = number_pieces(template)
    reading = _Reading(text, has_point="." in pieces or "D" in pieces)
    for piece in pieces:
        reading.take(piece)
    if not _SIGNED.isdisjoint(pieces):
        reading.close()
    return reading.number()


class _Reading:
    """A text while it is read: the place in it, and the digits that came so far."""

    def __init__(self, text: str, *, has_point: bool) -> None:
        self._text = text
        self._has_point = has_point
        self._place = 0
        self._negative = False
        self._digits = ""
        self._in_fraction = False

    def _next(self) -> str:
        return self._text[self._place : self._place + 1]

    def take(self, piece: str) -> None:
        """Read what stands in the place of one piece of the template."""
        if piece in ("0", "9", ".", "D"):
            self._number()
        elif piece in (",", "G"):
            if self._next() == ",":
                self._place += 1
        elif piece in ("MI", "SG", "PL", "S"):
            self._sign()
        elif piece not in ("FM", "PR", "TH"):
            self._skip(1 if piece in ("L", "$") else len(piece.strip('"')))

    def _skip(self, count: int) -> None:
        for _ in range(count):
            if self._next() in _DATA:
                return
            self._place += 1

    def _sign(self) -> None:
        if self._next() and self._next() in "+-":
            self._negative = self._next() == "-"
            self._place += 1

    def _number(self) -> None:
        if self._next() == " ":
            self._place += 1
        if not self._digits:
            if self._next() == "<":
                self._negative, self._place = True, self._place + 1
            self._sign()
        letter = self._next()
        if letter.isascii() and letter.isdecimal():
            self._digits += letter
        elif letter == "." and self._has_point and not self._in_fraction:
            self._digits += "."
            self._in_fraction = True
        self._place += 1

    def close(self) -> None:
        """Read a sign behind the number."""
        self._sign()

    def number(self) -> Decimal:
        """Return what was read."""
        if not any(map(str.isdecimal, self._digits)):
            raise InvalidText(f"{self._text[:40]!r} has no digits where the template has some")
        value = Decimal(self._digits.rstrip("."))
        return bounded(-value if self._negative else value)
