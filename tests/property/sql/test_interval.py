"""Intervals: their texts, their order, and moments that they lead from and to."""

from __future__ import annotations

import copy
import datetime
import pickle
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as hy

from mfdb.dataset.schema import fits
from mfdb.kernel.errors import InvalidParameter
from mfdb.rules.manifest import Column
from mfdb.sql import interval as iv
from mfdb.sql import interval_functions as fn

_COLUMN = Column("i", "INTERVAL", False, False, 0, None, False)  # noqa: FBT003 - a plain column
_EPOCH = datetime.datetime(1970, 1, 1)
_PARTS = hy.builds(
    iv.Parts,
    hy.integers(-(10**6), 10**6),
    hy.integers(-(10**6), 10**6),
    hy.integers(-(10**13), 10**13),
)
_MOMENTS = hy.datetimes(datetime.datetime(1600, 1, 1), datetime.datetime(2400, 1, 1)).map(
    lambda at: (at - _EPOCH) // datetime.timedelta(microseconds=1)
)


@given(_PARTS)
def test_every_interval_is_read_back_from_its_text(parts: iv.Parts) -> None:
    assert iv.parse(iv.to_text(parts)) == parts
    stored = iv.encode(parts)
    assert iv.decode(stored) == parts
    assert fits(_COLUMN, stored)


@given(_PARTS, _PARTS)
def test_working_values_sort_by_length(left: iv.Parts, right: iv.Parts) -> None:
    def days(parts: iv.Parts) -> int:
        return (parts.months * 30 + parts.days) * iv.DAY_US + parts.us

    one, other = iv.length(iv.encode(left)), iv.length(iv.encode(right))
    assert (one < other) == (days(left) < days(right))
    assert (one == other) == (days(left) == days(right))


@given(_MOMENTS, _MOMENTS)
def test_a_difference_leads_back(late: int, early: int) -> None:
    assert fn.shifted(early, fn.between(late, early)) == late
    assert fn.negated(fn.between(late, early)) == fn.between(early, late)


@given(_MOMENTS, _MOMENTS)
def test_an_age_leads_to_the_later_moment_unless_a_month_was_too_short(a: int, b: int) -> None:
    early, late = sorted((a, b))
    months, days, us = iv.decode(fn.age(late, early))
    assert months >= 0 <= days < 31
    assert 0 <= us < iv.DAY_US
    reached = fn.shifted(early, fn.age(late, early))
    assert abs(reached - late) <= 3 * iv.DAY_US


@given(hy.timedeltas(datetime.timedelta(-(10**6)), datetime.timedelta(10**6)))
def test_spans_of_python_come_back(span: datetime.timedelta) -> None:
    made = iv.Interval(iv.decode(iv.of_timedelta(span)))
    assert made == span
    assert made == copy.copy(made) == pickle.loads(pickle.dumps(made))
    assert iv.of_timedelta(made) == iv.of_timedelta(span)


@given(hy.text(max_size=60) | hy.text(alphabet="0123456789 .:-+PYMDTHSago@days", max_size=30))
def test_any_text_is_an_interval_or_none(text: str) -> None:
    parts = iv.parse(text)
    assert parts is None or isinstance(parts, iv.Parts)


@pytest.mark.skipif(
    "Europe/Paris" not in zoneinfo.available_timezones(), reason="no data base of time zones here"
)
def test_zones_have_their_summer_time() -> None:
    winter, summer = ((datetime.datetime(2026, month, 1, 12) - _EPOCH) for month in (1, 7))
    us = datetime.timedelta(microseconds=1)
    assert fn.in_zone("Europe/Paris", winter // us) == winter // us + iv.HOUR_US
    assert fn.in_zone("Europe/Paris", summer // us) == summer // us + 2 * iv.HOUR_US
    assert fn.of_zone("Europe/Paris", summer // us) == summer // us - 2 * iv.HOUR_US


@pytest.mark.parametrize("name", ["", "Nowhere", "../../etc/passwd", "/etc/localtime", "+99:00"])
def test_what_names_no_zone_is_refused(name: str) -> None:
    with pytest.raises(InvalidParameter):
        fn.in_zone(name, 0)
