"""The agreements of a provider: proposed to it and signed, then named by a placement.

A subject client  the agreement that this provider signed last, as long as no placement names it
a subject client  the one that a placement names: it is registered and binds
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.codec import encode
from mfdb.node.provider.shelf import opened
from mfdb.rules.placement import SignedAgreement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.kernel.ids import Address, Hash
    from mfdb.node.commit import Transaction
    from mfdb.node.provider.shelf import View


def proposed_agreement(view: View, subject: Hash, client: Address) -> SignedAgreement | None:
    """Return the agreement that this provider signed last for a client's subject, or None."""
    data = view.get(b"A" + subject + client)
    return opened(SignedAgreement, data) if data else None


def put_proposed_agreement(transaction: Transaction, signed: SignedAgreement) -> None:
    """Keep an agreement that this provider signed and that is not placed yet."""
    agreement = signed.agreement
    transaction.put(b"A" + agreement.subject + agreement.client, encode(signed))


def proposed_agreements(view: View) -> Iterator[SignedAgreement]:
    """Yield every agreement that this provider signed and that is not placed yet."""
    return (opened(SignedAgreement, data) for _, data in view.scan(b"A"))


def put_placed_agreement(transaction: Transaction, signed: SignedAgreement) -> None:
    """Keep an agreement of this provider that a placement names: it is registered and binds."""
    agreement = signed.agreement
    suffix = agreement.subject + agreement.client
    transaction.put(b"a" + suffix, encode(signed))
    proposed = proposed_agreement(transaction, agreement.subject, agreement.client)
    if proposed is not None and proposed.agreement == agreement:
        transaction.delete(b"A" + suffix)


def placed_agreement(view: View, subject: Hash, client: Address) -> SignedAgreement | None:
    """Return this provider's agreement that a placement names, or None."""
    data = view.get(b"a" + subject + client)
    return opened(SignedAgreement, data) if data else None


def placed_agreements(view: View) -> Iterator[SignedAgreement]:
    """Yield every agreement of this provider that a placement names."""
    return (opened(SignedAgreement, data) for _, data in view.scan(b"a"))
