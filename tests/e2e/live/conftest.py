"""The network that the tests of this directory share."""

from tests.fixtures.e2e_network import live

__all__ = ["live"]
