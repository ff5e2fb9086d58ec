"""Finding somebody's dataset by its name: the mailbox by the home record, others by asking round.

Which providers an owner chose is written nowhere that readers know of, but whoever keeps a dataset
tells so to all who have a part in it. What a provider tells counts for nothing until manifests and
placement are verified: a liar can only be silent, and others that keep the dataset tell.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from mfdb.kernel.digest import sha256
from mfdb.kernel.errors import AccessDenied, MfdbError, UnknownDataset, UnknownIdentity
from mfdb.kernel.seed import MAILBOX_NONCE
from mfdb.node.answers import Datasets
from mfdb.node.requests import FindDatasets
from mfdb.rules.given_up import is_given_up
from mfdb.rules.manifest import dataset_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.node.client.context import ClientContext
    from mfdb.node.client.lookup import Lookup
    from mfdb.node.whereabouts import Whereabouts

log = logging.getLogger(__name__)
ABREAST = 8
"""Providers asked at the same time."""
MOST_ASKED = 256
"""Providers asked for one name; every answer is paid for."""


class Finding:
    """Finds datasets of other identities."""

    def __init__(self, context: ClientContext, lookup: Lookup) -> None:
        self._context = context
        self._lookup = lookup

    async def find(self, owner: Address, name: str | None) -> Whereabouts:
        """Return where an owner's dataset stands, its mailbox if no name is given.

        Raises:
            UnknownIdentity: the owner has published no home record, and no name was given.
            UnknownDataset: there is none of that name that is open to us, as far as anybody tells.
            AccessDenied: it is known, and open to us no longer.
        """
        if name is None or owner == self._context.me:  # ours are known from the home dataset
            return await self._mailbox_called(owner, name)
        refusal: MfdbError | None = None
        known = self._known(owner, name)
        if known is not None:
            try:
                return await self._lookup.look(known)
            except (AccessDenied, UnknownDataset) as error:
                refusal = error  # perhaps it was dropped, and another one has its name
        try:
            return await self._mailbox_called(owner, name)
        except AccessDenied as error:  # nothing in the mailbox is ours; in others, perhaps
            refusal = refusal or error
        except (UnknownDataset, UnknownIdentity):
            pass  # others than the mailbox are told of by who keeps them
        return await self._asked_round(FindDatasets(owner=owner, name=name), refusal)

    def _known(self, owner: Address, name: str) -> DatasetId | None:
        for dataset, found in self._lookup.kept().items():
            manifest = found.manifest
            if (manifest.owner, manifest.name) == (owner, name) and not is_given_up(manifest):
                return dataset
        return None

    async def _mailbox_called(self, owner: Address, name: str | None) -> Whereabouts:
        dataset = dataset_id(owner, MAILBOX_NONCE)
        if self._lookup.known(dataset) is not None:
            mailbox = await self._lookup.look(dataset)
        else:
            home = await self._context.directory.home(owner)
            mailbox = await self._lookup.look(dataset, home.mailbox_providers)
        if name not in (None, mailbox.manifest.name):
            raise UnknownDataset(f"the mailbox of 0x{owner.hex()} is not called {name}")
        return mailbox

    async def _asked_round(self, request: FindDatasets, refusal: MfdbError | None) -> Whereabouts:
        async for provider, dataset in self._told(request):
            found = await self._verified(provider, dataset, request)
            if found is not None:
                return found
        raise refusal or UnknownDataset(
            f"0x{request.owner.hex()} has no dataset {request.name} that is open to others",
            hint="its owner can GRANT rights to it; providers tell of it only who has any",
        )

    async def _told(self, request: FindDatasets) -> AsyncIterator[tuple[Address, DatasetId]]:
        """Yield which provider tells of which dataset, as long as anybody asks."""
        providers = await self._in_order(request)
        for first in range(0, len(providers), ABREAST):
            asked = providers[first : first + ABREAST]
            answers = await asyncio.gather(*(self._ask(provider, request) for provider in asked))
            for provider, ids in zip(asked, answers, strict=True):
                for dataset in ids:
                    yield provider, dataset

    async def _in_order(self, request: FindDatasets) -> list[Address]:
        """Return whom to ask, those we are connected to first; each name has its own order."""
        directory, name = self._context.directory, request.name.encode()

        def place(provider: Address) -> tuple[bool, bytes]:
            return directory.reached(provider) is None, sha256(request.owner, name, provider)

        return sorted(await directory.providers(), key=place)[:MOST_ASKED]

    async def _ask(self, provider: Address, request: FindDatasets) -> tuple[DatasetId, ...]:
        try:
            correspondent = await self._context.directory.reach(provider)
            return (await correspondent.ask(request, Datasets)).ids
        except MfdbError as error:
            log.info("does not tell what it keeps provider=0x%s %s", provider.hex(), error)
            return ()

    async def _verified(
        self, provider: Address, dataset: DatasetId, request: FindDatasets
    ) -> Whereabouts | None:
        """Return the newest state of a dataset that a provider told of, None if it told wrong."""
        try:
            await self._lookup.look(dataset, (provider,))
            found = await self._lookup.look(dataset)
        except MfdbError as error:
            log.warning("told of a dataset in vain provider=0x%s %s", provider.hex(), error)
            return None
        manifest = found.manifest
        is_it = (manifest.owner, manifest.name) == (request.owner, request.name)
        return found if is_it and not is_given_up(manifest) else None
