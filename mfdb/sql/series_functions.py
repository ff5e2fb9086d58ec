"""Functions that give rows: each gives one value a row, as a list.

Working values; `None` instead of a function says that DuckDB's of the same name does it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.kernel.errors import InvalidParameter, TooManyRows
from mfdb.sql.interval import Parts, decode, encode, length
from mfdb.sql.interval_functions import shifted
from mfdb.sql.json_functions import text_of
from mfdb.sql.types import JSON, TEXT, TIMESTAMP, TIMESTAMPTZ

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.sql.types import SqlType

ROWS = 1_000_000
"""Most rows of a function that is not DuckDB's."""
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NOTHING = length(encode(Parts()))


def checked_step(step: int) -> int:
    """Return the step of a series of integers.

    Raises:
        InvalidParameter: it is 0.
    """
    if step == 0:
        raise InvalidParameter("the step of generate_series must not be 0")
    return step


def series_of_moments(start: int, stop: int, step: str) -> list[int]:
    """Return the moments from one to another.

    Raises:
        InvalidParameter: the step is 0.
        TooManyRows: there are over a million of them.
    """
    size = length(step)
    if size == _NOTHING or decode(step) == Parts():
        raise InvalidParameter("the step of generate_series must not be 0")
    found: list[int] = []
    at = start
    while at <= stop if size > _NOTHING else at >= stop:
        if len(found) == ROWS:
            raise TooManyRows(f"generate_series gives at most {ROWS:,} moments")
        found.append(at)
        at = shifted(at, step)
    return found


def elements(document: str) -> list[str]:
    """Return the elements of a JSON array.

    Raises:
        InvalidParameter: it is none.
    """
    try:
        return [bytes(one).decode() for one in _ARRAY.decode(document)]
    except msgspec.ValidationError:
        raise InvalidParameter("it is no JSON array") from None


def texts_of(document: str) -> list[str | None]:
    """Return the elements of a JSON array as texts, strings without their quotes.

    Raises:
        InvalidParameter: it is none.
    """
    return [text_of(one) for one in elements(document)]


def keys_of(document: str) -> list[str]:
    """Return the keys of a JSON object.

    Raises:
        InvalidParameter: it is none.
    """
    try:
        return list(_OBJECT.decode(document))
    except msgspec.ValidationError:
        raise InvalidParameter("it is no JSON object") from None


def parts_of(text: str, separator: str) -> list[str]:
    """Return the parts of a text between separators, as string_to_table does."""
    if not text:
        return []
    return text.split(separator) if separator else [text]


_Form = tuple[tuple[str, ...], "SqlType | None", "Callable[..., list[Any]] | None"]
SERIES: dict[str, list[_Form]] = {
    "generate_series": [
        (("integer", "integer"), None, None),
        (("integer", "integer", "integer"), None, None),
        (("timestamp", "timestamp", "interval"), TIMESTAMP, series_of_moments),
        (("timestamptz", "timestamptz", "interval"), TIMESTAMPTZ, series_of_moments),
    ],
    "json_array_elements": [(("json",), JSON, elements)],
    "json_array_elements_text": [(("json",), TEXT, texts_of)],
    "json_object_keys": [(("json",), TEXT, keys_of)],
    "string_to_table": [(("text", "text"), TEXT, parts_of)],
}
ARRAY_SERIES = frozenset(
    {"unnest", "generate_subscripts", "regexp_matches", "regexp_split_to_table"}
)
"""Functions that give elements of arrays, or arrays: their types depend on those."""
SERIES |= {name: [] for name in ARRAY_SERIES}
for _name in ("array_elements", "array_elements_text", "object_keys"):
    SERIES[f"jsonb_{_name}"] = SERIES[f"json_{_name}"]
