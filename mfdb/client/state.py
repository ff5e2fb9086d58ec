"""What the statements of one session share: keys, settings, the open batch, remembered plans."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from mfdb.client.settings import SessionSettings
from mfdb.client.subscription import Subscriptions
from mfdb.client.tables import PendingTable
from mfdb.client.watch import Watch
from mfdb.kernel.errors import BatchFailed, MfdbError, ProgrammingError
from mfdb.sql import statement as st

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.client.identities import Identities
    from mfdb.dataset.replica import Replica
    from mfdb.kernel.clock import Clock
    from mfdb.kernel.entropy import Entropy
    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.kernel.seed import IdentityKeys


class Batch(msgspec.Struct):
    """What happened since BEGIN: changes per dataset, and whether a statement failed."""

    tables: dict[DatasetId, PendingTable] = msgspec.field(default_factory=dict)
    failed: bool = False

    def table(self, dataset: DatasetId) -> PendingTable:
        """Return the changes of a dataset."""
        return self.tables.setdefault(dataset, PendingTable())


class SessionState(msgspec.Struct, kw_only=True):
    """One session's state."""

    replica: Replica
    keys: IdentityKeys
    clock: Clock
    entropy: Entropy
    identities: Identities
    settings: SessionSettings = msgspec.field(default_factory=SessionSettings)
    batch: Batch | None = None
    subscriptions: Subscriptions = msgspec.field(default_factory=Subscriptions)
    watch: Watch = msgspec.field(default_factory=Watch)

    @property
    def me(self) -> Address:
        """Whose session this is."""
        return self.keys.address

    @contextmanager
    def guarded(self, statement: st.Statement) -> Iterator[None]:
        """A statement that fails in a batch fails the batch, as in PostgreSQL.

        Raises:
            BatchFailed: an earlier one failed and this is not the end of the batch.
        """
        batch = self.batch
        if (
            batch is not None
            and batch.failed
            and not isinstance(statement, st.Rollback | st.Commit)
        ):
            raise BatchFailed(
                "an earlier statement of the batch failed", hint="ROLLBACK, then begin again"
            )
        try:
            yield
        except MfdbError:
            if batch is not None and self.batch is batch:
                batch.failed = True
            raise

    def begin(self) -> None:
        """Open a batch.

        Raises:
            ProgrammingError: one is open.
        """
        if self.batch is not None:
            raise ProgrammingError("a batch is open already", hint="COMMIT or ROLLBACK first")
        self.batch = Batch()

    def end(self) -> Batch | None:
        """Close the batch and return it; None if there is none."""
        batch, self.batch = self.batch, None
        return batch
