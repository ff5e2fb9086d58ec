"""Files and functions stay small enough to read, and are called what GLOSSARY says."""

from __future__ import annotations

import ast
import re

from tests.tidy.source_tree import CODE, ROOT, python_files, shown, text_files, tree

FILE_LINES = 600
FUNCTION_LINES = 70
NAMELESS = {"utils", "util", "helpers", "helper", "common", "misc"}
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_BOLD = re.compile(r"\*\*([a-z]+)\*\*")


def test_there_is_something_to_look_at() -> None:
    assert len(python_files()) > 50


def test_no_file_is_longer_than_600_lines() -> None:
    long = [
        f"{shown(path)}: {lines}"
        for path in python_files()
        if (lines := len(path.read_text("utf-8").splitlines())) > FILE_LINES
    ]
    assert long == []


def test_no_function_is_longer_than_70_lines() -> None:
    long = [
        f"{shown(path)}:{node.lineno} {node.name}: {lines}"
        for path in python_files()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES
    ]
    assert long == []


def test_nothing_strays_into_the_tree() -> None:
    """A test by hand twice left a shell's history in a folder that was then committed."""
    folders = {p.parts[0] for path in text_files() if len((p := path.relative_to(ROOT)).parts) > 1}
    assert folders - {*CODE, "docs", ".ci"} == set()


def test_no_file_is_named_after_nothing() -> None:
    assert [shown(p) for p in python_files() if NAMELESS & {p.stem, p.parent.name}] == []


def banned_words() -> set[str]:
    """The words printed bold in the "not" column of GLOSSARY.md."""
    banned: set[str] = set()
    for line in (ROOT / "GLOSSARY.md").read_text("utf-8").splitlines():
        cells = line.strip("| \n").split("|")
        if line.startswith("|") and len(cells) == 3:
            banned.update(_BOLD.findall(cells[2]))
    return banned


def test_the_glossary_bans_words() -> None:
    assert {"voucher", "neighbor"} <= banned_words()


def test_identifiers_use_the_words_of_the_glossary() -> None:
    banned = banned_words()
    found = [
        f"{shown(path)}: {name}"
        for path in python_files()
        for name in _identifiers(tree(path))
        if banned & {word.lower() for word in _WORD.findall(name)}
    ]
    assert found == []


def _identifiers(module: ast.Module) -> set[str]:
    """Every name that a file defines (what it calls in libraries is not its choice)."""
    found: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found
