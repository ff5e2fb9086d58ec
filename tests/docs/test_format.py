"""docs/format.md and the code name the same formats, in both directions.

A change of format fails here until the paper tells of it; `expected_row` shows what it must say.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest

import mfdb
import replication
from mfdb.kernel import seed
from mfdb.kernel.codec import Record
from mfdb.net.certificate import PROTOCOL
from mfdb.net.frames import Kind
from mfdb.node.answers import Answer
from mfdb.node.requests import FREE, Request

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAPER = (ROOT / "docs" / "format.md").read_text("utf-8")
_DOMAIN = re.compile(r"mfdb\.[a-z][a-z0-9-]*(?:\.[a-z0-9-]+)*\.v\d+(?:/[^\"`\s;]*)?")
_TYPE = re.compile(
    r"\b[A-Z]\w+\((?:address|bytes32|uint\d+) \w+(?:,(?:address|bytes32|uint\d+) \w+)*\)"
)
_OUTSIDE = ("mfdb.testing", "mfdb.chain.devchain")


def modules() -> Iterator[str]:
    for package in (mfdb, replication):
        for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not found.name.startswith(_OUTSIDE) and "__main__" not in found.name:
                yield found.name


def records() -> dict[tuple[str, str], type[Record]]:
    for name in modules():
        importlib.import_module(name)
    found: dict[tuple[str, str], type[Record]] = {}
    waiting: list[type[Record]] = [Record]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind is not Record and kind.__module__.startswith(("mfdb.", "replication.")):
            found[(kind.__module__, kind.__name__)] = kind
    return {key: kind for key, kind in found.items() if not key[0].startswith(_OUTSIDE)}


RECORDS = records()


def fields_cell(kind: type[Record]) -> str:
    """Return the field list of a record as the paper writes it."""
    said = kind.__annotations__
    shown = ", ".join(f"`{name}` {said[name]}" for name in kind.__struct_fields__)
    return shown.replace("|", "or") or "-"


def rows() -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in PAPER.splitlines()
        if line.startswith("| `")
    ]


@pytest.mark.parametrize("key", sorted(RECORDS), ids=".".join)
def test_every_record_stands_in_the_paper_with_its_fields(key: tuple[str, str]) -> None:
    kind = RECORDS[key]
    tag = kind.__struct_config__.tag
    expected = fields_cell(kind)
    said = [row for row in rows() if f"`{key[1]}`" in row[:2] and expected in row]
    assert said, f"expected a row of `{key[1]}` with the fields: {expected}"
    if isinstance(tag, str):
        assert said[0][0] == f"`{tag}`"


def test_the_paper_names_no_record_that_is_not_there() -> None:
    known = {name for _, name in RECORDS}
    for row in rows():
        is_listed = any(re.match(r"(`\w+` \w+|-$)", cell) for cell in row[1:4])
        first = row[0].strip("`")
        if is_listed and re.fullmatch(r"[A-Z]\w+", first) and first not in Kind.__members__:
            assert first in known, f"no record is called {first}"


def source_strings() -> Iterator[tuple[str, str]]:
    """Yield every text constant of production code that is no docstring, f-strings in one piece."""
    for name in modules():
        path = ROOT / (name.replace(".", "/") + ".py")
        path = path if path.exists() else ROOT / name.replace(".", "/") / "__init__.py"
        tree = ast.parse(path.read_text("utf-8"))
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        inside = {
            id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)
            for part in node.values
        }  # fmt: skip
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                yield name, _template(node)
            elif isinstance(node, ast.Constant) and id(node) not in docs | inside:
                if isinstance(node.value, str):
                    yield name, node.value
                elif isinstance(node.value, bytes):
                    yield name, node.value.decode("latin-1")


def _template(node: ast.JoinedStr) -> str:
    parts = []
    for part in node.values:
        if isinstance(part, ast.Constant):
            parts.append(str(part.value))
        elif isinstance(part, ast.FormattedValue):
            parts.append("{" + ast.unparse(part.value).removesuffix(".hex()") + "}")
    return "".join(parts)


def test_domain_strings_and_hkdf_infos_are_the_same_in_code_and_paper() -> None:
    in_code = {hit for _, text in source_strings() for hit in _DOMAIN.findall(text)}
    in_paper = set(_DOMAIN.findall(PAPER))
    assert in_code == in_paper
    assert len(in_code) > 25


def test_no_domain_string_serves_two_purposes() -> None:
    found: dict[str, list[str]] = {}
    for module, text in source_strings():
        for hit in _DOMAIN.findall(text):
            found.setdefault(hit, []).append(module)
    assert {hit: where for hit, where in found.items() if len(where) > 1} == {}


def test_type_strings_are_the_same_in_code_contracts_and_paper() -> None:
    in_code = {
        text
        for kind in RECORDS.values()
        for text in (getattr(kind, "TYPE", None), getattr(kind, "LAYOUT", None))
        if text
    }
    assert in_code == set(_TYPE.findall(PAPER))
    contracts = ROOT / "mfdb" / "chain" / "contracts"
    in_contracts = {
        hit
        for path in contracts.glob("*.vy")
        for hit in re.findall(r'keccak256\(\s*"(\w+\([^")]*\))"', path.read_text("utf-8"))
        if not hit.startswith("EIP712Domain")
    }
    assert len(in_contracts) >= 4
    assert in_contracts <= in_code


@pytest.mark.parametrize("union", [Request, Answer], ids=["request", "answer"])
def test_every_message_has_a_tag_of_its_own_in_the_paper(union: object) -> None:
    tags = [kind.__struct_config__.tag for kind in get_args(union)]
    assert len(set(tags)) == len(tags)
    heading = "### Requests" if union is Request else "### Answers"
    section = PAPER.split(heading)[1].split("\n#")[0]
    said = re.findall(r"^\| `([a-z?-]+)` \| `(\w+)`", section, re.MULTILINE)
    assert said == [(kind.__struct_config__.tag, kind.__name__) for kind in get_args(union)]


def test_what_is_free_is_said() -> None:
    free = " and ".join(f"`{kind.__struct_config__.tag}`" for kind in FREE)
    assert f"{free} are free of charge" in PAPER


def test_frame_kinds_paths_and_protocol_are_the_codes() -> None:
    said = dict(re.findall(r"^\| ([A-Z]+) \| (\d+) \|", PAPER, re.MULTILINE))
    assert said == {kind.name: str(int(kind)) for kind in Kind}
    assert set(re.findall(r"`(m/44'[^`]*)`", PAPER)) == {
        seed.ACCOUNT_PATH,
        seed.SIGNER_PATH,
        seed.RECOVERY_PATH,
    }
    assert f"ALPN `{PROTOCOL}`" in PAPER


_ROOMS = (
    *("shelf", "sealed_shelf", "agreements", "rows", "row_runs"),
    *("hot_index", "releases", "take_overs"),
)
PROVIDER_KEYS = tuple(f"mfdb/node/provider/{name}.py" for name in _ROOMS)


@pytest.mark.parametrize(
    ("heading", "modules"),
    [
        ("Provider (", PROVIDER_KEYS),
        ("Replica (", ("mfdb/dataset/layout.py",)),
    ],
)
def test_the_tables_of_keys_name_every_letter(heading: str, modules: tuple[str, ...]) -> None:
    text = "".join((ROOT / module).read_text("utf-8") for module in modules)
    in_code = set(re.findall(r'(?<![\w.])b"(\w)"', text))
    section = PAPER.split("\n" + heading)[1].split("\n\nPacked")[0].split("\n\nAny node")[0]
    assert set(re.findall(r"^\| `(\w)`", section, re.MULTILINE)) == in_code
