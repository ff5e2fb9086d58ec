"""What the tidy tests look at: the repository's own files, not what tools leave beside them."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = ("mfdb", "replication", "shell", "tests", "bench", "examples")
_TEXT = {
    ".py",
    ".md",
    ".toml",
    ".lark",
    ".vy",
    ".vyi",
    ".json",
    ".mfdb",
    ".sql",
    ".yml",
    ".yaml",
    "",
}
_GENERATED = {"build", "dist", "htmlcov", "__pycache__", "node_modules", "venv"}


@cache
def text_files() -> list[Path]:
    """Every text file of the repository, generated and hidden folders left out but .ci kept."""
    return [path for path in _walk(ROOT) if path.suffix in _TEXT and path.name != ".git"]


def _walk(folder: Path) -> list[Path]:
    found: list[Path] = []
    for path in sorted(folder.iterdir()):
        hidden = path.name.startswith(".") and path.name != ".ci"
        if hidden or path.name in _GENERATED or path.name.endswith(".egg-info"):
            continue
        found += _walk(path) if path.is_dir() else [path]
    return found


def python_files() -> list[Path]:
    """Every Python file of ours."""
    return [p for p in text_files() if p.suffix == ".py" and p.relative_to(ROOT).parts[0] in CODE]


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text("utf-8"))


def shown(path: Path) -> str:
    """The path as a person reads it."""
    return path.relative_to(ROOT).as_posix()
