"""The answer to a query that is computed as it is read, over one committed state."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mfdb.client.results import Column


class Stream:
    """Columns, the rows that are still to come, and the state that they are read from."""

    def __init__(
        self,
        columns: tuple[Column, ...],
        rows: Iterator[tuple[Any, ...]],
        release: Callable[[], None],
    ) -> None:
        self.columns = columns
        self.rows = rows
        self._release: Callable[[], None] | None = release

    def close(self) -> None:
        """Let the state go; there are no more rows. Closing twice is no error."""
        self.rows = iter(())
        release, self._release = self._release, None
        if release is not None:
            release()

    def pull(self, size: int) -> list[tuple[Any, ...]]:
        """Return the next rows, at most so many; the stream is closed with its last one."""
        try:
            found = list(islice(self.rows, size))
        except BaseException:
            self.close()
            raise
        if len(found) < size:
            self.close()
        return found
