"""Recompile all contracts: `python -m mfdb.chain.contracts.compile`.

Needs the compiler of the test extra. The bytecode carries no metadata, so the same sources give
the same bytes wherever they lie.
"""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

from mfdb.chain.contracts.artefacts import COMPILER, CONTRACTS, EVM_VERSION
from mfdb.kernel.errors import NotSupportedError

SOURCES = Path(__file__).parent
MODULES = ("evidence", "typed_data")


def compile_contract(name: str) -> dict[str, Any]:
    """Return the content of a contract's artefact file, freshly compiled.

    Raises:
        NotSupportedError: the compiler is not installed, or is another version.
    """
    compiled = _compile(SOURCES / f"{name}.vy")
    return {
        "name": name,
        "abi": compiled["abi"],
        "bytecode": compiled["bytecode"],
        "source_sha256": source_hash(name),
        "compiler": COMPILER,
        "evm_version": EVM_VERSION,
    }


def source_hash(name: str) -> str:
    """Return SHA-256 over a contract's source and our modules, in hex."""
    files = [SOURCES / f"{each}.vy" for each in (name, *MODULES)]
    return sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def artefact_text(name: str) -> str:
    """Return the text of a contract's artefact file, freshly compiled."""
    return json.dumps(compile_contract(name), indent=1, sort_keys=True) + "\n"


def _compile(file: Path) -> dict[str, Any]:
    try:
        import vyper
        from vyper.compiler import compile_from_file_input
        from vyper.compiler.input_bundle import FilesystemInputBundle
        from vyper.compiler.settings import Settings
    except ImportError as error:
        hint = "install the test extra: pip install 'mfdb[test]'"
        raise NotSupportedError("the Vyper compiler is not installed", hint=hint) from error
    if f"vyper {vyper.__version__.partition('+')[0]}" != COMPILER:
        raise NotSupportedError(f"the artefacts need {COMPILER}, not vyper {vyper.__version__}")
    bundle = FilesystemInputBundle([file.parent])
    read: dict[str, Any] = compile_from_file_input(
        bundle.load_file(file.name),
        input_bundle=bundle,
        settings=Settings(evm_version=EVM_VERSION),
        output_formats=["abi", "bytecode"],
        no_bytecode_metadata=True,
    )
    return read


def main() -> int:
    """Write the artefact of every contract and say its size."""
    for name in CONTRACTS:
        target = SOURCES / "artefacts" / f"{name}.json"
        target.write_text(artefact_text(name), "utf-8")
        size = (len(json.loads(target.read_text("utf-8"))["bytecode"]) - 2) // 2
        sys.stdout.write(f"{name}: {size} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
