"""The forms of to_char, to_number, to_date and to_timestamp; what they do is loaded when called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.sql.types import DATE, DECIMAL, TEXT, TIMESTAMPTZ

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.sql.types import SqlType

_GIVES = {"to_char": TEXT, "to_number": DECIMAL, "to_date": DATE, "to_timestamp": TIMESTAMPTZ}
_TAKES = {
    "to_char": ("timestamptz", "timestamp", "date", "interval", "decimal", "float"),
    "to_number": ("text",),
    "to_date": ("text",),
    "to_timestamp": ("text",),
}


def _late(name: str, family: str) -> Callable[[Any, str], Any]:
    def call(value: Any, template: str) -> Any:
        if name == "to_number":
            from mfdb.sql.number_reading import read_number

            return read_number(value, template)
        from mfdb.sql.format_functions import CALLS

        return CALLS[name, family](value, template)

    return call


FORMAT_FUNCTIONS: dict[str, list[tuple[tuple[str, ...], SqlType, Callable[..., Any]]]] = {
    name: [((family, "text"), _GIVES[name], _late(name, family)) for family in families]
    for name, families in _TAKES.items()
}
