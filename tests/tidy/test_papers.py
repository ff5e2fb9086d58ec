"""Links lead somewhere, paths are nobody's own, and the README's test command is what CI runs."""

from __future__ import annotations

import re
import stat

import pytest

from tests.tidy.source_tree import ROOT, shown, text_files

PAPERS = [
    "README.md",
    "ARCHITECTURE.md",
    "GLOSSARY.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
]
RUN_COMMAND = "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/mfdb demo"
TEST_COMMAND = "python3 -m venv .venv && .venv/bin/pip install '.[test]' && .venv/bin/pytest"
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_OWN_PATH = re.compile(r"(?<![\w.$}{/])/(?:home|Users|work|root|mnt)/\w|\b[A-Z]:\\\\?Users")


@pytest.mark.parametrize("name", PAPERS)
def test_the_paper_is_there(name: str) -> None:
    assert len((ROOT / name).read_text("utf-8")) > 500


def test_no_link_is_dead() -> None:
    dead = []
    for path in text_files():
        if path.suffix != ".md":
            continue
        for link in _LINK.findall(_FENCE.sub("", path.read_text("utf-8"))):
            target = link.partition("#")[0]
            outside = "://" in link or link.startswith("mailto:")
            if target and not outside and not (path.parent / target).exists():
                dead.append(f"{shown(path)}: {link}")
    assert dead == []


def test_no_anchor_is_dead() -> None:
    dead = []
    for path in text_files():
        if path.suffix != ".md":
            continue
        for link in _LINK.findall(_FENCE.sub("", path.read_text("utf-8"))):
            file, _, anchor = link.partition("#")
            target = path.parent / file if file else path
            if anchor and target.suffix == ".md" and target.exists():
                headings = re.findall(r"^#+ +(.*)$", target.read_text("utf-8"), re.MULTILINE)
                if anchor not in {_slug(heading) for heading in headings}:
                    dead.append(f"{shown(path)}: {link}")
    assert dead == []


def _slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def test_no_path_of_somebodys_machine() -> None:
    found = [
        f"{shown(path)}: {hit.group()}"
        for path in text_files()
        if path.name != "test_papers.py"
        for hit in [_OWN_PATH.search(path.read_text("utf-8"))]
        if hit
    ]
    assert found == []


def test_the_two_commands_stand_in_the_readme() -> None:
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    assert RUN_COMMAND in lines
    assert TEST_COMMAND in lines


def test_ci_runs_the_test_command_of_the_readme_and_nothing_else() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & stat.S_IXUSR
    lines = [line.strip() for line in script.read_text("utf-8").splitlines()]
    work = [line for line in lines if line and not line.startswith("#")]
    assert work == ["set -eu", 'cd "$(dirname "$0")/.."', TEST_COMMAND]


def test_every_decision_is_listed_and_numbered_once() -> None:
    folder = ROOT / "docs" / "adr"
    files = sorted(path.name for path in folder.glob("[0-9]*.md"))
    numbers = [name[:4] for name in files]
    assert numbers == [f"{number:04}" for number in range(1, len(files) + 1)]
    index = (folder / "README.md").read_text("utf-8")
    assert [name for name in files if f"({name})" not in index] == []
