"""A shard and its Merkle tree over 512-byte units, by which a provider proves it still holds it.

The tree is computed from the shard's bytes when it is needed (about 350 MB/s); only its root and
unit count are kept, in the store receipt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.errors import BadProof
from mfdb.rules.evidence import StoreReceipt
from mfdb.rules.units import UnitTree, check_unit, unit_count, unit_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.kernel.ids import AgreementId, Hash, SegmentId


class ShardTree:
    """The tree of one shard, for as many proofs as an audit asks for."""

    __slots__ = ("_shard", "_tree")

    def __init__(self, shard: bytes) -> None:
        self._shard = shard
        self._tree = UnitTree(shard)

    @property
    def root(self) -> Hash:
        """32 bytes that commit to every unit of the shard."""
        return self._tree.root

    @property
    def units(self) -> int:
        """How many 512-byte units the shard has; an empty one has one."""
        return self._tree.count

    def prove(self, index: int) -> tuple[bytes, tuple[Hash, ...]]:
        """Return unit `index` (512 bytes) and its path.

        Raises:
            BadProof: the shard has no such unit.
        """
        if not 0 <= index < self.units:
            raise BadProof(f"the shard has {self.units} units, there is no unit {index}")
        return unit_of(self._shard, index), self._tree.path(index)


def prove(shard: bytes, index: int) -> tuple[bytes, tuple[Hash, ...]]:
    """Return one unit of a shard (512 bytes) and its path; `ShardTree` is cheaper for many.

    Raises:
        BadProof: the shard has no such unit.
    """
    return ShardTree(shard).prove(index)


def check_proof(receipt: StoreReceipt, index: int, unit: bytes, path: Sequence[bytes]) -> None:
    """Return quietly if this is unit `index` of the shard that the receipt promises.

    The court contract judges by the same rule.

    Raises:
        BadProof: it is not.
    """
    check_unit(receipt.root, unit, path, index=index, count=receipt.units)


def store_receipt(
    agreement: AgreementId, segment: SegmentId, shard: bytes, *, index: int, expiry: int
) -> StoreReceipt:
    """Return the receipt to sign for shard `index` of a segment; `expiry` is block time in s."""
    return StoreReceipt(
        agreement=agreement,
        segment=segment,
        shard=index,
        root=UnitTree(shard).root,
        units=unit_count(len(shard)),
        expiry=expiry,
    )
