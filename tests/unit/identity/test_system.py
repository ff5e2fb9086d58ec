"""The real clock and entropy satisfy their ports and behave as their ports promise."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mfdb.node.system import SystemClock, SystemEntropy

if TYPE_CHECKING:
    from mfdb.kernel.clock import Clock
    from mfdb.kernel.entropy import Entropy


def test_the_clock_tells_the_time_of_the_machine() -> None:
    clock: Clock = SystemClock()
    before = time.time()
    assert before <= clock.now_s() <= time.time()


def test_the_monotonic_clock_never_goes_back() -> None:
    clock: Clock = SystemClock()
    readings = [clock.monotonic_s() for _ in range(1000)]
    assert readings == sorted(readings)


def test_entropy_has_the_asked_size_and_does_not_repeat() -> None:
    entropy: Entropy = SystemEntropy()
    tokens = [entropy.token(16) for _ in range(1000)]
    assert {len(token) for token in tokens} == {16}
    assert len(set(tokens)) == 1000
    assert entropy.token(0) == b""
