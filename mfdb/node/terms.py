"""What keeping a dataset costs and how it is backed, from an offer and what its owner wants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mfdb.kernel.ids import Wei
from mfdb.rules.records import MIB

if TYPE_CHECKING:
    from mfdb.node.dues import Offer


@dataclass(frozen=True, slots=True)
class StorageTerms:
    """Fee per epoch and deposit of one agreement, in wei."""

    fee: Wei
    deposit: Wei


def storage_terms(offer: Offer, capacity_bytes: int, least_deposit: Wei) -> StorageTerms:
    """Return the terms on which an offer keeps so many bytes, backed by so much at least.

    What is backed by more than the offer says costs as many times its fee: the provider's
    tokens are bound all the same. An offer that backs nothing is taken as it is.
    """
    mib = -(-capacity_bytes // MIB)
    units = max(mib, -(-least_deposit // offer.deposit_per_mib)) if offer.deposit_per_mib else mib
    deposit = max(mib * offer.deposit_per_mib, least_deposit if offer.deposit_per_mib else 0)
    return StorageTerms(Wei(units * offer.fee_per_mib_epoch), Wei(deposit))


def most_deposit(offer: Offer, capacity_bytes: int, fee: Wei) -> Wei:
    """Return what an offer backs so many bytes with at most, for a fee per epoch."""
    units = -(-capacity_bytes // MIB)
    if offer.fee_per_mib_epoch:
        units = max(units, fee // offer.fee_per_mib_epoch)
    return Wei(units * offer.deposit_per_mib)
