"""Trees over the units of a changeset or shard: what a receipt promises and the court asks for.

Binary trees as in `mfdb.rules.merkle`, of BLAKE2b with digests of 32 bytes: a leaf is the hash of a
unit, 512 bytes, a node that of its two halves, 64 bytes. The hash covers how long its message is,
so neither passes for the other. On processors without SHA extensions such a tree takes half of what
one of SHA-256 takes (ADR 0019), and every byte that is sealed stands in several; the EVM has the
compression function at address 9 (EIP-152).
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING, cast

from mfdb.kernel.errors import BadProof
from mfdb.kernel.ids import ZERO_HASH, Hash
from mfdb.kernel.limits import UNIT_BYTES
from mfdb.rules.merkle import MerkleTree, check_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

_UNIT = Struct(f"{UNIT_BYTES}s")
_PAIR = Struct("64s")


def unit_count(length_bytes: int) -> int:
    """Return how many 512-byte units cover a length; nothing still takes one.

    >>> [unit_count(n) for n in (0, 1, 512, 513)]
    [1, 1, 1, 2]
    """
    return max(1, -(-length_bytes // UNIT_BYTES))


def unit_of(data: bytes, index: int) -> bytes:
    """Return unit `index` of the data, padded with zero bytes to 512."""
    return data[index * UNIT_BYTES : (index + 1) * UNIT_BYTES].ljust(UNIT_BYTES, b"\x00")


def unit_hash(unit: bytes) -> Hash:
    """Return the hash of a unit, or of the two hashes below a node, one after the other."""
    return Hash(blake2b(unit, digest_size=32).digest())


class UnitTree(MerkleTree):
    """The whole tree over the units of some data: its root and the path of every unit."""

    __slots__ = ()

    def __init__(self, data: bytes) -> None:
        # `unit_hash` of `unit_of`, without two calls for every unit; only the last one is padded.
        last = (unit_count(len(data)) - 1) * UNIT_BYTES
        units = _UNIT.iter_unpack(memoryview(data)[:last])
        leaves = [blake2b(unit, digest_size=32).digest() for (unit,) in units]
        leaves.append(unit_hash(unit_of(data, last // UNIT_BYTES)))
        super().__init__(cast("list[Hash]", leaves))

    @staticmethod
    def parents(level: bytes) -> list[Hash]:
        """Return the nodes over a level of an even number of hashes, one after the other."""
        pairs = _PAIR.iter_unpack(level)
        return cast("list[Hash]", [blake2b(pair, digest_size=32).digest() for (pair,) in pairs])

    @staticmethod
    @lru_cache
    def padding(height: int) -> Hash:
        """Return the root over 2^height leaves of zeros."""
        below = UnitTree.padding(height - 1) if height else ZERO_HASH
        return unit_hash(below + below) if height else ZERO_HASH


def check_unit(root: Hash, unit: bytes, path: Sequence[bytes], *, index: int, count: int) -> None:
    """Return quietly if `unit` stands at `index` of the units with this root and count.

    The court contract judges by the same rule.

    Raises:
        BadProof: it does not, or unit, index, count and path do not go together.
    """
    if len(unit) != UNIT_BYTES or any(len(node) != 32 for node in path):
        raise BadProof(f"a proof is a unit of {UNIT_BYTES} bytes and a path of 32-byte hashes")
    check_shape(index, count, path)
    at = unit_hash(unit)
    for height, sibling in enumerate(path):
        at = unit_hash(sibling + at if index >> height & 1 else at + sibling)
    if at != root:
        raise BadProof("the Merkle path does not lead to the root")
