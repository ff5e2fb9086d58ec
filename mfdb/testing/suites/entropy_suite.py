# ruff: noqa: D102 - the names of the tests say what each demands
"""What every `Entropy` must do; subclass and override `make_entropy`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mfdb.kernel.entropy import Entropy


class EntropySuite:
    """The conformance suite of the entropy port."""

    def make_entropy(self) -> Entropy:
        """Return the source under test."""
        raise NotImplementedError

    def test_it_gives_as_many_bytes_as_asked_for(self) -> None:
        entropy = self.make_entropy()
        assert [len(entropy.token(size)) for size in (0, 1, 16, 32, 33, 4096)] == [
            *(0, 1, 16, 32, 33, 4096)
        ]

    def test_it_never_repeats_itself(self) -> None:
        entropy = self.make_entropy()
        assert len({entropy.token(16) for _ in range(5000)}) == 5000

    def test_its_bits_are_balanced(self) -> None:
        data = self.make_entropy().token(100_000)
        ones = sum(byte.bit_count() for byte in data)
        # 800,000 fair bits have a standard deviation of 447; ten of them never happen by chance.
        assert abs(ones - 400_000) < 4472

    def test_every_byte_value_comes(self) -> None:
        assert len(set(self.make_entropy().token(100_000))) == 256
