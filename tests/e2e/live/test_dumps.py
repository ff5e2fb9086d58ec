"""A dump of datasets that live on providers, and what the seed words alone bring back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import mfdb as mfdb_api
from mfdb.client.dumps import restore_dumps, verify
from mfdb.node.keystore import keystore_in
from mfdb.node.system import SystemEntropy
from tests.fixtures.e2e_command import mfdb
from tests.fixtures.e2e_network import SMALL

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.e2e_network import LiveNetwork

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROWS = "SELECT id, body FROM notes ORDER BY id"
LEFT = [(1, "one"), (3, "three"), (4, "four")]


def test_a_dump_and_the_seed_words_bring_the_same_rows_back(
    live: LiveNetwork, tmp_path: Path
) -> None:
    bob, dumped = live.newcomer("bob", tmp_path), tmp_path / "one.dump"
    done = bob.mfdb(
        f"CREATE DATASET notes (id INTEGER PRIMARY KEY, body TEXT) {SMALL}",
        "INSERT INTO notes VALUES (1, 'one'), (2, 'two'), (3, 'three')",
        "DELETE FROM notes WHERE id = 2",
        "ALTER DATASET notes SEAL",
        "INSERT INTO notes VALUES (4, 'four')",
    )
    assert done.code == 0, done.err
    done = mfdb(*bob.arguments, "dump", dumped)
    assert done.code == 0, done.err
    report = verify([dumped])
    assert report.is_good, report.problems
    (notes,) = [one for one in report.datasets if one.name == "notes"]
    assert (notes.segments, notes.notes) == (1, [])
    assert notes.receipts >= 2  # each held against the node record of who gave it

    words = keystore_in(bob.data, SystemEntropy()).words(bob.address)
    for name in ("restored", "recovered"):
        keystore_in(tmp_path / name, SystemEntropy()).restore("bob", words)
    restore_dumps([dumped], tmp_path / "restored")
    with mfdb_api.connect(tmp_path / "restored") as connection:
        assert connection.execute(ROWS).fetchall() == LEFT
    found = mfdb(
        "--network", live.file, "--data", tmp_path / "recovered", "--json", "-c", f"{ROWS} VERIFY"
    )
    assert found.code == 0, found.err
    assert [tuple(row.values()) for row in json.loads(found.out)] == LEFT
