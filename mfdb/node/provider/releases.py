"""What a provider keeps about leaving: that it drains, and what clients released it from.

z                     this provider drains; not empty: it gives notice, too
l agreement segment   the client's release
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.node.provider import records
from mfdb.rules.evidence import SignedRelease

if TYPE_CHECKING:
    from mfdb.kernel.ids import AgreementId, SegmentId
    from mfdb.node.commit import Transaction
    from mfdb.node.provider.records import View

_NOTICE = b"\x01"


def put_release(transaction: Transaction, signed: SignedRelease) -> None:
    """Keep a client's release: of a segment, or (zero) of all of an agreement."""
    release = signed.release
    records.put(transaction, b"l" + release.agreement + release.segment, signed)


def release_of(view: View, agreement: AgreementId, segment: SegmentId) -> SignedRelease | None:
    """Return the release from a segment (zero: from all) that a client gave, or None."""
    return records.get(view, b"l" + agreement + segment, SignedRelease)


def is_draining(view: View) -> bool:
    """Return whether this provider takes nothing new and leaves what it keeps."""
    return view.get(b"z") is not None


def gives_notice(view: View) -> bool:
    """Return whether it also leaves datasets whose owners are not there (`notice`)."""
    return bool(view.get(b"z"))


def put_draining(transaction: Transaction, *, drains: bool, gives_notice: bool = False) -> None:
    """Begin to drain, or end it."""
    if drains:
        transaction.put(b"z", _NOTICE if gives_notice else b"")
    else:
        transaction.delete(b"z")
