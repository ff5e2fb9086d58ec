"""The forms of functions of regular expressions; what they do is loaded when one is called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.sql.overload import Overload
from mfdb.sql.types import BOOLEAN, INTEGER, TEXT

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.sql.types import SqlType

MATCHES = frozenset({"~", "~*", "!~", "!~*"})
"""Operators that match by regular expressions, case folded with `*`, negated with `!`."""
_LETTERS = {"t": "text", "i": "integer"}


def late(name: str) -> Callable[..., Any]:
    """Return a function of `regular_functions` that is loaded with its first call."""

    def call(*arguments: Any) -> Any:
        from mfdb.sql.regular_functions import CALLS

        return CALLS[name](*arguments)

    return call


def _forms(name: str, result: SqlType, families: str, least: int) -> list[Overload]:
    """Return the forms of a function that takes `least` arguments or more, by their letters."""
    call = late(name)
    taken = tuple(_LETTERS[letter] for letter in families)
    return [Overload(taken[:count], result, call) for count in range(least, len(taken) + 1)]


MATCHING = {sign: late(sign) for sign in MATCHES}
REGULAR_FUNCTIONS: dict[str, list[Overload]] = {
    "regexp_like": _forms("regexp_like", BOOLEAN, "ttt", 2),
    "regexp_replace": [
        *_forms("regexp_replace", TEXT, "tttt", 3),
        *_forms("regexp_replace from", TEXT, "tttiit", 4),
    ],
    "regexp_count": _forms("regexp_count", INTEGER, "ttit", 2),
    "regexp_instr": _forms("regexp_instr", INTEGER, "ttiiiti", 2),
    "regexp_substr": _forms("regexp_substr", TEXT, "ttiiti", 2),
    "substring": _forms("substring", TEXT, "tt", 2),
}
