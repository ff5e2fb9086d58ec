"""Giving shards to those who may read them, and proving to anybody that they are here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.errors import ShardMissing
from mfdb.node.answers import Proofs, Shard
from mfdb.node.provider import sealed_shelf
from mfdb.rules.manifest import Action
from mfdb.rules.placement import SLOTS
from replication.audit import answer

if TYPE_CHECKING:
    from mfdb.kernel.ids import Address, SegmentId
    from mfdb.node.provider.context import Context
    from mfdb.node.requests import Audit, GetShard


class Shards:
    """The service that hands out and proves shards."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def on_get_shard(self, request: GetShard, caller: Address) -> Shard:
        """Return a shard's bytes.

        Raises:
            AccessDenied: the caller may not read the dataset.
            ShardMissing: the shard is not here.
        """
        self._context.demand(Action.SELECT, request.dataset, caller)
        return Shard(data=self.read(request.segment, request.shard))

    def on_audit(self, request: Audit) -> Proofs:
        """Return proofs of the units that a beacon draws; whoever asks pays for the answer.

        Raises:
            ShardMissing: the shard is not here.
            BadProof: what is here is not what was promised.
        """
        shard = self.read(request.receipt.segment, request.receipt.shard)
        return Proofs(answer=answer(request.receipt, shard, request.beacon))

    def read(self, segment: SegmentId, index: int) -> bytes:
        """Return the bytes of a shard that lies here.

        Raises:
            ShardMissing: it does not.
        """
        found = None
        if 0 <= index < SLOTS:
            with self._context.store.snapshot() as view:
                found = sealed_shelf.shard(view, segment, index)
        if found is None:
            raise ShardMissing(f"shard {index} of segment 0x{segment.hex()[:16]} is not here")
        return found
