"""The tree over units is that of the padded levels; a proof of a unit fits one place only."""

from __future__ import annotations

from hashlib import blake2b

import pytest

from mfdb.kernel.errors import BadProof
from mfdb.rules.units import UnitTree, check_unit, path_length, unit_count, unit_hash, unit_of

DATA = bytes(range(1, 256)) * 40


def naive_root(level: list[bytes]) -> bytes:
    """Pad with 32 zero bytes to a power of four, then take four by four."""
    while len(level) not in (1, 4, 16, 64):
        level = [*level, bytes(32)]
    while len(level) > 1:
        fours = [b"".join(level[at : at + 4]) for at in range(0, len(level), 4)]
        level = [blake2b(four, digest_size=32).digest() for four in fours]
    return level[0]


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 1024, 2049, 4097, 5100, 8193, 10_000])
def test_units_cover_the_data_and_are_filled_up_with_zeros(size: int) -> None:
    data = DATA[:size]
    units = [unit_of(data, at) for at in range(unit_count(size))]
    assert b"".join(units) == data + bytes(512 * len(units) - size)
    tree = UnitTree(data)
    assert tree.root == naive_root([blake2b(unit, digest_size=32).digest() for unit in units])
    assert tree.count == len(units)


def test_trailing_zeros_are_told_apart_only_by_the_length_beside_the_root() -> None:
    assert UnitTree(b"a").root == UnitTree(b"a\x00").root
    assert UnitTree(bytes(512)).root != UnitTree(bytes(513)).root


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9, 16, 17, 19])
def test_every_unit_has_a_path_that_fits_nowhere_else(count: int) -> None:
    data = DATA[: 512 * count]
    tree = UnitTree(data)
    for index in range(count):
        unit, path = unit_of(data, index), tree.path(index)
        check_unit(tree.root, unit, path, index=index, count=count)
        for other in (*range(-1, count + 2), 2**40):
            if other != index:
                with pytest.raises(BadProof):
                    check_unit(tree.root, unit, path, index=other, count=count)
        for other in {0, 1, 2 * count, 4 * count, 2**50}:
            if path_length(max(other, 1)) != path_length(count) or other <= index:
                with pytest.raises(BadProof):
                    check_unit(tree.root, unit, path, index=index, count=other)


def test_another_unit_or_path_is_refused() -> None:
    data = DATA[: 512 * 5]
    tree = UnitTree(data)
    unit, path = unit_of(data, 4), tree.path(4)
    for changed in (bytes(512), unit[:-1], unit + b"\x00", b""):
        with pytest.raises(BadProof):
            check_unit(tree.root, changed, path, index=4, count=5)
    for at in range(len(path)):
        for sibling in (bytes(31), bytes(33), bytes([path[at][0] ^ 1]) + path[at][1:]):
            changed_path = [*path[:at], sibling, *path[at + 1 :]]
            with pytest.raises(BadProof):
                check_unit(tree.root, unit, changed_path, index=4, count=5)


def test_a_node_never_passes_for_a_unit() -> None:
    data = DATA[: 512 * 8]
    tree = UnitTree(data)
    below = b"".join(unit_hash(unit_of(data, at)) for at in range(4))
    node, path = unit_hash(below), tree.path(0)[3:]
    assert unit_hash(node + b"".join(path)) == tree.root
    for unit in (below, below.ljust(512, b"\x00")):
        with pytest.raises(BadProof):
            check_unit(tree.root, unit, path, index=0, count=2)
