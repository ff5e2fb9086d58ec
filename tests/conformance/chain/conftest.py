"""The chain process that the real adapter is tried on."""

from tests.fixtures.devchain import devchain

__all__ = ["devchain"]
