"""The network as a session sees it: publish, find, write, sync, follow, seal, restore.

`mfdb.client.remote.Remote` is the protocol that this fulfils.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from mfdb.chain.port import RecordKind, SetRecord
from mfdb.dataset.outcome import Proven, SealOutcome, WriteOutcome
from mfdb.kernel.codec import encode
from mfdb.kernel.errors import MfdbError, QuorumNotReached, UnknownIdentity
from mfdb.kernel.seed import HOME_LABEL, MAILBOX_NONCE
from mfdb.node.answers import Done, SealedReport
from mfdb.node.client.accusing import Accusing
from mfdb.node.client.attesting import Attesting
from mfdb.node.client.bringing_back import BringingBack
from mfdb.node.client.finding import Finding
from mfdb.node.client.lookup import Lookup
from mfdb.node.client.money import Money
from mfdb.node.client.moving import Change, Mover
from mfdb.node.client.offers import Offers
from mfdb.node.client.pipes import Pipes
from mfdb.node.client.placing import Placer
from mfdb.node.client.reports import Reports
from mfdb.node.client.rounds import Rounds
from mfdb.node.client.syncing import Syncing
from mfdb.node.client.watching import Watching
from mfdb.node.client.writing import Push
from mfdb.node.requests import PutManifest, SealNow, Shred
from mfdb.rules.manifest import dataset_id
from mfdb.rules.records import HomeRecord, SignedHomeRecord
from mfdb.rules.signing import sign

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from mfdb.dataset.replica import Replica
    from mfdb.kernel.ids import Address, CaseId, ChangesetId, DatasetId
    from mfdb.node.accounts import Accounts
    from mfdb.node.client.context import ClientContext
    from mfdb.node.client.moving import Moved
    from mfdb.node.client.reports import Table
    from mfdb.node.whereabouts import Whereabouts
    from mfdb.rules.changeset import Changeset
    from mfdb.rules.evidence import Network
    from mfdb.rules.key_log import KeyLogEntry
    from mfdb.rules.manifest import SignedManifest
    from mfdb.rules.row_tree import Span

log = logging.getLogger(__name__)
SEAL_TIMEOUT_S = 120


class NodeRemote:
    """A client's node."""

    def __init__(
        self,
        context: ClientContext,
        accounts: Accounts,
        *,
        on_close: Callable[[], Awaitable[None]],
    ) -> None:
        self._context = context
        self._lookup = Lookup(context)
        self._finding = Finding(context, self._lookup)
        self._placer = Placer(context)
        self._mover = Mover(context, self._lookup, self._placer)
        self._bringing_back = BringingBack(context, self._lookup, self._mover)
        self._syncing = Syncing(context, self._lookup)
        self._attesting = Attesting(context, self._lookup)
        self._watching = Watching(context, self._lookup, self.move)
        self._reports = Reports(context, self._lookup, accounts)
        self._rounds = Rounds(context)
        self.money = Money(context, self._lookup, accounts)
        self.offers = Offers(context, self.money)
        self.accusing = Accusing(context, self._lookup)
        self._on_close = on_close
        self._pipes = Pipes(context)
        self._pushing: set[Push] = set()
        self._doubted: set[DatasetId] = set()

    @property
    def network(self) -> Network:
        """The network that this node is on."""
        return self._context.network

    @property
    def context(self) -> ClientContext:
        """What the node works with, for tools that ask single providers."""
        return self._context

    # ---- publishing and finding

    async def publish(self, signed: SignedManifest) -> None:
        """Place a new dataset, or bring a new manifest version to all its providers.

        Raises:
            NoProviders: too few providers satisfy the profile.
            QuorumNotReached: fewer than W replicas took the new version.
        """
        if signed.manifest.number == 0:
            found = await self._placer.place(signed)
            await self._lookup.remember(signed.manifest.dataset, found)
            await self._announce(signed, found)
        else:
            await self._spread(signed)

    async def _announce(self, signed: SignedManifest, found: Whereabouts) -> None:
        """Name the dataset's providers in the home record, the mailbox's or the home dataset's."""
        manifest = signed.manifest
        try:
            home = await self._context.directory.home(self._context.me)
        except UnknownIdentity:
            home = self._empty_home()
        providers = found.placement.providers
        if manifest.nonce == MAILBOX_NONCE:
            home = msgspec.structs.replace(home, mailbox_providers=providers)
        elif manifest.nonce == self._context.keys.dataset_nonce(HOME_LABEL):
            home = msgspec.structs.replace(home, home_providers=providers)
        else:
            return
        home = msgspec.structs.replace(home, time_s=int(self._context.clock.now_s()))
        record = SignedHomeRecord(record=home, signature=sign(home, self._context.keys.account))
        await self._context.chain.send(
            SetRecord(kind=RecordKind.HOME, record=encode(record)), self._context.keys.account
        )

    def _empty_home(self) -> HomeRecord:
        return HomeRecord(
            network=self._context.network.id,
            identity=self._context.me,
            seal_key=bytes(self._context.keys.seal_key(0).public_key),
            key_epoch=0,
            mailbox_providers=(),
            home_providers=(),
            time_s=0,
        )

    async def _spread(self, signed: SignedManifest) -> None:
        found = await self._lookup.get(signed.manifest.dataset)
        taken = await asyncio.gather(
            *(self._hand(provider, signed) for provider in found.placement.providers)
        )
        holders = {provider for provider in taken if provider is not None}
        replicas = holders & set(found.placement.replica_set)
        if len(replicas) < signed.manifest.profile.write_quorum:
            raise QuorumNotReached(
                f"{len(replicas)} replicas have taken the new rules, "
                f"{signed.manifest.profile.write_quorum} are needed",
                hint="the statement can be repeated",
            )
        await self._lookup.look(signed.manifest.dataset)

    async def _hand(self, provider: Address, signed: SignedManifest) -> Address | None:
        try:
            correspondent = await self._context.directory.reach(provider)
            await correspondent.ask(PutManifest(signed=signed), Done)
        except MfdbError as error:
            log.warning("manifest not taken provider=0x%s %s", provider.hex(), error)
            return None
        return provider

    async def find(self, owner: Address, name: str | None) -> SignedManifest:
        """Return the newest manifest of an owner's dataset, of its mailbox without a name.

        Raises:
            UnknownIdentity: the owner has published no home record, and no name is given.
            UnknownDataset: there is none of that name that is open to us.
        """
        return (await self._finding.find(owner, name)).manifests[-1]

    def known(self, dataset: DatasetId) -> Whereabouts | None:
        """Return what was told of a dataset last, to this process or one before it, or None."""
        return self._lookup.known(dataset)

    async def whereabouts(self, dataset: DatasetId) -> Whereabouts:
        """Return what the providers of a dataset tell of it now: rules, placement, segments.

        Raises:
            UnknownDataset, PeerUnreachable: nobody is known, or answers.
        """
        return await self._lookup.look(dataset)

    async def providers(self, dataset: DatasetId) -> tuple[Address, ...]:
        """Return who keeps a dataset, as far as we know.

        Raises:
            UnknownDataset, PeerUnreachable: nobody is known, or answers.
        """
        return (await self._lookup.get(dataset)).placement.providers

    async def adopt(
        self, dataset: DatasetId, providers: Sequence[Address], replica: Replica
    ) -> SignedManifest:
        """Return a dataset's manifest, once it is synced from the providers known to keep it.

        Raises:
            PeerUnreachable, StripeLost, QuorumNotReached: it cannot be had at present.
        """
        found = await self._lookup.look(dataset, providers)
        await self._syncing.sync(dataset, replica)
        return found.manifests[-1]

    async def restore(self, replica: Replica) -> list[SignedManifest]:
        """Return the datasets of this identity, known from its address alone, synced.

        Raises:
            UnknownIdentity: this identity never published anything.
        """
        home = await self._context.directory.home(self._context.me)
        restored = []
        named = [
            (MAILBOX_NONCE, home.mailbox_providers),
            (self._context.keys.dataset_nonce(HOME_LABEL), home.home_providers),
        ]
        for nonce, providers in named:
            if providers:
                dataset = dataset_id(self._context.me, nonce)
                restored.append(await self.adopt(dataset, providers, replica))
        return restored

    async def move(self, dataset: DatasetId, change: Change) -> Moved:
        """Return what was moved, once a dataset is where and as its owner wants it.

        Providers that drain are left too, unless it is told who is to hold it.

        Raises:
            NoProviders: too few providers would do; nothing has changed.
            DeadlineExceeded: newcomers are not caught up yet; repeated, it goes on.
        """
        if change.among is None:
            change = replace(change, leaving=change.leaving | await self._watching.draining())
        moved = await self._mover.move(dataset, change)
        if moved.joined or moved.left:
            found = await self._lookup.get(dataset)
            await self._announce(found.manifests[-1], found)
        return moved

    async def bring_back(self, dataset: DatasetId, replica: Replica) -> Moved:
        """Bring an own dataset onto other providers as far as its own are lost.

        Raises:
            UnknownDataset: nothing here tells where it was placed.
            NoProviders, DeadlineExceeded, QuorumNotReached: it cannot be done at present.
        """
        moved = await self._bringing_back.bring_back(dataset, replica)
        if moved.joined or moved.left:
            found = await self._lookup.get(dataset)
            await self._announce(found.manifests[-1], found)
        return moved

    async def look_after(self) -> int:
        """Move own datasets away from who drains, or owes shards; see `Watching.look_after`."""
        return await self._watching.look_after()

    async def remember_providers(self, datasets: Sequence[DatasetId]) -> None:
        """Keep the node records of who keeps these datasets, so that a dump has them."""
        from mfdb.node.client.dumped import remember_providers

        await remember_providers(self._context, datasets)

    # ---- rows

    async def write(
        self, dataset: DatasetId, changeset: Changeset, entry: KeyLogEntry
    ) -> WriteOutcome:
        """Return the receipts of a changeset, once W providers hold it durably.

        Raises:
            QuorumNotReached: not in time; it is pushed on in the background.
            AccessDenied, StaleWrite: every replica refused it.
        """
        found = await self._place_to_write(dataset)
        push = Push(self._context, self._pipes, found, changeset, entry)
        self._pushing.add(push)
        push.over.add_done_callback(lambda over: self._pushed(dataset, push, over))
        push.start()
        try:
            outcome = await push.outcome()
        except MfdbError:
            if push.was_refused:
                self._doubted.add(dataset)
            raise
        self._syncing.mending.saw(dataset, changeset.header.hlc)
        return outcome

    async def _place_to_write(self, dataset: DatasetId) -> Whereabouts:
        """Return where to write; asked for anew once somebody there refused a write.

        Who only writes learns of no move otherwise: those who left refuse, and no quorum is left.
        """
        if dataset in self._doubted:
            self._doubted.discard(dataset)
            try:
                return await self._lookup.look(dataset)
            except MfdbError as error:
                log.info("not looked up again dataset=0x%s %s", dataset.hex(), error)
        return await self._lookup.get(dataset)

    def _pushed(self, dataset: DatasetId, push: Push, over: asyncio.Future[None]) -> None:
        self._pushing.discard(push)
        if not over.cancelled():
            self._rounds.add(dataset, push.receipts)

    async def shred(self, dataset: DatasetId, salts: Sequence[tuple[ChangesetId, int]]) -> None:
        """Have the salts of deleted rows destroyed on every replica.

        Raises:
            QuorumNotReached: fewer than W replicas did so; the statement can be repeated.
        """
        found = await self._lookup.get(dataset)
        done = await asyncio.gather(
            *(
                self._shred(provider, dataset, tuple(salts))
                for provider in found.placement.replica_set
            )
        )
        if sum(done) < found.manifest.profile.write_quorum:
            raise QuorumNotReached("too few replicas have destroyed the row salts")

    async def _shred(
        self,
        provider: Address,
        dataset: DatasetId,
        salts: tuple[tuple[ChangesetId, int], ...],
    ) -> bool:
        try:
            correspondent = await self._context.directory.reach(provider)
            await correspondent.ask(Shred(dataset=dataset, salts=salts), Done)
        except MfdbError as error:
            log.warning("not shredded provider=0x%s %s", provider.hex(), error)
            return False
        return True

    async def sync(self, dataset: DatasetId, replica: Replica) -> int:
        """Pull what is missing into the replica; see `Syncing.sync`."""
        return await self._syncing.sync(dataset, replica)

    async def attest(
        self, dataset: DatasetId, replica: Replica, spans: Sequence[Span] = ()
    ) -> tuple[Proven, ...]:
        """Return what replicas signed of rows that are all here; see `Attesting.attest`."""
        return await self._attesting.attest(dataset, replica, spans)

    async def fetch(self, dataset: DatasetId, replica: Replica, spans: Sequence[Span]) -> int:
        """Pull what made the rows in some spans into the replica; see `Syncing.fetch`."""
        return await self._syncing.fetch(dataset, replica, spans)

    def follow(self, dataset: DatasetId, replica: Replica) -> AsyncIterator[None]:
        """Yield after each batch that reached the replica; see `Syncing.follow`."""
        return self._syncing.follow(dataset, replica)

    async def lag_s(self, dataset: DatasetId, replica: Replica) -> float:
        """Return how far the replica is behind; see `Syncing.lag_s`."""
        return await self._syncing.lag_s(dataset, replica)

    async def seal(self, dataset: DatasetId) -> SealOutcome:
        """Have the unsealed changesets of a dataset sealed and coded.

        Raises:
            QuorumNotReached: too few replicas or holders took part.
        """
        started_s = self._context.clock.monotonic_s()
        found = await self._lookup.look(dataset)
        correspondent = await self._context.directory.reach_any(found.placement.replica_set)
        answer = await correspondent.ask(
            SealNow(dataset=dataset), SealedReport, timeout_s=SEAL_TIMEOUT_S
        )
        await self._lookup.look(dataset)
        return SealOutcome(
            segments=answer.report.segments,
            changesets=answer.report.changesets,
            shards=answer.report.receipts,
            seconds=self._context.clock.monotonic_s() - started_s,
        )

    async def challenge(self, dataset: DatasetId, shard: int) -> CaseId:
        """Accuse the holder of a shard on chain; see `Accusing.accuse_shard`."""
        mined = await self.accusing.accuse_shard(dataset, shard)
        assert mined.case is not None, "the court names the case that it opened"
        return mined.case

    async def status(self, what: str, dataset: DatasetId | None) -> Table:
        """Return the rows of a SHOW statement that only the network can answer."""
        return await self._reports.table(what, dataset)

    async def close(self) -> None:
        """Stop all background work and connections.

        What was acknowledged is given a moment to reach the last replica, with all receipts;
        replicas that it does not reach find it when they reconcile.
        """
        if self._pushing:
            over = [push.over for push in self._pushing]
            await asyncio.wait(over, timeout=self._context.settings.drain_s)
        self._pipes.close()
        for push in list(self._pushing):
            push.stop()
        await self._rounds.leave(self._context.settings.drain_s)
        await self._on_close()
