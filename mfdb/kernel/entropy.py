"""The entropy port: the only source of randomness."""

from __future__ import annotations

from typing import Protocol


class Entropy(Protocol):
    """Where random bytes come from."""

    def token(self, size: int) -> bytes:
        """Return `size` bytes that nobody can foresee (in a simulation: that the seed decides)."""
        ...
