"""A dataset that changes its code and leaves a provider that drains, on real processes."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from mfdb.kernel.ids import show
from mfdb.node.provider_cli import provider_keys
from mfdb.node.provider_drain import STATE
from tests.fixtures.e2e_command import COMMAND_S, mfdb
from tests.fixtures.e2e_network import SMALL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.e2e_network import LiveNetwork

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_a_dataset_is_coded_once_more_and_leaves_who_drains(
    live: LiveNetwork, tmp_path: Path
) -> None:
    bob = live.newcomer("bob", tmp_path)
    done = bob.mfdb(
        f"CREATE DATASET notes (id INTEGER CLEAR PRIMARY KEY, body TEXT) {SMALL}",
        "INSERT INTO notes SELECT n, repeat('x', 1000) FROM generate_series(1, 20) AS s(n)",
        "ALTER DATASET notes SEAL",
    )
    assert done.code == 0, done.err
    leaving = holder_of(live, {row["provider"] for row in bob.rows("SHOW PROVIDERS FOR notes")})
    data = live.directory / f"p{leaving}"
    command = ("provider", "drain", "--data", data, "--network", live.file, "--json")
    assert mfdb(*command).code == 0
    until(lambda: kept(data) is not None)
    before = kept(data)
    assert before is not None
    (moved,) = bob.rows("ALTER DATASET notes SET (erasure = '3/5')")
    assert moved == {"joined": 3, "left": 1, "recoded": 1, "released": 1}
    # A range of clear keys: each replica signs its root and proves that the range is whole.
    asked = "SELECT count(*) AS n FROM notes WHERE id > 5 AND length(body) = 1000 VERIFY"
    assert bob.rows(asked) == [{"n": 15}]
    (segment,) = bob.rows("SHOW SEGMENTS FOR notes")
    assert (segment["code"], segment["shards_stored"]) == ("3/5", 5)
    health = {row["reading"]: row for row in bob.rows("SHOW HEALTH FOR notes")}
    assert health["coded"]["value"] == "1 of 1 segments in 3/5"
    until(lambda: kept(data) == before - 1)
    assert mfdb(*command, "--cancel").code == 0
    until(lambda: not (data / STATE).exists())


def holder_of(live: LiveNetwork, addresses: set[str]) -> int:
    """Return the number of a provider that is one of these."""
    keys = {at: provider_keys(live.directory / f"p{at}") for at in range(1, 8)}
    return next(at for at, found in keys.items() if show(found.address) in addresses)


def until(condition: Callable[[], bool]) -> None:
    """Wait for what a process does in its own time."""
    deadline_s = time.monotonic() + COMMAND_S
    while not condition():
        assert time.monotonic() < deadline_s, "it never came to be"
        time.sleep(0.05)


def kept(directory: Path) -> int | None:
    """Return how many datasets a draining provider says that it keeps."""
    try:
        state: dict[str, int] = json.loads((directory / STATE).read_text("utf-8"))
    except FileNotFoundError:
        return None
    return state["datasets"]
