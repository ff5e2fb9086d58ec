"""An ordered Merkle tree over the rows of a dataset: what is there, what is not, and no gap.

A leaf is a row's place (the first 16 bytes of its id) with the versions that are its heads, those
of deleted rows too. The tree is the binary trie over the bits of the places: a subtree of at most
`TWIG` leaves is a twig, SHA-256(0x00 || canonical array of its leaves), a larger one a node,
SHA-256(0x01 || left || right). So the same rows have the same root at every replica, whatever the
order in which they came, and 2^20 rows have paths of about 17 hashes.

A proof is the tree without the subtrees that were not asked for, of which only the hashes are
left. Whatever lies in a span that was asked for must be open, so that a row that is not shown is
not there: inclusion, absence and completeness are one check.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from mfdb.kernel.codec import Record, encode
from mfdb.kernel.errors import BadProof, ValueTooLarge
from mfdb.kernel.ids import Address, DatasetId, Hash, VersionId
from mfdb.rules.merkle import leaf_hash, node_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PLACE_BYTES = 16
_PLACE_BITS = 8 * PLACE_BYTES
_HASH_BYTES = 32
TWIG = 16
"""Leaves of a twig at most."""
KEPT = 256
"""Subtrees of at most that many leaves are made again when they are asked for, not kept."""
OPEN_BYTES = 2**20
"""What a proof opens at most."""


class RowLeaf(Record, frozen=True):
    """A row: its place, and its heads in ascending order."""

    place: bytes
    heads: tuple[VersionId, ...]


Span = tuple[bytes, bytes]
"""First and last place asked for, both within it."""
Part = bytes | tuple[RowLeaf, ...] | None
"""The hash of a subtree left out; an open twig; a node, of which left and right follow."""


class RowProof(Record, frozen=True):
    """A tree without what was not asked for, each node before its subtrees."""

    parts: tuple[Part, ...]


class RowRoot(Record, frozen=True):
    """Which rows a replica has, as its log stands: the root of their tree.

    `hlc` is the highest of all that the log has, 0 before the first. `nonce` is the asker's, so
    that an old root never passes for the newest.
    """

    network: Hash
    dataset: DatasetId
    provider: Address
    number: int
    head: Hash
    hlc: int
    rows: Hash
    nonce: Hash

    DOMAIN: ClassVar[str] = "mfdb.row-root.v2"


class SignedRowRoot(Record, frozen=True):
    """A row root with its replica's (hot key's) signature."""

    root: RowRoot
    signature: bytes


class Subtree(NamedTuple):
    """The places that begin with the same `depth` bits."""

    depth: int = 0
    bits: int = 0

    @property
    def first(self) -> bytes:
        """The lowest place in it."""
        return (self.bits << (_PLACE_BITS - self.depth)).to_bytes(PLACE_BYTES, "big")

    @property
    def last(self) -> bytes:
        """The highest place in it."""
        below = ((self.bits + 1) << (_PLACE_BITS - self.depth)) - 1
        return below.to_bytes(PLACE_BYTES, "big")

    @property
    def halves(self) -> tuple[Subtree, Subtree]:
        """Its left and its right half."""
        left = Subtree(self.depth + 1, self.bits << 1)
        return left, Subtree(left.depth, left.bits + 1)

    def meets(self, spans: Sequence[Span]) -> bool:
        """Return whether a span reaches into it."""
        return any(first <= self.last and last >= self.first for first, last in spans)


WHOLE = Subtree()


@dataclass(frozen=True, slots=True)
class RowTree:
    """A subtree: its hash, how many leaves it has, and its halves as far as they are kept."""

    hash: Hash
    count: int
    halves: tuple[RowTree, RowTree] | None = None


if TYPE_CHECKING:
    Scan = Callable[[bytes, bytes], Iterator[RowLeaf]]
    """Yields the leaves from one place up to another, both included, in ascending order."""


def row_leaf(row: bytes, heads: Sequence[VersionId]) -> RowLeaf:
    """Return the leaf of a row with these heads."""
    return RowLeaf(row[:PLACE_BYTES], tuple(sorted(heads)))


def grow(scan: Scan, at: Subtree = WHOLE, *, kept: int = KEPT) -> RowTree:
    """Return the tree over all leaves of a subtree; the work grows with their number."""
    return _grow(_Ahead(scan(at.first, at.last)), at, kept)


def regrow(tree: RowTree, changed: Sequence[bytes], scan: Scan, at: Subtree = WHOLE) -> RowTree:
    """Return a tree after the leaves at some places (ascending) changed or came."""
    if not changed:
        return tree
    if tree.halves is None:
        return grow(scan, at)
    left, right = at.halves
    middle = bisect_left(changed, right.first)
    return _joined(
        regrow(tree.halves[0], changed[:middle], scan, left),
        regrow(tree.halves[1], changed[middle:], scan, right),
    )


def prove(tree: RowTree, spans: Sequence[Span], scan: Scan) -> RowProof:
    """Return what shows all leaves in some spans, and that there are no others.

    Raises:
        ValueTooLarge: it would open more than `OPEN_BYTES`.
    """
    parts: list[Part] = []
    size = 0
    left = [(tree, WHOLE)]
    while left:
        here, at = left.pop()
        if not at.meets(spans):
            parts.append(here.hash)
        elif here.count <= TWIG:
            leaves = tuple(scan(at.first, at.last))
            parts.append(leaves)
            size += sum(PLACE_BYTES + _HASH_BYTES * len(leaf.heads) for leaf in leaves)
            if size > OPEN_BYTES:
                raise ValueTooLarge(
                    f"the rows asked for take more than {OPEN_BYTES} bytes to show",
                    hint="ask for fewer at a time",
                )
        else:
            parts.append(None)
            halves = here.halves or grow(scan, at, kept=TWIG).halves
            assert halves is not None, "a subtree of more leaves than a twig has halves"
            left += reversed(list(zip(halves, at.halves, strict=True)))
    return RowProof(tuple(parts))


def check_rows(proof: RowProof, root: Hash, spans: Sequence[Span]) -> list[RowLeaf]:
    """Return all leaves that a tree with this root has in some spans, in ascending order.

    Raises:
        BadProof: the proof is of another tree, or leaves out something that was asked for.
    """
    reader = _Reader(proof.parts, spans)
    if reader.hash_of(WHOLE) != root or not reader.is_at_end:
        raise BadProof("the rows that are shown do not lead to the root")
    return [
        leaf for leaf in reader.leaves if any(first <= leaf.place <= last for first, last in spans)
    ]


class _Reader:
    """Reads a proof from front to end; what is hostile in it costs no more than its length."""

    def __init__(self, parts: Sequence[Part], spans: Sequence[Span]) -> None:
        self._parts = iter(parts)
        self._spans = spans
        self.leaves: list[RowLeaf] = []

    @property
    def is_at_end(self) -> bool:
        """Whether nothing is left over; it is taken out if there is."""
        return next(self._parts, self) is self

    def hash_of(self, at: Subtree) -> Hash:
        part = next(self._parts, b"")
        if part is None:
            if at.depth == _PLACE_BITS:
                raise BadProof("a proof of rows goes deeper than their ids")
            left, right = at.halves
            return node_hash(self.hash_of(left), self.hash_of(right))
        if isinstance(part, tuple):
            _check_twig(part, at)
            self.leaves += part
            return _twig_hash(part)
        if len(part) != _HASH_BYTES or at.meets(self._spans):
            raise BadProof("a proof of rows leaves out what was asked for")
        return Hash(part)


def _check_twig(leaves: Sequence[RowLeaf], at: Subtree) -> None:
    places = [leaf.place for leaf in leaves]
    if len(leaves) > TWIG or places != sorted(set(places)):
        raise BadProof("the rows of a twig are too many, or do not ascend")
    for leaf in leaves:
        if len(leaf.place) != PLACE_BYTES or not at.first <= leaf.place <= at.last:
            raise BadProof("a row is shown where it does not belong")
        if not leaf.heads or list(leaf.heads) != sorted(set(leaf.heads)):
            raise BadProof("the versions of a row do not ascend")


class _Ahead:
    """Leaves of which a few are looked at before they are taken."""

    def __init__(self, leaves: Iterator[RowLeaf]) -> None:
        self._leaves = leaves
        self._seen: deque[RowLeaf] = deque()

    def exceeds(self, last: bytes) -> bool:
        """Return whether more than a twig of leaves stand up to a place."""
        while len(self._seen) <= TWIG:
            leaf = next(self._leaves, None)
            if leaf is None:
                return False
            self._seen.append(leaf)
        return self._seen[TWIG].place <= last

    def take(self, last: bytes) -> list[RowLeaf]:
        """Take out the leaves up to a place; they fit a twig."""
        taken: list[RowLeaf] = []
        while self._seen and self._seen[0].place <= last:
            taken.append(self._seen.popleft())
        return taken


def _grow(ahead: _Ahead, at: Subtree, kept: int) -> RowTree:
    if not ahead.exceeds(at.last):
        leaves = ahead.take(at.last)
        return RowTree(_twig_hash(leaves), len(leaves))
    left, right = at.halves
    tree = _joined(_grow(ahead, left, kept), _grow(ahead, right, kept))
    return tree if tree.count > kept else RowTree(tree.hash, tree.count)


def _joined(left: RowTree, right: RowTree) -> RowTree:
    return RowTree(node_hash(left.hash, right.hash), left.count + right.count, (left, right))


def _twig_hash(leaves: Sequence[RowLeaf]) -> Hash:
    return leaf_hash(encode(tuple(leaves)))
