"""Unsealed changesets whole: those that are held here, and those that others have to give."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from mfdb.kernel.errors import BadProof, MfdbError, ProtocolViolation
from mfdb.node.answers import Copies
from mfdb.node.provider import hot_index, records, shelf
from mfdb.node.requests import GetCopies, PutReceipts
from mfdb.rules.changeset import open_changeset
from mfdb.rules.receipt import check_write_receipt
from replication.seal import missing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mfdb.kernel.ids import Address, ChangesetId, DatasetId
    from mfdb.node.answers import LogItem
    from mfdb.node.provider.context import Context
    from mfdb.node.provider.intake import Intake
    from mfdb.rules.changeset import Changeset
    from mfdb.rules.receipt import WriteReceipt

log = logging.getLogger(__name__)
SCRUBBED = 5_000
"""Unsealed changesets of a dataset that one look goes over; as a rule it has fewer."""
_SCRUBBED_AT_ONCE = 100


class CopyDesk:
    """Gives the bytes of changesets, fetched where they are lacking here."""

    def __init__(self, context: Context, intake: Intake) -> None:
        self._context = context
        self._intake = intake
        self._soundness = intake.soundness
        self._scrubbed: dict[DatasetId, int] = {}

    def held(self, dataset: DatasetId, ids: Iterable[ChangesetId]) -> dict[ChangesetId, bytes]:
        """Return the bytes of those changesets that are held here, unsealed and undamaged."""
        with self._context.store.snapshot() as view:
            found = {id_: shelf.changeset_data(view, dataset, id_) for id_ in ids}
        held: dict[ChangesetId, bytes] = {}
        for id_, data in found.items():
            if data is not None and self._soundness.is_sound(id_, data):
                held[id_] = data
            elif data is not None:
                key = shelf.changeset_key(dataset, id_)
                self._context.damage.note(records.damaged(key, "changeset"))
        return held

    async def scrub(self, dataset: DatasetId) -> None:
        """Look over the unsealed changesets; rotten ones are noted, and mended as all damage is.

        Where they are very many, the next look goes on from where this one ended.
        """
        with self._context.store.snapshot() as view:
            ids = [entry.changeset for entry in hot_index.entries(view, dataset)]
        first = self._scrubbed.get(dataset, 0)
        first = first if first < len(ids) else 0
        last = min(first + SCRUBBED, len(ids))
        for start in range(first, last, _SCRUBBED_AT_ONCE):
            self.held(dataset, ids[start : min(start + _SCRUBBED_AT_ONCE, last)])
            await asyncio.sleep(0)  # whoever waits comes in between
        self._scrubbed[dataset] = last

    def nodes(self, held: Mapping[ChangesetId, bytes]) -> dict[ChangesetId, bytes]:
        """Return the nodes over changesets that are still known since they were taken in here."""
        return {id_: self._soundness.nodes(id_, data) for id_, data in held.items()}

    async def fetch(
        self, dataset: DatasetId, ids: Sequence[ChangesetId], sources: Sequence[Address]
    ) -> dict[ChangesetId, bytes]:
        """Return the listed changesets; those not here, or damaged, are taken from who has them."""
        held = self.held(dataset, ids)
        for source in sources:
            if not missing(ids, held.keys()):
                break
            try:
                await self._fetch(dataset, ids, source, held)
            except MfdbError as error:
                log.warning("copies not had from=0x%s %s", source.hex(), error)
        return held

    async def _fetch(
        self,
        dataset: DatasetId,
        ids: Sequence[ChangesetId],
        source: Address,
        held: dict[ChangesetId, bytes],
    ) -> None:
        while lacking := missing(ids, held.keys()):
            correspondent = await self._context.directory.reach(source)
            request = GetCopies(dataset=dataset, changesets=lacking)
            copies = await correspondent.ask(request, Copies)
            await self.take_all(dataset, copies.items)
            taken = self.held(dataset, lacking)
            if not taken:
                return
            held.update(taken)

    async def take_all(self, dataset: DatasetId, items: Iterable[LogItem]) -> None:
        """Take copies from others, the oldest first, for later ones may build on them.

        One that cannot be taken, because what it builds on is not here yet or it is no good, does
        not keep the others away; whoever needs it sees that it is lacking.
        """
        opened = [one for item in items if item.data and (one := _opened(item)) is not None]
        for changeset, item in sorted(opened, key=lambda one: (one[0].header.hlc, one[0].id)):
            try:
                await self._take(dataset, changeset, item)
            except MfdbError as error:
                log.info("copy not taken changeset=0x%s %s", changeset.id.hex(), error)

    async def acknowledged(self, dataset: DatasetId, items: Iterable[LogItem]) -> list[LogItem]:
        """Return those of some copies for which another provider's good receipt is with them."""
        agreements = self._context.placement(dataset).agreements
        found = []
        for item in items:
            for receipt in item.receipts:
                made = agreements.get(receipt.batch.provider)
                if made is None or made.agreement.id != receipt.ack.agreement:
                    continue
                if await self._is_good(receipt, item):
                    found.append(item)
                    break
        return found

    async def _is_good(self, receipt: WriteReceipt, item: LogItem) -> bool:
        record = await self._context.directory.record(receipt.batch.provider)
        try:
            check_write_receipt(
                receipt, item.data, network=self._context.network, signer=record.signer
            )
        except ProtocolViolation as error:
            log.info("receipt not good changeset=0x%s %s", item.changeset.hex(), error)
            return False
        return True

    async def _take(self, dataset: DatasetId, changeset: Changeset, item: LogItem) -> None:
        """Take a copy from another replica: valid because it spread, fresh or not."""
        if item.entry is None:
            raise BadProof("a copy comes with what opens it")
        await self._intake.take(changeset, item.data, item.entry, fresh=False)
        others = tuple(r for r in item.receipts if r.batch.provider != self._context.me)
        await self._intake.keep_receipts(PutReceipts(dataset=dataset, receipts=others))


def _opened(item: LogItem) -> tuple[Changeset, LogItem] | None:
    """Return the changeset of a copy, or None if it rotted where it comes from."""
    try:
        return open_changeset(item.data), item
    except MfdbError as error:
        log.info("copy not good changeset=0x%s %s", item.changeset.hex(), error)
        return None
