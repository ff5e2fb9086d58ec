"""Whether kept bytes are still those that were taken in: judged once, then known by their hash."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING

from mfdb.rules.changeset import is_changeset

if TYPE_CHECKING:
    from mfdb.kernel.ids import ChangesetId

REMEMBERED = 10_000


class Soundness:
    """Tells sound changesets from rotten ones.

    A sealing looks at the same bytes several times. Decoding them and hashing every operation
    costs ten times what one SHA-256 over them does, by which they are recognised.
    """

    def __init__(self) -> None:
        self._sound: OrderedDict[tuple[ChangesetId, bytes], None] = OrderedDict()

    def is_sound(self, id_: ChangesetId, data: bytes) -> bool:
        """Return whether these bytes are those of the changeset, and no bit was turned."""
        key = (id_, hashlib.sha256(data).digest())
        if key in self._sound:
            self._sound.move_to_end(key)
            return True
        if not is_changeset(id_, data):
            return False
        self._sound[key] = None
        if len(self._sound) > REMEMBERED:
            self._sound.popitem(last=False)
        return True
