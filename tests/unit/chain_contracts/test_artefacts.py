"""The artefacts that the wheel ships are what the sources compile to."""

from __future__ import annotations

import sys

import pytest

from mfdb.chain.contracts.artefacts import COMPILER, CONTRACTS, EVM_VERSION, load
from mfdb.chain.contracts.compile import SOURCES, artefact_text, source_hash
from mfdb.kernel.errors import NotSupportedError


@pytest.mark.parametrize("name", CONTRACTS)
def test_recompiling_gives_the_same_bytes(name: str) -> None:
    pytest.importorskip("vyper", reason="the compiler comes with the test extra")
    shipped = (SOURCES / "artefacts" / f"{name}.json").read_text("utf-8")
    assert artefact_text(name) == shipped


@pytest.mark.parametrize("name", CONTRACTS)
def test_artefacts_say_what_they_are(name: str) -> None:
    artefact = load(name)
    assert (artefact.name, artefact.compiler) == (name, COMPILER)
    assert artefact.evm_version == EVM_VERSION == "paris"
    assert artefact.source_sha256 == source_hash(name)
    assert 0 < len(artefact.bytecode) < 24_576, "the limit of EIP-170 holds for the runtime code"
    assert {entry["type"] for entry in artefact.abi} <= {"constructor", "event", "function"}


def test_every_source_has_its_artefact() -> None:
    sources = {path.stem for path in SOURCES.glob("*.vy")} - {"evidence", "typed_data"}
    artefacts = {path.stem for path in (SOURCES / "artefacts").glob("*.json")}
    assert sources == artefacts == set(CONTRACTS)


def test_a_missing_or_other_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "vyper", None)
        with pytest.raises(NotSupportedError, match="not installed") as caught:
            artefact_text("mft")
        assert "mfdb[test]" in caught.value.hint
    vyper = pytest.importorskip("vyper", reason="the compiler comes with the test extra")
    monkeypatch.setattr(vyper, "__version__", "0.5.0")
    with pytest.raises(NotSupportedError, match=r"not vyper 0\.5\.0"):
        artefact_text("mft")


def test_an_unknown_contract_is_named() -> None:
    with pytest.raises(KeyError, match="no contract 'bank'"):
        load("bank")


def test_every_refusal_has_a_reason_of_ours() -> None:
    for path in SOURCES.glob("*.vy"):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            text = line.strip()
            if text.startswith("assert ") and "extcall" not in text and "staticcall" not in text:
                alone = text.endswith(('"', "("))
                assert alone, f"{path.name}:{number} reverts without a reason"
