"""Which part of a dataset a question is about: packed keys, and where their rows stand in the tree.

    rows_in_order   every key begins a row id: a range of keys is a span of places, for any reader
    else            the owner foresees the id of each key: a range is whole where its keys are few

A scope may reach further than the question, never less far.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from mfdb.rules.changeset import ORDER_BYTES, order_of
from mfdb.rules.row_tree import PLACE_BYTES, Span
from mfdb.store.ordered import pack, prefix_end

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.keyring import Keyring
    from mfdb.rules.manifest import Manifest
    from mfdb.store.ordered import Plain

KeyRange = tuple[bytes, bytes | None]
"""Packed keys: start <= key < stop; a stop of None means all that begin with start."""
_REST_BYTES = PLACE_BYTES - ORDER_BYTES


class Scope(msgspec.Struct, frozen=True):
    """Some rows of a dataset: the ranges of their keys, and spans that hold their places."""

    keys: tuple[KeyRange, ...]
    spans: tuple[Span, ...]


def scope_of_keys(
    known: Known, keyring: Keyring, keys: Sequence[tuple[Plain, ...]]
) -> Scope | None:
    """Return the scope of whole keys, or None if this identity does not know where they stand."""
    manifest = known.manifest
    packed = sorted({pack(*key) for key in keys})
    ranges: tuple[KeyRange, ...] = tuple((key, None) for key in packed)
    if not packed or not _stands(known):
        return None
    if manifest.owner != keyring.address:
        if not manifest.has_ordered_rows:
            return None
        return Scope(ranges, tuple(sorted({_span(key, None) for key in packed})))
    ordered = manifest.has_ordered_rows
    rows = (keyring.row_id(manifest.dataset, key, in_order=ordered) for key in packed)
    places = sorted({row[:PLACE_BYTES] for row in rows})
    return Scope(ranges, tuple((place, place) for place in places))


def scope_of_range(known: Known, start: bytes, stop: bytes | None) -> Scope | None:
    """Return the scope of a range of packed keys, or None if ids of rows do not follow keys."""
    if not known.manifest.has_ordered_rows or not _stands(known):
        return None
    return Scope(((start, stop),), (_span(start, stop),))


def _span(start: bytes, stop: bytes | None) -> Span:
    """Return the places of the rows with these keys, and of few besides."""
    first = order_of(start) + bytes(_REST_BYTES)
    end = prefix_end(start) if stop is None else stop
    if end is None:
        return first, b"\xff" * PLACE_BYTES
    if len(end) > ORDER_BYTES or end.endswith(b"\x00"):  # keys below the end may begin as it does
        return first, order_of(end) + b"\xff" * _REST_BYTES
    before = int.from_bytes(end.ljust(PLACE_BYTES, b"\x00"), "big") - 1
    return first, max(first, before.to_bytes(PLACE_BYTES, "big"))


def _stands(known: Known) -> bool:
    """Whether ids have followed from the same key since the first row: an ALTER may change it.

    Who has not all manifests cannot tell.
    """
    is_complete = [one.number for one in known.manifests] == list(range(len(known.chain)))
    return is_complete and all(
        _key_of(one) == _key_of(other) for one, other in pairwise(known.manifests)
    )


def _key_of(manifest: Manifest) -> list[tuple[int, int, str, bool]]:
    numbered = zip(manifest.columns, manifest.layout.numbers, strict=True)
    return sorted((one.key, number, one.type, one.clear) for one, number in numbered if one.key)
