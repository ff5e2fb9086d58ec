"""SQLAlchemy's own dialect suite, in a process of its own, because it takes pytest over.

The one command: `python -m pytest -m slow tests/unit/sqlalchemy/test_suite.py`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")
SUITE = Path(__file__).parents[2] / "suite_sqlalchemy"
LEAST_PASSED = 550


@pytest.mark.slow
def test_sqlalchemy_s_own_suite(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null"]
    command += ["--rootdir", str(SUITE), "-p", "sqlalchemy.testing.plugin.pytestplugin"]
    command += ["--dburi", f"mfdb:///{tmp_path}/box", "--maxfail", "10000", "--tb", "line"]
    command += ["--requirements", "mfdb.sqlalchemy.requirements:Requirements", "test_suite.py"]
    done = subprocess.run(
        command, cwd=SUITE, capture_output=True, text=True, timeout=3000, check=False
    )
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None, done.stdout[-2000:] + done.stderr[-2000:]
    assert int(passed[1]) >= LEAST_PASSED, done.stdout[-2000:]
