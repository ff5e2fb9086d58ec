"""Key log entries as a replica keeps them: the salts in chunks, so that one can be destroyed.

Destroying the salt of one row of ten thousand would otherwise rewrite all the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mfdb.dataset.layout import entry_key, salts_key
from mfdb.dataset.working import load
from mfdb.kernel.codec import decode_own, encode
from mfdb.rules.key_log import KeyLogEntry

if TYPE_CHECKING:
    from mfdb.dataset.working import Working
    from mfdb.kernel.ids import ChangesetId, DatasetId
    from mfdb.store.port import Snapshot

SALTS = 16
"""Salts in a chunk: half a kilobyte, less than a page of the store."""
_Chunk = tuple[bytes, ...]


def load_entry(source: Snapshot, dataset: DatasetId, changeset: ChangesetId) -> KeyLogEntry | None:
    """Return what opens a changeset, or None if nothing is kept."""
    bare = load(source, KeyLogEntry, entry_key(dataset, changeset))
    if bare is None:
        return None
    salts: list[bytes] = []
    for _, value in source.scan(salts_key(dataset, changeset, 0)[:-2]):
        salts += decode_own(_Chunk, value)
    return msgspec.structs.replace(bare, salts=tuple(salts))


def save_entry(working: Working, entry: KeyLogEntry) -> None:
    """Keep what opens a changeset."""
    dataset, changeset = entry.dataset, entry.changeset
    bare = msgspec.structs.replace(entry, salts=())
    working.put(entry_key(dataset, changeset), encode(bare))
    for at in range(0, len(entry.salts), SALTS):
        key = salts_key(dataset, changeset, at // SALTS)
        working.put(key, encode(entry.salts[at : at + SALTS]))


def destroy_salt(working: Working, dataset: DatasetId, changeset: ChangesetId, index: int) -> None:
    """Destroy the salt of one operation, if it is kept."""
    key = salts_key(dataset, changeset, index // SALTS)
    value = working.get(key)
    if value is None:
        return
    salts = list(decode_own(_Chunk, value))
    salts[index % SALTS] = b""
    working.put(key, encode(salts))
