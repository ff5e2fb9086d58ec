"""`mfdb demo`: the mailbox story on a devnet of its own, ending in a verdict."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mfdb.devnet.demo.mail import read_mbox
from mfdb.devnet.demo.play import play
from mfdb.devnet.parameters import MIN_PROVIDERS
from mfdb.kernel.ids import show_mft
from mfdb.node.system import SystemClock, SystemEntropy

if TYPE_CHECKING:
    import argparse

    from mfdb.devnet.demo.mail import Mail
    from mfdb.devnet.demo.play import Act, Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `mfdb demo`."""
    parser.add_argument(
        "--mbox", type=Path, metavar="FILE", help="mail to send (default: a sample of our own)"
    )
    parser.add_argument("--providers", type=int, default=MIN_PROVIDERS, metavar="N")

    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave everything in DIR")


def run(arguments: argparse.Namespace) -> int:
    """Play the demonstration and return 0 only if every act held."""
    logging.basicConfig(level=logging.ERROR)  # what nodes warn of here is part of the story
    mails = read_mbox(arguments.mbox)
    outcome = asyncio.run(_play(arguments, mails))
    if arguments.json:
        sys.stdout.write(json.dumps(outcome.document()) + "\n")
    else:
        _table(outcome)
    return 0 if outcome.ok else 1


async def _play(arguments: argparse.Namespace, mails: list[Mail]) -> Outcome:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    # SIGTERM ends the story as Ctrl-C does: every process is stopped, every file removed.
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    return await play(
        mails,
        providers=arguments.providers,
        clock=SystemClock(),
        entropy=SystemEntropy(),
        note=_note,
        on_act=_on_act,
        keep=arguments.keep,
    )


def _note(text: str) -> None:
    sys.stderr.write(f"    {text}\n")
    sys.stderr.flush()


def _on_act(act: Act) -> None:
    mark = "ok  " if act.ok else "FAIL"
    sys.stderr.write(f"{mark} {act.seconds:5.1f} s  {act.name}: {act.told}\n")
    sys.stderr.flush()


def _table(outcome: Outcome) -> None:
    figures = outcome.stage.figures
    rows = [
        ("messages inserted", str(figures.inserted)),
        ("delivered live", str(figures.delivered)),
        ("identical after restore", str(figures.identical)),
        ("bytes of mail", str(figures.bytes)),
        ("write receipts", str(figures.receipts)),
        ("secrets readable at providers", str(figures.plaintext_hits)),
        ("verdict", figures.verdict or "-"),
        ("Bob's compensation", f"{show_mft(figures.compensation)} MFT"),
    ]
    rows += [(f"gas: {kind}", str(gas)) for kind, gas in figures.gas.items()]
    rows += [(f"MFT: {name}", show_mft(amount)) for name, amount in figures.flows.items()]
    rows.append(("MFT: sum", show_mft(sum(figures.flows.values()))))
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        sys.stdout.write(f"{name:<{width}}  {value}\n")
