"""The agreements of a provider: proposed to it and signed, then named by a placement.

A subject client  the agreement that this provider signed last, as long as no placement names it
a subject client  the one that a placement names: it is registered and binds
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.node.provider import records
from mfdb.rules.placement import SignedAgreement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mfdb.kernel.ids import Address, Hash
    from mfdb.node.commit import Transaction
    from mfdb.node.provider.records import DamagedRecord, View

    Note = Callable[[DamagedRecord], None]


def proposed_agreement(view: View, subject: Hash, client: Address) -> SignedAgreement | None:
    """Return the agreement that this provider signed last for a client's subject, or None."""
    return records.get(view, b"A" + subject + client, SignedAgreement)


def put_proposed_agreement(transaction: Transaction, signed: SignedAgreement) -> None:
    """Keep an agreement that this provider signed and that is not placed yet."""
    agreement = signed.agreement
    records.put(transaction, b"A" + agreement.subject + agreement.client, signed)


def proposed_agreements(view: View, note: Note) -> Iterator[SignedAgreement]:
    """Yield every agreement that this provider signed and that is not placed yet."""
    return records.sound(view, b"A", SignedAgreement, note)


def put_placed_agreement(transaction: Transaction, signed: SignedAgreement) -> None:
    """Keep an agreement of this provider that a placement names: it is registered and binds."""
    agreement = signed.agreement
    suffix = agreement.subject + agreement.client
    records.put(transaction, b"a" + suffix, signed)
    proposed = proposed_agreement(transaction, agreement.subject, agreement.client)
    if proposed is not None and proposed.agreement == agreement:
        transaction.delete(b"A" + suffix)


def placed_agreement(view: View, subject: Hash, client: Address) -> SignedAgreement | None:
    """Return this provider's agreement that a placement names, or None."""
    return records.get(view, b"a" + subject + client, SignedAgreement)


def placed_agreements(view: View, note: Note) -> Iterator[SignedAgreement]:
    """Yield every agreement of this provider that a placement names."""
    return records.sound(view, b"a", SignedAgreement, note)
