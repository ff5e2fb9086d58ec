"""Statements about the rules of datasets on a network: who may, what is kept how, and where.

Whatever is signed here goes to all providers, and is known on this machine once a quorum has it.
Until then it is kept, and a statement that is repeated sends it again (`pending_rules`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import msgspec

from mfdb.client.definitions import readers
from mfdb.client.dropping import check_kind
from mfdb.client.options import MOVING, parse_options
from mfdb.client.pending_rules import PendingRules
from mfdb.client.results import Column, Result
from mfdb.dataset.keyring import EVERYBODY
from mfdb.kernel.errors import (
    DependentObjects,
    NoProviders,
    NotSupportedError,
    UnknownDataset,
    UnknownIdentity,
)
from mfdb.kernel.ids import Address
from mfdb.kernel.ids import show as show_id
from mfdb.node.client.moving import Change
from mfdb.rules.manifest import Action, Grantee, Manifest
from mfdb.sql import statement as st

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from mfdb.client.home import HomeDataset
    from mfdb.client.local import Local
    from mfdb.client.remote import Remote
    from mfdb.client.state import SessionState
    from mfdb.rules.manifest import Grant, SignedManifest, WrappedKey
    from mfdb.sql.bound import BoundCreate, BoundGrant, BoundPolicy, BoundRevoke

OfRules: TypeAlias = (
    st.Grant
    | st.Revoke
    | st.AlterOptions
    | st.Alter
    | st.DropDataset
    | st.SealDataset
    | st.CreatePolicy
    | st.DropPolicy
)
_TAGS: dict[type[OfRules], str] = {
    st.Grant: "GRANT",
    st.Revoke: "REVOKE",
    st.AlterOptions: "ALTER DATASET",
    st.Alter: "ALTER DATASET",
    st.DropDataset: "DROP DATASET",
    st.SealDataset: "ALTER DATASET",
    st.CreatePolicy: "CREATE POLICY",
    st.DropPolicy: "DROP POLICY",
}
OF_RULES = tuple(_TAGS)


class Ruling:
    """Carries statements about rules out, over the identity's node."""

    def __init__(
        self,
        state: SessionState,
        local: Local,
        remote: Remote,
        home: HomeDataset,
        sync: Callable[[Manifest], Awaitable[None]],
    ) -> None:
        """`sync` brings a dataset up to date here."""
        self._state = state
        self._local = local
        self._remote = remote
        self._home = home
        self._sync = sync
        self._pending = PendingRules(state.replica, remote, sync)

    async def create(self, statement: st.CreateDataset) -> Result:
        """Make a dataset on the network.

        Raises:
            NoProviders, QuorumNotReached, ChainError: the network is in the way.
        """
        self._local.defining.refuse_in_batch()
        bound: BoundCreate = self._local.ground.bound(statement)
        options = parse_options(statement.options, creates=True)
        network = self._remote.network.id
        signed = self._local.defining.definer.create(bound, options, network)
        if signed is not None:
            await self._home.publish(signed)
        return self._local.defining.created(bound, signed)

    async def run(self, statement: OfRules, manifest: Manifest, text: str) -> Result:
        """Return the result of a statement about the rules of a dataset that is known here.

        Raises:
            MfdbError: it failed. QuorumNotReached, DeadlineExceeded: it can be repeated.
        """
        self._local.defining.definer.own(manifest)
        tag = _tag(statement)
        if isinstance(statement, st.SealDataset):
            return await self._seal(manifest)
        if await self._pending.resume(manifest, text):
            return Result(tag=tag)
        manifest = self._state.replica.known(manifest.dataset).manifest
        if isinstance(statement, st.AlterOptions) and _moves(statement):
            return await self._move(manifest, statement)
        signed = await self._signed(statement, manifest)
        if signed is not None:
            await self._pending.publish(signed, text)
        return Result(tag=tag)

    async def _signed(self, statement: OfRules, manifest: Manifest) -> SignedManifest | None:
        """Return the manifest that carries a statement out, None if nothing is to be changed."""
        definer = self._local.defining.definer
        match statement:
            case st.Grant():
                bound: BoundGrant = self._local.ground.bound(statement)
                grants = definer.grants(bound)
                definer.grant(manifest, grants, ())  # refused before anybody is asked for keys
                return definer.grant(manifest, grants, await self._wrapped(manifest, grants))
            case st.Revoke():
                return await self._revoked(manifest, self._local.ground.bound(statement))
            case st.AlterOptions():
                return definer.alter(manifest, statement)
            case st.Alter():
                await self._sync(manifest)  # what is new must hold for every row
                current = self._state.replica.known(manifest.dataset)
                return self._local.altering.altered(statement, current)[0]
            case st.CreatePolicy():
                await self._sync(manifest)  # the frontier is what is known here
                newest = self._state.replica.known(manifest.dataset).manifest
                policy: BoundPolicy = self._local.ground.bound(statement)
                return definer.policy(newest, policy)
            case st.DropPolicy():
                return definer.without_policy(manifest, statement)
            case st.DropDataset():
                check_kind(manifest.kind, statement.table, statement)
                self._refuse_dependents(statement, manifest)
                return definer.drop(manifest)
        raise AssertionError("the other statements have been carried out")

    async def _move(self, manifest: Manifest, statement: st.AlterOptions) -> Result:
        """Set options where providers or the code change: the dataset moves first."""
        options = parse_options(statement.options, manifest.profile, creates=False)
        signed = self._local.defining.definer.alter(manifest, statement)
        profile = signed.manifest.profile
        among = frozenset(options.providers) if options.providers is not None else None
        if among is not None and len(among) < profile.n:
            raise NoProviders(
                f"{profile.n} providers are needed, {len(among)} are named",
                hint="name more, or set erasure",
            )

        async def publish() -> None:
            await self._pending.publish(signed, "")

        change = Change(profile=profile, among=among, publish=publish, tell=self._state.tell)
        try:
            moved = await self._remote.move(manifest.dataset, change)
        finally:
            self._state.tell("")
        if moved.joined or moved.left:
            await self._home.note_again(signed.manifest)
        names = ("joined", "left", "recoded", "released")
        row = (moved.joined, moved.left, moved.recoded, moved.released)
        columns = tuple(Column(name, "INTEGER") for name in names)
        return Result(tag="ALTER DATASET", columns=columns, rows=[row], count=1)

    def _refuse_dependents(self, statement: st.DropDataset, manifest: Manifest) -> None:
        if statement.more:
            raise NotSupportedError(
                "datasets on a network are dropped one at a time",
                position=statement.more[0].position,
            )
        with self._state.replica.reading() as reading:
            dataset = manifest.dataset
            built = [*reading.referring(dataset), *reading.viewing(dataset)]
        others = [one.manifest.name for one in built if one.manifest.dataset != dataset]
        if others:
            raise DependentObjects(
                f"{others[0]} is built on {manifest.name}",
                hint="drop that first",
                position=statement.table.position,
            )

    async def _revoked(self, manifest: Manifest, bound: BoundRevoke) -> SignedManifest | None:
        """The frontier is what is known here, so everything is fetched first."""
        await self._sync(manifest)
        definer = self._local.defining.definer
        current = self._state.replica.known(manifest.dataset).manifest
        after = definer.revoke(current, bound)
        if after is current:
            return None
        fresh = [key.epoch for key in after.read_keys if key not in current.read_keys]
        wrapped = list(after.wrapped_keys)
        for grantee, identity in readers(after):
            wrapped += await self._keys_for(after, grantee, identity, fresh)
        return definer.sign(msgspec.structs.replace(after, wrapped_keys=tuple(wrapped)))

    async def _wrapped(self, manifest: Manifest, grants: Sequence[Grant]) -> list[WrappedKey]:
        """Return the read keys, of all epochs, for everybody who may read from now on."""
        epochs = [key.epoch for key in manifest.read_keys]
        wrapped: list[WrappedKey] = []
        for grant in grants:
            if grant.actions & Action.SELECT:
                wrapped += await self._keys_for(manifest, grant.grantee, grant.identity, epochs)
        return [one for one in wrapped if one not in manifest.wrapped_keys]

    async def _keys_for(
        self, manifest: Manifest, grantee: Grantee, identity: bytes, epochs: Sequence[int]
    ) -> list[WrappedKey]:
        keyring = self._state.replica.keyring
        if grantee is Grantee.PUBLIC:
            return [keyring.wrap_for(manifest, epoch, EVERYBODY, b"") for epoch in epochs]
        if grantee is not Grantee.IDENTITY:
            return []
        reader = Address(identity)
        try:
            mailbox = await self._remote.find(reader, None)
        except (UnknownDataset, UnknownIdentity) as error:
            raise NotSupportedError(
                f"{show_id(reader)} has published no key to read with",
                hint="who shall read publishes one by CREATE MAILBOX, once on this network",
            ) from error
        key = mailbox.manifest.read_keys[0].public
        return [keyring.wrap_for(manifest, epoch, reader, key) for epoch in epochs]

    async def _seal(self, manifest: Manifest) -> Result:
        done = await self._remote.seal(manifest.dataset)
        rows: list[tuple[object, ...]] = [
            (done.segments, done.changesets, done.shards, round(done.seconds, 3))
        ]
        names = (
            Column("segments", "INTEGER"),
            Column("changesets", "INTEGER"),
            Column("shards", "INTEGER"),
            Column("seconds", "DOUBLE PRECISION"),
        )
        return Result(tag="ALTER DATASET", columns=names, rows=rows, count=1)


def _moves(statement: st.AlterOptions) -> bool:
    return any(option.name in MOVING for option in statement.options)


def _tag(statement: OfRules) -> str:
    if isinstance(statement, st.DropDataset) and statement.mailbox:
        return "DROP MAILBOX"
    return _TAGS[type(statement)]
