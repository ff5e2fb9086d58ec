"""What a provider holds costs it disk, not memory.

MFDB_HELD_MIB=10240 pytest -m slow -s tests/e2e/test_laden_provider.py      all of the 10 GiB
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.fixtures.e2e_command import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

LITTLE_MIB = 64
HELD_MIB = int(os.environ.get("MFDB_HELD_MIB", "1024"))
DUE_MIB = 10 * 1024
LIMIT_MIB = 512
RUN_S = 1800


def figures(directory: Path, mib: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.fixtures.laden_provider", str(directory), str(mib)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_S, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_ten_gibibytes_are_held_in_half_a_gibibyte_of_memory(tmp_path: Path) -> None:
    """What fits in the time is measured; what 10 GiB take follows from two measurements."""
    little, much = figures(tmp_path / "little", LITTLE_MIB), figures(tmp_path / "much", HELD_MIB)
    sys.stdout.write(f"{little}\n{much}\n")
    more = (much["anonymous_mib"] - little["anonymous_mib"]) / (HELD_MIB - LITTLE_MIB)
    due = much["anonymous_mib"] + max(0.0, more) * max(0, DUE_MIB - HELD_MIB)
    assert much["held_mib"] == HELD_MIB
    assert due < LIMIT_MIB, f"{due:.0f} MiB for {DUE_MIB} MiB held"
