"""A client, a provider and an accuser on any chain, and what they agree on and sign."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from mfdb.chain.port import (
    AnswerCase,
    CashCheque,
    CreateChequebook,
    OpenCase,
    RecordBeacon,
    RegisterAgreement,
    RegisterByMandate,
    Stake,
)
from mfdb.kernel.ids import MFT, ZERO_HASH, Hash, SegmentId, Wei
from mfdb.rules.evidence import Agreement, Cheque, RepairMandate, StoreReceipt
from mfdb.rules.units import UnitTree, unit_of

if TYPE_CHECKING:
    from mfdb.chain.port import Chain, CourtTerms, Mined
    from mfdb.kernel.account import Account
    from mfdb.kernel.ids import Address, AgreementId, CaseId
    from mfdb.rules.evidence import Typed

R = TypeVar("R", bound=msgspec.Struct)

SHARD = b"".join(sha256(bytes([number])).digest() for number in range(88))
"""Six units of bytes, the last one half empty."""
EPOCHS = 10
FUNDING = Wei(20 * MFT)
STAKED = Wei(100 * MFT)
DEPOSIT = Wei(40 * MFT)
REPAIR_FEE = Wei(3 * MFT)
DAY_S = 86_400


class ChainWorld(Protocol):
    """A chain with the contracts on it, on which time can pass."""

    @property
    def chain(self) -> Chain:
        """A node's way to it."""
        ...

    async def actor(self) -> Account:
        """Return a new account with 1000 MFT and coin for gas."""
        ...

    async def advance(self, seconds: int) -> None:
        """Let block time pass; the newest block has the new time."""
        ...

    async def close(self) -> None:
        """Give everything back."""
        ...


class Stage:
    """Four actors on a world; the provider and the repairer have staked 100 MFT each."""

    def __init__(self, world: ChainWorld, terms: CourtTerms, actors: tuple[Account, ...]) -> None:
        """Use `set_up`."""
        self.world = world
        self.terms = terms
        self.client, self.provider, self.accuser, self.repairer = actors
        self.tree = UnitTree(SHARD)
        self._nonce = 0

    @classmethod
    async def set_up(cls, world: ChainWorld) -> Stage:
        """Return a stage with fresh actors."""
        actors = tuple([await world.actor() for _ in range(4)])
        stage = cls(world, await world.chain.terms(), actors)
        for provider in (stage.provider, stage.repairer):
            await world.chain.send(Stake(amount=STAKED), provider)
        return stage

    async def now(self) -> int:
        """Return the newest block's time."""
        return (await self.world.chain.head()).time_s

    def sign(self, evidence: Typed, by: Account) -> bytes:
        """Return a signature in this network's domain."""
        return by.sign(self.world.chain.network.digest(evidence))

    def fresh(self) -> Hash:
        """Return a hash that no other agreement of this stage has."""
        self._nonce += 1
        return Hash(sha256(self.client.address + bytes([self._nonce])).digest())

    # ---- agreements

    async def agreement(self, **changes: Any) -> Agreement:
        """Return an agreement of client and provider over ten epochs from now, with changes."""
        start = await self.now()
        plain = Agreement(
            subject=Hash(b"s" * 32),
            client=self.client.address,
            provider=self.provider.address,
            capacity_bytes=len(SHARD) * 2,
            fee_per_epoch=Wei(2 * MFT),
            epoch_s=self.terms.epoch_s,
            start=start,
            end=start + EPOCHS * self.terms.epoch_s,
            tail_s=1_200,
            deposit=DEPOSIT,
            answer_window_s=900,
            mandate=ZERO_HASH,
            nonce=self.fresh(),
        )
        return changed(plain, **changes)

    def registration(self, agreement: Agreement) -> RegisterAgreement:
        """Return what registers an agreement."""
        return RegisterAgreement(
            agreement=agreement,
            client_signature=self.sign(agreement, self.client),
            provider_signature=self.sign(agreement, self.provider),
            funding=FUNDING,
        )

    async def register(self, **changes: Any) -> Agreement:
        """Register an agreement and return it."""
        agreement = await self.agreement(**changes)
        await self.world.chain.send(self.registration(agreement), self.client)
        return agreement

    def receipt(self, agreement: Agreement) -> StoreReceipt:
        """Return the promise to hold SHARD until the agreement ends."""
        return StoreReceipt(
            agreement=agreement.id,
            segment=SegmentId(b"g" * 32),
            shard=3,
            root=self.tree.root,
            units=self.tree.count,
            expiry=agreement.end,
        )

    # ---- cases

    async def beacon(self) -> int:
        """Record the beacon of the running epoch and return the epoch."""
        epoch = await self.now() // self.terms.epoch_s
        await self.world.chain.send(RecordBeacon(epoch=epoch), self.accuser)
        return epoch

    async def accuse(self, agreement: Agreement, *, draw: int = 0) -> CaseId:
        """Open a case against the provider and return its id."""
        receipt = self.receipt(agreement)
        call = OpenCase(
            receipt=receipt,
            signature=self.sign(receipt, self.provider),
            epoch=await self.beacon(),
            draw=draw,
        )
        opened = await self.world.chain.send(call, self.accuser)
        assert opened.case is not None, "a mined accusation names its case"
        return opened.case

    async def answer(self, agreement: Agreement, case: CaseId) -> AnswerCase:
        """Return what acquits in a case."""
        state = await self.world.chain.case(case)
        assert state is not None, "the case was opened"
        return AnswerCase(
            case=case,
            receipt=self.receipt(agreement),
            unit=unit_of(SHARD, state.unit),
            path=self.tree.path(state.unit),
        )

    async def replacement(
        self, lost: Agreement, case: CaseId
    ) -> tuple[Agreement, RegisterByMandate]:
        """Return an agreement with the repairer under the client's mandate, and its call."""
        mandate = RepairMandate(
            subject=lost.subject,
            owner=self.client.address,
            fee_cap_per_epoch=lost.fee_per_epoch,
            repair_fee=REPAIR_FEE,
            budget=Wei(50 * MFT),
            min_deposit=DEPOSIT,
            capacity_bytes=lost.capacity_bytes,
            expiry=await self.now() + DAY_S,
            nonce=self.fresh(),
        )
        agreement = await self.agreement(
            provider=self.repairer.address, end=lost.end, mandate=mandate.struct_hash()
        )
        call = RegisterByMandate(
            agreement=agreement,
            provider_signature=self.sign(agreement, self.repairer),
            mandate=mandate,
            owner_signature=self.sign(mandate, self.client),
            case=case,
        )
        return agreement, call

    # ---- cheques

    async def chequebook(self, amount: Wei) -> Address:
        """Make the client's chequebook."""
        made = await self.world.chain.send(CreateChequebook(amount=amount), self.client)
        assert made.created is not None, "a mined creation names the chequebook"
        return made.created

    async def cheque(self, chequebook: Address, amount: Wei, *, serial: int = 1) -> CashCheque:
        """Return what cashes a cheque of the client for the provider."""
        now = await self.now()
        cheque = Cheque(
            chequebook=chequebook,
            beneficiary=self.provider.address,
            cumulative_payout=amount,
            serial=serial,
            valid_from=now - 10,
            valid_until=now + DAY_S,
        )
        digest = cheque.digest(self.world.chain.network.chain_id)
        return CashCheque(cheque=cheque, signature=self.client.sign(digest))

    async def send(self, call: Any, sender: Account) -> Mined:
        """Send a transaction."""
        return await self.world.chain.send(call, sender)

    async def registered(self, agreement: AgreementId) -> bool:
        """Return whether an agreement is on chain."""
        return await self.world.chain.agreement(agreement) is not None


def changed(record: R, **changes: Any) -> R:
    """Return a record with some fields changed."""
    return msgspec.structs.replace(record, **changes)
