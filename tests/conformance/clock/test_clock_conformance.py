from __future__ import annotations

import threading

from mfdb.node.system import SystemClock
from mfdb.testing.sim_clock import SimClock
from mfdb.testing.suites.clock_suite import ClockSuite


class TestSystemClock(ClockSuite):
    def make_clock(self) -> SystemClock:
        return SystemClock()

    def pass_time(self, seconds: float) -> None:
        # An event that nobody sets: the wait itself is what is tested.
        clock = SystemClock()
        end_s = clock.monotonic_s() + seconds
        while clock.monotonic_s() < end_s:
            threading.Event().wait(end_s - clock.monotonic_s())


class _Loop:
    def __init__(self) -> None:
        self.now_s = 0.0

    def time(self) -> float:
        return self.now_s


class TestSimClock(ClockSuite):
    def setup_method(self) -> None:
        self.loop = _Loop()

    def make_clock(self) -> SimClock:
        return SimClock(self.loop)

    def pass_time(self, seconds: float) -> None:
        self.loop.now_s += seconds
