"""One form of a function; the catalogues of functions are made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.sql.types import SqlType


class Overload(NamedTuple):
    """One form of a function: families of its arguments, type of its result, how to compute it.

    A result of None means the type of the first argument.
    """

    families: tuple[str, ...]
    result: SqlType | None
    call: Callable[..., Any]
