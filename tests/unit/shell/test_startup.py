"""What a process loads: nothing that its statement does not need. Modules are counted, not time."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import mfdb

if TYPE_CHECKING:
    from pathlib import Path

_LEAVE_OUT = (
    # other people's, most of them slow to import
    "aiohttp",
    "arro3",
    "bip32",
    "coincurve",
    "Crypto",
    "cryptography",
    "duckdb",
    "eth",
    "eth_hash",
    "lark",
    "numpy",
    "pandas",
    "platformdirs",
    "polars",
    "prompt_toolkit",
    "pyarrow",
    "pygments",
    "reedsolo",
    "sqlalchemy",
    "wcwidth",
    "web3",
    # ours, for other statements
    "mfdb.chain",
    "mfdb.client.changes",
    "mfdb.client.defining",
    "mfdb.client.networked",
    "mfdb.client.telling",
    "mfdb.dataset.check",
    "mfdb.dataset.sealed_feed",
    "mfdb.devnet",
    "mfdb.net",
    "mfdb.node.client",
    "mfdb.node.provider",
    "mfdb.dataset.sealed_batch",
    "mfdb.sql.bind_definition",
    "mfdb.sql.bind_writing",
    "mfdb.sql.dml",
    "mfdb.sql.format_functions",
    "mfdb.sql.relational.bind_query",
    "mfdb.sql.relational.run",
    "mfdb.sql.syntax_error",
    "replication",
    "shell.repl",
)
_RUN = """
import json, sys
from shell.__main__ import main
code = main(sys.argv[1:])
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


def _loaded(*command: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", *command], capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("startup")
    with mfdb.connect(directory) as connection:
        connection.execute("CREATE DATASET notes (id INTEGER PRIMARY KEY, body TEXT)")
        connection.execute("INSERT INTO notes VALUES (1, 'one')")
    return directory


def test_a_statement_of_no_dataset_loads_little(data: Path) -> None:
    loaded = _loaded(_RUN, "--data", str(data), "-c", "SELECT 1")
    assert "mfdb.client.queries" in loaded
    assert not loaded.intersection(_LEAVE_OUT)


@pytest.mark.parametrize("query", ["SELECT body FROM notes WHERE id = 1", "SELECT * FROM notes"])
def test_reading_rows_loads_no_columnar_engine(data: Path, query: str) -> None:
    loaded = _loaded(_RUN, "--data", str(data), "-c", query)
    assert not loaded.intersection(("duckdb", "numpy", "arro3", "web3", "mfdb.client.changes"))


def test_importing_mfdb_loads_nothing_of_it() -> None:
    script = "import json, sys, mfdb; print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    ours = {name for name in _loaded(script) if name.partition(".")[0] in ("mfdb", "shell")}
    assert ours == {"mfdb"}
