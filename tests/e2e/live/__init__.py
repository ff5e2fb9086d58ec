"""Tests that share one network, which ends with this package: only a package has a scope."""
