"""`mfdb devnet`: up until ready, down without a trace, up again with its data, reset."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.fixtures.e2e_command import kill_all, processes_under, start_mfdb
from tests.fixtures.e2e_network import SMALL, LiveNetwork

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e

END_S = 60


def test_data_outlives_down_and_a_power_cut_until_reset(own: LiveNetwork, tmp_path: Path) -> None:
    own.up("--providers", "3")
    status = own.status()
    assert status["running"] == 4
    assert status["network"] == str(own.file)
    assert [part["name"] for part in status["parts"]] == ["chain", "p1", "p2", "p3"]
    first = own.pids()
    bob = own.newcomer("bob", tmp_path)
    made = bob.mfdb(f"CREATE MAILBOX inbox (body TEXT) {SMALL}", "INSERT INTO inbox VALUES ('a')")
    assert made.code == 0, made.err

    assert own.devnet("down").code == 0
    assert processes_under(own.directory) == {}
    stopped = own.devnet("status")
    assert stopped.code == 1
    assert stopped.document["running"] == 0
    own.up()
    assert own.status()["running"] == 4, "up without a number keeps the providers that there are"
    assert set(own.pids().values()).isdisjoint(first.values())
    assert bob.rows("SELECT body FROM inbox") == [{"body": "a"}]
    assert bob.mfdb("INSERT INTO inbox VALUES ('b')").code == 0

    kill_all(dict.fromkeys(own.pids().values(), ""))
    own.up()
    assert bob.rows("SELECT body FROM inbox ORDER BY body") == [{"body": "a"}, {"body": "b"}]
    assert bob.mfdb("INSERT INTO inbox VALUES ('c')").code == 0

    assert own.devnet("reset", "--yes").code == 0
    assert processes_under(own.directory) == {}
    assert not own.directory.exists()


def test_ctrl_c_while_it_comes_up_leaves_no_process(own: LiveNetwork) -> None:
    with start_mfdb(
        *("devnet", "up", "--providers", "3", "--base-port", "0", "--directory", own.directory)
    ) as child:
        assert child.stderr is not None
        for line in child.stderr:
            if line.startswith("starting 3 providers"):
                break
        assert len(processes_under(own.directory)) >= 2  # it, and the chain at least
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=END_S)
        assert child.returncode == 130
        assert "Traceback" not in err
    assert processes_under(own.directory) == {}
    own.up("--providers", "3")
    assert own.status()["running"] == 4
    assert own.devnet("down").code == 0


def test_of_two_at_once_one_is_told_to_wait(own: LiveNetwork) -> None:
    command = ("devnet", "up", "--providers", "1", "--base-port", "0", "--directory", own.directory)
    with start_mfdb(*command) as first:
        assert first.stderr is not None
        assert first.stderr.readline().startswith("starting the chain")
        second = own.devnet("up", "--providers", "1")
        assert second.code == 1
        assert second.error["code"] == "StoreLocked"
        assert second.error["hint"]
        _, err = first.communicate(timeout=END_S)
        assert first.returncode == 0, err
    assert own.status()["running"] == 2
    assert own.devnet("down").code == 0
    assert processes_under(own.directory) == {}


def test_a_provider_that_does_not_start_takes_the_rest_with_it(own: LiveNetwork) -> None:
    own.directory.mkdir()
    (own.directory / "p1").write_text("where the provider wants a directory")
    refused = own.devnet("up", "--providers", "1", "--base-port", "0")
    assert refused.code == 1
    assert refused.error["hint"]
    assert processes_under(own.directory) == {}
