"""The networks that end-to-end tests run on."""

from tests.fixtures.e2e_network import nothing_left, own

__all__ = ["nothing_left", "own"]
