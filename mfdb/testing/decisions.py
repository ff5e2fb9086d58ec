"""What Bob decides about his mailbox while it is in use: who may write, who keeps it, and how.

He is a person: what he has decided he remembers, and repeats over every restart of his machine
until it is done, as the hints of his errors tell him to.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from mfdb.client.definitions import granted, revoked, signed, successor
from mfdb.kernel.errors import DeadlineExceeded, MfdbError
from mfdb.node.client.moving import Change
from mfdb.rules.manifest import Action, Grant, Grantee, Profile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mfdb.kernel.ids import Address
    from mfdb.rules.manifest import Manifest, SignedManifest
    from mfdb.testing.simulator_trace import Trace
    from mfdb.testing.workload import Owner, Promises

AGAIN_S = 5.0
PROFILES = (
    Profile(),
    Profile(k=3, n=5),
    Profile(k=3, n=6),
    Profile(replicas=4, write_quorum=3),
    Profile(replicas=4, write_quorum=3, k=2, n=5),
)
"""Each survives the loss of two shards, and a write quorum of it that of one provider."""


class Decisions:
    """Bob's list of what is to be done, and how far it is."""

    def __init__(self, owner: Owner, promises: Promises, trace: Trace) -> None:
        self._owner = owner
        self._promises = promises
        self._trace = trace
        self._todo: dict[str, Callable[[], Awaitable[None]]] = {}
        self.draining: set[Address] = set()
        """Who asked to be let go."""

    @property
    def open(self) -> list[str]:
        """What is not done yet."""
        return list(self._todo)

    async def work(self) -> None:
        """Do what is on the list, and again what failed, for as long as the machine runs."""
        while True:
            for what, job in list(self._todo.items()):
                try:
                    await job()
                except MfdbError as error:
                    self._trace.add(f"bob cannot {what}: {type(error).__name__}: {error}")
                else:
                    self._trace.add(f"bob is done: {what}")
                    if self._todo.get(what) is job:
                        del self._todo[what]
            await asyncio.sleep(AGAIN_S)

    # ---- what he decides

    def permit(self, writer: Address, name: str, *, permits: bool) -> None:
        """Somebody may insert from now on, or may not any more."""
        job = self._grant if permits else self._revoke
        self._todo[f"rule over {name}"] = partial(job, writer, name)

    def recode(self, profile: Profile) -> None:
        """Everything is to be kept in another code, by another number of replicas."""
        self._todo["recode"] = partial(self._recode, profile)

    def leave(self, provider: Address) -> None:
        """A provider is to keep nothing any more."""
        self._todo["move"] = partial(self._move, frozenset({provider}))

    def let_go(self, provider: Address) -> None:
        """A provider has asked to be let go."""
        self.draining.add(provider)
        self._todo["let go"] = self._let_go

    # ---- rules

    async def _newest(self) -> Manifest:
        """Return the rules in force at providers: he may have failed to keep what they took."""
        owner = self._owner
        found = await owner.machine.remote.whereabouts(owner.dataset)
        owner.replica.add_manifests(found.manifests)
        return owner.replica.known(owner.dataset).manifest

    async def _grant(self, writer: Address, name: str) -> None:
        self._promises.admitted(name)
        grant = Grant(Grantee.IDENTITY, writer, int(Action.INSERT), (), None, 0)
        before = await self._newest()
        await self._publish(before, granted(before, [grant], ()))

    async def _revoke(self, writer: Address, name: str) -> None:
        """Take the right back, as `REVOKE` does: what is known here by then stays."""
        owner = self._owner
        told = frozenset(id_ for id_, one in self._promises.writes.items() if one.author == name)
        await owner.machine.remote.sync(owner.dataset, owner.replica)
        before = await self._newest()
        lost = [(Grantee.IDENTITY, bytes(writer), int(Action.INSERT), ())]
        with owner.replica.reading() as reading:
            known = reading.known(owner.dataset)
            after = revoked(
                before,
                lost,
                frontier_of=lambda signer: reading.frontier(known, signer),
                keyring=owner.replica.keyring,
            )
        self._promises.excludes(name, after.acl_epoch, told)
        await self._publish(before, after)
        self._promises.excluded(name, after.acl_epoch)

    async def _publish(self, before: Manifest, after: Manifest) -> None:
        if after is not before:
            await self._publish_signed(signed(after, self._owner.machine.keys.account))

    async def _publish_signed(self, made: SignedManifest) -> None:
        await self._owner.machine.remote.publish(made)
        self._owner.replica.add_manifests([made])

    # ---- placement

    async def _recode(self, profile: Profile) -> None:
        before = await self._newest()
        publish = partial(self._publish, before, before)
        if before.profile != profile:
            publish = partial(self._publish, before, successor(before, profile=profile))
        await self._change(Change(profile=profile, publish=publish))

    async def _move(self, leaving: frozenset[Address]) -> None:
        await self._change(Change(profile=(await self._newest()).profile, leaving=leaving))

    async def _change(self, change: Change) -> None:
        moved = await self._owner.machine.remote.move(self._owner.dataset, change)
        self._trace.add(f"bob moved: {moved}")

    async def _let_go(self) -> None:
        """Look after the mailbox as a client's node does of itself, until nobody waits."""
        remote = self._owner.machine.remote
        await remote.look_after()
        found = await remote.whereabouts(self._owner.dataset)
        if not self.draining.isdisjoint(found.placement.providers):
            raise DeadlineExceeded("somebody who drains is not let go yet")
