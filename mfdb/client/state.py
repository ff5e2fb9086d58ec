"""What the statements of one session share: keys, settings, the open batch, remembered plans."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from mfdb.client.channels import Channels, Ear, Said
from mfdb.client.following import Subscriptions
from mfdb.client.pending_table import PendingTable
from mfdb.client.savepoints import Savepoint, copied
from mfdb.client.settings import SessionSettings
from mfdb.client.watch import Watch
from mfdb.kernel.errors import (
    BatchFailed,
    MfdbError,
    NoBatch,
    ProgrammingError,
    UnknownSavepoint,
)
from mfdb.sql import statement as st

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.client.identities import Identities
    from mfdb.dataset.outcome import Proven
    from mfdb.dataset.replica import Replica
    from mfdb.kernel.clock import Clock
    from mfdb.kernel.entropy import Entropy
    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.kernel.seed import IdentityKeys


class Batch(msgspec.Struct):
    """What happened since BEGIN: changes per dataset, and whether a statement failed."""

    tables: dict[DatasetId, PendingTable] = msgspec.field(default_factory=dict)
    failed: bool = False
    said: Said = msgspec.field(default_factory=Said)
    savepoints: list[Savepoint] = msgspec.field(default_factory=list)
    noted: int = 0
    """Grows with whatever a statement notes, be it kept or not."""

    def table(self, dataset: DatasetId) -> PendingTable:
        """Return the changes of a dataset."""
        return self.tables.setdefault(dataset, PendingTable())

    def savepoint(self, name: str) -> None:
        """Remember what has happened so far under a name, which may hide an earlier one."""
        self.savepoints.append(Savepoint.of(name, self.tables, self.said))

    def back_to(self, name: st.Name) -> None:
        """Give up what happened since a savepoint, which stays; the batch has not failed then.

        Raises:
            UnknownSavepoint: there is none of that name.
        """
        at = self._place(name)
        del self.savepoints[at + 1 :]
        self.tables = copied(self.savepoints[at].tables)
        self.said = self.savepoints[at].said.copy()
        self.failed = False

    def release(self, name: st.Name) -> None:
        """Forget a savepoint and those after it; what happened since stays.

        Raises:
            UnknownSavepoint: there is none of that name.
        """
        del self.savepoints[self._place(name) :]

    def _place(self, name: st.Name) -> int:
        names = [savepoint.name for savepoint in self.savepoints]
        if name.text not in names:
            raise UnknownSavepoint(
                f"there is no savepoint {name.text}",
                hint=f"savepoints: {', '.join(dict.fromkeys(names))}" if names else "SAVEPOINT a",
                position=name.position,
            )
        return len(names) - 1 - names[::-1].index(name.text)


class Proof(NamedTuple):
    """What one replica has shown of a dataset."""

    dataset: str
    owner: Address
    proven: Proven


class Retaining(Protocol):
    """Looks after datasets that do not keep their rows for ever, beside the sessions."""

    def expires(self, dataset: DatasetId) -> None:
        """Look after a dataset from now on."""
        ...

    def settle(self) -> None:
        """Return when no rows are being deleted that were kept for long enough."""
        ...


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
    ear: Ear = msgspec.field(default_factory=lambda: Ear(Channels()))
    watch: Watch = msgspec.field(default_factory=Watch)
    proofs: list[Proof] = msgspec.field(default_factory=list)
    """What the last VERIFY rests on."""

    retaining: Retaining | None = None

    becomes: Address | None = None
    """Who the connection shall be from now on, as USE IDENTITY said."""

    doing: str = ""
    """What a long statement is at just now, for whoever shows how far it is."""

    def tell(self, what: str) -> None:
        """Say what a long statement is at."""
        self.doing = what

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
            and not isinstance(statement, st.Rollback | st.Commit | st.RollbackTo)
        ):
            raise BatchFailed(
                "an earlier statement of the batch failed",
                hint="ROLLBACK, or ROLLBACK TO a savepoint",
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

    def open_batch(self, what: str) -> Batch:
        """Return the open batch.

        Raises:
            NoBatch: there is none.
        """
        if self.batch is None:
            raise NoBatch(f"{what} needs an open batch", hint="BEGIN opens one")
        return self.batch

    def end(self) -> Batch | None:
        """Close the batch and return it; None if there is none."""
        batch, self.batch = self.batch, None
        return batch

    def close_batch(self, batch: Batch | None, *, kept: bool) -> None:
        """Note how a batch ended: what it said is heard if it was kept, and nobody waits for it."""
        if batch is not None:
            if kept:
                self.ear.say(batch.said)
            self.ear.wake()
