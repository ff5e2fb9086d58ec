"""Options and rights of datasets on a network, from their statements to what providers do."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mfdb.kernel.errors import (
    AccessDenied,
    InvalidDefinition,
    NoProviders,
    NotSupportedError,
    SchemaViolation,
    UnknownIdentity,
)
from mfdb.kernel.ids import MFT, show
from tests.fixtures.customers import Customer, customer
from tests.fixtures.datasets import keys_of
from tests.fixtures.node_town import Town, in_town

if TYPE_CHECKING:
    from mfdb.rules.placement import Placement

BOB = show(keys_of("bob").address)
WHOLE = (
    "WITH (redundancy = 3, erasure = 4/6, deposit = 20 MFT, price_ceiling = 0.002 MFT, "
    "retention = '90 days')"
)


async def placement_of(owner: Customer, name: str) -> Placement:
    known = {one.manifest.name: one.manifest.dataset for one in owner.session.datasets()}
    remote = owner.remote
    placement: Placement = (await remote._lookup.look(known[name])).placement
    return placement


@in_town
async def test_each_provider_of_a_dataset_earmarks_the_deposit_asked_for(town: Town) -> None:
    await town.open(6)
    alice = await customer(town)
    await alice.run(f"CREATE DATASET messages (id INTEGER PRIMARY KEY, body TEXT) {WHOLE}")
    placement = await placement_of(alice, "messages")
    assert len(placement.agreements) == 6
    for made in placement.agreements.values():
        state = await alice.chain.agreement(made.agreement.id)
        assert state is not None
        assert state.earmarked == 20 * MFT
        offered = town.stands[0].settings.fee_per_mib_epoch
        assert made.agreement.fee_per_epoch == 20 * offered, "tokens that are bound cost their fee"
    assert placement.mandate is not None
    assert placement.mandate.mandate.min_deposit == 20 * MFT
    (shown, *_) = (await alice.run("SHOW CREATE DATASET messages")).rows
    assert "deposit = 20 MFT" in str(shown[-1])
    assert "price_ceiling = 0.002 MFT" in str(shown[-1])
    await alice.refused(
        "CREATE DATASET dear (x INTEGER) WITH (deposit = 5000 MFT)", NoProviders, "needed"
    )
    await alice.run("INSERT INTO messages VALUES (1, 'kept')")
    assert list((await alice.run("SELECT body FROM messages")).rows) == [("kept",)]


@in_town
async def test_a_mailbox_takes_no_message_longer_than_its_owner_said(town: Town) -> None:
    await town.open(6)
    bob, alice = await customer(town, "bob"), await customer(town, "alice")
    await bob.run("CREATE MAILBOX inbox (body TEXT) FOR bob WITH (max_message = 2)")
    (shown, *_) = (await bob.run("SHOW CREATE MAILBOX inbox")).rows
    assert "max_message = 2" in str(shown[-1])
    insert = f"INSERT INTO \"{BOB}\".inbox (body) VALUES ('{{}}')"
    await alice.run(insert.format("x" * 1_500))
    await alice.refused(insert.format("x" * 2_100), SchemaViolation, "takes 2 KiB at most")
    await bob.run("ALTER MAILBOX inbox SET (max_message = 3)")
    await alice.run(insert.format("y" * 2_100))
    await bob.run("ALTER MAILBOX inbox SET (max_message = 1)")
    await alice.refused(insert.format("z" * 1_500), SchemaViolation, "takes 1 KiB at most")
    assert len((await bob.run("SELECT * FROM inbox")).rows) == 2


@in_town
async def test_a_mailbox_is_made_by_whom_it_is_for(town: Town) -> None:
    await town.open(6)
    alice = await customer(town)
    error = await alice.refused("CREATE MAILBOX inbox FOR bob", AccessDenied, "only bob can make")
    assert error.position == 25
    assert "USE IDENTITY bob" in error.hint
    await alice.refused("CREATE MAILBOX inbox FOR nobody", UnknownIdentity)
    await alice.refused("CREATE MAILBOX inbox FOR PUBLIC", InvalidDefinition, "one identity")
    await alice.run("CREATE MAILBOX inbox (a TEXT) FOR alice WITH (retention = '30 days')")
    rows = [str(row[-1]) for row in (await alice.run("SHOW CREATE MAILBOX inbox")).rows]
    assert rows[0].startswith("CREATE MAILBOX inbox (a TEXT) WITH (")
    assert "retention = '30 days'" in rows[0]
    assert rows[1:] == [
        "GRANT INSERT ON inbox TO PUBLIC;",
        "GRANT SELECT, UPDATE, DELETE, SUBSCRIBE ON inbox TO OWNER;",
    ]


@in_town
async def test_rights_of_others_hold_at_the_providers(town: Town) -> None:
    await town.open(6)
    bob, alice = await customer(town, "bob"), await customer(town, "alice")
    carol = await customer(town, "carol")
    await bob.run("CREATE MAILBOX board (state TEXT CLEAR, body TEXT CLEAR) FOR bob")
    await bob.run("REVOKE INSERT ON board FROM PUBLIC")
    insert = f"INSERT INTO \"{BOB}\".board (state, body) VALUES ('{{}}', 'x')"
    await alice.refused(insert.format("open"), AccessDenied)
    until = datetime.fromtimestamp(int(town.clock.now_s()) + 30, UTC).isoformat(" ")
    await bob.run("GRANT INSERT ON board TO alice UNTIL '2100-01-01'")
    await bob.run(f"GRANT INSERT ON board WHERE state = 'open' TO carol UNTIL '{until}'")
    await alice.run(insert.format("shut"))
    await carol.run(insert.format("open"))
    await carol.refused(insert.format("shut"), AccessDenied)
    await bob.run(
        "CREATE POLICY open ON board AS RESTRICTIVE FOR INSERT TO PUBLIC "
        "WITH CHECK (state = 'open')"
    )
    await alice.refused(insert.format("shut"), AccessDenied, "policy open of board forbids")
    await bob.run("DROP POLICY open ON board")
    await alice.run(insert.format("shut"))
    await asyncio.sleep(60)
    await carol.refused(insert.format("open"), AccessDenied)
    assert len((await bob.run("SELECT * FROM board")).rows) == 3


@in_town
async def test_a_reader_gets_all_rows_or_none(town: Town) -> None:
    await town.open(6)
    bob = await customer(town, "bob")
    await bob.run("CREATE TABLE m (id INTEGER CLEAR, body TEXT CLEAR)")
    await bob.refused("GRANT SELECT ON m WHERE id = 7 TO alice", NotSupportedError, "of the rows")
    await bob.run("GRANT UPDATE (body), DELETE ON m TO OWNER")
    await bob.run("GRANT INSERT, SELECT, SUBSCRIBE ON m TO PUBLIC")
    shown = [row[:3] for row in (await bob.run("SHOW GRANTS ON m")).rows]
    assert ("UPDATE", "OWNER", "body") in shown
    assert ("SUBSCRIBE", "PUBLIC", "") in shown
