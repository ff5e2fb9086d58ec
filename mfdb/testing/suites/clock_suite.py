# ruff: noqa: D102 - the names of the tests say what each demands
"""What every `Clock` must do; subclass and override `make_clock` and `pass_time`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mfdb.kernel.clock import Clock

EARLIEST_S = 1_500_000_000
LATEST_S = 4_102_444_800
"""A wall clock says a year between 2017 and 2100."""


class ClockSuite:
    """The conformance suite of the clock port."""

    def make_clock(self) -> Clock:
        """Return the clock under test."""
        raise NotImplementedError

    def pass_time(self, seconds: float) -> None:
        """Let at least so much time pass."""
        raise NotImplementedError

    def test_it_tells_the_time_of_this_century_in_seconds(self) -> None:
        assert EARLIEST_S < self.make_clock().now_s() < LATEST_S

    def test_durations_never_go_back(self) -> None:
        clock = self.make_clock()
        readings = [clock.monotonic_s() for _ in range(1000)]
        assert readings == sorted(readings)

    def test_both_go_on_by_what_passes(self) -> None:
        clock = self.make_clock()
        now_s, monotonic_s = clock.now_s(), clock.monotonic_s()
        self.pass_time(0.02)
        assert clock.monotonic_s() - monotonic_s >= 0.02
        # A wall clock may be set, but not by an hour within a test.
        assert -3600 < clock.now_s() - now_s < 3600

    def test_two_clocks_of_one_machine_agree(self) -> None:
        one, other = self.make_clock(), self.make_clock()
        assert abs(one.now_s() - other.now_s()) < 60
