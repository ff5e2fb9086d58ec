"""What a provider does without being asked: catch up, reconcile, seal in time, fill gaps.

Reconciliation pulls only: every replica does it, so whatever one has all get (DESIGN 8).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mfdb.kernel.codec import encode
from mfdb.kernel.errors import AccessDenied, MfdbError
from mfdb.kernel.ids import ChangesetId
from mfdb.node.messages import DatasetState, GetDataset, Reconcile, Reconciled
from mfdb.node.provider import shelf
from replication.reconcile import ItemSet, open_message, read_message, respond

if TYPE_CHECKING:
    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.node.provider.completing import Completing
    from mfdb.node.provider.context import Context
    from mfdb.node.provider.duties import Duties
    from mfdb.node.provider.sealing import Sealing

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

    async def look(self) -> None:
        """Reconcile every dataset with its other replicas, then seal what is due."""
        with self._context.store.snapshot() as view:
            kept = shelf.datasets(view)
        for dataset in kept:
            for replica in self._context.placement(dataset).replica_set:
                if replica != self._context.me:
                    await self._catch_up(dataset, replica)
            replicas = self._context.placement(dataset).replica_set
            if self._context.me not in replicas:
                continue
            for replica in replicas:
                if replica != self._context.me:
                    await self._pull(dataset, replica)
            await self._sealing.release(dataset)
            await self._complete(dataset)
            if replicas[0] == self._context.me and self._sealing.is_due(dataset):
                await self._seal(dataset)

    async def _seal(self, dataset: DatasetId) -> None:
        try:
            report = await self._sealing.lead(dataset)
            log.info("sealed dataset=0x%s changesets=%d", dataset.hex(), report.changesets)
        except MfdbError as error:
            log.warning("not sealed dataset=0x%s %s", dataset.hex(), error)

    async def _complete(self, dataset: DatasetId) -> None:
        try:
            await self._completing.look(dataset)
        except MfdbError as error:
            log.warning("not completed dataset=0x%s %s", dataset.hex(), error)

    async def _catch_up(self, dataset: DatasetId, replica: Address) -> None:
        """Take over rules, placement and segments that were handed round while we were away."""
        try:
            correspondent = await self._context.directory.reach(replica)
            state = await correspondent.ask(GetDataset(dataset=dataset), DatasetState)
            await self._duties.catch_up(dataset, state)
            await self._sealing.catch_up(dataset, state.segments)
        except MfdbError as error:
            log.info("not caught up with=0x%s %s", replica.hex(), error)

    async def _pull(self, dataset: DatasetId, replica: Address) -> None:
        try:
            lacking = await self._compare(dataset, replica)
            if lacking:
                await self._fetch(dataset, lacking, replica)
        except MfdbError as error:
            log.info("not reconciled with=0x%s %s", replica.hex(), error)

    async def _compare(self, dataset: DatasetId, replica: Address) -> set[ChangesetId]:
        """Return the changesets that a replica holds unsealed and we do not."""
        items = self._items(dataset)
        correspondent = await self._context.directory.reach(replica)
        message, lacking = encode(open_message(items)), set[ChangesetId]()
        for _ in range(ROUNDS):
            request = Reconcile(dataset=dataset, message=message)
            answer = await correspondent.ask(request, Reconciled)
            lacking.update(answer.have)
            if not answer.message:
                break
            step = respond(items, read_message(answer.message))
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
        await self._sealing.fetch(dataset, wanted, [replica])

    def on_reconcile(self, request: Reconcile, caller: Address) -> Reconciled:
        """Return the next message of a reconciliation that another provider leads.

        Raises:
            AccessDenied: the caller is no provider of the dataset.
            MalformedMessage: the message is none.
        """
        if caller not in self._context.placement(request.dataset).providers:
            raise AccessDenied("only a provider of the dataset may reconcile")
        step = respond(self._items(request.dataset), read_message(request.message))
        message = encode(step.reply) if step.reply is not None else b""
        return Reconciled(message=message, have=step.have[:HAVE_LIMIT])

    def _items(self, dataset: DatasetId) -> ItemSet:
        with self._context.store.snapshot() as view:
            headers = (
                (shelf.header(view, dataset, id_), id_) for id_ in shelf.unsealed(view, dataset)
            )
            return ItemSet([(header.hlc, id_) for header, id_ in headers if header is not None])
