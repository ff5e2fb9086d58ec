"""What messages carry of money: prices, how accounts stand, cheques (docs/format.md)."""

from __future__ import annotations

from mfdb.kernel.codec import Record
from mfdb.kernel.ids import Wei
from mfdb.rules.evidence import Cheque


class Offer(Record, frozen=True):
    """What a provider asks: fees per epoch, deposit it backs a byte with, prices of requests."""

    fee_per_mib_epoch: Wei
    deposit_per_mib: Wei
    free_bytes: int
    price_per_request: Wei
    price_per_kib: Wei
    payment_threshold: Wei


class PayCheque(Record, frozen=True, tag="cheque"):
    """Pay what is owed on this connection; free of charge."""

    cheque: Cheque
    signature: bytes


class Standing(Record, frozen=True):
    """How the accounts stand, for a peer that has lost its own.

    What it was served so far, and its last cheque, which only it can have signed.
    """

    served: Wei
    cheque: PayCheque | None
