"""Cursors of subscriptions: opaque text that resumes without a gap at any replica.

A cursor names a replica's feed, the dataset and the last change that was taken. At the replica that
gave it, the subscription goes on right behind that change. At any other replica (a fresh directory,
say) changes stand in another order, so that only a replay from the beginning leaves no gap; each
change has a `key` that is equal everywhere, by which the consumer drops what it has seen.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from typing import TYPE_CHECKING

from mfdb.kernel.codec import Record, decode, encode
from mfdb.kernel.errors import CursorLost, InvalidText, MfdbError

if TYPE_CHECKING:
    from mfdb.kernel.ids import DatasetId

_PREFIX = "c1."
_LIMIT = 256


class Cursor(Record, frozen=True):
    """Where a subscription stands: `sequence` in the feed that `feed` names."""

    feed: bytes
    dataset: bytes
    sequence: int


def write_cursor(cursor: Cursor) -> str:
    """Return the text of a cursor."""
    return _PREFIX + urlsafe_b64encode(encode(cursor)).decode().rstrip("=")


def read_cursor(text: str, dataset: DatasetId) -> Cursor:
    """Return the cursor that a text holds.

    Raises:
        InvalidText: it holds none, or one of another dataset.
    """
    hint = "pass the cursor of a change, as it was given"
    body = text.removeprefix(_PREFIX)
    if not text.startswith(_PREFIX) or len(body) > _LIMIT:
        raise InvalidText(f"{text[:40]!r} is no cursor", hint=hint)
    try:
        data = urlsafe_b64decode(body + "=" * (-len(body) % 4))
        cursor = decode(Cursor, data, limit_bytes=_LIMIT)
    except (Base64Error, ValueError, MfdbError) as error:
        raise InvalidText(f"{text[:40]!r} is no cursor", hint=hint) from error
    if cursor.dataset != dataset:
        raise InvalidText("the cursor belongs to another dataset", hint=hint)
    return cursor


def position(cursor: Cursor | None, feed: bytes, newest: int) -> int | None:
    """Return the sequence to go on after at this replica; None for a snapshot, 0 for a replay.

    Raises:
        CursorLost: the cursor is ahead of the newest change.
    """
    if cursor is None:
        return None
    if cursor.feed != feed:
        return 0
    if not 0 <= cursor.sequence <= newest:
        raise CursorLost(
            f"the cursor stands at change {cursor.sequence}, and the newest one here is {newest}",
            hint="this directory was brought back from an older copy: subscribe without SINCE",
        )
    return cursor.sequence
