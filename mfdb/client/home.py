"""The home dataset: an identity's sealed list of its other datasets and of who keeps them.

The registry names the providers of the mailbox and of this dataset only; so a person with nothing
but seed words finds everything, and nobody else can tell what else there is (DESIGN 4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mfdb.client.definitions import owner_grants, signed
from mfdb.dataset.row_changes import RowInsert, RowUpdate
from mfdb.kernel.errors import NoProviders
from mfdb.kernel.ids import ZERO_HASH, Address, DatasetId, Hash, Wei
from mfdb.kernel.seed import HOME_LABEL, MAILBOX_NONCE
from mfdb.rules.manifest import (
    FORMAT,
    Column,
    Kind,
    Manifest,
    Ordering,
    Profile,
    SignedManifest,
    dataset_id,
)
from mfdb.store.ordered import pack

if TYPE_CHECKING:
    from mfdb.client.outbox import Outbox
    from mfdb.client.remote import Remote
    from mfdb.client.state import SessionState

NAME = "mf_home"
ADDRESS_BYTES = 20
SALT_BYTES = 32


class HomeDataset:
    """One identity's home dataset; made when the first dataset that needs it is published."""

    def __init__(self, state: SessionState, remote: Remote, outbox: Outbox) -> None:
        self._state = state
        self._remote = remote
        self._outbox = outbox

    async def publish(self, new: SignedManifest) -> None:
        """Publish a new dataset and note it here, so that the seed words alone find it again.

        Raises:
            NoProviders, QuorumNotReached, ChainError: the network is in the way.
        """
        await self._remote.publish(new)
        self._state.replica.add_manifests([new])
        if new.manifest.nonce not in (MAILBOX_NONCE, self._nonce):
            await self._note(new.manifest)

    async def note_again(self, manifest: Manifest) -> None:
        """Note who keeps a dataset now.

        Raises:
            QuorumNotReached, ChainError: the network is in the way.
        """
        if manifest.nonce in (MAILBOX_NONCE, self._nonce):
            return  # these the registry names
        replica = self._state.replica
        row = replica.keyring.row_id(self._dataset, pack(manifest.dataset))
        with replica.reading() as reading:
            known = reading.known(self._dataset)
            old = next((one for one in reading.rows(known) if one.row == row), None)
        if old is None:
            await self._note(manifest)
            return
        update = RowUpdate(row=row, parent=old.version, values=await self._values(manifest))
        await self._outbox.write(self._dataset, [update], sealed_sender=False)

    async def _values(self, manifest: Manifest) -> dict[str, object]:
        providers = await self._remote.providers(manifest.dataset)
        return {
            "dataset": manifest.dataset,
            "name": manifest.name,
            "providers": b"".join(providers),
        }

    async def restore(self) -> list[SignedManifest]:
        """Bring the mailbox, the home dataset and all that it lists here.

        Raises:
            UnknownIdentity: this identity has published nothing.
            NetworkError: the network is in the way.
        """
        found = await self._remote.restore(self._state.replica)
        for dataset, providers in self._listed():
            found.append(await self._remote.adopt(dataset, providers, self._state.replica))
        return [one for one in found if one.manifest.nonce != self._nonce]

    @property
    def _nonce(self) -> Hash:
        return self._state.keys.dataset_nonce(HOME_LABEL)

    @property
    def _dataset(self) -> DatasetId:
        return dataset_id(self._state.me, self._nonce)

    async def _note(self, manifest: Manifest) -> None:
        replica = self._state.replica
        if not replica.is_used(self._dataset):
            await self._begin(manifest)
        row = RowInsert(
            values=await self._values(manifest),
            row=replica.keyring.row_id(self._dataset, pack(manifest.dataset)),
        )
        await self._outbox.write(self._dataset, [row], sealed_sender=False)

    async def _begin(self, like: Manifest) -> None:
        """Make the home dataset, with the default profile where there are providers enough."""
        first = self._first_manifest(like)
        try:
            await self.publish(signed(first, self._state.keys.account))
        except NoProviders:
            if first.profile == like.profile:
                raise
            small = msgspec.structs.replace(first, profile=like.profile)
            await self.publish(signed(small, self._state.keys.account))

    def _listed(self) -> list[tuple[DatasetId, tuple[Address, ...]]]:
        replica = self._state.replica
        if not replica.is_used(self._dataset):
            return []
        with replica.reading() as reading:
            rows = list(reading.rows(reading.known(self._dataset)))
        return [(DatasetId(row.values[0]), _addresses(row.values[2])) for row in rows]

    def _first_manifest(self, like: Manifest) -> Manifest:
        """Return the home dataset's manifest, on the same network as `like`."""
        replica = self._state.replica
        return Manifest(
            format=FORMAT,
            network=like.network,
            dataset=self._dataset,
            owner=self._state.me,
            nonce=self._nonce,
            number=0,
            previous=ZERO_HASH,
            name=NAME,
            kind=Kind.DATASET,
            ordering=Ordering.OWNER,
            columns=(
                _column("dataset", "BYTEA", key=1),
                _column("name", "TEXT"),
                _column("providers", "BYTEA"),
            ),
            clauses=(),
            grants=owner_grants(),
            acl_epoch=0,
            revocations=(),
            read_keys=(replica.keyring.public_read_key(self._nonce, 0),),
            wrapped_keys=(),
            profile=Profile(),
            salt=Hash(self._state.entropy.token(SALT_BYTES)),
            price_ceiling=Wei(0),
            retention_s=like.retention_s,
            options=(),
        )


def _column(name: str, type_: str, *, key: int = 0) -> Column:
    return Column(
        name=name, type=type_, clear=False, not_null=True, key=key, default=None, unique=False
    )


def _addresses(joined: bytes) -> tuple[Address, ...]:
    starts = range(0, len(joined), ADDRESS_BYTES)
    return tuple(Address(joined[at : at + ADDRESS_BYTES]) for at in starts)
