"""The behaving twin of the chain: the contracts' rules and reasons in pure Python.

One `SimChainWorld` is shared by all nodes of a simulation; each gets its `Chain` from `chain()`.
Block time is the injected clock's; a block per transaction, and one per second that passes. All
hashes derive from the seed, so the same run gives the same chain. `reorganise` puts another branch
in the place of the newest transactions, as real chains do until a block is deep enough.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mfdb.chain import port
from mfdb.chain.port import Head, Mined, Seen
from mfdb.kernel.digest import tagged_hash
from mfdb.kernel.errors import ChainUnavailable, DeadlineExceeded, TransactionReverted
from mfdb.kernel.ids import Address, AgreementId, CaseId, Hash, Wei
from mfdb.rules.evidence import Network
from mfdb.testing.sim_chain_court import Court
from mfdb.testing.sim_chain_deposits import Deposits, Escrow
from mfdb.testing.sim_chain_pay import Beacons, Chequebooks, Registry
from mfdb.testing.sim_chain_state import Block, Journal, Ledger, derived_address

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.chain.port import (
        AgreementState,
        CaseState,
        ChainCall,
        ChequebookState,
        CourtTerms,
        DepositState,
        FeesState,
        RecordKind,
    )
    from mfdb.kernel.account import Account
    from mfdb.kernel.clock import Clock

_EscrowCall = port.ClaimFees | port.FundAgreement | port.SettleRepair | port.ReleaseCompensation
_DepositsCall = (
    port.Stake
    | port.Unstake
    | port.Delegate
    | port.RegisterAgreement
    | port.RegisterByMandate
    | port.ReleaseAgreement
    | port.TerminateAgreement
    | _EscrowCall
)
SIM_CHAIN_ID = 1_414_742_093
GAS: dict[type[ChainCall], int] = {
    port.TransferMft: 34_000,
    port.CreateChequebook: 147_000,
    port.CashCheque: 71_000,
    port.WithdrawFromChequebook: 41_000,
    port.Stake: 48_000,
    port.Unstake: 48_000,
    port.Delegate: 46_000,
    port.RegisterAgreement: 278_000,
    port.RegisterByMandate: 371_000,
    port.ReleaseAgreement: 101_000,
    port.TerminateAgreement: 118_000,
    port.ClaimFees: 113_000,
    port.FundAgreement: 62_000,
    port.SetRecord: 84_000,
    port.RecordBeacon: 48_000,
    port.OpenCase: 317_000,
    port.AnswerCase: 105_000,
    port.ExcuseCase: 95_000,
    port.PushVerdict: 244_000,
    port.SettleRepair: 94_000,
    port.ReleaseCompensation: 51_000,
}
"""Gas that the contracts typically use, measured on the rules of Prague."""
REORG_S = 2
"""Blocks older than this are final here: no branch ever takes them back."""
REORG_TRANSACTIONS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recent:
    """A transaction that another branch may still take back."""

    call: ChainCall
    sender: Address
    mined: Mined
    time_s: int
    events: int
    undo: list[Callable[[], object]]


class SimChainWorld:
    """The chain itself: blocks, contracts, and whether it can be reached."""

    def __init__(
        self, clock: Clock, seed: int, terms: CourtTerms, faucet: Address, *,
        chain_id: int = SIM_CHAIN_ID,
    ) -> None:  # fmt: skip
        self.terms = terms
        self.available = True
        self._clock = clock
        self._seed = tagged_hash("mfdb.sim.chain", seed.to_bytes(32, "big", signed=True))
        self._block = Block(number=1, time_s=int(clock.now_s()))
        self._seen: list[Seen] = []
        self._mined: dict[Hash, tuple[int, int]] = {}
        """Gas and block of the transactions of the present branch."""
        self._journal = Journal()
        self._recent: deque[_Recent] = deque(maxlen=REORG_TRANSACTIONS)
        self._forks: list[int] = []
        """The last common block of every reorganisation."""
        names = ("mft", "chequebook", "chequebook_factory", "registry", "beacon", "deposits",
                 "escrow", "storage_witness", "court")  # fmt: skip
        self.contracts = {name: derived_address(self._seed, name) for name in names}
        self.network = Network(chain_id=chain_id, deposits=self.contracts["deposits"])
        self._deploy(faucet)
        self._finish(Hash(tagged_hash("mfdb.sim.genesis", self._seed)), 0)

    def _deploy(self, faucet: Address) -> None:
        journal, network, at = self._journal, self.network, self.contracts
        self.ledger = Ledger(journal, at["mft"], faucet)
        ledger = self.ledger
        self.chequebooks = Chequebooks(journal, ledger, self._seed, network.chain_id)
        self.registry = Registry(journal)
        self.beacons = Beacons(journal, self.terms.epoch_s, self.hash_of)
        window_s = self.terms.repair_window_s
        self.escrow = Escrow(journal, ledger, network, at["escrow"], window_s)
        self.deposits = Deposits(journal, ledger, network, self.escrow, self.terms)
        self.court = Court(
            journal,
            ledger,
            network,
            address=at["court"],
            terms=self.terms,
            deposits=self.deposits,
            escrow=self.escrow,
            beacons=self.beacons,
        )

    def chain(self) -> SimChain:
        """Return one node's way to this chain."""
        return SimChain(self)

    def hash_of(self, number: int) -> Hash:
        """Return the hash of a block; one that a reorganisation replaced has another."""
        branch = sum(fork < number for fork in self._forks)
        parts = (number, branch) if branch else (number,)
        return tagged_hash("mfdb.sim.block", self._seed, *(p.to_bytes(8, "big") for p in parts))

    def head(self) -> Block:
        """Return the newest block: one more for every second since the last."""
        passed = int(self._clock.now_s()) - self._block.time_s
        if passed > 0:
            number = self._block.number + passed
            self._block = Block(number=number, time_s=self._block.time_s + passed)
        return self._block

    def now_s(self) -> float:
        """Return the time that every clock should show."""
        return self._clock.now_s()

    def seen(self, since_block: int) -> list[Seen]:
        """Return all events from a block on."""
        return [seen for seen in self._seen if seen.block >= since_block]

    def gas_of(self, transaction: Hash) -> int:
        """Return the gas of a mined transaction."""
        return self._mined[transaction][0]

    def block_of(self, transaction: Hash) -> int | None:
        """Return the block that a transaction is in now, or None."""
        found = self._mined.get(transaction)
        return None if found is None else found[1]

    def is_mined(self, transaction: Hash) -> bool:
        """Return whether the present branch holds a transaction."""
        return transaction in self._mined

    @property
    def reorganisations(self) -> int:
        """How often another branch has won."""
        return len(self._forks)

    def transact(self, call: ChainCall, sender: Address) -> Mined:
        """Mine a transaction in a block of its own, or raise and leave everything as it was."""
        return self._mine(call, sender, None)

    def _mine(self, call: ChainCall, sender: Address, known: Hash | None) -> Mined:
        head = self.head()
        self._block = Block(number=head.number + 1, time_s=head.time_s)
        made = tagged_hash("mfdb.sim.transaction", self.hash_of(self._block.number))
        transaction = known or made
        try:
            created, case = self._apply(call, sender, self._block)
        except BaseException:
            self._journal.roll_back()
            raise
        gas = GAS.get(type(call), 0)
        mined = Mined(
            transaction=transaction,
            block=self._block.number,
            gas_used=gas,
            created=created,
            case=case,
        )
        undo, events = self._journal.undo, self._finish(transaction, gas)
        self._recent.append(
            _Recent(
                call=call,
                sender=sender,
                mined=mined,
                time_s=head.time_s,
                events=events,
                undo=undo,
            )
        )
        return mined

    def _finish(self, transaction: Hash, gas: int) -> int:
        number = self._block.number
        self._mined[transaction] = (gas, number)
        events = self._journal.commit()
        for event in events:
            self._seen.append(Seen(event=event, block=number, transaction=transaction))
        return len(events)

    def reorganise(self, most: int) -> int:
        """Let another branch win over the newest transactions; return how many it took back.

        At most `most`, and none that is older than `REORG_S`. The new branch mines them again in
        the order of their senders; one that its contract refuses there is lost.
        """
        now_s = self.head().time_s
        taken: list[_Recent] = []
        while self._recent and len(taken) < most and self._recent[-1].time_s > now_s - REORG_S:
            taken.append(self._recent.pop())
        if not taken:
            return 0
        for one in taken:
            for undo in reversed(one.undo):
                undo()
            del self._seen[len(self._seen) - one.events :]
            del self._mined[one.mined.transaction]
        taken.reverse()
        fork = taken[0].mined.block - 1
        self._forks.append(fork)
        self._block = Block(number=fork, time_s=now_s)
        for one in sorted(taken, key=lambda one: one.sender):
            with suppress(TransactionReverted):
                self._mine(one.call, one.sender, one.mined.transaction)
        return len(taken)

    def _apply(
        self, call: ChainCall, sender: Address, block: Block
    ) -> tuple[Address | None, CaseId | None]:
        match call:
            case port.CreateChequebook():
                return self.chequebooks.create(sender, call.amount), None
            case port.CashCheque() | port.WithdrawFromChequebook():
                self._apply_chequebook(call, sender, block)
            case port.OpenCase():
                return None, self.court.open_case(sender, call, block)
            case port.TransferMft():
                self.ledger.move(sender, call.to, call.amount)
            case port.SetRecord():
                self.registry.set_record(sender, call.kind, call.record)
            case port.RecordBeacon():
                self._record_beacon(call.epoch)
            case port.AnswerCase():
                self.court.answer(call, block)
            case port.ExcuseCase():
                self.court.excuse(call, block)
            case port.PushVerdict():
                self.court.verdict(call.case, block)
            case _:
                self._apply_deposits(call, sender, block)
        return None, None

    def _apply_chequebook(
        self, call: port.CashCheque | port.WithdrawFromChequebook, sender: Address, block: Block
    ) -> None:
        match call:
            case port.CashCheque():
                self.chequebooks.cash(call.cheque, call.signature, block)
            case port.WithdrawFromChequebook():
                self.chequebooks.withdraw(sender, call.chequebook, call.amount)

    def _apply_deposits(self, call: _DepositsCall, sender: Address, block: Block) -> None:
        deposits = self.deposits
        match call:
            case port.Stake():
                deposits.stake(sender, call.amount)
            case port.Unstake():
                deposits.unstake(sender, call.amount)
            case port.Delegate():
                deposits.delegate(sender, call.signer, call.until, block)
            case port.RegisterAgreement():
                deposits.register(sender, call, block)
            case port.RegisterByMandate():
                deposits.register_by_mandate(call, self.court.convicted, block)
            case port.ReleaseAgreement():
                deposits.release(call.agreement, block)
            case port.TerminateAgreement():
                deposits.terminate(sender, call.agreement, call.client_signature, block)
            case _:
                self._apply_escrow(call, sender, block)

    def _apply_escrow(self, call: _EscrowCall, sender: Address, block: Block) -> None:
        deposits, escrow = self.deposits, self.escrow
        match call:
            case port.ClaimFees():
                escrow.claim(deposits.kept(call.agreement), block)
            case port.FundAgreement():
                escrow.fund(sender, deposits.kept(call.agreement), call.amount, block)
            case port.SettleRepair():
                escrow.settle_repair(call.case, call.receipt, call.signature, deposits)
            case port.ReleaseCompensation():
                escrow.release(call.case, block)

    def _record_beacon(self, epoch: int) -> None:
        # Both steps, as an adapter does them: one block is fixed, a later one records its hash.
        self.beacons.record(epoch, self._block)
        if self.beacons.beacon(epoch) is None:
            self._block = Block(number=self._block.number + 1, time_s=self._block.time_s)
            self.beacons.record(epoch, self._block)


class SimChain:
    """A node's `Chain` on a simulated world. Transactions are mined before `send` returns."""

    def __init__(self, world: SimChainWorld) -> None:
        self._shared = world

    @property
    def _world(self) -> SimChainWorld:
        if not self._shared.available:
            raise ChainUnavailable("the simulated chain is switched off")
        return self._shared

    @property
    def network(self) -> Network:
        """The network that evidence is signed for."""
        return self._shared.network

    async def head(self) -> Head:
        """Return the newest block."""
        block = self._world.head()
        hash_of = self._shared.hash_of(block.number)
        return Head(number=block.number, hash=hash_of, time_s=block.time_s)

    async def terms(self) -> CourtTerms:
        """Return the parameters of the contracts."""
        return self._world.terms

    async def send(self, call: ChainCall, sender: Account, *, timeout_s: float = 60) -> Mined:
        """Mine a transaction.

        Raises:
            TransactionReverted: a contract refused, with its reason.
            ChainUnavailable: the chain is switched off.
        """
        if timeout_s <= 0:
            raise DeadlineExceeded("no time left to send a transaction")
        return self._world.transact(call, sender.address)

    async def balance(self, account: Address) -> Wei:
        """Return an account's MFT."""
        return Wei(self._world.ledger.balances[account])

    async def chequebook(self, chequebook: Address, beneficiary: Address) -> ChequebookState | None:
        """Return a chequebook's state, or None if our factory did not make it."""
        return self._world.chequebooks.state(chequebook, beneficiary)

    async def chequebook_of(self, issuer: Address) -> Address | None:
        """Return the newest chequebook that an identity made through our factory, or None."""
        return self._world.chequebooks.newest_of(issuer)

    async def deposit(self, provider: Address) -> DepositState:
        """Return a provider's deposit."""
        return self._world.deposits.state(provider)

    async def may_sign(self, provider: Address, signer: Address) -> bool:
        """Return whether `signer` is the provider or its delegate now."""
        world = self._world
        return world.deposits.may_sign(provider, signer, world.head().time_s)

    async def agreement(self, agreement: AgreementId) -> AgreementState | None:
        """Return a registered agreement, or None."""
        return self._world.deposits.agreement_state(agreement)

    async def fees(self, agreement: AgreementId) -> FeesState:
        """Return the fees of an agreement; all zero if there is none."""
        return self._world.escrow.fees(agreement)

    async def record(self, identity: Address, kind: RecordKind) -> bytes | None:
        """Return an identity's newest record of a kind, or None."""
        return self._world.registry.record(identity, kind)

    async def records(self, kind: RecordKind) -> dict[Address, bytes]:
        """Return the newest record of a kind of every identity that published one."""
        return self._world.registry.records(kind)

    async def beacon(self, epoch: int) -> Hash | None:
        """Return the beacon of an epoch, or None before it is recorded."""
        return self._world.beacons.beacon(epoch)

    async def case(self, case: CaseId) -> CaseState | None:
        """Return a case, or None."""
        return self._world.court.state(case)

    async def events(self, *, since_block: int = 0) -> list[Seen]:
        """Return all events from a block on, in chain order, as the present branch has them."""
        return self._world.seen(since_block)

    async def block_of(self, transaction: Hash) -> int | None:
        """Return the number of the block that a transaction is in now, or None."""
        return self._world.block_of(transaction)

    async def gas_used(self, transaction: Hash) -> int:
        """Return the gas that the real contracts typically use for such a transaction."""
        return self._world.gas_of(transaction)

    async def named_contracts(self) -> dict[str, Address]:
        """Return the addresses of the contracts by name."""
        return dict(self._world.contracts)

    async def close(self) -> None:
        """Do nothing: there is nothing to free."""
