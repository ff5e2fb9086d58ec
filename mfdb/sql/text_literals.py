r"""Values of string tokens: '...', E'...' with backslashes, $tag$...$tag$."""

from __future__ import annotations

import re

from mfdb.kernel.errors import SqlSyntax

_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{1,2})|([0-7]{1,3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL
)
_LETTERS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def unquote(text: str, position: int = 0) -> str:
    r"""Return the value of a string token.

    Raises:
        SqlSyntax: an escape is none, or the bytes that escapes name are no UTF-8.

    >>> unquote("'it''s'"), unquote(r"E'a\tb'"), unquote("$$it's$$")
    ("it's", 'a\tb', "it's")
    """
    if text[0] == "$":
        tag = text.index("$", 1) + 1
        return text[tag:-tag]
    if text[0] in "eE":
        return _unescaped(text[2:-1], position + 2)
    return text[1:-1].replace("''", "'")


def _unescaped(text: str, position: int) -> str:
    r"""Bytes are collected before they are read as UTF-8: `\xc3\xa4` is one letter."""
    made, at = bytearray(), 0
    for found in _ESCAPE.finditer(text):
        made += _plain(text[at : found.start()])
        made += _escaped(found, position)
        at = found.end()
    made += _plain(text[at:])
    try:  # halves of a letter beyond \uFFFF come as two escapes
        return (
            made.decode("utf-8", "surrogatepass").encode("utf-16", "surrogatepass").decode("utf-16")
        )
    except UnicodeDecodeError:
        raise SqlSyntax(
            "the escapes of a string are no UTF-8",
            hint=r"\u00e4 is a letter by its number, \xc3\xa4 by its bytes",
            position=position - 2,
        ) from None


def _plain(text: str) -> bytes:
    return text.replace("''", "'").encode("utf-8", "surrogatepass")


def _escaped(found: re.Match[str], position: int) -> bytes:
    in_hex, in_octal, short, long, letter = found.groups()
    if in_hex or in_octal:
        return bytes((int(in_hex, 16) if in_hex else int(in_octal, 8) & 0xFF,))
    if short or long:
        number = int(short or long, 16)
        if number <= 0x10FFFF:
            return chr(number).encode("utf-8", "surrogatepass")
    if letter is None or letter in "uU":
        raise SqlSyntax(
            "an escape is no Unicode letter",
            hint=r"\u and four, or \U and eight hexadecimal digits",
            position=position + found.start(),
        )
    return _LETTERS.get(letter, letter).encode("utf-8", "surrogatepass")
