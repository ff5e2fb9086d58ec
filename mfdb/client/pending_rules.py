"""New rules of a dataset that were signed, until a quorum of its providers has them.

    signed -> kept here -> sent -> taken by a quorum: known here, no longer kept
                                -> by fewer, or nobody knows: the next statement about the rules
                                   sends the very same ones first

Another manifest under the same number would be a fork: a provider that took the first one refuses
the second for ever. And two that a repeated statement makes are seldom equal: keys are wrapped
anew for readers, and the frontier of a revocation is what is known by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.codec import Record, decode_own, encode
from mfdb.kernel.errors import QuorumNotReached
from mfdb.rules.manifest import Manifest, SignedManifest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mfdb.client.remote import Remote
    from mfdb.dataset.replica import Replica

_MARK = "rules"


class KeptRules(Record, frozen=True):
    """A manifest that may be on its way, and the statement that it carries out.

    `text` is empty where the statement has more to do than that.
    """

    text: str
    signed: SignedManifest


class PendingRules:
    """Sends new rules, and keeps them until they are known to have arrived."""

    def __init__(
        self, replica: Replica, remote: Remote, sync: Callable[[Manifest], Awaitable[None]]
    ) -> None:
        self._replica = replica
        self._remote = remote
        self._sync = sync

    async def publish(self, signed: SignedManifest, text: str) -> None:
        """Bring rules to the providers; they are known here once a quorum has them.

        Raises:
            QuorumNotReached: too few have taken them; they are kept, and sent again.
        """
        kept = KeptRules(text, signed)
        self._replica.set_mark(signed.manifest.dataset, _MARK, encode(kept))
        await self._send(signed)

    async def resume(self, manifest: Manifest, text: str) -> bool:
        """Send what is kept for a dataset; return whether a statement of this text is done by it.

        Raises:
            QuorumNotReached: too few have taken it, still.
        """
        dataset = manifest.dataset
        data = self._replica.mark(dataset, _MARK)
        if data is None:
            return False
        kept = decode_own(KeptRules, data)
        if self._may_follow(kept):
            try:
                await self._send(kept.signed)
            except QuorumNotReached:
                await self._sync(manifest)
                if self._may_follow(kept):
                    raise
        self._replica.set_mark(dataset, _MARK, None)
        stands = {one.hash for one in self._replica.known(dataset).manifests}
        return kept.signed.manifest.hash in stands and text != "" and kept.text == text

    def _may_follow(self, kept: KeptRules) -> bool:
        """Return whether it may still be sent: no other machine of ours was first."""
        newest = self._replica.known(kept.signed.manifest.dataset).manifest
        return newest.hash in (kept.signed.manifest.hash, kept.signed.manifest.previous)

    async def _send(self, signed: SignedManifest) -> None:
        await self._remote.publish(signed)
        self._replica.add_manifests([signed])
        self._replica.set_mark(signed.manifest.dataset, _MARK, None)
