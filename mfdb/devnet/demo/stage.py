"""What the acts share: the devnet, the chain, the people, and the figures they leave behind."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from mfdb.kernel.errors import DevnetFailed
from mfdb.kernel.seed import MAILBOX_NONCE
from mfdb.rules.manifest import dataset_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from mfdb.aio import Connection
    from mfdb.chain.port import Chain, ChainEvent, Seen
    from mfdb.client.results import Change
    from mfdb.devnet.demo.cast import Person
    from mfdb.devnet.demo.mail import Mail
    from mfdb.devnet.devnet import Devnet
    from mfdb.kernel.clock import Clock
    from mfdb.kernel.ids import Address, DatasetId

T = TypeVar("T")

POLL_S = 0.2


class ActFailed(DevnetFailed):
    """Something that an act of the demonstration claims does not hold."""


@dataclass(slots=True, kw_only=True)
class Figures:
    """What is reported at the end."""

    inserted: int = 0
    delivered: int = 0
    identical: int = 0
    receipts: int = 0
    bytes: int = 0
    plaintext_hits: int = -1
    verdict: str = ""
    compensation: int = 0
    flows: dict[str, int] = field(default_factory=dict)
    gas: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Stage:
    """The state of the demonstration between acts."""

    directory: Path
    devnet: Devnet
    clock: Clock
    mails: Sequence[Mail]
    note: Callable[[str], None]
    provider_count: int
    control: str
    figures: Figures = field(default_factory=Figures)
    chain: Chain | None = None
    bob: Person | None = None
    alice: Person | None = None
    bob_connection: Connection | None = None
    alice_connection: Connection | None = None
    listening: asyncio.Task[None] | None = None
    changes: list[Change] = field(default_factory=list)
    killed: tuple[int, ...] = ()

    # ---- what is there by the time that an act asks for it

    @property
    def ledger(self) -> Chain:
        """The chain, once the devnet is up."""
        return _there(self.chain)

    @property
    def owner(self) -> Person:
        """Bob."""
        return _there(self.bob)

    @property
    def writer(self) -> Person:
        """Alice."""
        return _there(self.alice)

    @property
    def bobs(self) -> Connection:
        """Bob's connection."""
        return _there(self.bob_connection)

    @property
    def alices(self) -> Connection:
        """Alice's connection."""
        return _there(self.alice_connection)

    @property
    def mailbox(self) -> DatasetId:
        """Bob's mailbox."""
        return dataset_id(self.owner.address, MAILBOX_NONCE)

    @property
    def mailbox_name(self) -> str:
        """What Alice calls Bob's mailbox, knowing only his address."""
        return f'"0x{self.owner.address.hex()}".mailbox'

    # ---- asking the world

    async def events(self) -> list[Seen]:
        """Return everything that has happened on chain."""
        return await self.ledger.events()

    async def until(
        self, what: str, found: Callable[[list[ChainEvent]], bool], *, timeout_s: float
    ) -> list[ChainEvent]:
        """Return the chain's events once they show something.

        Raises:
            ActFailed: they do not within `timeout_s`.
        """
        deadline_s = self.clock.monotonic_s() + timeout_s
        while True:
            events = [seen.event for seen in await self.events()]
            if found(events):
                return events
            if self.clock.monotonic_s() > deadline_s:
                raise ActFailed(f"not within {timeout_s:.0f} s: {what}")
            await asyncio.sleep(POLL_S)

    def index_of(self, provider: Address) -> int:
        """Return the number of a provider of the devnet, counted from 1."""
        for index in range(1, len(self.devnet.file().provider_ports) + 1):
            if self.devnet.provider_address(index) == provider:
                return index
        raise ActFailed(f"0x{provider.hex()} is no provider of this devnet")

    async def close(self) -> None:
        """Leave the network, whatever act it ended in."""
        if self.listening is not None:
            self.listening.cancel()
            await asyncio.gather(self.listening, return_exceptions=True)
            self.listening = None
        for connection in (self.bob_connection, self.alice_connection):
            if connection is not None:
                await connection.close()
        self.bob_connection = self.alice_connection = None
        if self.chain is not None:
            await self.chain.close()
            self.chain = None


def claim(holds: bool, what: str) -> None:  # noqa: FBT001 - reads like an assertion
    """Return quietly if a claim holds.

    Raises:
        ActFailed: it does not.
    """
    if not holds:
        raise ActFailed(what)


def _there(found: T | None) -> T:
    assert found is not None, "an earlier act sets this up"
    return found
