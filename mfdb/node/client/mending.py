"""Read repair: a replica that has not what was seen already is handed it.

    what was seen of a dataset, the highest HLC -> `min_hlc` of every read
    a replica whose log is older says so        -> it does not count for the quorum of that read
                                                -> acknowledged changesets above its own highest HLC

Reads are monotone without that, because what was read once is here. But a replica that lost what
it acknowledged, or was away, gets it back from the first reader instead of at the next
reconciliation.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mfdb.kernel.clock import Hlc, hlc_seconds
from mfdb.kernel.codec import encode
from mfdb.kernel.errors import MfdbError
from mfdb.node.answers import Done, LogItem
from mfdb.node.requests import PutCopies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.dataset.replica import Replica
    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.node.client.context import ClientContext
    from mfdb.node.whereabouts import Whereabouts

log = logging.getLogger(__name__)
MEND_AFTER_S = 5.0
"""What is younger may still be on its way to a replica."""
MEND_BYTES = 2**20
"""What is handed over at once; the next read hands over more."""
_MARK = "seen"


class Mending:
    """Remembers what was seen, and hands it to replicas that have not got it."""

    def __init__(self, context: ClientContext) -> None:
        self._context = context
        self._seen: dict[DatasetId, int] = {}
        self._under_way: set[tuple[DatasetId, Address]] = set()

    def saw(self, dataset: DatasetId, hlc: int) -> None:
        """Take note of a changeset that was read, or acknowledged to us."""
        self._seen[dataset] = max(self._seen.get(dataset, 0), hlc)

    def keep(self, dataset: DatasetId, replica: Replica) -> None:
        """Make durable what was seen."""
        seen = self._seen.get(dataset, 0)
        if seen > _kept(dataset, replica):
            replica.set_mark(dataset, _MARK, seen.to_bytes(8, "big"))

    def seen(self, dataset: DatasetId, replica: Replica) -> int:
        """Return the highest HLC that was seen, by this process or one before; 0 for none."""
        if dataset not in self._seen:
            self._seen[dataset] = _kept(dataset, replica)
        return self._seen[dataset]

    def lags(self, found: Whereabouts, provider: Address, behind: int, replica: Replica) -> None:
        """Hand a replica, in the background, what it lacks above an HLC, unless that is fresh."""
        dataset = found.manifest.dataset
        fresh_s = self._context.clock.now_s() - MEND_AFTER_S
        if (dataset, provider) in self._under_way:
            return
        if hlc_seconds(Hlc(self.seen(dataset, replica))) > fresh_s:
            return
        self._under_way.add((dataset, provider))
        work = self._mend(found, provider, behind, replica)
        self._context.tasks.spawn(f"mend 0x{provider.hex()[:8]}", work)

    async def _mend(
        self, found: Whereabouts, provider: Address, behind: int, replica: Replica
    ) -> None:
        dataset = found.manifest.dataset
        try:
            items = tuple(_page(_lacking(found, behind, replica)))
            if items:
                correspondent = await self._context.directory.reach(provider)
                await correspondent.ask(PutCopies(dataset=dataset, items=items), Done)
                log.info("handed %d changesets to=0x%s", len(items), provider.hex())
        except MfdbError as error:
            log.info("not mended replica=0x%s %s", provider.hex(), error)
        finally:
            self._under_way.discard((dataset, provider))


def _lacking(found: Whereabouts, behind: int, replica: Replica) -> Iterator[LogItem]:
    """Yield what is acknowledged, not sealed and newer than a replica's log, the oldest first."""
    dataset = found.manifest.dataset
    sealed = {id_ for bundle in found.segments for id_ in bundle.changesets}
    for changeset, entry in replica.copies(dataset):
        if changeset.header.hlc <= behind or entry.changeset in sealed:
            continue
        receipts = replica.receipts(dataset, entry.changeset)
        if receipts:
            yield LogItem(
                number=0,
                changeset=entry.changeset,
                data=encode(changeset),
                entry=entry,
                receipts=receipts,
            )


def _page(items: Iterator[LogItem]) -> Iterator[LogItem]:
    size = 0
    for item in items:
        yield item
        size += len(item.data)
        if size >= MEND_BYTES:
            return


def _kept(dataset: DatasetId, replica: Replica) -> int:
    return int.from_bytes(replica.mark(dataset, _MARK) or b"", "big")
