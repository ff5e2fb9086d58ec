"""Showing that the local copy of a dataset lacks nothing: against log roots that replicas sign.

    every replica: "sign where your log stands, now" -> its log from where it was read last
    -> the chain of heads leads to the signed one, every entry is here

A row is inserted, changed or deleted by a changeset, and changesets are signed by their authors; so
whoever holds all that a signed head commits to, and nothing but signed changesets, can tell of each
key that it is there, or is not, and of each range that it is whole. What a replica signed stays
with the copy: another history under the same number is evidence against it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from mfdb.kernel.codec import encode
from mfdb.kernel.errors import BadProof, MfdbError, ProtocolViolation, QuorumNotReached
from mfdb.kernel.ids import Hash
from mfdb.node.messages import GetRoot, LogPage, ReadLog, Root
from mfdb.rules.receipt import FIRST_LOG_HEAD, log_head
from mfdb.rules.signing import check_signature

if TYPE_CHECKING:
    from mfdb.dataset.replica import Replica
    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.node.client.context import ClientContext
    from mfdb.node.client.lookup import Lookup
    from mfdb.rules.receipt import LogRoot

log = logging.getLogger(__name__)
PAGE_BYTES = 2**20
_NUMBER_BYTES = 8


class Attesting:
    """The service that holds a local copy against the replicas' signed log roots."""

    def __init__(self, context: ClientContext, lookup: Lookup) -> None:
        self._context = context
        self._lookup = lookup

    async def attest(self, dataset: DatasetId, replica: Replica) -> int:
        """Return how many replicas have signed a log of which nothing is missing here.

        Raises:
            BadProof: a replica shows another log than it signs, or than it signed before.
            QuorumNotReached: fewer than a read quorum of replicas can be held against.
        """
        found = await self._lookup.look(dataset)
        replicas = found.placement.replica_set
        answers = await asyncio.gather(
            *(self._attested(provider, dataset, replica) for provider in replicas),
            return_exceptions=True,
        )
        for answer in answers:
            if isinstance(answer, ProtocolViolation):
                raise answer  # a lie that can be shown outweighs any quorum
            if isinstance(answer, BaseException) and not isinstance(answer, MfdbError):
                raise answer
        good = sum(answer is None for answer in answers)
        if good < found.manifest.profile.read_quorum:
            reasons = [str(answer) for answer in answers if answer is not None]
            raise QuorumNotReached(
                f"{good} of {found.manifest.profile.read_quorum} replicas could be held against: "
                + "; ".join(reasons),
                hint="wait until more replicas answer",
            )
        return good

    async def _attested(self, provider: Address, dataset: DatasetId, replica: Replica) -> None:
        correspondent = await self._context.directory.reach(provider)
        nonce = Hash(self._context.entropy.token(32))
        signed = (await correspondent.ask(GetRoot(dataset=dataset, nonce=nonce), Root)).signed
        root = signed.root
        check_signature(root, signed.signature, correspondent.record.signer)
        named = (root.network, root.dataset, root.provider, root.nonce)
        if named != (self._context.network.id, dataset, provider, nonce):
            raise BadProof("a replica signed another root than was asked for")
        await self._follow(root, replica)
        kept = root.number.to_bytes(_NUMBER_BYTES, "big", signed=True) + root.head
        replica.set_mark(dataset, _mark(provider), kept + encode(signed))

    async def _follow(self, root: LogRoot, replica: Replica) -> None:
        """Read a log from where it was read last up to its root."""
        dataset, provider = root.dataset, root.provider
        number, head = _read(replica, dataset, provider)
        if root.number < number:
            raise BadProof(f"replica 0x{provider.hex()} signs an older log than it signed before")
        correspondent = await self._context.directory.reach(provider)
        lacking = 0
        while number < root.number:
            request = ReadLog(dataset=dataset, after=number, limit_bytes=PAGE_BYTES)
            page = await correspondent.ask(request, LogPage)
            if not page.items:
                raise BadProof(f"replica 0x{provider.hex()} does not show the log that it signs")
            for item in page.items:
                if number == root.number:
                    break
                if item.number != number + 1:
                    raise BadProof(f"replica 0x{provider.hex()} leaves out entries of its log")
                number += 1
                head = log_head(head, number, item.changeset)
                lacking += not replica.has(dataset, item.changeset)
        if head != root.head:
            raise BadProof(f"replica 0x{provider.hex()} shows another log than the one it signs")
        if lacking:
            raise QuorumNotReached(f"{lacking} changesets of 0x{provider.hex()[:8]} are not here")


def _mark(provider: Address) -> str:
    return f"root/{provider.hex()}"


def _read(replica: Replica, dataset: DatasetId, provider: Address) -> tuple[int, Hash]:
    """Return number and head up to which a log was read, followed and found here."""
    kept = replica.mark(dataset, _mark(provider))
    if kept is None:
        return -1, FIRST_LOG_HEAD
    number = int.from_bytes(kept[:_NUMBER_BYTES], "big", signed=True)
    return number, Hash(kept[_NUMBER_BYTES : _NUMBER_BYTES + 32])
