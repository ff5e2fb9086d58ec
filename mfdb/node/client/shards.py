"""Getting k good shards of a sealed segment from whoever holds them, with hedged requests.

As many holders are asked as shards are lacking, data shards first. A refusal, silence or wrong
bytes bring in the next one, and so does every `HEDGE_S` in which none answers: a slow holder costs
a moment, not its time-out, and whoever is quick is not asked for more than is needed.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from mfdb.kernel.errors import MfdbError, StripeLost
from mfdb.node.answers import Shard
from mfdb.node.requests import GetShard
from replication.segment import is_shard

if TYPE_CHECKING:
    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.node.client.context import ClientContext
    from mfdb.node.whereabouts import Whereabouts
    from replication.segment import SealedSegment

log = logging.getLogger(__name__)
HEDGE_S = 0.3
"""How long holders may be silent before another one is asked beside them."""


async def get_shards(
    context: ClientContext, found: Whereabouts, dataset: DatasetId, bundle: SealedSegment
) -> dict[int, bytes]:
    """Return k good shards of a segment by their slots.

    Raises:
        StripeLost: fewer can be had at present.
    """
    needed, shards = bundle.certificate.k, dict[int, bytes]()
    waiting = [_shard(context, who, dataset, bundle, slot) for slot, who in _holders(found, bundle)]
    waiting.reverse()
    asking: set[asyncio.Task[tuple[int, bytes | None]]] = set()
    is_slow = False
    try:
        while len(shards) < needed:
            while waiting and (is_slow or len(asking) + len(shards) < needed):
                asking.add(asyncio.ensure_future(waiting.pop()))
                is_slow = False
            if not asking:
                raise StripeLost(
                    f"{len(shards)} of {needed} shards could be fetched",
                    hint="wait until more providers are reachable",
                )
            done, asking = await asyncio.wait(
                asking, timeout=HEDGE_S, return_when=asyncio.FIRST_COMPLETED
            )
            is_slow = not done
            shards.update((slot, data) for slot, data in map(_result, done) if data is not None)
        return shards
    finally:
        for unasked in waiting:
            unasked.close()
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


def _result(task: asyncio.Task[tuple[int, bytes | None]]) -> tuple[int, bytes | None]:
    return task.result()


async def _shard(
    context: ClientContext, holder: Address, dataset: DatasetId, bundle: SealedSegment, slot: int
) -> tuple[int, bytes | None]:
    request = GetShard(dataset=dataset, segment=bundle.certificate.segment, shard=slot)
    try:
        correspondent = await context.directory.reach(holder)
        data = (await correspondent.read(request, Shard)).data
    except MfdbError as error:
        log.info("shard %d not had from=0x%s %s", slot, holder.hex(), error)
        return slot, None
    return slot, data if is_shard(bundle, slot, data) else None


def _holders(found: Whereabouts, bundle: SealedSegment) -> list[tuple[int, Address]]:
    """Return who promised which shard; a rebuilt shard is asked of both old and new holder."""
    providers = {made.agreement.id: who for who, made in found.placement.agreements.items()}
    pairs = [
        (signed.receipt.shard, providers[signed.receipt.agreement])
        for signed in bundle.receipts
        if signed.receipt.agreement in providers
    ]
    return sorted(set(pairs))
