"""Whether kept bytes are still those that were taken in: judged once, then known by their hash."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from mfdb.rules.changeset import is_changeset

if TYPE_CHECKING:
    from mfdb.kernel.ids import ChangesetId

REMEMBERED = 10_000


class Soundness:
    """Tells sound changesets from rotten ones.

    Decoding them and hashing every operation costs many times what one look over the bytes does, by
    which those that were taken in, or looked at before, are recognised.
    """

    def __init__(self) -> None:
        self._sound: OrderedDict[tuple[ChangesetId, int], None] = OrderedDict()

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

    def note(self, id_: ChangesetId, data: bytes) -> None:
        """Remember bytes that were found to be those of the changeset when they were taken in."""
        self._remember((id_, _mark(data)))

    def _remember(self, key: tuple[ChangesetId, int]) -> None:
        self._sound[key] = None
        if len(self._sound) > REMEMBERED:
            self._sound.popitem(last=False)


def _mark(data: bytes) -> int:
    """Return a number by which this process knows bytes again that lay on its own disk.

    Python's hash of bytes is SipHash, of 64 bits: enough against bits that turn by themselves,
    which is all that this is for, at five times the speed of BLAKE2.
    """
    return hash(data)
