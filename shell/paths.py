"""Paths as people type them."""

from __future__ import annotations

from pathlib import Path


def typed_path(text: str) -> Path:
    """Return the path that a text means; `~` is a home directory."""
    return Path(text).expanduser()


def here() -> Path:
    """Return the working directory."""
    return Path.cwd()
