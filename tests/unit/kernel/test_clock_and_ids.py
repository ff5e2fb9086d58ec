"""Stamps grow whatever the wall clock does; ids and amounts have one text form."""

from __future__ import annotations

import pytest

from mfdb.kernel.clock import Hlc, HlcClock, hlc_at, hlc_seconds
from mfdb.kernel.errors import BadType
from mfdb.kernel.ids import MFT, Wei, parse_address, show, show_mft


class Wall:
    def __init__(self, *seconds: float) -> None:
        self.seconds = list(seconds)

    def now_s(self) -> float:
        return self.seconds.pop(0) if len(self.seconds) > 1 else self.seconds[0]

    def monotonic_s(self) -> float:
        return self.now_s()


def test_a_stamp_is_48_bits_of_milliseconds_and_16_of_counter() -> None:
    stamp = hlc_at(1_800_000_000.25, 7)
    assert stamp == 1_800_000_000_250 << 16 | 7
    assert hlc_seconds(stamp) == 1_800_000_000.25


def test_stamps_grow_while_the_wall_clock_stands_or_jumps_back() -> None:
    clock = HlcClock(Wall(100.0, 100.0, 50.0, 100.001))
    first, second, third, fourth = (clock.tick() for _ in range(4))
    assert first == hlc_at(100.0)
    assert second == first + 1
    assert third == first + 2
    assert fourth == hlc_at(100.001)


def test_a_stamp_that_was_seen_is_never_reached_again() -> None:
    clock = HlcClock(Wall(100.0))
    clock.saw(hlc_at(200.0, 3))
    assert clock.tick() == hlc_at(200.0, 4)
    clock.saw(hlc_at(150.0))
    assert clock.tick() == hlc_at(200.0, 5)


def test_the_counter_carries_into_the_milliseconds() -> None:
    clock = HlcClock(Wall(1.0), last=Hlc(1000 << 16 | 0xFFFF))
    assert clock.tick() == 1001 << 16


def test_a_clock_goes_on_after_a_restart() -> None:
    last = HlcClock(Wall(100.0)).tick()
    assert HlcClock(Wall(10.0), last).tick() == Hlc(last + 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0x",
        "0x12",
        "1" * 42,
        "0x" + "g" * 40,
        "0x" + "a" * 41,
        " 0x" + "a" * 40,
        "0x" + "a" * 40 + "\n",
    ],
)
def test_what_is_no_address_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(BadType, match="not an address") as caught:
        parse_address(text)
    assert "40 hex digits" in caught.value.hint


def test_an_address_reads_back_in_either_case() -> None:
    raw = bytes(range(20))
    assert parse_address(show(raw)) == raw
    assert parse_address("0x" + raw.hex().upper()) == raw


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0"),
        (1, "0.000000000000000001"),
        (MFT, "1"),
        (-MFT // 4, "-0.25"),
        (Wei(2**256 - 1), f"{(2**256 - 1) // MFT}.{(2**256 - 1) % MFT:018d}".rstrip("0")),
    ],
)
def test_amounts_are_exact_decimals(amount: int, text: str) -> None:
    assert show_mft(amount) == text
