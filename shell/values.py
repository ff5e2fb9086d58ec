r"""One value as text: for people, for csv, for JSON.

What people see is never raw: control characters are written out, so that a row cannot drive the
terminal of the person who reads it.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import json
import math
import re
import unicodedata
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

NULL = "NULL"
SHOWN_BYTES = 16
"""How many bytes of a blob a table shows."""

_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def shown(value: object) -> str:
    r"""Return a value for a person: NULL, `\x..` shortened, control characters written out.

    >>> shown(b"ab"), shown(None), shown(True), shown("a\nb")
    ('\\x6162', 'NULL', 'true', 'a\\nb')
    """
    if value is None:
        return NULL
    if isinstance(value, bytes) and len(value) > SHOWN_BYTES:
        return f"\\x{value[:SHOWN_BYTES].hex()}… ({len(value):,} bytes)"
    return safe(exact(value))


def exact(value: object) -> str:
    r"""Return the whole value as text, as csv and tsv hold it (NULL is the empty text).

    >>> exact(b"ab"), exact(None), exact(1.5), exact(1024.0), exact(decimal.Decimal("3E-7"))
    ('\\x6162', '', '1.5', '1024', '0.0000003')
    """
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case bytes():
            return "\\x" + value.hex()
        case datetime.datetime() | datetime.date() | datetime.time():
            return value.isoformat()
        case list() if type(value) is not list:
            return str(value)  # an array, which is no list of JSON
        case dict() | list():
            return json_text(value)
        case float():
            return repr(value).removesuffix(".0")
        case decimal.Decimal():
            return f"{value:f}"
        case _:
            return str(value)


def safe(text: str) -> str:
    r"""Return text without control characters and direction overrides, each written out.

    >>> safe("a\x1b[2J")
    'a\\x1b[2J'
    """
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub(_written_out, text)


def safe_lines(text: str) -> list[str]:
    r"""Return the lines of a text, each safe; a line break at its end starts no new line.

    >>> safe_lines("a\r\nb\tc\n")
    ['a', 'b\\tc']
    """
    return [safe(line.removesuffix("\r")) for line in text.removesuffix("\n").split("\n")]


def clipped(text: str, columns: int) -> str:
    """Return a safe text cut to so many terminal columns; `…` says that something is gone."""
    if text.isascii() and len(text) <= columns:
        return text
    if width(text) <= columns:
        return text
    import wcwidth  # as in `width`

    kept, used = [], 0
    for letter in text:
        used += max(0, wcwidth.wcwidth(letter))
        if used > columns - 1:
            break
        kept.append(letter)
    return "".join(kept) + "…"


def _written_out(found: re.Match[str]) -> str:
    letter = found.group()
    if letter in _NAMED:
        return _NAMED[letter]
    return f"\\x{ord(letter):02x}" if ord(letter) < 256 else f"\\u{ord(letter):04x}"


def width(text: str) -> int:
    """Return how many terminal columns a safe text takes."""
    if text.isascii():
        return len(text)
    import wcwidth  # a third of the time that a statement of ASCII takes to start and end

    return max(0, wcwidth.wcswidth(unicodedata.normalize("NFC", text)))


def json_text(value: object) -> str:
    """Return a value as JSON on one line; blobs as base64, what JSON lacks as its text."""
    return json.dumps(plain(value), ensure_ascii=False, separators=(", ", ": "))


def plain(value: object) -> object:
    """Return the value in terms of JSON: blobs become base64, decimals and times their text."""
    match value:
        case None | bool() | int():
            return value
        case str():
            return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case float():
            return value if math.isfinite(value) else str(value)
        case uuid.UUID():
            return str(value)
        case dict():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case _:
            return exact(value)


def record(row: Mapping[str, object] | None) -> object:
    """Return a row as a JSON object, or null."""
    return None if row is None else {name: plain(value) for name, value in row.items()}
