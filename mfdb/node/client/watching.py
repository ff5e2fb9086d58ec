"""Looking after own datasets: they leave providers that drain, or never promise their shards.

    drains                              -> moved away at once
    owes shards twice, `SUSPECT_S` apart -> suspected, moved away

Whoever promised a shard and lost it is for the audits and the court, which repair under the
mandate without the owner. But nobody can be convicted of a promise that was never given: a holder
whose disk is full, or that went away before a sealing, leaves segments with fewer than n shards
until it is back, or until their owner moves on.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mfdb.kernel.errors import MfdbError
from mfdb.node.client.moving import Change, unpromised
from mfdb.rules.records import DRAINING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.node.client.context import ClientContext
    from mfdb.node.client.lookup import Lookup
    from mfdb.node.client.moving import Moved

    Move = Callable[[DatasetId, Change], Awaitable[Moved]]

log = logging.getLogger(__name__)
SUSPECT_S = 600
"""How long a holder may owe shards; so long may a provider be away without a penalty, too."""


class Watching:
    """The service that looks after own datasets."""

    def __init__(self, context: ClientContext, lookup: Lookup, move: Move) -> None:
        self._context = context
        self._lookup = lookup
        self._move = move
        self._looked_s = context.clock.monotonic_s()
        self._owing: dict[DatasetId, frozenset[Address]] = {}

    async def draining(self) -> frozenset[Address]:
        """Return the providers that ask to be let go."""
        records = await self._context.directory.providers()
        return frozenset(one for one, record in records.items() if record.roles & DRAINING)

    async def look_after(self) -> int:
        """Move own datasets away from who drains or is suspected; return how many were moved.

        One that cannot be moved now is left for the next time.
        """
        moved = 0
        drains = await self.draining()
        suspects = await self._suspects()
        for dataset in self._lookup.own():
            found = await self._lookup.get(dataset)
            leaving = drains | suspects.get(dataset, frozenset())
            if leaving.isdisjoint(found.placement.providers):
                continue
            try:
                await self._move(dataset, Change(profile=found.manifest.profile, leaving=leaving))
                moved += 1
            except MfdbError as error:
                log.warning("not moved dataset=0x%s %s", dataset.hex(), error)
        return moved

    async def _suspects(self) -> dict[DatasetId, frozenset[Address]]:
        """Return who owes shards of a dataset now, and owed some when that was looked at last."""
        now_s = self._context.clock.monotonic_s()
        if now_s - self._looked_s < SUSPECT_S:
            return {}
        self._looked_s = now_s
        before, self._owing = self._owing, {}
        for dataset in self._lookup.own():
            try:
                found = await self._lookup.look(dataset)
            except MfdbError as error:
                log.info("not looked after dataset=0x%s %s", dataset.hex(), error)
                continue
            slots = {slot for bundle in found.segments for slot in unpromised(found, bundle)}
            self._owing[dataset] = frozenset(found.placement.shards[slot] for slot in slots)
        suspects = {
            one: owing & before.get(one, owing - owing) for one, owing in self._owing.items()
        }
        for dataset, who in suspects.items():
            for provider in who:
                log.warning(
                    "suspected provider=0x%s dataset=0x%s: it owes shards",
                    provider.hex(),
                    dataset.hex(),
                )
        return suspects
