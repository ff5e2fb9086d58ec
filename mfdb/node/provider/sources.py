"""Whom this provider asks for what of a dataset is damaged here."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mfdb.kernel.errors import MfdbError
from mfdb.node.provider import records
from mfdb.rules.placement import SignedPlacement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.node.answers import A
    from mfdb.node.directory import Correspondent
    from mfdb.node.provider.context import Context
    from mfdb.node.requests import Request

log = logging.getLogger(__name__)


async def other_providers(context: Context, dataset: DatasetId) -> list[Address]:
    """Return whoever may keep a dataset, the newest first, without verifying anything.

    If nothing of its placement is whole here, that is every provider of the network.
    """
    named: dict[Address, None] = {}
    with context.store.snapshot() as view:
        whole = records.sound(view, b"P" + dataset, SignedPlacement, context.damage.note)
        for signed in reversed(list(whole)):
            named.update(dict.fromkeys(made.provider for made in signed.entry.assignments))
    if not set(named) - {context.me}:
        named = dict.fromkeys(await context.directory.providers())
    return [one for one in named if one != context.me and any(one)]


async def correspondents(context: Context, dataset: DatasetId) -> AsyncIterator[Correspondent]:
    """Yield those of them who can be reached."""
    for provider in await other_providers(context, dataset):
        try:
            yield await context.directory.reach(provider)
        except MfdbError as error:
            log.info("not reached provider=0x%s %s", provider.hex(), error)


async def answers(
    context: Context, dataset: DatasetId, request: Request, kind: type[A]
) -> AsyncIterator[A]:
    """Yield what they answer to a request, as far as they do; nothing of it is verified."""
    async for correspondent in correspondents(context, dataset):
        try:
            yield await correspondent.read(request, kind)
        except MfdbError as error:
            log.info("not told by=0x%s %s", correspondent.identity.hex(), error)
