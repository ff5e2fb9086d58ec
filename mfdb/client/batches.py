"""BEGIN, COMMIT, ROLLBACK and SAVEPOINT on this machine: one batch at a time, all or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.client.results import Result
from mfdb.sql import statement as st

if TYPE_CHECKING:
    from mfdb.client.changes import Changes
    from mfdb.client.ground import Ground

BATCHES = (st.Begin, st.Commit, st.Rollback, st.Savepoint, st.RollbackTo, st.Release)


class Batches:
    """Opens and ends the batch of a session, and goes back inside it."""

    def __init__(self, ground: Ground, changes: Changes) -> None:
        self._ground = ground
        self._changes = changes

    def run(
        self,
        statement: st.Begin | st.Commit | st.Rollback | st.Savepoint | st.RollbackTo | st.Release,
    ) -> Result:
        """Return the result of a statement about the batch.

        Raises:
            ProgrammingError: BEGIN, and one is open.
            NoBatch: a savepoint, or AND CHAIN, and none is open.
            UnknownSavepoint: the batch has no savepoint of that name.
            MfdbError: the batch could not be written; nothing of it was kept.
        """
        state = self._ground.state
        match statement:
            case st.Begin():
                state.begin()
                return Result(tag="BEGIN")
            case st.Savepoint():
                state.open_batch("SAVEPOINT").savepoint(statement.name.text)
                return Result(tag="SAVEPOINT")
            case st.RollbackTo():
                state.open_batch("ROLLBACK TO").back_to(statement.name)
                return Result(tag="ROLLBACK")
            case st.Release():
                state.open_batch("RELEASE").release(statement.name)
                return Result(tag="RELEASE")
        return self._end(statement)

    def _end(self, statement: st.Commit | st.Rollback) -> Result:
        state = self._ground.state
        if statement.chain:
            state.open_batch("AND CHAIN")
        batch = state.end()
        kept = False
        try:
            if not (isinstance(statement, st.Rollback) or (batch is not None and batch.failed)):
                if batch is not None:
                    self._changes.commit(batch)
                kept = True
        finally:
            state.close_batch(batch, kept=kept)
        if statement.chain:
            state.begin()
        return Result(tag="COMMIT" if kept else "ROLLBACK")
