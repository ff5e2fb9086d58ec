"""Data keys of changesets to come: drawn and wrapped while nobody waits for it.

A data key depends on nothing that is written, and to wrap it takes as long as everything else that
a small changeset is composed of together. So one is made ready while providers work on the last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mfdb.rules.columns import DATA_KEY_BYTES, wrap_key

if TYPE_CHECKING:
    from mfdb.kernel.entropy import Entropy


class DataKey(NamedTuple):
    """A key for one changeset, and the envelope that whoever holds the read key opens."""

    key: bytes
    envelope: bytes


class DataKeys:
    """Makes data keys; each is given out once. One thread at a time."""

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy
        self._ready: tuple[bytes, DataKey] | None = None

    def make_ready(self, public: bytes) -> None:
        """Have a key at hand whose envelope is for this read key.

        Raises:
            BadProof: the read key is none.
        """
        if self._ready is None or self._ready[0] != public:
            self._ready = (public, self._made(public))

    def take(self, public: bytes) -> DataKey:
        """Return a key that nobody has been given, in an envelope for this read key.

        Raises:
            BadProof: the read key is none.
        """
        ready, self._ready = self._ready, None
        if ready is not None and ready[0] == public:
            return ready[1]
        return self._made(public)

    def _made(self, public: bytes) -> DataKey:
        key = self._entropy.token(DATA_KEY_BYTES)
        return DataKey(key, wrap_key(key, public))
