"""Which records of this provider's disk were found damaged, until they are whole again.

Noted wherever a damaged record stops something, told once in the log, and counted in the figures.
`mfdb.node.provider.restoring` mends them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mfdb.node.provider.records import DamagedRecord

if TYPE_CHECKING:
    from mfdb.kernel.clock import Clock

log = logging.getLogger(__name__)
AGAIN_S = 60.0
"""After how long a record is looked at again that nobody could give."""
NOTED = 10_000
"""Records noted at most; others are found again when these are mended."""


class Damage:
    """The damaged records that are known of, and when each is to be mended."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due_s: dict[bytes, float] = {}

    def __len__(self) -> int:
        """How many are known of."""
        return len(self._due_s)

    def note(self, error: Exception) -> None:
        """Take note of an error, if it says that a record here is damaged."""
        if not isinstance(error, DamagedRecord) or not error.key:
            return
        if error.key not in self._due_s and len(self._due_s) < NOTED:
            log.error("%s key=0x%s", error.message, error.key.hex())
            self._due_s[error.key] = self._clock.monotonic_s()

    def due(self) -> list[bytes]:
        """Return the keys of what is to be mended now."""
        now_s = self._clock.monotonic_s()
        return [key for key, due_s in self._due_s.items() if due_s <= now_s]

    def mended(self, key: bytes) -> None:
        """Take note that a record is whole again, or needed no more."""
        del self._due_s[key]
        log.warning("mended key=0x%s", key.hex())

    def put_off(self, key: bytes) -> None:
        """Look at a record again later: nobody could give it."""
        self._due_s[key] = self._clock.monotonic_s() + AGAIN_S
