"""ruff, mypy and import-linter agree with the source; each runs once, as a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.tidy.source_tree import ROOT

_LINT_IMPORTS = "import sys; from importlinter.cli import lint_imports_command as c; sys.exit(c())"
TOOLS = {
    "ruff check": ["-m", "ruff", "check", "."],
    "ruff format": ["-m", "ruff", "format", "--check", "."],
    "mypy": ["-m", "mypy"],
    "mypy tests": ["-m", "mypy", "tests"],
    "import-linter": ["-c", _LINT_IMPORTS],
}


@pytest.mark.parametrize("tool", TOOLS)
def test_clean(tool: str) -> None:
    done = subprocess.run(
        [sys.executable, *TOOLS[tool]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, f"{tool}\n{done.stdout[-8000:]}{done.stderr[-2000:]}"
