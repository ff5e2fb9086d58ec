"""Bringing a dataset back after its providers were lost: the owner's copy goes to others.

    a replica answers   -> a move away from those who do not (`moving`)
    none does           -> newcomers are bound, the owner hands every changeset and its keys to them

Segments whose shards went with their holders are given up: their changesets are in the newcomers'
hot logs then, and are sealed again from there. What lost providers had promised stays due.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from mfdb.kernel.codec import encode
from mfdb.kernel.errors import MfdbError, QuorumNotReached, UnknownDataset
from mfdb.kernel.ids import ChangesetId
from mfdb.node.answers import DatasetState, Done, LogItem
from mfdb.node.client.moving import Change, Moved
from mfdb.node.requests import GetDataset, PutCopies
from replication.moving import joining, leaving

if TYPE_CHECKING:
    from mfdb.dataset.replica import Replica
    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.node.client.context import ClientContext
    from mfdb.node.client.lookup import Lookup
    from mfdb.node.client.moving import Mover
    from mfdb.node.whereabouts import Whereabouts

log = logging.getLogger(__name__)
PAGE_BYTES = 2**20


class BringingBack:
    """The service that puts the owner's copies of lost datasets onto other providers."""

    def __init__(self, context: ClientContext, lookup: Lookup, mover: Mover) -> None:
        self._context = context
        self._lookup = lookup
        self._mover = mover

    async def bring_back(self, dataset: DatasetId, replica: Replica) -> Moved:
        """Return what was moved, once n providers that answer keep a dataset again.

        Raises:
            UnknownDataset: nothing here tells where it was placed.
            NoProviders, DeadlineExceeded, QuorumNotReached: it cannot be done at present.
        """
        found = self._lookup.known(dataset)
        if found is None:
            raise UnknownDataset(
                "nothing here tells where the dataset was placed",
                hint="dump with --network, so that the placement log is in the dump",
            )
        lost = frozenset(
            [who for who in found.placement.providers if not await self._asks(dataset, who)]
        )
        change = Change(profile=found.manifest.profile, leaving=lost)
        if not lost:
            return Moved(joined=0, left=0, recoded=0, released=0)
        if not lost.issuperset(found.placement.replica_set):
            return await self._mover.move(dataset, change)
        return await self._begin_anew(replace(found, segments=()), change, replica)

    async def _asks(self, dataset: DatasetId, provider: Address) -> bool:
        """Return whether a provider answers, and keeps the dataset."""
        try:
            correspondent = await self._context.directory.reach(provider)
            await correspondent.ask(GetDataset(dataset=dataset), DatasetState)
        except MfdbError as error:
            log.info("lost provider=0x%s %s", provider.hex(), error)
            return False
        return True

    async def _begin_anew(self, found: Whereabouts, change: Change, replica: Replica) -> Moved:
        dataset = found.manifest.dataset
        await self._lookup.remember(dataset, found)
        target, agreements = await self._mover.bind(found, change)
        joins = joining(found.placement, target)
        found = await self._mover.place(found, joins, agreements)
        for provider in target.replicas:
            await self._hand(dataset, provider, replica)
        gone = leaving(found.placement, target)
        if gone:
            await self._mover.place(found, gone, ())
        left = len(change.leaving)
        return Moved(joined=len(agreements), left=left, recoded=0, released=0)

    async def _hand(self, dataset: DatasetId, provider: Address, replica: Replica) -> None:
        """Hand a replica every changeset that it lacks.

        Raises:
            QuorumNotReached: it did not take all of them.
        """
        there = await self._mover.log_of(dataset, provider)
        items: list[LogItem] = []
        size, ids = 0, set[ChangesetId]()
        for changeset, entry in replica.copies(dataset):
            ids.add(entry.changeset)
            if entry.changeset in there:
                continue
            data = encode(changeset)
            items.append(
                LogItem(number=0, changeset=entry.changeset, data=data, entry=entry, receipts=())
            )
            size += len(data)
            if size > PAGE_BYTES:
                await self._put(dataset, provider, items)
                items, size = [], 0
        await self._put(dataset, provider, items)
        lacking = len(ids - await self._mover.log_of(dataset, provider))
        if lacking:
            raise QuorumNotReached(
                f"0x{provider.hex()[:8]} did not take {lacking} changesets", hint="repeat it"
            )

    async def _put(self, dataset: DatasetId, provider: Address, items: list[LogItem]) -> None:
        if items:
            correspondent = await self._context.directory.reach(provider)
            await correspondent.ask(PutCopies(dataset=dataset, items=tuple(items)), Done)
