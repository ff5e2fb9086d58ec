"""docs/python.md: its blocks run, in their order, in one program."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

PAPER = (Path(__file__).parents[2] / "docs" / "python.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python(?: (\w+))?\n(.*?)^```", PAPER, re.DOTALL | re.MULTILINE)


def test_every_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    program: dict[str, object] = {"__name__": "paper"}
    assert len(BLOCKS) >= 10
    for needs, block in BLOCKS:
        if needs and find_spec(needs) is None:
            continue
        line = PAPER[: PAPER.index(block)].count("\n")
        code = compile("\n" * line + block, "docs/python.md", "exec", dont_inherit=True)
        exec(code, program)
