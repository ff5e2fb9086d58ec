"""Draining a provider from outside: a wish in its directory, which the running process follows.

`mfdb provider drain` leaves the wish; the process that serves (now, or when it is started next)
takes nothing new from then on, and tells in a file beside it how much it still keeps.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import TYPE_CHECKING

from mfdb.kernel.errors import DepositTooSmall, InvalidText, MfdbError
from mfdb.kernel.ids import Wei, parse_mft, show, show_mft

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from mfdb.node.provider.node import ProviderNode

log = logging.getLogger(__name__)
WISH = "drain"
"""A file whose being there asks the provider of a directory to drain."""
NOTICE = "notice"
"""What the file says where notice is to be given to owners who are not there."""
STATE = "drain.json"
EVERY_S = 1.0


async def follow_wish(directory: Path, node: ProviderNode) -> None:
    """Do what the wish in a directory says, and tell how far that is, until cancelled."""
    told = ""
    while True:
        wish = _wish(directory)
        drains = wish is not None
        try:
            if (drains, wish == NOTICE) != (node.is_draining, node.gives_notice):
                await node.drain(drains=drains, gives_notice=wish == NOTICE)
                log.info("draining" if drains else "taking new agreements again")
        except MfdbError as error:
            log.warning("cannot follow the wish to drain, will be tried again: %s", error)
        state = json.dumps({"draining": node.is_draining, "datasets": len(node.kept)})
        if drains and state != told:
            _replace(directory / STATE, state)
            told = state
        await asyncio.sleep(EVERY_S)


def _wish(directory: Path) -> str | None:
    try:
        return (directory / WISH).read_text("utf-8")
    except FileNotFoundError:
        return None


def _replace(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, "utf-8")
    part.replace(path)


async def drain(arguments: argparse.Namespace) -> int:
    """Leave the wish, and wait until it is fulfilled if that is asked; return the exit code.

    Ctrl-C ends the waiting, not the draining.
    """
    directory: Path = arguments.data
    if arguments.cancel:
        (directory / WISH).unlink(missing_ok=True)
        (directory / STATE).unlink(missing_ok=True)
        _say(arguments, {"draining": False})
        return 0
    (directory / WISH).touch(mode=0o600)
    (directory / WISH).write_text(NOTICE if arguments.notice else "", "utf-8")
    told: dict[str, object] = {}
    while True:
        state = await _state(arguments)
        if state != told:
            _say(arguments, state)
            told = state
        if not arguments.wait or state["earmarked"] == show_mft(0):
            return 0
        await asyncio.sleep(EVERY_S)


async def _state(arguments: argparse.Namespace) -> dict[str, object]:
    from mfdb.chain.web3_chain import Web3Chain
    from mfdb.node.network_file import NetworkFile
    from mfdb.node.provider_cli import provider_keys

    me = provider_keys(arguments.data, arguments.passphrase_file).address
    chain = await Web3Chain.connect(NetworkFile.load(arguments.network).deployment)
    try:
        deposit = await chain.deposit(me)
    finally:
        await chain.close()
    try:
        kept = json.loads((arguments.data / STATE).read_text("utf-8"))["datasets"]
    except (OSError, ValueError, KeyError):
        kept = "unknown: the provider does not run, or has not begun"
    return {
        "provider": show(me),
        "draining": True,
        "datasets kept": kept,
        "deposit": show_mft(deposit.total),
        "earmarked": show_mft(deposit.earmarked),
        "withdrawable": show_mft(deposit.total - deposit.earmarked),
    }


async def withdraw(arguments: argparse.Namespace) -> int:
    """Take back deposit that backs no agreement; return the exit code.

    Raises:
        DepositTooSmall: less is free than is asked for.
        InvalidText: the amount is none.
    """
    from mfdb.chain.port import Unstake
    from mfdb.chain.web3_chain import Web3Chain
    from mfdb.node.network_file import NetworkFile
    from mfdb.node.provider_cli import provider_keys

    keys = provider_keys(arguments.data, arguments.passphrase_file)
    chain = await Web3Chain.connect(NetworkFile.load(arguments.network).deployment)
    try:
        deposit = await chain.deposit(keys.address)
        free = Wei(deposit.total - deposit.earmarked)
        amount = free if arguments.amount is None else _amount(arguments.amount)
        if not 0 < amount <= free:
            raise DepositTooSmall(
                f"{show_mft(free)} of the deposit are free, {show_mft(amount)} are asked for",
                hint="`mfdb provider drain` frees what backs agreements",
            )
        await chain.send(Unstake(amount=amount), keys.account)
    finally:
        await chain.close()
    _say(arguments, {"withdrawn": show_mft(amount)})
    return 0


def _amount(text: str) -> Wei:
    wei = parse_mft(text)
    if not wei:
        raise InvalidText("an amount of 0 MFT moves nothing", hint="write 12.5")
    return wei


def _say(arguments: argparse.Namespace, state: dict[str, object]) -> None:
    if arguments.json:
        sys.stdout.write(json.dumps(state) + "\n")
    else:
        width = max(map(len, state))
        for name, value in state.items():
            sys.stdout.write(f"{name:<{width}}  {value}\n")
    sys.stdout.flush()
