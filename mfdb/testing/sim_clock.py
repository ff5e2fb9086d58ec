"""Clock and entropy of a simulation: both decided by the loop and the seed alone."""

from __future__ import annotations

import hashlib
from typing import Protocol

SIM_START_S = 1_750_000_000.0
"""A fixed moment in 2025 at which simulations begin unless told otherwise."""


class HasTime(Protocol):
    """Anything that counts seconds, such as an event loop."""

    def time(self) -> float:
        """Return seconds that never go back."""
        ...


class SimClock:
    """`mfdb.kernel.clock.Clock` of one simulated machine.

    `skew_s` is how far its wall clock is off; it may be changed while the simulation runs, as
    when an operator sets the clock. The monotonic clock is never off.
    """

    def __init__(self, loop: HasTime, *, start_s: float = SIM_START_S, skew_s: float = 0.0) -> None:
        self._loop = loop
        self._start_s = start_s
        self.skew_s = skew_s

    def now_s(self) -> float:
        """Return this machine's idea of the seconds since 1970."""
        return self._start_s + self._loop.time() + self.skew_s

    def monotonic_s(self) -> float:
        """Return the seconds since the loop began."""
        return self._loop.time()


class SeededEntropy:
    """`mfdb.kernel.entropy.Entropy` decided by a seed: SHA-256 over seed and a counter."""

    def __init__(self, seed: int | str | bytes) -> None:
        raw = seed if isinstance(seed, bytes) else str(seed).encode()
        self._key = hashlib.sha256(b"mfdb/simulated entropy\x00" + raw).digest()
        self._count = 0

    def token(self, size: int) -> bytes:
        """Return the next `size` bytes of the sequence."""
        blocks = bytearray()
        while len(blocks) < size:
            blocks += hashlib.sha256(self._key + self._count.to_bytes(8, "big")).digest()
            self._count += 1
        return bytes(blocks[:size])

    def fork(self, name: str) -> SeededEntropy:
        """Return an independent sequence for one party, whoever else draws how much."""
        return SeededEntropy(self._key + name.encode())
