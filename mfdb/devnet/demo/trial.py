"""Acts 5 to 7: losses survived, a loser convicted, the damage repaired, the books closed."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, cast

from mfdb.chain.port import (
    CaseClosed,
    CaseOpened,
    CaseStatus,
    ChequeCashed,
    CompensationPaid,
)
from mfdb.devnet import processes
from mfdb.devnet.demo.books import flows, gas_by_kind
from mfdb.devnet.demo.stage import claim
from mfdb.kernel.ids import ZERO_ADDRESS, Address, parse_address, show_mft
from mfdb.node.provider import sealed_shelf
from mfdb.store.lmdb_store import LmdbStore

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mfdb.chain.port import ChainEvent
    from mfdb.client.results import Result
    from mfdb.devnet.demo.stage import Stage

VERDICT_S = 90


async def act_survival(stage: Stage) -> str:
    """5: sealed 4 of 6, two providers killed; Bob restores all of it from his seed words."""
    sealed = await stage.bobs.execute("ALTER DATASET mailbox SEAL")
    stage.note(f"sealed: {_told(sealed)}")
    replicas = await _holders(stage, "replica")
    stage.killed = tuple(stage.index_of(provider) for provider in replicas[:2])
    await _leave(stage)
    for index in stage.killed:
        processes.kill(stage.devnet.provider_process(stage.devnet.file(), index))
    stage.note(f"killed providers {stage.killed}, two of the three replicas")
    stage.bob = stage.owner.on_another_machine(stage.directory / "bob-restored")
    stage.bob_connection = await stage.owner.connect(stage.devnet.network_file)
    rows = (await stage.bobs.execute("SELECT position, raw FROM mailbox ORDER BY position")).rows
    wanted = {mail.position: mail.raw for mail in stage.mails}
    same = [position for position, raw in rows if wanted.get(cast("int", position)) == raw]
    stage.figures.identical = len(same)
    claim(len(rows) == len(wanted), f"{len(rows)} rows were restored, not {len(wanted)}")
    claim(len(same) == len(wanted), "a restored message differs")
    return f"{len(same)} of {len(wanted)} messages byte-identical after losing two providers"


async def act_verdict(stage: Stage) -> str:
    """6: a provider drops its shard, is convicted, and a seventh one takes the shard over."""
    for index in stage.killed:
        await stage.devnet.restart(index)
    stage.note(f"providers {stage.killed} are back")
    await _acquittal(stage)
    holders = await _holders(stage, "shard")
    victim, shard = holders[5], 5
    before = {stage.devnet.provider_address(i) for i in range(1, stage.provider_count + 1)}
    spares = before - set(holders)
    await _leave(stage)
    await _drop_shard(stage, victim, shard)
    balance = await stage.ledger.balance(stage.owner.address)
    events = await stage.until(
        "a verdict and a repair", lambda found: _repair(found) is not None, timeout_s=VERDICT_S
    )
    paid = cast("CompensationPaid", _repair(events))
    closed = next(e for e in events if isinstance(e, CaseClosed) and e.case == paid.case)
    opened = next(e for e in events if isinstance(e, CaseOpened) and e.case == paid.case)
    claim(opened.provider == victim, "somebody else than the culprit was convicted")
    claim(closed.status is CaseStatus.GUILTY, "the verdict is not guilty")
    claim(paid.repairer in spares, "the shard was not taken over by a spare provider")
    gained = await stage.ledger.balance(stage.owner.address) - balance
    claim(gained == paid.to_owner > 0, "Bob's balance did not rise by his share")
    stage.figures.verdict, stage.figures.compensation = "guilty", gained
    stage.note(
        f"provider {stage.index_of(victim)} slashed {show_mft(closed.slashed)} MFT, "
        f"{show_mft(paid.to_repairer)} paid for the repair"
    )
    await _stands_on(stage, paid.repairer, shard)
    return (
        f"guilty; Bob got {show_mft(gained)} MFT, shard {shard} stands on provider "
        f"{stage.index_of(paid.repairer)}"
    )


async def _acquittal(stage: Stage) -> None:
    """An honest provider that is accused shows the unit asked for and is acquitted."""
    case = await stage.bobs.challenge("mailbox", shard=0)

    def is_acquitted(events: list[ChainEvent]) -> bool:
        return any(isinstance(e, CaseClosed) and e.case == case for e in events)

    events = await stage.until("an answer to a case", is_acquitted, timeout_s=VERDICT_S)
    closed = next(e for e in events if isinstance(e, CaseClosed) and e.case == case)
    claim(closed.status is CaseStatus.NOT_GUILTY, "an honest provider was convicted")
    stage.note("an honest provider was accused, answered and was acquitted")


async def _drop_shard(stage: Stage, victim: Address, shard: int) -> None:
    """The victim's operator deletes the shard behind everybody's back."""
    index = stage.index_of(victim)
    process = stage.devnet.provider_process(stage.devnet.file(), index)
    await processes.stop([process], stage.clock)
    with contextlib.closing(LmdbStore(stage.devnet.provider_directory(index) / "store")) as store:
        with store.snapshot() as view:
            segments = sealed_shelf.segments(view, stage.mailbox)
        keys = [sealed_shelf.shard_key(bundle.certificate.segment, shard) for bundle in segments]
        store.write([(key, None) for key in keys])
    await stage.devnet.restart(index)
    stage.note(f"provider {index} has silently deleted its shard")


async def _stands_on(stage: Stage, provider: Address, shard: int) -> None:
    """Bob, back again, finds the shard placed on the new provider and reads everything."""
    stage.bob_connection = await stage.owner.connect(stage.devnet.network_file)
    holders = await _holders(stage, "shard")
    claim(holders[shard] == provider, "the placement does not name the new provider")
    case = await stage.bobs.challenge("mailbox", shard=shard)

    def is_answered(events: list[ChainEvent]) -> bool:
        return _closed(events, case) is CaseStatus.NOT_GUILTY

    await stage.until("the new provider to prove its shard", is_answered, timeout_s=VERDICT_S)


async def act_books(stage: Stage) -> str:
    """7: the books: MFT flows of every party sum to zero; what each transaction kind cost."""
    await stage.until(
        "a cheque to be cashed",
        lambda events: any(isinstance(e, ChequeCashed) for e in events),
        timeout_s=VERDICT_S,
    )
    receipts = await stage.bobs.execute("SHOW RECEIPTS FOR mailbox")
    stage.figures.receipts = len(receipts.rows)
    await _leave(stage)
    events = await stage.events()
    stage.figures.flows = flows(events, await _names(stage))
    stage.figures.gas = await gas_by_kind(stage.ledger, events)
    claim(sum(stage.figures.flows.values()) == 0, "the MFT flows do not sum to zero")
    return f"{len(events)} events on chain, flows of {len(stage.figures.flows)} parties sum to 0"


async def _names(stage: Stage) -> dict[Address, str]:
    """Return every party's name: people, providers, their chequebooks, contracts, burn, faucet."""
    names = {at: name for name, at in (await stage.ledger.named_contracts()).items()}
    names[stage.devnet.faucet().address] = "faucet"
    names[ZERO_ADDRESS] = "burn"
    people = {"bob": stage.owner.address, "alice": stage.writer.address}
    for index in range(1, stage.provider_count + 1):
        people[f"provider {index}"] = stage.devnet.provider_address(index)
    for name, address in people.items():
        names[address] = name
        chequebook = await stage.ledger.chequebook_of(address)
        if chequebook is not None:
            names[chequebook] = f"chequebook of {name}"
    return names


async def _leave(stage: Stage) -> None:
    """Take Bob off the network."""
    if stage.listening is not None:
        stage.listening.cancel()
        await asyncio.gather(stage.listening, return_exceptions=True)
        stage.listening = None
    await stage.bobs.close()


async def _holders(stage: Stage, role: str) -> list[Address]:
    """Return who fills the slots of a role, in slot order."""
    rows = (await stage.bobs.execute("SHOW PROVIDERS FOR mailbox")).rows
    slots: dict[int, Address] = {}
    for provider, _, roles, *_ in rows:
        for part in str(roles).split(", "):
            name, _, slot = part.partition(" ")
            if name == role:
                slots[int(slot)] = parse_address(str(provider))
    return [slots[slot] for slot in sorted(slots)]


def _repair(events: Iterable[ChainEvent]) -> CompensationPaid | None:
    return next((event for event in events if isinstance(event, CompensationPaid)), None)


def _closed(events: Iterable[ChainEvent], case: bytes) -> CaseStatus | None:
    for event in events:
        if isinstance(event, CaseClosed) and event.case == case:
            return event.status
    return None


def _told(result: Result) -> str:
    if not result.rows:
        return result.tag
    return ", ".join(
        f"{column.name} {value}"
        for column, value in zip(result.columns, result.rows[0], strict=True)
    )
