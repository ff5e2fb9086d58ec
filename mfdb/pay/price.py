"""What requests cost, and how large debts may grow. All amounts are wei of MFT."""

from __future__ import annotations

from dataclasses import dataclass

from mfdb.kernel.ids import Wei

KIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTable:
    """A node's prices: per request, and per started KiB it receives and sends."""

    per_request: Wei
    per_kib_in: Wei
    per_kib_out: Wei

    def price(self, request_bytes: int, response_bytes: int) -> Wei:
        """Return what a request of this size with an answer of that size costs.

        >>> PriceTable(per_request=Wei(5), per_kib_in=Wei(2), per_kib_out=Wei(3)).price(1, 1025)
        13
        """
        inbound = -(-request_bytes // KIB) * self.per_kib_in
        outbound = -(-response_bytes // KIB) * self.per_kib_out
        return Wei(self.per_request + inbound + outbound)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """How much one side lets the other owe it.

    The debtor pays when it owes `payment` and, to be early, from `early_percent` of it on; service
    stops at `payment` plus `tolerance_percent`. Amounts under `min_cheque` are not worth a cheque.
    """

    payment: Wei
    tolerance_percent: int = 25
    early_percent: int = 50
    min_cheque: Wei = Wei(1)

    @property
    def limit(self) -> Wei:
        """Return the disconnect limit: nobody is ever owed more."""
        return Wei(self.payment * (100 + self.tolerance_percent) // 100)

    @property
    def early(self) -> Wei:
        """Return from which debt on the debtor pays."""
        return Wei(max(self.payment * self.early_percent // 100, self.min_cheque))
