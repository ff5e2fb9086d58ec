"""Whether somebody wants the running statement to stop: asked now and then while rows are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from mfdb.kernel.errors import StatementCancelled

if TYPE_CHECKING:
    from collections.abc import Iterator

EVERY = 256
"""Rows that are read between two looks."""
_T = TypeVar("_T")


class Watch:
    """A flag that any thread may raise and the statement's own thread looks at."""

    def __init__(self) -> None:
        self._wanted = False

    def start(self) -> None:
        """Begin a statement: what was asked of the one before is over."""
        self._wanted = False

    def interrupt(self) -> None:
        """Ask the running statement to stop; from any thread."""
        self._wanted = True

    def check(self) -> None:
        """Return quietly if nobody asked.

        Raises:
            StatementCancelled: somebody did.
        """
        if self._wanted:
            raise StatementCancelled("the statement was cancelled")

    def over(self, rows: Iterator[_T]) -> Iterator[_T]:
        """Yield the rows, and look in between.

        Raises:
            StatementCancelled: somebody asked for it.
        """
        for number, row in enumerate(rows):
            if number % EVERY == 0:
                self.check()
            yield row
