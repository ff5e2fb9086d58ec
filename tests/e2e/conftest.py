"""The networks that end-to-end tests run on."""

from tests.fixtures.e2e_network import live, nothing_left, own

__all__ = ["live", "nothing_left", "own"]
