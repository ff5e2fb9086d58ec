"""Row factories: in which form a connection gives the rows of its results, as in psycopg 3.

    connect(row_factory=dict_row)            every cursor
    connection.cursor(row_factory=scalar_row)
    cursor.row_factory = class_row(Note)     the next result

A factory takes the columns of a result and returns what makes a row of a tuple of values. JSON is
text inside; the rows that an application gets hold what `connection.json_loads` makes of it.
"""

from __future__ import annotations

import json
import re
from collections import namedtuple
from collections.abc import Callable, Sequence
from functools import lru_cache
from keyword import iskeyword
from typing import TYPE_CHECKING, Any

from mfdb.kernel.errors import InterfaceError

if TYPE_CHECKING:
    from mfdb.client.results import Column

RowMaker = Callable[[tuple[Any, ...]], Any]
JsonReader = Callable[[str], Any]
RowFactory = Callable[[Sequence["Column"]], RowMaker]
_NO_LETTER = re.compile(r"\W", re.ASCII)


def tuple_row(_columns: Sequence[Column]) -> RowMaker:
    """Rows are tuples; the default, and the only one that costs nothing."""
    return tuple


def dict_row(columns: Sequence[Column]) -> RowMaker:
    """Rows are dictionaries by column name; of two columns with one name the last counts."""
    names = _names(columns)
    return lambda values: dict(zip(names, values, strict=True))


def namedtuple_row(columns: Sequence[Column]) -> RowMaker:
    """Rows are named tuples; a name that is none in Python is changed (`?column?`: `column`)."""
    make: RowMaker = _named(_names(columns))._make
    return make


def scalar_row(_columns: Sequence[Column]) -> RowMaker:
    """Rows are the value of their first column."""
    return lambda values: values[0]


def class_row(kind: Callable[..., Any]) -> RowFactory:
    """Rows are objects of a class that takes the columns as keyword arguments (a dataclass)."""

    def factory(columns: Sequence[Column]) -> RowMaker:
        names = _names(columns)
        return lambda values: _made(kind, dict(zip(names, values, strict=True)))

    return factory


def documents(columns: Sequence[Column]) -> tuple[int, ...]:
    """Return the places of the columns that hold JSON."""
    return tuple([at for at, column in enumerate(columns) if column.type == "JSON"])


def maker(
    factory: RowFactory | None, columns: Sequence[Column], loads: JsonReader | None = json.loads
) -> RowMaker | None:
    """Return what makes rows of a result, or None if they stay as they are.

    `loads` makes an object of the text of a JSON column (None: it stays a text).
    """
    make = None if factory is None or factory is tuple_row or not columns else factory(columns)
    places = () if loads is None else documents(columns)
    if not places or loads is None:
        return make
    opened = _opening(places, loads)
    return opened if make is None else lambda values: make(opened(values))


def _opening(places: Sequence[int], loads: JsonReader) -> RowMaker:
    def opened(values: tuple[Any, ...]) -> tuple[Any, ...]:
        row = list(values)
        for at in places:
            if row[at] is not None:
                row[at] = loads(row[at])
        return tuple(row)

    return opened


def _names(columns: Sequence[Column]) -> tuple[str, ...]:
    return tuple(column.name for column in columns)


def _made(kind: Callable[..., Any], values: dict[str, Any]) -> Any:
    try:
        return kind(**values)
    except TypeError as error:
        name = getattr(kind, "__name__", str(kind))
        raise InterfaceError(
            f"{name} does not take the columns {', '.join(values)}: {error}",
            hint="name the columns like the fields: SELECT a AS field",
        ) from error


@lru_cache(maxsize=512)
def _named(names: tuple[str, ...]) -> Any:
    return namedtuple("Row", [_identifier(name) for name in names], rename=True)


def _identifier(name: str) -> str:
    plain = _NO_LETTER.sub("_", name).strip("_")
    if not plain or plain[0].isdigit():
        return f"f{plain}"
    return f"{plain}_" if iskeyword(plain) else plain
