"""Whether kept bytes are still those that were taken in: judged once, then known by their hash."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from mfdb.rules.changeset import is_changeset
from replication.segment import ALIGNED_FROM_BYTES

if TYPE_CHECKING:
    from mfdb.kernel.ids import ChangesetId
    from mfdb.rules.units import UnitTree

    _Key = tuple[ChangesetId, int]

REMEMBERED = 10_000
NODES_BYTES = 2**22
"""Of nodes over what waits to be sealed: a 64th of its bytes, so those of 256 MiB."""


class Soundness:
    """Tells sound changesets from rotten ones.

    Decoding them and hashing every operation costs many times what one look over the bytes does, by
    which those that were taken in, or looked at before, are recognised. So are the nodes over them
    that their receipts were made of, which sealing takes over (`replication.segment`).
    """

    def __init__(self) -> None:
        self._sound: OrderedDict[_Key, None] = OrderedDict()
        self._nodes: OrderedDict[_Key, bytes] = OrderedDict()
        self._nodes_bytes = 0

    def is_sound(self, id_: ChangesetId, data: bytes) -> bool:
        """Return whether these bytes are those of the changeset, and no bit was turned."""
        key = (id_, _mark(data))
        if key in self._sound:
            self._sound.move_to_end(key)
            return True
        if not is_changeset(id_, data):
            return False
        self._remember(key)
        return True

    def note(self, id_: ChangesetId, data: bytes, tree: UnitTree) -> None:
        """Remember bytes that were found to be those of the changeset when they were taken in."""
        key = (id_, _mark(data))
        self._remember(key)
        if len(data) >= ALIGNED_FROM_BYTES:
            self._remember_nodes(key, tree.groups)

    def nodes(self, id_: ChangesetId, data: bytes) -> bytes:
        """Return `UnitTree.groups` of these bytes, if they are remembered; else nothing."""
        return self._nodes.get((id_, _mark(data)), b"")

    def _remember_nodes(self, key: _Key, nodes: bytes) -> None:
        self._nodes_bytes += len(nodes) - len(self._nodes.pop(key, b""))
        self._nodes[key] = nodes
        while self._nodes_bytes > NODES_BYTES:
            _, oldest = self._nodes.popitem(last=False)
            self._nodes_bytes -= len(oldest)

    def _remember(self, key: _Key) -> None:
        self._sound[key] = None
        if len(self._sound) > REMEMBERED:
            self._sound.popitem(last=False)


def _mark(data: bytes) -> int:
    """Return a number by which this process knows bytes again that lay on its own disk.

    Python's hash of bytes is SipHash, of 64 bits: enough against bits that turn by themselves,
    which is all that this is for, at five times the speed of BLAKE2.
    """
    return hash(data)
