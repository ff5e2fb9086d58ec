"""Which release this is."""

from __future__ import annotations


def version() -> str:
    """Return the version of the installed distribution."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("mfdb")
    except PackageNotFoundError:
        return "from a checkout, not installed"
