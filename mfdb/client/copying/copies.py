"""COPY on this machine: the plan of either direction, and the commit of a load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.client.results import Result
from mfdb.client.state import Batch
from mfdb.sql import statement as st

if TYPE_CHECKING:
    from mfdb.client.changes import Changes
    from mfdb.client.copying.load import Progress
    from mfdb.client.ground import Ground
    from mfdb.client.queries import Queries
    from mfdb.sql.parameters import Given


class Copies:
    """Carries COPY out."""

    def __init__(self, ground: Ground, changes: Changes, queries: Queries) -> None:
        self._ground = ground
        self._changes = changes
        self._queries = queries

    def run(
        self,
        statement: st.CopyFrom | st.CopyTo,
        given: Given,
        text: str,
        stream: Any = None,
        progress: Progress | None = None,
    ) -> Result:
        """Copy rows; a load is one durable commit, or part of the open batch.

        Raises:
            MfdbError: it failed; nothing of a load was kept, and no file was written.
        """
        if isinstance(statement, st.CopyTo):
            return self._unload(statement, given, text, stream, progress)
        open_batch = self._ground.state.batch
        batch = Batch() if open_batch is None else open_batch
        result = self.load(statement, batch, stream, progress)
        if open_batch is None:
            self._changes.commit(batch)
        return result

    def load(
        self, statement: st.CopyFrom, batch: Batch, stream: Any, progress: Progress | None
    ) -> Result:
        """Note the rows of a COPY FROM in a batch.

        Raises:
            MfdbError: one may not be; the batch is worth nothing then.
        """
        from mfdb.client.copying.load import Load

        count = Load(self._ground, self._changes, statement).into(batch, stream, progress)
        return Result(tag=f"COPY {count}", count=count)

    def _unload(
        self,
        statement: st.CopyTo,
        given: Given,
        text: str,
        stream: Any,
        progress: Progress | None,
    ) -> Result:
        from mfdb.client.copying.unload import Unload

        unload = Unload(statement)
        answer = self._queries.stream(statement.query, given, f"\0{text}")
        try:
            count = unload.write(answer, stream, progress)
        finally:
            answer.close()
        return Result(tag=f"COPY {count}", count=count)
