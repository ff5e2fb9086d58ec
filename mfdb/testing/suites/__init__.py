"""Conformance suites: what every adapter of a port must do, as pytest classes to inherit from."""
