"""What costs time to import is imported when it is needed, not before."""

from __future__ import annotations

import subprocess
import sys

from tests.tidy.source_tree import ROOT

HEAVY = ["web3", "numpy", "prompt_toolkit", "lark", "eth", "aiohttp", "pygments", "cryptography"]


def imported_by(statement: str) -> set[str]:
    program = f"import sys\n{statement}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return set(done.stdout.split())


def test_importing_mfdb_is_light() -> None:
    assert imported_by("import mfdb") & set(HEAVY) == set()


def test_the_rules_and_the_court_need_no_chain_and_no_prompt() -> None:
    found = imported_by("import mfdb.rules.authorise, mfdb.court, replication")
    assert found & {"web3", "prompt_toolkit", "lark", "aiohttp", "eth"} == set()


def test_the_rooms_import_in_any_order() -> None:
    for first in ("replication", "mfdb.rules", "mfdb.sql", "mfdb.dataset", "mfdb.pay", "shell"):
        assert first in imported_by(f"import {first}; import mfdb")
