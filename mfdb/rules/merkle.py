"""Binary SHA-256 Merkle trees whose proofs fix the position of a leaf (DESIGN 5).

A leaf is hashed as SHA-256(0x00 || data), a node as SHA-256(0x01 || left || right). The leaf
level is padded with 32 zero bytes to the next power of two (so a tree of one leaf has depth 0 and
its root is the leaf's hash). A path lists siblings from the leaf upwards; left or right follows
from the bits of the index. A receipt binds root *and* number of leaves, so depth and index range
are fixed and an inner node can never pass for a leaf.
"""

from __future__ import annotations

from hashlib import sha256
from struct import Struct
from typing import TYPE_CHECKING

from mfdb.kernel.errors import BadProof
from mfdb.kernel.ids import ZERO_HASH, Hash
from mfdb.kernel.limits import MERKLE_DEPTH

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


_PAIR = Struct("64s")


def leaf_hash(data: bytes) -> Hash:
    """Return the hash of a leaf's data."""
    return Hash(sha256(b"\x00" + data).digest())


def node_hash(left: bytes, right: bytes) -> Hash:
    """Return the hash of an inner node."""
    return Hash(sha256(b"\x01" + left + right).digest())


def depth_of(count: int) -> int:
    """Return the depth of a tree with `count` leaves (at least one).

    >>> [depth_of(n) for n in (1, 2, 3, 4, 5)]
    [0, 1, 2, 2, 3]
    """
    return (count - 1).bit_length()


class MerkleTree:
    """A whole tree in memory: its root and the path of every leaf."""

    __slots__ = ("_levels", "count")

    def __init__(self, leaves: Iterable[Hash]) -> None:
        level = list(leaves)
        if not level:
            raise ValueError("a Merkle tree has at least one leaf")
        self.count = len(level)
        self._levels = [level]
        # The padding is virtual: a missing sibling at height h is the root of 2^h zero leaves.
        for height in range(depth_of(self.count)):
            if len(level) & 1:
                level = [*level, _padding(height)]
            # `node_hash`, without a call for every node.
            level = [
                Hash(sha256(b"\x01" + pair).digest())
                for (pair,) in _PAIR.iter_unpack(b"".join(level))
            ]
            self._levels.append(level)

    @property
    def root(self) -> Hash:
        """32 bytes that commit to every leaf and its position."""
        return self._levels[-1][0]

    def path(self, index: int) -> tuple[Hash, ...]:
        """Return the siblings from leaf `index` up to below the root."""
        if not 0 <= index < self.count:
            raise IndexError(f"leaf {index} of {self.count}")
        siblings = []
        for height, level in enumerate(self._levels[:-1]):
            sibling = (index >> height) ^ 1
            siblings.append(level[sibling] if sibling < len(level) else _padding(height))
        return tuple(siblings)


_paddings = [ZERO_HASH]


def _padding(height: int) -> Hash:
    while len(_paddings) <= height:
        _paddings.append(node_hash(_paddings[-1], _paddings[-1]))
    return _paddings[height]


def check_path(root: Hash, leaf: Hash, path: Sequence[bytes], *, index: int, count: int) -> None:
    """Return quietly if `leaf` stands at `index` of the tree with this root and leaf count.

    Raises:
        BadProof: it does not, or index, count and path length do not go together.
    """
    if count == 1 and not index and not path and leaf == root:
        return  # as of nearly every receipt
    if not 0 <= index < count or len(path) != depth_of(count) or len(path) > MERKLE_DEPTH:
        raise BadProof(f"leaf {index} of {count} cannot have a path of {len(path)} hashes")
    at = leaf
    for height, sibling in enumerate(path):
        at = node_hash(sibling, at) if index >> height & 1 else node_hash(at, sibling)
    if at != root:
        raise BadProof("the Merkle path does not lead to the root")
