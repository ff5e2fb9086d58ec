"""Trees over the units of a changeset or shard: what a receipt promises and the court asks for.

A unit has 512 bytes, the last one filled up with zeros. A leaf is BLAKE2b of a unit, a node BLAKE2b
of the four hashes below it, digests of 32 bytes: four hashes are one block of BLAKE2b, which costs
what two would. Each level is padded with the hashes of leaves of zeros to a multiple of four. A
hash covers how long its message is, so a node never passes for a unit. On processors without SHA
extensions such a tree takes less than half of what a binary one of SHA-256 takes, and every byte
that is sealed stands in several (ADR 0019); the EVM has the compression function at address 9.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING, Any

from mfdb.kernel.errors import BadProof
from mfdb.kernel.ids import ZERO_HASH, Hash
from mfdb.kernel.limits import MERKLE_DEPTH, UNIT_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

GROUP_BYTES = 4 * UNIT_BYTES
"""What the lowest nodes stand over."""
HASH_BYTES = 32
_UNIT = Struct(f"{UNIT_BYTES}s")
_NODE = Struct("128s")
_WIDTH = 4
_SIBLINGS = _WIDTH - 1


def unit_count(length_bytes: int) -> int:
    """Return how many 512-byte units cover a length; nothing still takes one.

    >>> [unit_count(n) for n in (0, 1, 512, 513)]
    [1, 1, 1, 2]
    """
    return max(1, -(-length_bytes // UNIT_BYTES))


def unit_of(data: bytes | memoryview, index: int) -> bytes:
    """Return unit `index` of the data, padded with zero bytes to 512."""
    unit = bytes(data[index * UNIT_BYTES : (index + 1) * UNIT_BYTES])
    return unit.ljust(UNIT_BYTES, b"\x00")


def unit_hash(unit: bytes) -> Hash:
    """Return the hash of a unit, or of the four hashes below a node, one after the other."""
    return Hash(blake2b(unit, digest_size=32).digest())


def path_length(count: int) -> int:
    """Return how many hashes the path of a unit has in a tree of so many: three for each level.

    >>> [path_length(n) for n in (1, 2, 4, 5, 16, 17)]
    [0, 3, 3, 6, 6, 9]
    """
    return _SIBLINGS * (((count - 1).bit_length() + 1) // 2)


class UnitTree:
    """The whole tree over the units of some data: its root and the path of every unit."""

    __slots__ = ("_levels", "count")

    def __init__(self, data: bytes) -> None:
        self.count = unit_count(len(data))
        level = _leaves(data, self.count)
        self._levels = [level]
        while len(level) > 1:
            # The padding is virtual: what is missing at a height is the root over leaves of zeros.
            level += [_padding(len(self._levels) - 1)] * (-len(level) % _WIDTH)
            level = _hashes(_NODE, b"".join(level))
            self._levels.append(level)

    @property
    def groups(self) -> bytes:
        """The hashes of the nodes over four whole units each, one after the other.

        Whatever lies in other data at a multiple of `GROUP_BYTES` has the same ones there.
        """
        whole = (self.count - 1) // _WIDTH
        return b"".join(self._levels[1][:whole]) if whole else b""

    @property
    def root(self) -> Hash:
        """32 bytes that commit to every unit and its position."""
        return self._levels[-1][0]

    def path(self, index: int) -> tuple[Hash, ...]:
        """Return what stands beside unit `index` and each node over it, from below, in order."""
        if not 0 <= index < self.count:
            raise IndexError(f"unit {index} of {self.count}")
        siblings: list[Hash] = []
        for level in self._levels[:-1]:
            first = index - index % _WIDTH
            siblings += level[first:index] + level[index + 1 : first + _WIDTH]
            index //= _WIDTH
        return tuple(siblings)


def _leaves(data: bytes | memoryview, count: int) -> list[Hash]:
    """Return `unit_hash` of each `unit_of`, without two calls for every unit."""
    last = (count - 1) * UNIT_BYTES  # only the last one is padded
    return [*_hashes(_UNIT, memoryview(data)[:last]), unit_hash(unit_of(data, count - 1))]


def _hashes(parts: Struct, data: bytes | memoryview) -> list[Hash]:
    found: list[Any] = [
        blake2b(part, digest_size=32).digest() for (part,) in parts.iter_unpack(data)
    ]
    return found


def group_hashes(data: bytes | memoryview) -> bytes:
    """Return the hashes of the nodes over each four units of some data, also of those cut short.

    Nothing has none.
    """
    if not data:
        return b""
    units = _leaves(data, unit_count(len(data)))
    units += [ZERO_HASH] * (-len(units) % _WIDTH)
    return b"".join(_hashes(_NODE, b"".join(units)))


def root_over(groups: bytes, count: int) -> Hash:
    """Return the root of a tree over `count` units, more than one, by its lowest nodes' hashes.

    >>> data = bytes(range(256)) * 20
    >>> root_over(group_hashes(data), unit_count(len(data))) == UnitTree(data).root
    True
    """
    assert count > 1, "a tree over one unit has no nodes"
    assert len(groups) == -(-count // _WIDTH) * HASH_BYTES, "a node for each four units"
    height = 1
    while len(groups) > HASH_BYTES:
        lacking = -len(groups) // HASH_BYTES % _WIDTH
        groups = b"".join(_hashes(_NODE, groups + _padding(height) * lacking))
        height += 1
    return Hash(groups)


@lru_cache
def _padding(height: int) -> Hash:
    """Return the root over 4^height leaves of zeros."""
    return unit_hash(_padding(height - 1) * _WIDTH) if height else ZERO_HASH


def check_unit(root: Hash, unit: bytes, path: Sequence[bytes], *, index: int, count: int) -> None:
    """Return quietly if `unit` stands at `index` of the units with this root and count.

    The court contract judges by the same rule.

    Raises:
        BadProof: it does not, or unit, index, count and path do not go together.
    """
    if len(unit) != UNIT_BYTES or any(len(node) != 32 for node in path):
        raise BadProof(f"a proof is a unit of {UNIT_BYTES} bytes and a path of 32-byte hashes")
    if not 0 <= index < count <= 2**MERKLE_DEPTH or len(path) != path_length(count):
        raise BadProof(f"unit {index} of {count} cannot have a path of {len(path)} hashes")
    at = unit_hash(unit)
    for beside in range(0, len(path), _SIBLINGS):
        place = beside + index % _WIDTH
        at = unit_hash(b"".join((*path[beside:place], at, *path[place : beside + _SIBLINGS])))
        index //= _WIDTH
    if at != root:
        raise BadProof("the Merkle path does not lead to the root")
