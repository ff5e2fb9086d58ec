"""Production nodes under faults: every checker holds in every seed."""

from __future__ import annotations

import pytest

from mfdb.testing.simulator import Options
from tests.fixtures.simulated import SEEDS, held

CHUNK = 8


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_every_checker_holds_in_every_seed(first: int) -> None:
    for seed in range(first, first + CHUNK):
        held(seed, Options())
