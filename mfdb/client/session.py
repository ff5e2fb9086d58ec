"""A session: statements of one identity, carried out on this machine or over its node.

text -> parse -> what it names is here and fresh enough?
        yes: `Local`, on the caller's thread, at once
        no:  `Networked`, an awaitable: find, sync, then the same local path, then the quorum
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.client.channels import Channels, Ear
from mfdb.client.local import Local
from mfdb.client.plans import make_room
from mfdb.client.state import SessionState
from mfdb.kernel.errors import (
    InterfaceError,
    MfdbError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)
from mfdb.kernel.ids import show
from mfdb.sql import query as qu
from mfdb.sql import statement as st
from mfdb.sql.owners import of_owner
from mfdb.sql.parse import parse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from mfdb.client.channels import Notification
    from mfdb.client.copying.load import Progress
    from mfdb.client.identities import Identities
    from mfdb.client.inspection import TableInfo
    from mfdb.client.networked import KnownRows, Networked
    from mfdb.client.remote import Remote
    from mfdb.client.results import Change, Result
    from mfdb.client.state import Retaining
    from mfdb.client.streams import Stream
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.replica import Replica
    from mfdb.kernel.clock import Clock
    from mfdb.kernel.entropy import Entropy
    from mfdb.kernel.ids import CaseId, DatasetId, Hash
    from mfdb.kernel.seed import IdentityKeys
    from mfdb.rules.manifest import Manifest
    from mfdb.sql.fingerprint import Lifter, Ready
    from mfdb.sql.parameters import Given


class Session:
    """Carries statements out, one at a time. Not for several threads at once."""

    def __init__(
        self,
        replica: Replica,
        keys: IdentityKeys,
        *,
        clock: Clock,
        entropy: Entropy,
        identities: Identities,
        remote: Remote | None = None,
        channels: Channels | None = None,
        retaining: Retaining | None = None,
    ) -> None:
        """`retaining` is told of each dataset that does not keep its rows for ever."""
        self.state = SessionState(
            replica=replica,
            keys=keys,
            clock=clock,
            entropy=entropy,
            identities=identities,
            ear=Ear(channels or Channels()),
            retaining=retaining,
        )
        self._local = Local(self.state)
        self._networked = _networked(self.state, self._local, remote) if remote else None
        self._is_embedded = self._networked is None
        self._lifter: Lifter | None = None
        self._owned: dict[str, st.Statement] = {}
        self._last: tuple[str, Ready | None] = ("", None)
        self._open = True

    @property
    def in_batch(self) -> bool:
        """Whether BEGIN has been and neither COMMIT nor ROLLBACK."""
        return self.state.batch is not None

    @property
    def networks(self) -> tuple[Hash, ...]:
        """The ids of the networks that this session is on, besides this machine."""
        return () if self._networked is None else (self._networked.network,)

    def becomes(self) -> str | None:
        """Return, once, who the connection shall be from now on; None: nobody else."""
        found, self.state.becomes = self.state.becomes, None
        return None if found is None else show(found)

    def expire(self, dataset: DatasetId) -> float | None:
        """Delete what an own dataset of this machine kept for long enough.

        Returns in how many seconds to look again; None: never.

        Raises:
            MfdbError: its rules do not let its owner.
        """
        self._need_open()
        return self._local.expiring.look(dataset)

    def datasets(self) -> list[Known]:
        """Return the datasets that are known on this machine."""
        with self.state.replica.reading() as reading:
            return reading.datasets()

    def inspect(self, name: str, owner: str | None) -> TableInfo | None:
        """Return what a dataset or view is, None if there is none of that name."""
        from mfdb.client import inspection

        return inspection.inspect(self.state, name, owner)

    def inspect_names(self, kind: str, owner: str | None) -> list[str]:
        """Return the names of an owner's datasets, or views."""
        from mfdb.client import inspection

        return inspection.inspect_names(self.state, kind, owner)

    def quick(self, text: str, params: Given) -> Result | None:
        """Return the answer to a query that one index answers at once, or None: use `start`."""
        return self._local.queries.quick(self._key(text), params) if self._is_embedded else None

    def quick_change(self, text: str, params: Given, *, opens: bool) -> Result | None:
        """Return the result of a change that is known to be simple, or None: use `start`.

        `opens` says that it opens a batch, if none is open.
        """
        if not self._is_embedded:
            return None
        return self._local.quick_change(self._key(text), params, opens=opens)

    def commit(self) -> bool:
        """Commit the open batch where that takes this machine only; return False: say COMMIT."""
        batch = self.state.batch
        if not self._is_embedded or batch is None or batch.failed:
            return False
        self._need_open()
        kept = False
        self.state.batch = None
        try:
            self._local.changes.commit(batch)
            kept = True
        finally:
            self.state.close_batch(batch, kept=kept)
        return True

    def known_rows(self, text: str, params: Given) -> KnownRows | None:
        """Return the row of an INSERT into a dataset on a network that asks nothing, if known.

        Raises:
            MfdbError: the values do not suit the columns.
        """
        if self._networked is None or self.in_batch or self.state.settings.owner:
            return None
        self._need_open()
        return self._networked.known_rows(text, params)

    def is_shared(self, text: str) -> bool:
        """Return whether a statement may be under way beside others: a change on a network."""
        if self._networked is None or self.in_batch:
            return False
        try:
            return isinstance(parse(text), st.CHANGES)
        except MfdbError:
            return False  # whoever carries it out says what is wrong

    def start(self, text: str, params: Given = ()) -> Result | Awaitable[Result]:
        """Return a statement's result, or what to await where the network is needed.

        Raises:
            MfdbError: the statement failed; nothing of it was kept.
        """
        self._need_open()
        self.state.watch.start()
        ready = self._lifted(text, params)
        if ready is not None:
            found = self._from_template(ready)
            if found is not None:
                return found
        statement = self._parsed(text)
        if isinstance(statement, st.Execute | st.Explain):
            return self._start_prepared(statement, params, self._key(text))
        return self._start(statement, params, self._key(text))

    def read(self, text: str, params: Given = ()) -> st.Statement:
        """Return a statement as parsed; where its literals are lifted, a template of it.

        Raises:
            SqlSyntax: the text is no statement.
        """
        ready = self._lifted(text, params)
        return self._parsed(text) if ready is None else ready.statement

    def _lifted(self, text: str, params: Given) -> Ready | None:
        """Return a statement without parameters as a template, if it makes one here."""
        if params or not self._is_embedded or self.state.settings.owner:
            return None
        if self._last[0] is not text:
            if self._lifter is None:
                from mfdb.sql.fingerprint import Lifter

                self._lifter = Lifter()
            self._last = (text, self._lifter.lift(text))
        return self._last[1]

    def _from_template(self, ready: Ready) -> Result | None:
        """Return what a template gives, or None if the statement itself has to say it."""
        batch = self.state.batch
        if batch is not None and batch.failed:
            return None
        found = self._local.queries.quick(ready.key, ready.values)
        if found is not None:
            return found
        noted = 0 if batch is None else batch.noted
        try:
            return self._local.run(ready.statement, ready.values, ready.key)
        except MfdbError as error:
            is_noted = batch is not None and batch.noted != noted
            if not is_noted and not isinstance(error, OperationalError):
                return None
            # The statement itself would meet what its template has noted already.
            if batch is not None:
                batch.failed = True
            raise

    def _parsed(self, text: str) -> st.Statement:
        """Return a statement as parsed, with the owner that USE gave to names without one."""
        owner = self.state.settings.owner
        if not owner:
            return parse(text)
        key = self._key(text)
        found = self._owned.get(key)
        if found is None:
            make_room(self._owned)
            found = self._owned[key] = of_owner(parse(text), owner)
        return found

    def _key(self, text: str) -> str:
        """Return what names a statement among compiled ones: its text, and whom it is about."""
        owner = self.state.settings.owner
        return f"{text}\0{owner}" if owner else text

    def _start(
        self, statement: st.Statement, params: Given, text: str
    ) -> Result | Awaitable[Result]:
        if self._networked is not None and self._networked.is_needed(statement):
            return self._networked.run(statement, params, text)
        with self.state.guarded(statement):
            return self._local.run(statement, params, text)

    def stream(self, text: str, params: Given = ()) -> Stream | None:
        """Return the answer to a query, computed as it is read, or None: use `start`.

        Raises:
            MfdbError: the statement failed.
        """
        self._need_open()
        self.state.watch.start()
        statement = self._parsed(text)
        if not isinstance(statement, st.Select | qu.Query):
            return None
        if self._networked is not None and self._networked.is_needed(statement):
            return None
        with self.state.guarded(statement):
            return self._local.queries.stream(statement, params, self._key(text))

    def pull(self, stream: Stream, size: int) -> list[tuple[object, ...]]:
        """Return the next rows of a stream, at most so many.

        Raises:
            MfdbError: one of them has no answer; the stream is over.
        """
        self._need_open()
        self.state.watch.start()
        return stream.pull(size)

    def _start_prepared(
        self, statement: st.Execute | st.Explain, params: Given, text: str
    ) -> Result | Awaitable[Result]:
        """Errors name no place: one in the prepared statement would mislead in EXECUTE's text."""
        execute = statement.statement if isinstance(statement, st.Explain) else statement
        if not isinstance(execute, st.Execute):
            return self._start(statement, params, text)
        with self.state.guarded(statement):
            kept, values = self._local.prepared.opened(execute, params)
        opened: st.Statement = kept.statement
        if isinstance(statement, st.Explain):
            opened = msgspec.structs.replace(statement, statement=kept.statement)
        try:
            return self._start(opened, values, kept.text)
        except MfdbError as error:
            error.position = None
            raise

    def copy(
        self,
        text: str,
        stream: Any = None,
        *,
        params: Given = (),
        progress: Progress | None = None,
    ) -> Result | Awaitable[Result]:
        """Carry out a COPY: STDIN and STDOUT are `stream`, of bytes or of text.

        `progress` is called now and then with the rows and bytes so far. A load is one durable
        commit (or part of the open batch).

        Raises:
            MfdbError: it failed; nothing of a load was kept, and no file was written.
        """
        self._need_open()
        self.state.watch.start()
        statement = self._parsed(text)
        if not isinstance(statement, st.CopyFrom | st.CopyTo):
            raise ProgrammingError("copy() carries out COPY only", hint="use execute()")
        if self._networked is not None and self._networked.is_needed(statement):
            return self._networked.copy(statement, params, self._key(text), stream, progress)
        with self.state.guarded(statement):
            return self._local.copies.run(statement, params, self._key(text), stream, progress)

    def start_many(self, text: str, many: Sequence[Given]) -> Result | Awaitable[Result]:
        """Carry out one INSERT, UPDATE or DELETE for each set of parameters, as one changeset.

        Raises:
            MfdbError: one failed; nothing of any was kept.
        """
        self._need_open()
        self.state.watch.start()
        statement = self._parsed(text)
        if self._networked is not None and self._networked.is_needed(statement):
            return self._networked.run_many(statement, many, self._key(text))
        with self.state.guarded(statement):
            return self._local.changes.run_many(statement, many, self._key(text))

    def subscribe(
        self, text: str, params: Given = (), since: str | None = None
    ) -> AsyncIterator[Change]:
        """Yield the changes of a SUBSCRIBE (or SELECT) statement, now and as they come.

        Raises:
            AccessDenied: this identity may not subscribe.
            InvalidText, CursorLost: `since` is no cursor of that dataset, or ahead of it.
            DuplicateObject: there is a subscription of its name.
        """
        self._need_open()
        if self._networked is not None:
            return self._networked.subscribe(self._parsed(text), params, since, text)
        return self._local.standing.subscribe(self._parsed(text), params, since, text)

    @property
    def is_open(self) -> bool:
        """Whether `close` has not been called."""
        return self._open

    def notification(self) -> Notification | None:
        """Return the oldest notification that waits, None if there is none, or inside a batch.

        Raises:
            NotificationsLost: more came than may wait.
        """
        self._need_open()
        return None if self.in_batch else self.state.ear.take()

    def on_notification(self, waker: Callable[[], None]) -> Callable[[], None]:
        """Have `waker` called, from any thread, when it is time to look; return what ends that."""
        return self.state.ear.on_news(waker)

    async def restore(self) -> list[str]:
        """Bring this identity's datasets here from the network; return their names."""
        self._need_open()
        return [] if self._networked is None else await self._networked.restore()

    async def note_again(self, manifest: Manifest) -> None:
        """Note in the home dataset who keeps a dataset now."""
        self._need_open()
        if self._networked is not None:
            await self._networked.note_again(manifest)

    async def challenge(self, dataset: str, shard: int) -> CaseId:
        """Accuse the holder of a shard of an own dataset on chain; return the case.

        Raises:
            NotSupportedError: the session is not on a network.
            UnknownDataset, ChainError: there is nothing to accuse anybody of.
        """
        self._need_open()
        if self._networked is None:
            raise NotSupportedError("there is no court without a network")
        return await self._networked.challenge(dataset, shard)

    def interrupt(self) -> None:
        """Stop the statement that runs on this machine now, if any; from any thread."""
        self.state.watch.interrupt()
        self._local.interrupt()

    async def close(self) -> None:
        """End the subscriptions, give the open batch up and leave the network."""
        if self._open:
            self.close_local()
            if self._networked is not None:
                await self._networked.close()

    def close_local(self) -> None:
        """Close a session without a network, where there is no event loop to wait on."""
        if not self._open:
            return
        self._open = False
        self.state.batch = None
        self.state.subscriptions.close()
        self.state.ear.close()
        self._local.close()

    def _need_open(self) -> None:
        if not self._open:
            raise InterfaceError("the connection is closed")


def _networked(state: SessionState, local: Local, remote: Remote) -> Networked:
    from mfdb.client.networked import Networked

    return Networked(state, local, remote)
