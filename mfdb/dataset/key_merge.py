"""Merging key log entries of one changeset: the union of good salts, an envelope that opens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.rules.key_log import KeyLogEntry


def merge_entries(
    stored: KeyLogEntry | None, entry: KeyLogEntry, *, opens: Callable[[KeyLogEntry], bool]
) -> KeyLogEntry:
    """Return the best of two entries, both checked against their changeset.

    A peer that left salts out cannot hide a row from somebody who has them, nor can one with a
    wrong envelope: what opens is kept.
    """
    if stored is None:
        return entry
    salts = tuple(own or other for own, other in zip(stored.salts, entry.salts, strict=True))
    same = (stored.envelope, stored.key_epoch) == (entry.envelope, entry.key_epoch)
    better = stored if same or opens(stored) or not opens(entry) else entry
    return msgspec.structs.replace(better, salts=salts)
