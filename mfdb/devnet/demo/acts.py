"""Acts 1 to 4: a network, a mailbox, mail, and nobody who can read it but its owner."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mfdb.chain.web3_chain import Web3Chain
from mfdb.devnet.demo.cast import Person
from mfdb.devnet.demo.mail import secrets_of
from mfdb.devnet.demo.search import Needles
from mfdb.devnet.demo.stage import ActFailed, claim
from mfdb.devnet.parameters import MIN_PROVIDERS
from mfdb.kernel.errors import AccessDenied
from mfdb.kernel.ids import MFT, Wei
from mfdb.node.network_file import NetworkFile

if TYPE_CHECKING:
    from mfdb.devnet.demo.stage import Stage

PERSON_FUNDS = Wei(100 * MFT)
DELIVERY_S = 60
COLUMNS = ("position", "sender", "recipient", "subject", "sent", "headers", "raw")


async def act_network(stage: Stage, providers: int) -> str:
    """1: a devnet of at least seven providers starts and they stake."""
    await stage.devnet.up(providers=providers)
    network = NetworkFile.load(stage.devnet.network_file)
    stage.chain = await Web3Chain.connect(network.deployment)
    stage.bob = Person.born("bob", stage.directory / "bob")
    stage.alice = Person.born("alice", stage.directory / "alice")
    await stage.devnet.fund([stage.bob.address, stage.alice.address], PERSON_FUNDS)
    for index in range(1, providers + 1):
        deposit = await stage.ledger.deposit(stage.devnet.provider_address(index))
        claim(deposit.total >= network.provider.stake, f"provider {index} has not staked")
    return f"{providers} providers staked {providers * network.provider.stake // MFT} MFT"


async def act_mailbox(stage: Stage) -> str:
    """2: Bob creates a mailbox; his application subscribes to it."""
    stage.bob_connection = await stage.owner.connect(stage.devnet.network_file)
    await stage.bobs.execute(
        f"CREATE MAILBOX mailbox (position INTEGER NOT NULL, sender TEXT, recipient TEXT, "
        f"subject TEXT, sent TEXT, headers JSON, raw BLOB, {stage.control} TEXT) "
        f"WITH (replicas = 3, write_quorum = 2, erasure = '4/6')"
    )
    listening = asyncio.Event()
    stage.listening = asyncio.create_task(_listen(stage, listening), name="bob listens")
    await asyncio.wait_for(listening.wait(), DELIVERY_S)
    rows = (await stage.bobs.execute("SHOW PROVIDERS FOR mailbox")).rows
    claim(len(rows) == MIN_PROVIDERS - 1, f"{len(rows)} providers are bound, not 6")
    return f"placed on {len(rows)} of {stage.provider_count} providers, Bob subscribed"


async def _listen(stage: Stage, listening: asyncio.Event) -> None:
    """Collect what Bob's application is told of."""
    listening.set()
    async for change in stage.bobs.subscribe("SUBSCRIBE TO mailbox"):
        stage.changes.append(change)


async def act_mail(stage: Stage) -> str:
    """3: Alice, who has only Bob's address, inserts every message; Bob hears each exactly once."""
    stage.alice_connection = await stage.writer.connect(stage.devnet.network_file)
    marks = ", ".join("?" * len(COLUMNS))
    statement = f"INSERT INTO {stage.mailbox_name} ({', '.join(COLUMNS)}) VALUES ({marks})"
    for mail in stage.mails:
        values = tuple(getattr(mail, column) for column in COLUMNS)
        await stage.alices.execute(statement, values)
        stage.figures.inserted += 1
        stage.figures.bytes += len(mail.raw)
        if stage.figures.inserted % 25 == 0:
            stage.note(f"{stage.figures.inserted} of {len(stage.mails)} messages inserted")
    await _all_delivered(stage)
    return f"{stage.figures.inserted} inserted, {stage.figures.delivered} delivered live"


async def _all_delivered(stage: Stage) -> None:
    deadline_s = stage.clock.monotonic_s() + DELIVERY_S
    while len(stage.changes) < len(stage.mails):
        if stage.listening is not None and stage.listening.done():
            stage.listening.result()
        if stage.clock.monotonic_s() > deadline_s:
            raise ActFailed(f"Bob heard of {len(stage.changes)} of {len(stage.mails)} messages")
        await asyncio.sleep(0.05)
    heard = [(change.new["position"], change.new["raw"]) for change in stage.changes if change.new]
    positions = [position for position, _ in heard]
    stage.figures.delivered = len(set(positions))
    claim(len(positions) == len(set(positions)), "Bob was told of a message twice")
    claim(set(positions) == {mail.position for mail in stage.mails}, "Bob was not told of all")
    cursors = [change.cursor for change in stage.changes]
    claim(len(set(cursors)) == len(cursors), "two changes have the same cursor")
    wanted = {mail.position: mail.raw for mail in stage.mails}
    claim(dict(heard) == wanted, "a message changed on its way")


async def act_privacy(stage: Stage) -> str:
    """4: Alice can do nothing but insert, and the providers' disks hold nothing readable."""
    reasons = [
        await _refused(stage, f"SELECT subject FROM {stage.mailbox_name}"),
        await _refused(stage, f"UPDATE {stage.mailbox_name} SET subject = 'x' WHERE position = 0"),
        await _refused(stage, f"DELETE FROM {stage.mailbox_name} WHERE position = 0"),
    ]
    for reason in reasons:
        stage.note(f"Alice is refused: {reason}")
    directories = [
        stage.devnet.provider_directory(index) for index in range(1, stage.provider_count + 1)
    ]
    directories.append(stage.devnet.directory / "run")
    secrets = secrets_of(list(stage.mails))
    needles = Needles({*secrets, stage.control.encode()})
    found = await asyncio.to_thread(needles.found_under, directories)
    claim(stage.control.encode() in found, "the search does not even find the planted control")
    hits = {secret: places for secret, places in found.items() if secret in secrets}
    stage.figures.plaintext_hits = len(hits)
    claim(not hits, f"readable at providers: {sorted(hits.items())[:3]}")
    return f"3 refusals; none of {len(secrets)} secrets on any disk, the planted control found"


async def _refused(stage: Stage, statement: str) -> str:
    try:
        await stage.alices.execute(statement)
    except AccessDenied as error:
        return error.message
    raise ActFailed(f"Alice was allowed to: {statement}")
