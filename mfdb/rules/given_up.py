"""The mark of a dataset that its owner dropped: an option of its last manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mfdb.rules.manifest import Manifest

DROPPED = ("dropped", "true")
"""The option of a manifest that gives a dataset up."""


def is_given_up(manifest: Manifest) -> bool:
    """Return whether the owner dropped the dataset."""
    return DROPPED in manifest.options
