"""Proofs fix the position of a leaf: no other index, count, path or inner node passes."""

from __future__ import annotations

from hashlib import sha256

import pytest

from mfdb.kernel.errors import BadProof
from mfdb.kernel.ids import Hash
from mfdb.rules.merkle import (
    MerkleTree,
    check_path,
    depth_of,
    leaf_hash,
    node_hash,
)

COUNTS = range(1, 18)


def leaves(count: int) -> list[Hash]:
    return [leaf_hash(bytes([at])) for at in range(count)]


def naive_root(level: list[bytes]) -> bytes:
    """Pad with 32 zero bytes to a power of two, then pair."""
    while len(level) & (len(level) - 1):
        level = [*level, bytes(32)]
    while len(level) > 1:
        level = [
            sha256(b"\x01" + level[at] + level[at + 1]).digest() for at in range(0, len(level), 2)
        ]
    return level[0]


@pytest.mark.parametrize("count", COUNTS)
def test_the_root_is_that_of_the_padded_tree(count: int) -> None:
    assert MerkleTree(leaves(count)).root == naive_root(list(leaves(count)))


@pytest.mark.parametrize("count", COUNTS)
def test_every_leaf_has_a_path_that_fits_nowhere_else(count: int) -> None:
    tree = MerkleTree(leaves(count))
    for index, leaf in enumerate(leaves(count)):
        path = tree.path(index)
        check_path(tree.root, leaf, path, index=index, count=count)
        for other in (*range(-1, count + 2), 2**40):
            if other != index:
                with pytest.raises(BadProof):
                    check_path(tree.root, leaf, path, index=other, count=count)
        for other_count in {0, 1, count - 1, count + 1, 2 * count, 4 * count, 2**50}:
            if depth_of(max(other_count, 1)) != depth_of(count) or other_count <= index:
                with pytest.raises(BadProof):
                    check_path(tree.root, leaf, path, index=index, count=other_count)


@pytest.mark.parametrize("count", [2, 3, 5, 9, 17])
def test_a_changed_path_or_leaf_is_refused(count: int) -> None:
    tree = MerkleTree(leaves(count))
    index = count - 1
    path = list(tree.path(index))
    for at in range(len(path)):
        for wrong in (bytes(32), path[at][:-1], path[at] + b"\x00", b""):
            if wrong != path[at]:
                changed = [*path[:at], wrong, *path[at + 1 :]]
                with pytest.raises(BadProof):
                    check_path(tree.root, leaves(count)[index], changed, index=index, count=count)
    others: list[list[Hash]] = [path[1:], path[:-1], [*path, Hash(bytes(32))], path[::-1]]
    for other in others:
        if other != path:
            with pytest.raises(BadProof):
                check_path(tree.root, leaves(count)[index], other, index=index, count=count)
    with pytest.raises(BadProof):
        check_path(tree.root, leaf_hash(b"other"), path, index=index, count=count)


def test_an_inner_node_never_passes_for_a_leaf() -> None:
    tree = MerkleTree(leaves(4))
    left, right = node_hash(*leaves(4)[:2]), node_hash(*leaves(4)[2:])
    assert node_hash(left, right) == tree.root
    for count in (1, 2, 3, 4, 8):
        if depth_of(count) != 1:
            with pytest.raises(BadProof):
                check_path(tree.root, left, [right], index=0, count=count)
    joined = leaves(4)[0] + leaves(4)[1]
    assert leaf_hash(joined) != left, "the prefixes keep data and nodes apart"


def test_padding_is_no_leaf_data() -> None:
    """The padding is 32 zero bytes, which is the hash of nothing; its place has no valid index."""
    tree = MerkleTree(leaves(3))
    path = [leaves(3)[2], node_hash(*leaves(3)[:2])]
    with pytest.raises(BadProof, match="leaf 3 of 3"):
        check_path(tree.root, Hash(bytes(32)), path, index=3, count=3)
    check_path(tree.root, Hash(bytes(32)), path, index=3, count=4)  # why the count is signed too


@pytest.mark.parametrize("index", [-1, 3, 100])
def test_there_is_no_path_of_a_leaf_that_is_not_there(index: int) -> None:
    with pytest.raises(IndexError):
        MerkleTree(leaves(3)).path(index)


def test_a_tree_has_a_leaf() -> None:
    with pytest.raises(ValueError, match="at least one"):
        MerkleTree([])
