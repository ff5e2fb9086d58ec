"""`mfdb demo`: the whole story on real mail, and again after somebody pulled the plug on it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.fixtures.e2e_command import ROOT, mfdb, processes_under, start_mfdb

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e

REAL_MAIL = ROOT.parent / "shared" / "data" / "mail" / "messages.mbox"
DEMO_S = 600
"""Ten times what it takes on two free cores, for a machine that runs other tests too."""
ACTS = 7
PROVIDERS = 7
SAMPLE_MESSAGES = 12
REAL_MESSAGES = 103
GAS = ("cash_cheque", "register_agreement", "open_case", "answer", "verdict")
CONTRACTS = ("mft", "registry", "deposits", "escrow", "court", "beacon", "chequebook_factory")


def check(figures: dict[str, Any], messages: int) -> None:
    """Hold every figure that the demo promises against what it must be."""
    assert figures["error"] is None
    assert figures["ok"] is True
    assert figures["messages"] == {
        "inserted": messages,
        "delivered": messages,
        "identical": messages,
    }
    assert figures["rows"] == messages
    assert figures["receipts"] >= 2 * messages
    assert [act["ok"] for act in figures["acts"]] == [True] * ACTS
    assert len({act["name"] for act in figures["acts"]}) == ACTS
    assert all(0 < act["seconds"] < DEMO_S for act in figures["acts"])
    assert figures["plaintext_hits"] == 0
    assert figures["verdict"] == "guilty"
    assert isinstance(figures["compensation"], str)
    assert int(figures["compensation"]) > 0
    assert min(figures["gas"][kind] for kind in GAS) > 21_000, "less than a bare transaction"
    check_flows(figures["mft"])


def check_flows(mft: dict[str, Any]) -> None:
    """Money is conserved, and everybody who could hold any is named."""
    flows = {name: int(amount) for name, amount in mft["flows"].items()}
    people = ["alice", "bob", *(f"provider {number + 1}" for number in range(PROVIDERS))]
    books = [f"chequebook of {name}" for name in people]
    assert set(flows) >= {*people, *books, *CONTRACTS, "burn", "faucet"}
    assert not [name for name in flows if name.startswith("0x")], "money went to a stranger"
    assert mft["sum"] == "0"
    assert sum(flows.values()) == 0
    assert flows["faucet"] < 0 < flows["burn"]
    assert 0 < flows["escrow"] < flows["deposits"]
    assert flows["court"] == 0, "every bond went somewhere"


def test_after_ctrl_c_in_act_5_the_next_run_is_green(tmp_path: Path) -> None:
    interrupted_in_act_5(tmp_path)
    assert processes_under(tmp_path) == {}
    assert list(tmp_path.iterdir()) == []
    real = REAL_MAIL.exists()  # it does not lie beside every checkout
    argv = ("demo", "--json", *(("--mbox", REAL_MAIL) if real else ()))
    done = mfdb(*argv, timeout_s=DEMO_S, environ={"TMPDIR": str(tmp_path)})
    assert done.code == 0, done.err
    assert len(done.out.splitlines()) == 1, "one object and nothing else"
    check(done.document, REAL_MESSAGES if real else SAMPLE_MESSAGES)
    assert done.document["bytes"] > (200_000 if real else 1_000)
    assert processes_under(tmp_path) == {}
    assert list(tmp_path.iterdir()) == []


def interrupted_in_act_5(place: Path) -> None:
    with start_mfdb("demo", "--json", environ={"TMPDIR": str(place)}) as child:
        assert child.stderr is not None
        for line in child.stderr:
            if "killed providers" in line:
                break
        assert len(processes_under(place)) >= PROVIDERS - 2, "the survivors and the chain run"
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=DEMO_S)
        assert child.returncode == 130, err
        assert out == ""
        assert "Traceback" not in err
