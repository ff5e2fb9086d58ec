"""The real clock and the real entropy: the only file that asks the operating system for either.

Everything else takes a `Clock` and an `Entropy` as arguments, so that a simulation can decide
both from one seed.
"""

from __future__ import annotations

import os
import time


class SystemClock:
    """`mfdb.kernel.clock.Clock` of the machine this process runs on."""

    __slots__ = ()

    def now_s(self) -> float:
        """Return seconds since 1970-01-01 UTC; may jump when the machine's clock is set."""
        return time.time()

    def monotonic_s(self) -> float:
        """Return seconds since some fixed moment; never goes back."""
        return time.monotonic()


class SystemEntropy:
    """`mfdb.kernel.entropy.Entropy` of the operating system."""

    __slots__ = ()

    def token(self, size: int) -> bytes:
        """Return `size` bytes from the system's cryptographic generator."""
        return os.urandom(size)
