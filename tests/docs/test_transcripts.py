"""What the papers show without a network is what happens; the rest is in tests/e2e."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fixtures.e2e_command import ROOT
from tests.fixtures.e2e_transcript import Reader, blocks, steps

if TYPE_CHECKING:
    from pathlib import Path


def test_the_embedded_quick_start_of_the_readme(tmp_path: Path) -> None:
    shown = [steps(block) for block in blocks(ROOT / "README.md")]
    embedded = [found for found in shown if found and "network" not in str(found)]
    assert [len(found) for found in embedded] == [4]
    someone = Reader(place=tmp_path, environ={"MFDB_DATA": str(tmp_path / "own")}, names={})
    for step in embedded[0]:
        told = someone.type(step).rstrip().split("\n")
        if step.printed:
            wanted = [line for line in step.printed if line]
            assert [line.rstrip() for line in told if line] == wanted
    assert (tmp_path / "box").is_dir()
    assert not (tmp_path / "own").exists(), "nothing is kept where nobody asked for it"


def test_every_python_block_compiles() -> None:
    papers = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    found = [(paper.name, block) for paper in papers for block in blocks(paper, "python")]
    assert found
    for name, block in found:
        compile(block, name, "exec")
