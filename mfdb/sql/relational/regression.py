"""Aggregates of pairs of floats: correlation, covariance, the line of least squares.

Sums of squares are kept as PostgreSQL keeps them (Youngs and Cramer 1971), so that digits agree.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class _Sums(NamedTuple):
    """How many pairs, sums and sums of squares of differences from the means."""

    pairs: int
    x: float
    xx: float
    y: float
    yy: float
    xy: float


def _sums(ys: Sequence[float | None], xs: Sequence[float | None]) -> _Sums:
    count, sum_x, sum_xx, sum_y, sum_yy, sum_xy = 0, 0.0, 0.0, 0.0, 0.0, 0.0
    for y, x in zip(ys, xs, strict=True):
        if x is None or y is None:
            continue
        count += 1
        sum_x += x
        sum_y += y
        if count == 1:
            if not (math.isfinite(x) and math.isfinite(y)):
                sum_xx = sum_yy = sum_xy = math.nan
            continue
        from_x, from_y = x * count - sum_x, y * count - sum_y
        scale = 1.0 / (count * (count - 1))
        sum_xx += from_x * from_x * scale
        sum_yy += from_y * from_y * scale
        sum_xy += from_x * from_y * scale
    return _Sums(count, sum_x, sum_xx, sum_y, sum_yy, sum_xy)


def _of(
    compute: Callable[[_Sums], float | None], least: int = 1
) -> Callable[[Sequence[float | None], Sequence[float | None]], float | None]:
    def call(ys: Sequence[float | None], xs: Sequence[float | None]) -> float | None:
        sums = _sums(ys, xs)
        return compute(sums) if sums.pairs >= least else None

    return call


def _correlation(sums: _Sums) -> float | None:
    return sums.xy / math.sqrt(sums.xx * sums.yy) if sums.xx and sums.yy else None


def _fitness(sums: _Sums) -> float | None:
    if not sums.xx:
        return None
    return (sums.xy * sums.xy) / (sums.xx * sums.yy) if sums.yy else 1.0


def _intercept(sums: _Sums) -> float | None:
    return (sums.y - sums.x * sums.xy / sums.xx) / sums.pairs if sums.xx else None


REGRESSION: dict[str, Callable[..., float | None]] = {
    "corr": _of(_correlation),
    "covar_pop": _of(lambda sums: sums.xy / sums.pairs),
    "covar_samp": _of(lambda sums: sums.xy / (sums.pairs - 1), 2),
    "regr_avgx": _of(lambda sums: sums.x / sums.pairs),
    "regr_avgy": _of(lambda sums: sums.y / sums.pairs),
    "regr_count": _of(lambda sums: sums.pairs, 0),
    "regr_intercept": _of(_intercept),
    "regr_r2": _of(_fitness),
    "regr_slope": _of(lambda sums: sums.xy / sums.xx if sums.xx else None),
    "regr_sxx": _of(lambda sums: sums.xx),
    "regr_sxy": _of(lambda sums: sums.xy),
    "regr_syy": _of(lambda sums: sums.yy),
}
"""Aggregate of Y and X -> its value of two lists."""
