from __future__ import annotations

import pytest

from mfdb.kernel.ids import Wei
from mfdb.pay.price import PriceTable, Thresholds

TABLE = PriceTable(per_request=Wei(100), per_kib_in=Wei(3), per_kib_out=Wei(7))


@pytest.mark.parametrize(
    ("inbound", "outbound", "due"),
    [(0, 0, 100), (1, 0, 103), (1_024, 0, 103), (1_025, 1, 113), (0, 10_240, 170)],
)
def test_started_kib_are_paid(inbound: int, outbound: int, due: int) -> None:
    assert TABLE.price(inbound, outbound) == due


def test_thresholds_follow_from_the_payment_threshold() -> None:
    thresholds = Thresholds(payment=Wei(1_000))
    assert (thresholds.early, thresholds.limit) == (500, 1_250)
    assert Thresholds(payment=Wei(1_000), min_cheque=Wei(700)).early == 700
