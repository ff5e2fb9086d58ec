"""BEGIN, COMMIT and ROLLBACK on this machine: one batch at a time, all of it or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.client.results import Result
from mfdb.sql import statement as st

if TYPE_CHECKING:
    from mfdb.client.changes import Changes
    from mfdb.client.ground import Ground


class Batches:
    """Opens and ends the batch of a session."""

    def __init__(self, ground: Ground, changes: Changes) -> None:
        self._ground = ground
        self._changes = changes

    def run(self, statement: st.Begin | st.Commit | st.Rollback) -> Result:
        """Return the result of a statement that opens or ends a batch.

        Raises:
            ProgrammingError: BEGIN, and one is open.
            MfdbError: the batch could not be written; nothing of it was kept.
        """
        if isinstance(statement, st.Begin):
            self._ground.state.begin()
            return Result(tag="BEGIN")
        batch = self._ground.state.end()
        if isinstance(statement, st.Rollback) or (batch is not None and batch.failed):
            return Result(tag="ROLLBACK")
        if batch is not None:
            self._changes.commit(batch)
        return Result(tag="COMMIT")
