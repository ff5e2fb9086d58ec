from __future__ import annotations

from mfdb.node.system import SystemEntropy
from mfdb.testing.sim_clock import SeededEntropy
from mfdb.testing.suites.entropy_suite import EntropySuite


class TestSystemEntropy(EntropySuite):
    def make_entropy(self) -> SystemEntropy:
        return SystemEntropy()


class TestSeededEntropy(EntropySuite):
    def make_entropy(self) -> SeededEntropy:
        return SeededEntropy(7)

    def test_a_seed_decides_everything(self) -> None:
        assert SeededEntropy(7).token(64) == SeededEntropy(7).token(64)
        assert SeededEntropy(7).token(64) != SeededEntropy(8).token(64)
