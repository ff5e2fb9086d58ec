"""Statements that need the network: found and synced first, then answered as local ones are.

find what is not known here -> judge by the local rules -> sync if it is not fresh enough
-> the local path -> (a change) the outbox, until a quorum acknowledged it
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from mfdb.client import show
from mfdb.client.home import HomeDataset
from mfdb.client.names import is_told, owner_of
from mfdb.client.network_telling import NetworkTelling
from mfdb.client.options import parse_options
from mfdb.client.outbox import Outbox
from mfdb.client.paying import Paying
from mfdb.client.plans import make_room
from mfdb.client.results import Result
from mfdb.client.ruling import OF_RULES, OfRules, Ruling
from mfdb.client.state import Batch, SessionState
from mfdb.client.told import asked_of_network
from mfdb.client.verifying import Verifying
from mfdb.dataset.visibility import demand
from mfdb.kernel.errors import (
    AccessDenied,
    MfdbError,
    NetworkError,
    NotSupportedError,
    SchemaViolation,
    StaleWrite,
    UnknownDataset,
    UnknownIdentity,
)
from mfdb.rules.evidence import EMBEDDED
from mfdb.rules.given_up import is_given_up
from mfdb.rules.manifest import Action, Manifest, Ordering
from mfdb.sql import money as mo
from mfdb.sql import query as qu
from mfdb.sql import statement as st
from mfdb.sql.changed import changes_in
from mfdb.sql.query import tables_named

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from mfdb.client.copying.load import Progress
    from mfdb.client.local import Local
    from mfdb.client.remote import Remote
    from mfdb.client.results import Change
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.row_changes import FreshRows
    from mfdb.kernel.ids import CaseId, DatasetId, Hash
    from mfdb.sql.parameters import Given

_ATTEMPTS = 3


class KnownRows(NamedTuple):
    """New rows of a dataset that nobody orders, which nothing has to be asked for."""

    outbox: Outbox
    dataset: DatasetId
    rows: FreshRows

    async def write(self) -> Result:
        """Return how many rows a quorum has acknowledged.

        Raises:
            MfdbError: it failed. QuorumNotReached: it may yet have been written.
        """
        await self.outbox.write(self.dataset, self.rows, sealed_sender=False)
        return Result(tag=f"INSERT {len(self.rows)}", count=len(self.rows))


class Networked:
    """Carries statements out over the replica and the identity's node."""

    def __init__(self, state: SessionState, local: Local, remote: Remote) -> None:
        self._state = state
        self._local = local
        self._remote = remote
        self._outbox = Outbox(state.replica, remote)
        self._home = HomeDataset(state, remote, self._outbox)
        self._ruling = Ruling(state, local, remote, self._home, self._sync)
        self._telling = NetworkTelling(state, local, remote, self._find)
        self._paying = Paying(state, remote, self._dataset, local.ground.context)
        self._verifying = Verifying(state, local, remote, self._readable, self._sync)
        self._synced_s: dict[DatasetId, float] = {}
        self._plain: dict[int, tuple[st.Statement, int, Known]] = {}
        """Statements that nothing has to be found or synced for, in this state of the catalogue."""
        self._plain_texts: dict[str, tuple[int, Known]] = {}
        """INSERTs whose rows only have to be sent, by their text, in this state of it."""

    @property
    def network(self) -> Hash:
        """The id of the network."""
        return self._remote.network.id

    def is_needed(self, statement: st.Statement) -> bool:
        """Return whether a statement cannot be answered on this machine alone."""
        if self._plain_dataset(statement) is not None or isinstance(statement, mo.MONEY):
            return True
        match statement:
            case st.CreateDataset():
                return not parse_options(statement.options, creates=True).local
            case st.Commit():
                batch = self._state.batch
                return batch is not None and any(map(self._is_remote, batch.tables))
            case st.Show(what=what):
                return (
                    what in show.OF_NETWORK
                    or self._is_elsewhere(statement.of)
                    or any(map(self._is_to_sync, tables_named(statement.where)))
                )
            case st.Select() | qu.Query() | st.CopyTo() | qu.Verified():
                verifies = isinstance(statement, qu.Verified)
                look = self._is_reached if verifies else self._is_to_sync
                return any(map(look, self._local.ground.behind(statement)))
            case _ if isinstance(statement, (st.CopyFrom, *st.CHANGES)):
                changed = (name for name, _ in changes_in(statement))
                return any(map(self._is_reached, changed)) or any(
                    map(self._is_to_sync, _read_by(statement))
                )
            case st.Explain(analyse=analyse):
                look = self._is_to_sync if analyse else self._is_elsewhere
                return any(map(look, tables_named(statement)))
            case st.Describe(table=table):
                return self._is_elsewhere(table)
            case st.Vacuum():
                return bool(self._local.expiring.deletions(on_network=True))
            case _:
                return isinstance(statement, OF_RULES) and (
                    self._is_elsewhere(statement.table) or self._is_on_network(statement.table)
                )

    def _is_reached(self, name: st.TableName) -> bool:
        """Return whether a dataset is on the network, as far as is known."""
        return self._is_elsewhere(name) or self._is_on_network(name)

    async def run(self, statement: st.Statement, params: Given, text: str) -> Result:
        """Return the result of one statement.

        Raises:
            MfdbError: it failed. QuorumNotReached: it may yet have been written.
        """
        if isinstance(statement, st.CHANGES):
            return await self.run_many(statement, [params], text)
        if isinstance(statement, st.CopyFrom | st.CopyTo):
            return await self.copy(statement, params, text, None, None)
        with self._state.guarded(statement):
            if isinstance(statement, mo.MONEY):
                return await self._paying.run(statement, params)
            if isinstance(statement, st.Vacuum):
                return await self._vacuum(statement, text)
            return await self._run(statement, params, text)

    async def _run(self, statement: st.Statement, params: Given, text: str) -> Result:
        match statement:
            case st.Commit():
                return await self._commit(statement)
            case st.CreateDataset():
                return await self._ruling.create(statement)
            case st.Show():
                return await self._show(statement, params, text)
            case qu.Verified(query=query):
                await self._verifying.verify(query, params)
                return self._local.run(statement, params, text)
            case st.Select() | qu.Query() | st.Explain():
                for name in self._local.ground.behind(statement):
                    await self._ready(statement, name)
                return self._local.run(statement, params, text)
        if isinstance(statement, OF_RULES):
            return await self._rules(statement, text)
        if not isinstance(statement, st.Describe):
            raise MfdbError("the statement names no dataset")
        await self._find(statement.table)
        return self._local.run(statement, params, text)

    async def _vacuum(self, statement: st.Vacuum, text: str) -> Result:
        """Delete what own datasets on the network kept for long enough, then do it here."""
        self._local.defining.refuse_in_batch()
        expired = 0
        for deletion in self._local.expiring.deletions(on_network=True):
            deleted = await self.run_many(deletion.statement, [deletion.params], deletion.text)
            expired += deleted.count
        done = self._local.run(statement, (), text)
        done.rows = [(*sizes, int(str(here)) + expired) for *sizes, here in done.rows]
        return done

    async def _show(self, statement: st.Show, params: Given, text: str) -> Result:
        for name in tables_named(statement.where):
            await self._prepare(name, Action.SELECT)
        if statement.what in show.OF_NETWORK:
            return await self._telling.show(statement, params)
        if statement.of is not None:
            await self._find(statement.of)
        return self._local.run(statement, params, text)

    async def _ready(self, statement: st.Statement, name: st.TableName) -> None:
        """Have a dataset here as a statement that reads it needs it."""
        if isinstance(statement, st.Explain) and not (statement.analyse or is_told(name)):
            await self._find(name)
        else:
            await self._prepare(name, Action.SELECT)

    async def copy(
        self,
        statement: st.CopyFrom | st.CopyTo,
        params: Given,
        text: str,
        stream: Any,
        progress: Progress | None,
    ) -> Result:
        """Carry out a COPY; the rows of a load are staged together, then pushed.

        Raises:
            MfdbError: it failed. QuorumNotReached: it may yet have been written.
        """
        with self._state.guarded(statement):
            copies = self._local.copies
            if isinstance(statement, st.CopyTo):
                for name in self._local.ground.behind(statement):
                    await self._prepare(name, Action.SELECT)
                return copies.run(statement, params, text, stream, progress)
            await self._prepare(statement.table, Action.INSERT)
            open_batch = self._state.batch
            batch = Batch() if open_batch is None else open_batch
            result = copies.load(statement, batch, stream, progress)
            if open_batch is None:
                await self._write(batch)
            return result

    async def run_many(self, statement: st.Statement, many: Sequence[Given], text: str) -> Result:
        """Return the result of one change, carried out for each set of parameters at once.

        Raises:
            MfdbError: it failed. QuorumNotReached: it may yet have been written.
        """
        with self._state.guarded(statement):
            if not isinstance(statement, st.CHANGES):
                return self._local.changes.run_many(statement, many, text)
            if self._plain_dataset(statement) is None:
                for name, verb in changes_in(statement):
                    await self._prepare(name, Action[verb])
                read = list(_read_by(statement))
                for name in read:
                    await self._prepare(name, Action.SELECT)
                self._learn_plain(statement, read)
            if self._state.batch is not None:
                return self._local.changes.plan(statement, many, text, self._state.batch)
            known = self._plain_dataset(statement)
            rows = None if known is None else self._local.changes.unasked(text, many, known)
            if known is not None and rows is not None:
                make_room(self._plain_texts)
                self._plain_texts[text] = (self._state.replica.catalogue_state, known)
                return await KnownRows(self._outbox, known.manifest.dataset, rows).write()
            return await self._change(statement, many, text)

    async def _change(self, statement: st.Statement, many: Sequence[Given], text: str) -> Result:
        """Plan a change by what is known here and write it; again if that has become old."""
        changed = list({str(name): name for name, _ in changes_in(statement)}.values())
        for attempt in range(_ATTEMPTS):
            batch = Batch()
            result = self._local.changes.plan(statement, many, text, batch)
            try:
                await self._write(batch)
            except StaleWrite:
                if attempt + 1 == _ATTEMPTS:
                    raise
                for name in changed:
                    await self._refresh(name)
            except (AccessDenied, SchemaViolation):
                found = [self._local.ground.known(name).manifest for name in changed]
                if attempt or not [one for one in found if await self._has_new_rules(one)]:
                    raise
            else:
                return result
        raise AssertionError("the last attempt returns or raises")

    async def subscribe(
        self, statement: st.Statement, params: Given, since: str | None, text: str
    ) -> AsyncIterator[Change]:
        """Yield the changes of a standing query; see `Local.subscribe`."""
        query = statement.query if isinstance(statement, st.Subscribe) else statement
        table = query.table if isinstance(query, st.Select) else None
        await self._prepare(table, Action.SUBSCRIBE)
        changes = self._local.standing.subscribe(statement, params, since, text, self._remote)
        async for change in changes:
            yield change

    async def restore(self) -> list[str]:
        """Bring this identity's datasets here; return their names.

        Raises:
            NetworkError: the network is in the way.
        """
        try:
            found = await self._home.restore()
        except (UnknownIdentity, UnknownDataset):
            return []  # this identity has published nothing
        return [signed.manifest.name for signed in found if not is_given_up(signed.manifest)]

    async def note_again(self, manifest: Manifest) -> None:
        """Note in the home dataset who keeps a dataset now."""
        await self._home.note_again(manifest)

    async def challenge(self, dataset: str, shard: int) -> CaseId:
        """Accuse the holder of a shard of an own dataset on chain.

        Raises:
            UnknownDataset: there is no such dataset, or nothing of it is sealed.
            ChainError: the court does not take the case.
        """
        known = self._state.replica.find(self._state.me, dataset)
        if known is None:
            raise UnknownDataset(f"you have no dataset {dataset}")
        return await self._remote.challenge(known.manifest.dataset, shard)

    async def close(self) -> None:
        """Leave the network."""
        await self._remote.close()
        await self._outbox.close()

    # ---- finding and syncing

    def _is_elsewhere(self, name: st.TableName | None) -> bool:
        if name is None or is_told(name):
            return False
        return self._local.ground.lookup(name) is None

    def _is_remote(self, dataset: DatasetId) -> bool:
        return self._state.replica.known(dataset).manifest.network != EMBEDDED

    def _is_on_network(self, name: st.TableName | None) -> bool:
        known = self._local.ground.lookup(name) if name is not None else None
        return known is not None and known.manifest.network != EMBEDDED

    def _is_stale(self, name: st.TableName | None) -> bool:
        known = self._local.ground.lookup(name) if name is not None else None
        if known is None or known.manifest.network == EMBEDDED:
            return False
        return self._is_due(known.manifest)

    def _is_to_sync(self, name: st.TableName) -> bool:
        return (
            asked_of_network(name) is not None or self._is_elsewhere(name) or self._is_stale(name)
        )

    def _is_due(self, manifest: Manifest) -> bool:
        synced = self._synced_s.get(manifest.dataset)
        age_s = None if synced is None else self._state.clock.monotonic_s() - synced
        if age_s is None and self._state.settings.freshness == "cached":
            return False
        return self._state.settings.is_due(age_s)

    async def _prepare(self, name: st.TableName | None, action: Action) -> None:
        """Know a dataset, judge by its rules, and have its rows here as fresh as was asked for."""
        known = await self._readable(name, action)
        if known is None:
            return
        manifest = known.manifest
        reads = action is not Action.INSERT or manifest.ordering is Ordering.OWNER
        if reads and action is not Action.SUBSCRIBE and self._is_due(manifest):
            await self._sync(manifest)

    async def _readable(self, name: st.TableName | None, action: Action) -> Known | None:
        """Return a dataset on the network that this identity may read, or do else with.

        None for what is not there (the binder says so, and points at the name) or only here.

        Raises:
            AccessDenied: it may not.
        """
        if name is None:
            return None
        if is_told(name):
            await self._telling.keep(name)
            return None
        known = await self._find(name)
        if known is None or known.manifest.network == EMBEDDED:
            return None
        try:
            demand(known.manifest, action, self._state.me)
        except AccessDenied:
            if not await self._has_new_rules(known.manifest):
                raise
            known = self._local.ground.known(name)
            demand(known.manifest, action, self._state.me)
        return known

    def _plain_dataset(self, statement: st.Statement) -> Known | None:
        """Return the dataset of a statement that reads none and needs none to be found."""
        kept = self._plain.get(id(statement))
        state = self._state.replica.catalogue_state
        if kept is None or kept[0] is not statement or kept[1] != state:
            return None
        return kept[2]

    def known_rows(self, text: str, params: Given) -> KnownRows | None:
        """Return the row of an INSERT that was carried out before and needs only to be sent.

        Raises:
            MfdbError: the values do not suit the columns.
        """
        kept = self._plain_texts.get(text)
        if kept is None or kept[0] != self._state.replica.catalogue_state:
            return None
        rows = self._local.changes.unasked(text, [params], kept[1])
        if rows is None:
            return None
        return KnownRows(self._outbox, kept[1].manifest.dataset, rows)

    def _learn_plain(self, statement: st.Statement, read: Sequence[st.TableName]) -> None:
        """Remember an INSERT into an own dataset on a network that nobody orders."""
        state = self._state.replica.catalogue_state
        if not isinstance(statement, st.Insert) or read or statement.table.owner is not None:
            return
        known = self._local.ground.lookup(statement.table)
        if known is None or known.manifest.network == EMBEDDED:
            return
        if known.manifest.ordering is Ordering.FREE and not is_told(statement.table):
            make_room(self._plain)
            self._plain[id(statement)] = (statement, state, known)

    async def _find(self, name: st.TableName) -> Known | None:
        known = self._local.ground.lookup(name)
        if known is not None:
            return known
        owner = owner_of(name, self._state.me, self._state.identities)
        try:
            signed = await self._remote.find(owner, name.name)
        except (UnknownDataset, UnknownIdentity) as error:
            if owner == self._state.me:
                return None
            error.position = name.position
            raise
        self._state.replica.add_manifests([signed])
        return self._local.ground.lookup(name)

    async def _dataset(self, name: st.TableName) -> DatasetId:
        """Return the dataset on the network that a name means.

        Raises:
            UnknownDataset: there is none. NotSupportedError: it lives on this machine only.
        """
        await self._find(name)
        manifest = self._local.ground.known(name).manifest
        if manifest.network == EMBEDDED:
            raise NotSupportedError(
                f"dataset {manifest.name} lives on this machine only: nobody is paid for it",
                position=name.position,
            )
        return manifest.dataset

    async def _has_new_rules(self, manifest: Manifest) -> bool:
        """Fetch somebody else's rules again; return whether they are other than those known."""
        if manifest.owner == self._state.me or manifest.network == EMBEDDED:
            return False
        try:
            signed = await self._remote.find(manifest.owner, manifest.name)
        except (AccessDenied, NetworkError, UnknownDataset):
            return False  # what the known rules refuse stays refused
        self._state.replica.add_manifests([signed])
        return signed.manifest.number > manifest.number

    async def _refresh(self, name: st.TableName) -> None:
        """Fetch rules and rows again, because providers say that ours are old."""
        known = self._local.ground.known(name)
        manifest = known.manifest
        if manifest.owner != self._state.me:
            signed = await self._remote.find(manifest.owner, manifest.name)
            self._state.replica.add_manifests([signed])
        try:
            demand(manifest, Action.SELECT, self._state.me)
        except AccessDenied:
            return  # who may not read has nothing to sync
        await self._sync(manifest)

    async def _sync(self, manifest: Manifest) -> None:
        try:
            await self._remote.sync(manifest.dataset, self._state.replica)
        except NetworkError as error:
            error.hint = error.hint or "SET freshness = cached reads what is here"
            raise
        self._synced_s[manifest.dataset] = self._state.clock.monotonic_s()

    # ---- changing

    async def _commit(self, statement: st.Commit) -> Result:
        batch = self._state.end()
        kept = False
        try:
            if batch is not None and not batch.failed:
                await self._write(batch)
                kept = True
        finally:
            self._state.close_batch(batch, kept=kept)
        if statement.chain:
            self._state.begin()
        return Result(tag="ROLLBACK" if batch is not None and batch.failed else "COMMIT")

    async def _write(self, batch: Batch) -> None:
        changed = {
            dataset: pending.changes
            for dataset, pending in batch.tables.items()
            if not pending.changes.is_empty
        }
        if not any(map(self._is_remote, changed)):
            self._local.changes.commit(batch)
            return
        if len(changed) > 1:
            raise NotSupportedError(
                "a batch over several datasets cannot be atomic on a network",
                hint="each dataset has its own providers: COMMIT after each",
            )
        ((dataset, pending),) = changed.items()
        manifest = self._state.replica.known(dataset).manifest
        foreign = manifest.owner != self._state.me
        sealed = self._state.settings.sealed_sender and foreign
        await self._outbox.write(dataset, pending.changes(manifest), sealed_sender=sealed)

    # ---- rules

    async def _rules(self, statement: OfRules, text: str) -> Result:
        self._local.defining.refuse_in_batch()
        known = await self._find(statement.table)
        if known is None:
            return self._local.run(statement, (), "")
        return await self._ruling.run(statement, known.manifest, text)


def _read_by(change: st.Statement) -> Iterator[st.TableName]:
    """Yield the datasets that a change reads besides those it changes."""
    changed = {id(name) for name, _ in changes_in(change)}
    return (name for name in tables_named(change) if id(name) not in changed)
