"""What one statement may hold in memory, and whether it may go on: asked page by page.

Both routes ask it of whatever grows with the number of rows: answers, what is sorted, what DISTINCT
has seen, the Arrow tables that DuckDB reads. Sizes are estimated by a few rows of each page.
"""

from __future__ import annotations

from itertools import islice
from sys import getsizeof
from typing import TYPE_CHECKING, Any, TypeVar

from mfdb.kernel.errors import OutOfMemory
from mfdb.sql.tables import StoredRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MEMORY_LIMIT_BYTES = 2**30
"""What a statement may hold unless SET memory_limit says otherwise."""
PAGE, SHORT_PAGE, SAMPLED = 256, 64, 4
"""Rows that are taken at once, if short or if long, and how many of them are measured."""
_LONG_BYTES = 1_024
UNITS = {"gb": 2**30, "mb": 2**20, "kb": 2**10}
_T = TypeVar("_T")


class Allowance:
    """The memory of one statement. `check` raises if somebody wants the statement to stop."""

    __slots__ = ("_check", "_held_bytes", "limit_bytes")

    def __init__(
        self, limit_bytes: int = MEMORY_LIMIT_BYTES, check: Callable[[], None] | None = None
    ) -> None:
        self.limit_bytes = limit_bytes
        self._check = check
        self._held_bytes = 0

    def look(self) -> None:
        """Return quietly if nobody wants the statement to stop.

        Raises:
            StatementCancelled: somebody does.
        """
        if self._check is not None:
            self._check()

    def charge(self, size_bytes: int) -> None:
        """Take note of bytes that the statement holds until its end.

        Raises:
            OutOfMemory: they are more than it may hold.
        """
        self._held_bytes += size_bytes
        if self._held_bytes > self.limit_bytes:
            raise out_of_memory(self.limit_bytes)

    def gather(self, rows: Iterable[_T]) -> list[_T]:
        """Return all rows as a list.

        Raises:
            OutOfMemory, StatementCancelled: there are too many, or somebody wants it to stop.
        """
        held: list[_T] = []
        left = iter(rows)
        size = SHORT_PAGE
        while page := list(islice(left, size)):
            average = self.hold(page)
            size = PAGE if average < _LONG_BYTES else SHORT_PAGE
            held += page
        return held

    def hold(self, page: list[Any]) -> int:
        """Take note of some rows that the statement holds until its end; return bytes a row.

        Raises:
            OutOfMemory, StatementCancelled: as for `gather`.
        """
        self.look()
        few = page[:: max(1, len(page) // SAMPLED)]
        average = sum(map(size_of, few)) // len(few)
        self.charge(average * len(page))
        return average


def out_of_memory(limit_bytes: int) -> OutOfMemory:
    """Return the error that a statement needs more than it may hold."""
    return OutOfMemory(
        f"the statement needs more than {shown_bytes(limit_bytes)} of memory",
        hint="filter earlier, LIMIT it, stream its rows, or SET memory_limit = '4GB'",
    )


def shown_bytes(size_bytes: int) -> str:
    """Return a size as PostgreSQL writes it: in the greatest unit that divides it."""
    for unit, factor in (("GB", 2**30), ("MB", 2**20), ("kB", 2**10)):
        if size_bytes and size_bytes % factor == 0:
            return f"{size_bytes // factor}{unit}"
    return f"{size_bytes}B"


def size_of(held: Any) -> int:
    """Return about how many bytes a row fills: a tuple, a stored row, or a list of such."""
    if isinstance(held, tuple | list):
        return getsizeof(held) + sum(map(size_of, held))
    if isinstance(held, StoredRow):
        return getsizeof(held) + size_of(held.values)
    return getsizeof(held)
