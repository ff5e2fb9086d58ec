"""The clock port and the hybrid logical clock (Kulkarni et al. 2014)."""

from __future__ import annotations

from typing import NewType, Protocol

Hlc = NewType("Hlc", int)
"""64 bits: 48 of milliseconds since 1970, 16 of counter."""

_COUNTER_BITS = 16


class Clock(Protocol):
    """Where time comes from; the only source of it outside `mfdb.node.system`."""

    def now_s(self) -> float:
        """Return seconds since 1970-01-01 UTC."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds that never go back, for measuring durations."""
        ...


def hlc_at(seconds: float, counter: int = 0) -> Hlc:
    """Return the stamp of a wall-clock time."""
    return Hlc((int(seconds * 1000) << _COUNTER_BITS) | counter)


def hlc_seconds(stamp: Hlc) -> float:
    """Return the wall-clock part of a stamp in seconds."""
    return (stamp >> _COUNTER_BITS) / 1000


class HlcClock:
    """Issues stamps that grow strictly and are never before one that was seen."""

    def __init__(self, clock: Clock, last: Hlc = Hlc(0)) -> None:
        self._clock = clock
        self._last = last

    def tick(self) -> Hlc:
        """Return a stamp greater than every stamp issued or seen before."""
        self._last = Hlc(max(self._last + 1, hlc_at(self._clock.now_s())))
        return self._last

    def saw(self, stamp: Hlc) -> None:
        """Take note of another node's stamp; callers bound it first (`limits.HLC_AHEAD_S`)."""
        self._last = max(self._last, stamp)
