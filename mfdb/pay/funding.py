"""How an amount is divided among the agreements of a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.ids import Wei

if TYPE_CHECKING:
    from collections.abc import Sequence


def shares(amount: Wei, lacking: Sequence[int], fees: Sequence[int]) -> list[Wei]:
    """Return what each agreement gets: what it lacks first, then in proportion to its fee.

    `lacking` is what each needs until its end beyond what it has. The shares add up to the amount;
    what cannot be divided goes to the first ones.
    """
    needed = sum(lacking)
    if amount <= needed:
        return _divided(amount, lacking)
    rest = _divided(Wei(amount - needed), fees if any(fees) else [1] * len(fees))
    return [Wei(need + more) for need, more in zip(lacking, rest, strict=True)]


def _divided(amount: int, weights: Sequence[int]) -> list[Wei]:
    """Return an amount in proportion to weights, to the last wei."""
    total = sum(weights)
    parts = [amount * weight // total for weight in weights]
    left = amount - sum(parts)
    for at, weight in enumerate(weights):
        if left and weight:
            parts[at] += 1
            left -= 1
    return [Wei(part) for part in parts]
