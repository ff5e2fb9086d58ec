"""Rules that too few providers took: sent again as they were signed, before anything else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from mfdb.kernel.codec import encode
from mfdb.kernel.errors import QuorumNotReached
from tests.fixtures.users import User

if TYPE_CHECKING:
    from tests.fixtures.fake_network import FakeNetwork

MAIL = "INSERT INTO bob.mailbox (subject, body) VALUES (?, ?)"
RULES = [
    "REVOKE INSERT ON mailbox FROM PUBLIC",
    "GRANT SELECT ON news TO alice",
    "CREATE POLICY short ON mailbox FOR INSERT TO PUBLIC WITH CHECK (true)",
    "ALTER DATASET mailbox ADD COLUMN stars INTEGER",
    "ALTER DATASET mailbox SET (max_message = 8)",
    "DROP MAILBOX mailbox",
]


@pytest.mark.parametrize("statement", RULES)
def test_rules_that_some_replica_may_have_taken_are_sent_again_as_they_were_signed(
    statement: str, world: FakeNetwork
) -> None:
    async def main() -> None:
        alice, bob = User("alice", world), User("bob", world)
        await alice.run("CREATE MAILBOX mailbox")
        await bob.run("CREATE MAILBOX mailbox")
        await bob.run("CREATE DATASET news (body TEXT)")
        before = len(world.sent_rules)
        world.reachable = 1
        for _ in range(2):
            with pytest.raises(QuorumNotReached):
                await bob.run(statement)
        world.reachable = 3
        await alice.run(MAIL, "in between", b"")
        bob.store.close()
        bob = User("bob", world, bob.store.disk)
        assert (await bob.run(statement)).tag.split()[0] == statement.split(maxsplit=1)[0]
        sent = [encode(one) for one in world.sent_rules[before:]]
        assert len(sent) >= 3
        assert sent == [sent[0]] * len(sent)

    asyncio.run(main())


def test_rules_that_may_have_arrived_come_before_others_and_yield_to_another_machine(
    world: FakeNetwork,
) -> None:
    async def main() -> None:
        bob = User("bob", world)
        await bob.run("CREATE MAILBOX mailbox")
        other = User("bob", world)
        other.replica.add_manifests(next(iter(world.shelves.values())).chain)
        world.reachable = 1
        with pytest.raises(QuorumNotReached):
            await bob.run("REVOKE INSERT ON mailbox FROM PUBLIC")
        world.reachable = 3
        await bob.run("ALTER DATASET mailbox ADD COLUMN stars INTEGER")
        (shelf,) = world.shelves.values()
        assert len(shelf.chain) == 3
        assert shelf.chain[1].manifest.hash == world.sent_rules[0].manifest.hash
        await other.run("SELECT * FROM mailbox")
        world.reachable = 1
        with pytest.raises(QuorumNotReached):
            await bob.run("GRANT INSERT ON mailbox TO PUBLIC")
        world.reachable = 3
        await other.run("ALTER DATASET mailbox ADD COLUMN flags INTEGER")
        await bob.run("SELECT * FROM mailbox")
        await bob.run("ALTER DATASET mailbox DROP COLUMN stars")
        assert [one.manifest.number for one in shelf.chain] == list(range(5))

    asyncio.run(main())
