"""`mfdb provider drain|withdraw`, and the running provider that follows the wish."""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from mfdb.kernel.errors import DepositTooSmall, InvalidText
from mfdb.kernel.ids import MFT
from mfdb.node import provider_cli
from mfdb.node.network_file import NetworkFile
from mfdb.node.provider_drain import STATE, WISH, drain, follow_wish, withdraw
from tests.fixtures.node_town import Town, in_town, sealed_town

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.node_town import Stand


def at(town: Town, stand: Stand, directory: Path, patched: pytest.MonkeyPatch, **said: Any) -> Any:
    """Return the arguments of a command in the directory of a provider of the town."""

    class Twin:
        @staticmethod
        async def connect(*_: object) -> object:
            chain = town.world.chain()
            patched.setattr(chain, "close", _nothing, raising=False)
            return chain

    class File:
        deployment = None

    patched.setattr("mfdb.chain.web3_chain.Web3Chain", Twin)
    patched.setattr(NetworkFile, "load", lambda *_: File)
    patched.setattr(provider_cli, "provider_keys", lambda *_: stand.keys)
    plain = {
        "data": directory,
        "network": directory,
        "passphrase_file": None,
        "json": True,
        "cancel": False,
        "wait": False,
        "notice": False,
        "amount": None,
    }
    return argparse.Namespace(**(plain | said))


async def _nothing() -> None:
    return


@in_town
async def test_a_running_provider_follows_the_wish_until_all_is_let_go(
    town: Town,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bob, dataset, _ = await sealed_town(town, 8)
    remote = await bob.remote()
    await remote._lookup.look(dataset, [stand.me for stand in town.stands[:6]])
    stand = town.stands[0]
    following = asyncio.ensure_future(follow_wish(tmp_path, stand.node))
    wished = at(town, stand, tmp_path, monkeypatch)
    assert await drain(wished) == 0
    assert json.loads(capsys.readouterr().out)["earmarked"] != "0 MFT"
    await asyncio.sleep(5)
    assert stand.node.is_draining
    assert json.loads((tmp_path / STATE).read_text()) == {"draining": True, "datasets": 1}
    waiting = asyncio.ensure_future(drain(at(town, stand, tmp_path, monkeypatch, wait=True)))
    assert await remote.look_after() == 1
    assert await waiting == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told[-1]["withdrawable"] == told[-1]["deposit"]
    with pytest.raises(DepositTooSmall, match="are free"):
        await withdraw(at(town, stand, tmp_path, monkeypatch, amount="5000"))
    with pytest.raises(InvalidText, match="not an amount"):
        await withdraw(at(town, stand, tmp_path, monkeypatch, amount="lots"))
    assert await withdraw(at(town, stand, tmp_path, monkeypatch, amount="400")) == 0
    assert (await stand.chain.deposit(stand.me)).total == 600 * MFT
    assert await withdraw(at(town, stand, tmp_path, monkeypatch)) == 0
    assert (await stand.chain.deposit(stand.me)).total == 0
    following.cancel()


@in_town
async def test_the_wish_can_be_taken_back(
    town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (stand,) = await town.open(1)
    following = asyncio.ensure_future(follow_wish(tmp_path, stand.node))
    await drain(at(town, stand, tmp_path, monkeypatch))
    await asyncio.sleep(3)
    assert stand.node.is_draining
    assert stand.duties.offer().free_bytes == 0
    await drain(at(town, stand, tmp_path, monkeypatch, cancel=True))
    await asyncio.sleep(3)
    assert [stand.node.is_draining] == [False]
    assert stand.duties.offer().free_bytes > 0
    assert not (tmp_path / WISH).exists()
    following.cancel()


@in_town
async def test_a_provider_drains_on_after_it_was_started_again(town: Town) -> None:
    (stand,) = await town.open(1)
    await stand.node.drain()
    again = await stand.crash()
    assert again.node.is_draining
    assert again.duties.offer().free_bytes == 0
