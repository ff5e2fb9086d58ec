"""What a provider does without being asked: catch up, reconcile, seal in time, fill gaps.

Reconciliation pulls only: every replica does it, so whatever one has all get (DESIGN 8).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from mfdb.kernel.codec import encode
from mfdb.kernel.errors import AccessDenied, MfdbError
from mfdb.kernel.ids import ChangesetId
from mfdb.node.answers import Done, Keys, LogItem, Reconciled
from mfdb.node.provider import sealed_shelf, shelf
from mfdb.node.provider.completing import Completing, fetch_shards
from mfdb.node.provider.fellows import Fellows
from mfdb.node.provider.hot_index import stored_items
from mfdb.node.requests import GetKeys, Heal, Reconcile
from mfdb.node.whereabouts import whole_state
from replication.reconcile import open_message, read_message, respond
from replication.segment import SealedSegment, read_segment

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.node.provider.context import Context
    from mfdb.node.provider.duties import Duties
    from mfdb.node.provider.sealing import Sealing
    from mfdb.rules.key_log import KeyLogEntry

log = logging.getLogger(__name__)
HAVE_LIMIT = 10_000
"""Ids told in one answer; what is left over, the next reconciliation finds."""
ROUNDS = 32
"""More messages than that mean that the other side does not play by the rules."""


class Healing:
    """The service that keeps the replicas of a dataset equal."""

    def __init__(
        self, context: Context, duties: Duties, sealing: Sealing, completing: Completing
    ) -> None:
        self._context = context
        self._duties = duties
        self._sealing = sealing
        self._completing = completing
        self._done_s = context.clock.monotonic_s()
        self._fellows = Fellows(context)
        self._arrived: set[Address] = set()
        self._arrival = asyncio.Event()

    def arrived(self, peer: Address) -> None:
        """Take note that a node has connected to us: it was away, or we were.

        Who shares no dataset with us is not noted, and costs a look-up.
        """
        if self._fellows.shared_with(peer):
            self._arrived.add(peer)
            self._arrival.set()

    def began(self) -> None:
        """Take note that this provider was away until now."""
        for peer in self._fellows.everybody():
            self.arrived(peer)

    async def meet(self) -> None:
        """Wait until somebody arrives, then reconcile the datasets that we both are replicas of."""
        await self._arrival.wait()
        arrived, self._arrived = self._arrived, set()
        self._arrival.clear()
        shared = [self._fellows.shared_with(peer) for peer in arrived]
        for dataset in sorted(frozenset().union(*shared)):
            with self._context.sparing(dataset):
                await self._draw_level(dataset, arrived.__contains__)

    def age_s(self) -> float:
        """Return how long ago every dataset was reconciled last, in seconds."""
        return self._context.clock.monotonic_s() - self._done_s

    async def look(self) -> None:
        """Reconcile every dataset with its other replicas, then seal what is due."""
        for dataset in self._context.kept():
            with self._context.sparing(dataset):
                await self._look_after(dataset)
        self._done_s = self._context.clock.monotonic_s()

    async def _look_after(self, dataset: DatasetId) -> None:
        await self._heal(dataset)
        replicas = self._context.placement(dataset).replica_set
        if replicas[:1] == (self._context.me,) and self._sealing.is_due(dataset):
            await self._seal(dataset)

    async def on_heal(self, request: Heal, caller: Address) -> Done:
        """Reconcile a dataset now, for its owner.

        Raises:
            AccessDenied: the caller is not the owner.
            UnknownDataset: it is not kept here.
        """
        with self._context.store.snapshot() as view:
            owner = shelf.manifest(view, request.dataset).owner
        if caller != owner:
            raise AccessDenied("only the dataset's owner may have it healed on command")
        await self._heal(request.dataset, leads=True)
        return Done()

    async def _heal(self, dataset: DatasetId, *, leads: bool = False) -> None:
        """Catch up with the other replicas; the one that leads completes segments."""
        me = self._context.me
        await self._draw_level(dataset, lambda replica: replica != me)
        if me in self._context.placement(dataset).replica_set:
            await self._sealing.copies.scrub(dataset)
            await self._complete(dataset, leads=leads)

    async def _draw_level(self, dataset: DatasetId, is_asked: Callable[[Address], bool]) -> None:
        """Take over what other replicas have and this one has not."""
        for replica in filter(is_asked, self._context.placement(dataset).replica_set):
            await self._catch_up(dataset, replica)
        replicas = self._context.placement(dataset).replica_set
        if self._context.me not in replicas:
            return
        for replica in filter(is_asked, replicas):
            await self._pull(dataset, replica)
        await self._learn(dataset)
        await self._sealing.release(dataset)

    async def _seal(self, dataset: DatasetId) -> None:
        try:
            report = await self._sealing.lead(dataset)
            log.info("sealed dataset=0x%s changesets=%d", dataset.hex(), report.changesets)
        except MfdbError as error:
            self._context.damage.note(error)
            log.warning("not sealed dataset=0x%s %s", dataset.hex(), error)

    async def _complete(self, dataset: DatasetId, *, leads: bool) -> None:
        try:
            await self._completing.look(dataset, leads=leads)
        except MfdbError as error:
            self._context.damage.note(error)
            log.warning("not completed dataset=0x%s %s", dataset.hex(), error)

    async def _catch_up(self, dataset: DatasetId, replica: Address) -> None:
        """Take over rules, placement and segments that were handed round while we were away."""
        try:
            correspondent = await self._context.directory.reach(replica)
            state = await whole_state(correspondent, dataset)
            await self._duties.catch_up(dataset, state)
            await self._sealing.catch_up(dataset, state.segments)
        except MfdbError as error:
            self._context.damage.note(error)
            log.info("not caught up with=0x%s %s", replica.hex(), error)

    async def _pull(self, dataset: DatasetId, replica: Address) -> None:
        try:
            lacking = await self._compare(dataset, replica)
            if lacking:
                await self._fetch(dataset, lacking, replica)
        except MfdbError as error:
            self._context.damage.note(error)
            log.info("not reconciled with=0x%s %s", replica.hex(), error)

    async def _compare(self, dataset: DatasetId, replica: Address) -> set[ChangesetId]:
        """Return the changesets that a replica holds unsealed and we do not."""
        correspondent = await self._context.directory.reach(replica)
        with self._context.store.snapshot() as view:
            message = encode(open_message(stored_items(view, dataset)))
        lacking = set[ChangesetId]()
        for _ in range(ROUNDS):
            request = Reconcile(dataset=dataset, message=message)
            answer = await correspondent.ask(request, Reconciled)
            lacking.update(answer.have)
            if not answer.message:
                break
            with self._context.store.snapshot() as view:
                step = respond(stored_items(view, dataset), read_message(answer.message))
            lacking.update(step.need)
            if step.reply is None:
                break
            message = encode(step.reply)
        return lacking

    async def _fetch(self, dataset: DatasetId, lacking: set[ChangesetId], replica: Address) -> None:
        with self._context.store.snapshot() as view:
            wanted = [
                id_ for id_ in sorted(lacking) if shelf.log_number(view, dataset, id_) is None
            ]
        await self._sealing.copies.fetch(dataset, wanted, [replica])

    async def _learn(self, dataset: DatasetId) -> None:
        """Take over what was written and sealed while we were away.

        A replica that does not know a row's version can judge no later change of that row; and the
        keys of what is sealed are kept by replicas alone.
        """
        with self._context.store.snapshot() as view:
            unknown = [
                bundle
                for bundle in sealed_shelf.segments(view, dataset)
                if not sealed_shelf.is_learnt(view, dataset, bundle.certificate.segment)
            ]
        for bundle in unknown:
            try:
                await self._learn_segment(dataset, bundle)
            except MfdbError as error:
                self._context.damage.note(error)
                log.info("segment not learnt %s", error)

    async def _learn_segment(self, dataset: DatasetId, bundle: SealedSegment) -> None:
        lacking = self._never_came(dataset, bundle)
        if lacking:
            placement = self._context.placement(dataset)
            shards = await fetch_shards(self._context, dataset, bundle, placement)
            data = {id_: data for id_, data in read_segment(bundle, shards) if id_ in lacking}
            keys = await self._keys(dataset, tuple(data))
            items = [
                LogItem(number=0, changeset=id_, data=data[id_], entry=keys[id_], receipts=())
                for id_ in keys
            ]
            await self._sealing.copies.take_all(dataset, items)
        if not self._never_came(dataset, bundle):
            segment = bundle.certificate.segment
            await self._context.committer.submit(
                lambda transaction: sealed_shelf.put_learnt(transaction, dataset, segment)
            )

    def _never_came(self, dataset: DatasetId, bundle: SealedSegment) -> frozenset[ChangesetId]:
        with self._context.store.snapshot() as view:
            return frozenset(
                id_ for id_ in bundle.changesets if shelf.log_number(view, dataset, id_) is None
            )

    async def _keys(
        self, dataset: DatasetId, ids: tuple[ChangesetId, ...]
    ) -> dict[ChangesetId, KeyLogEntry]:
        """Return what other replicas say opens these changesets."""
        keys: dict[ChangesetId, KeyLogEntry] = {}
        for replica in self._context.placement(dataset).replica_set:
            lacking = tuple(id_ for id_ in ids if id_ not in keys)
            if replica == self._context.me or not lacking:
                continue
            try:
                correspondent = await self._context.directory.reach(replica)
                told = await correspondent.ask(GetKeys(dataset=dataset, changesets=lacking), Keys)
            except MfdbError as error:
                log.info("keys not had from=0x%s %s", replica.hex(), error)
                continue
            keys |= {entry.changeset: entry for entry in told.entries if entry.changeset in lacking}
        return keys

    def on_reconcile(self, request: Reconcile, caller: Address) -> Reconciled:
        """Return the next message of a reconciliation that another provider leads.

        Raises:
            AccessDenied: the caller is no provider of the dataset.
            MalformedMessage: the message is none.
        """
        if caller not in self._context.placement(request.dataset).providers:
            raise AccessDenied("only a provider of the dataset may reconcile")
        message = read_message(request.message)
        with self._context.store.snapshot() as view:
            step = respond(stored_items(view, request.dataset), message)
        reply = encode(step.reply) if step.reply is not None else b""
        return Reconciled(message=reply, have=step.have[:HAVE_LIMIT])
