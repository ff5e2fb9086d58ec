"""Bob's mailbox as an application would write it; README.md beside this file tells how to run it.

Anyone may write to Bob, nobody but Bob can read, change or delete a letter, and his application
hears of each one at once.
"""

from __future__ import annotations

import argparse
import asyncio

import mfdb.aio
from mfdb import DatabaseError

LETTERS = [
    ("The boat is ready", "Two coats of paint, and the rigging is up."),
    ("A bonfire on the hill", "When the tide turns. Bring the ladder!"),
    ("Who has the ladder?", "It stood behind the net loft."),
]
DEADLINE_S = 60


async def print_letters(bob: mfdb.aio.Connection, expected: int) -> None:
    """Print letters as they come, until as many have come as are expected."""
    async for change in bob.subscribe("SUBSCRIBE TO letters"):
        if change.new is not None:
            print(f"Bob reads: {change.new['subject']}")
            expected -= 1
        if expected == 0:
            return


async def write_letters(alice: mfdb.aio.Connection, to: str) -> None:
    """Write to a mailbox of which only the owner's address is known."""
    for letter in LETTERS:
        await alice.execute(f'INSERT INTO "{to}".letters (subject, body) VALUES (?, ?)', letter)
    print(f"Alice wrote {len(LETTERS)} letters")


async def try_to_read(alice: mfdb.aio.Connection, of: str) -> None:
    """Find out that Bob's letters are none of Alice's business."""
    try:
        await alice.execute(f'SELECT subject FROM "{of}".letters')
    except DatabaseError as refusal:
        print(f"Alice is refused ({refusal.sqlstate})")


async def story(network: str, bob_data: str, alice_data: str) -> None:
    """Let Bob and Alice meet; on a real day each runs a process of their own."""
    async with (
        asyncio.timeout(DEADLINE_S),
        await mfdb.aio.connect(bob_data, network=network) as bob,
        await mfdb.aio.connect(alice_data, network=network) as alice,
    ):
        await bob.execute("CREATE MAILBOX letters (subject TEXT NOT NULL, body TEXT)")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(print_letters(bob, len(LETTERS)))
            tasks.create_task(write_letters(alice, bob.identity))
        await try_to_read(alice, bob.identity)
        await bob.execute("ALTER DATASET letters SEAL")
        providers = await bob.fetch("SHOW PROVIDERS FOR letters")
        print(f"sealed: any 4 of {len(providers)} providers can bring the letters back")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", help="the network file that `mfdb devnet up` names")
    parser.add_argument("bob", help="Bob's data directory")
    parser.add_argument("alice", help="Alice's data directory")
    arguments = parser.parse_args()
    asyncio.run(story(arguments.network, arguments.bob, arguments.alice))
