"""An amount is divided to the last wei, and nobody gets more than its turn."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mfdb.kernel.ids import Wei
from mfdb.pay.funding import shares

needs = st.lists(st.tuples(st.integers(0, 2**90), st.integers(0, 2**90)), min_size=1, max_size=8)


@given(amount=st.integers(1, 2**100), agreements=needs)
def test_shares_add_up_and_what_lacks_comes_first(
    amount: int, agreements: list[tuple[int, int]]
) -> None:
    lacking, fees = [one for one, _ in agreements], [fee for _, fee in agreements]
    found = shares(Wei(amount), lacking, fees)
    assert sum(found) == amount
    assert all(share >= 0 for share in found)
    if amount <= sum(lacking):
        assert all(share <= need for share, need in zip(found, lacking, strict=True))
    else:
        assert all(share >= need for share, need in zip(found, lacking, strict=True))


def test_equal_agreements_get_equal_shares_but_for_the_wei_that_is_left() -> None:
    assert shares(Wei(7), [0, 0, 0], [5, 5, 5]) == [3, 2, 2]
    assert shares(Wei(7), [0, 0], [0, 0]) == [4, 3]
    assert shares(Wei(10), [4, 0], [1, 5]) == [5, 5]
