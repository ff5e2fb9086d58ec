"""The money of one identity: its account, deposit and chequebook, and the fees it pays in."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mfdb.chain.port import (
    FundAgreement,
    Stake,
    TransferMft,
    Unstake,
    WithdrawFromChequebook,
)
from mfdb.kernel.errors import (
    BalanceTooSmall,
    ChainError,
    DeadlineExceeded,
    DepositTooSmall,
    ProgrammingError,
)
from mfdb.kernel.ids import ZERO_ADDRESS, Hash, Wei, show, show_mft
from mfdb.pay.funding import shares

if TYPE_CHECKING:
    from mfdb.chain.port import ChainCall, Mined
    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.node.accounts import Accounts
    from mfdb.node.client.context import ClientContext
    from mfdb.node.client.lookup import Lookup
    from mfdb.rules.evidence import Agreement

CONFIRM_S = 600.0
"""How long confirmations are awaited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """One transaction that did its work: what it was for, and where it is."""

    step: str
    amount: Wei
    transaction: Hash
    block: int


class Money:
    """Moves an identity's MFT; every method returns when `confirmations` blocks stand on it.

    All of them raise ChainUnavailable, TransactionReverted or DeadlineExceeded if the chain is in
    the way.
    """

    def __init__(self, context: ClientContext, lookup: Lookup, accounts: Accounts) -> None:
        self._context = context
        self._lookup = lookup
        self._accounts = accounts

    async def stake(self, amount: Wei, confirmations: int) -> Paid:
        """Lock MFT as this identity's deposit.

        Raises:
            BalanceTooSmall: it has not that much.
        """
        await self._need(amount)
        return await self.send("into the deposit", amount, Stake(amount=amount), confirmations)

    async def unstake(self, amount: Wei | None, confirmations: int) -> Paid:
        """Take deposit back; all that backs nothing if no amount is given.

        Raises:
            DepositTooSmall: less is free.
        """
        deposit = await self._context.chain.deposit(self._context.me)
        free = Wei(deposit.total - deposit.earmarked)
        wanted = free if amount is None else amount
        if not 0 < wanted <= free:
            asked = "all" if amount is None else f"{show_mft(wanted)} MFT"
            raise DepositTooSmall(
                f"{show_mft(free)} MFT of a deposit of {show_mft(deposit.total)} MFT back no "
                f"agreement, {asked} was asked for",
                hint="`mfdb provider drain` frees what backs agreements",
            )
        return await self.send("out of the deposit", wanted, Unstake(amount=wanted), confirmations)

    async def transfer(self, amount: Wei, to: Address, confirmations: int) -> Paid:
        """Send MFT to somebody.

        Raises:
            BalanceTooSmall: there is not that much.
        """
        await self._need(amount)
        call = TransferMft(to=to, amount=amount)
        return await self.send(f"to {show(to)}", amount, call, confirmations)

    async def fund_chequebook(self, amount: Wei, confirmations: int) -> Paid:
        """Put MFT into this identity's chequebook.

        Raises:
            BalanceTooSmall: there is not that much.
        """
        await self._need(amount)
        call = TransferMft(to=self._chequebook(), amount=amount)
        return await self.send("into the chequebook", amount, call, confirmations)

    async def withdraw(self, amount: Wei, to: Address | None, confirmations: int) -> list[Paid]:
        """Take MFT out of the chequebook, beyond what cheques promise, and send it on.

        Raises:
            BalanceTooSmall: so much is not there, or promised.
        """
        chequebook = self._chequebook()
        there = await self._context.chain.balance(chequebook)
        promised = await self._promised(chequebook)
        if amount > there - promised:
            raise BalanceTooSmall(
                f"the chequebook holds {show_mft(there)} MFT, {show_mft(promised)} MFT of it are "
                f"promised by cheques, {show_mft(amount)} MFT are asked for",
                hint="less, or wait until the cheques are cashed",
            )
        call = WithdrawFromChequebook(chequebook=chequebook, amount=amount)
        done = [await self.send("out of the chequebook", amount, call, confirmations)]
        if to is None or to == self._context.me:
            return done
        try:
            return [*done, await self.transfer(amount, to, confirmations)]
        except ChainError as error:
            error.hint = f"{show_mft(amount)} MFT are in your account now: TRANSFER sends them on"
            raise

    async def fund_dataset(self, dataset: DatasetId, amount: Wei, confirmations: int) -> list[Paid]:
        """Add MFT to the fees of a dataset's providers: first where they do not last to the end.

        Raises:
            BalanceTooSmall: there is not that much.
            ProgrammingError: no agreement of the dataset runs.
        """
        await self._need(amount)
        running = await self._running(dataset)
        if not running:
            raise ProgrammingError("no agreement about that dataset runs any more")
        lacking = [await self._lacking(agreement) for agreement in running]
        fees = [int(agreement.fee_per_epoch) for agreement in running]
        return [
            await self.send(
                f"for {show(agreement.provider)}",
                share,
                FundAgreement(agreement=agreement.id, amount=share),
                confirmations,
            )
            for agreement, share in zip(running, shares(amount, lacking, fees), strict=True)
            if share
        ]

    async def send(self, step: str, amount: Wei, call: ChainCall, confirmations: int) -> Paid:
        """Send a transaction of this identity and await its confirmations."""
        mined = await self._context.chain.send(call, self._context.keys.account)
        block = await self.confirmed(mined, confirmations)
        return Paid(step=step, amount=amount, transaction=mined.transaction, block=block)

    # ---- steps

    async def confirmed(self, mined: Mined, confirmations: int) -> int:
        """Return the block of a transaction once so many blocks, its own counted, hold it."""
        if confirmations <= 1:
            return mined.block
        chain, clock = self._context.chain, self._context.clock
        until_s = clock.monotonic_s() + CONFIRM_S
        while True:
            block = await chain.block_of(mined.transaction)
            found = 0 if block is None else (await chain.head()).number - block + 1
            if block is not None and found >= confirmations:
                return block
            if clock.monotonic_s() >= until_s:
                raise DeadlineExceeded(
                    f"transaction {show(mined.transaction)} has {found} of {confirmations} "
                    "confirmations",
                    hint="it was sent and needs no repeating; SET wait = 1 awaits its block only",
                )
            await asyncio.sleep(self._context.node.poll_s)

    async def _need(self, amount: Wei) -> None:
        me = self._context.me
        there = await self._context.chain.balance(me)
        if there < amount:
            raise BalanceTooSmall(
                f"{show(me)} has {show_mft(there)} MFT, {show_mft(amount)} MFT are needed",
                hint="less, or let somebody TRANSFER more to it (`mfdb devnet fund`)",
            )

    def _chequebook(self) -> Address:
        if self._accounts.chequebook == ZERO_ADDRESS:
            raise ProgrammingError("this identity has no chequebook")
        return self._accounts.chequebook

    async def _promised(self, chequebook: Address) -> Wei:
        """Return what the cheques given out promise beyond what was cashed."""
        promised = 0
        for account in self._accounts.known().values():
            if account.issued is None or account.issued.cheque.chequebook != chequebook:
                continue
            cheque = account.issued.cheque
            state = await self._context.chain.chequebook(chequebook, cheque.beneficiary)
            paid = 0 if state is None else state.paid_out
            promised += max(0, cheque.cumulative_payout - paid)
        return Wei(promised)

    async def _running(self, dataset: DatasetId) -> list[Agreement]:
        placement = (await self._lookup.look(dataset)).placement
        now_s = (await self._context.chain.head()).time_s
        agreements = [placement.agreements[who].agreement for who in placement.providers]
        return [agreement for agreement in agreements if agreement.end > now_s]

    async def _lacking(self, agreement: Agreement) -> int:
        fees = await self._context.chain.fees(agreement.id)
        epochs = -(-(agreement.end - agreement.start) // agreement.epoch_s)
        return max(0, (epochs - fees.claimed) * agreement.fee_per_epoch - fees.held)
