"""Deposits, agreements and the escrow of the simulated chain; twins of the contracts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mfdb.chain.port import (
    AgreementRegistered,
    AgreementState,
    CompensationPaid,
    DepositState,
    FeesState,
)
from mfdb.kernel.ids import (
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    AgreementId,
    CaseId,
    SegmentId,
    Wei,
)
from mfdb.rules.evidence import Release
from mfdb.testing.sim_chain_pay import signer_or_none
from mfdb.testing.sim_chain_state import Table, fits_uint64, fits_uint256, require

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.chain.port import CourtTerms, RegisterAgreement, RegisterByMandate
    from mfdb.rules.evidence import Agreement, Network, RepairMandate, StoreReceipt
    from mfdb.testing.sim_chain_state import Block, Journal, Ledger

MAX_TERM_S = 365 * 86400
MAX_WINDOW_S = 30 * 86400
MAX_LEAD_S = 86400
MAX_FEE = 2**128


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is kept of an agreement."""

    agreement: Agreement
    end: int
    """The agreement's, unless it was terminated before."""
    earmarked: int
    registered: int
    open_cases: int = 0
    released: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fees:
    per_epoch: int = 0
    held: int = 0
    claimed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Credit:
    owner: Address
    amount: int
    promise: tuple[object, ...]
    release_after: int
    paid: bool = False
    replacement: AgreementId | None = None
    repair_fee: int = 0


def promise_of(receipt: StoreReceipt) -> tuple[object, ...]:
    """Return what is promised, whoever promises it and for how long: one shard's bytes."""
    return (receipt.segment, receipt.shard, receipt.root, receipt.units)


class Deposits:
    """Deposits of providers and the agreements that earmark them."""

    def __init__(
        self, journal: Journal, ledger: Ledger, network: Network, escrow: Escrow, terms: CourtTerms
    ) -> None:
        self._journal = journal
        self._ledger = ledger
        self._network = network
        self._escrow = escrow
        self._terms = terms
        self._total: Table[Address, int] = Table(journal, 0)
        self._earmarked: Table[Address, int] = Table(journal, 0)
        self._until: Table[tuple[Address, Address], int] = Table(journal, 0)
        self._agreements: Table[AgreementId, Kept | None] = Table(journal, None)
        self._spent: Table[bytes, int] = Table(journal, 0)

    # ---- deposits and hot keys

    def stake(self, sender: Address, amount: int) -> None:
        """Lock tokens of the sender."""
        fits_uint256(amount)
        require(amount > 0, "mfdb: no amount")
        self._total[sender] += amount
        self._ledger.move(sender, self._network.deposits, amount)

    def unstake(self, sender: Address, amount: int) -> None:
        """Take back what no agreement has earmarked."""
        fits_uint256(amount)
        require(amount > 0, "mfdb: no amount")
        free = self._total[sender] - self._earmarked[sender]
        require(amount <= free, "mfdb: deposit earmarked")
        self._total[sender] -= amount
        self._ledger.move(self._network.deposits, sender, amount)

    def delegate(self, sender: Address, signer: Address, until: int, block: Block) -> None:
        """Let a hot key sign until a block time; a past time ends it now."""
        fits_uint256(until)
        require(signer != ZERO_ADDRESS, "mfdb: no signer")
        key = (sender, signer)
        self._until[key] = max(until, min(self._until[key], block.time_s))

    def may_sign(self, provider: Address, signer: Address | None, time_s: int) -> bool:
        """Return whether the signer is the provider or its delegate at a block time."""
        if signer is None:
            return False
        return signer == provider or self._until[provider, signer] > time_s

    def bound_by(self, kept: Kept, signer: Address | None) -> bool:
        """Return whether what a key signed under an agreement binds its provider."""
        if signer is None:
            return False
        provider = kept.agreement.provider
        since = min(kept.agreement.start, kept.registered)
        live = self._until[provider, signer]
        return signer == provider or (live > 0 and live >= since)

    def state(self, provider: Address) -> DepositState:
        """Return a provider's deposit."""
        return DepositState(
            total=Wei(self._total[provider]), earmarked=Wei(self._earmarked[provider])
        )

    # ---- agreements

    def kept(self, agreement: AgreementId) -> Kept | None:
        """Return a registered agreement."""
        return self._agreements[agreement]

    def agreement_state(self, agreement: AgreementId) -> AgreementState | None:
        """Return a registered agreement as the port tells it."""
        kept = self.kept(agreement)
        if kept is None:
            return None
        return AgreementState(
            client=kept.agreement.client,
            provider=kept.agreement.provider,
            earmarked=Wei(kept.earmarked),
            capacity_bytes=kept.agreement.capacity_bytes,
            end=kept.end,
            tail_s=kept.agreement.tail_s,
            open_cases=kept.open_cases,
        )

    def register(self, sender: Address, call: RegisterAgreement, block: Block) -> None:
        """Earmark a deposit for an agreement that both signed."""
        agreement = call.agreement
        fits_agreement(agreement)
        fits_uint256(call.funding)
        require(sender == agreement.client, "mfdb: not the client")
        require(agreement.mandate == ZERO_HASH, "mfdb: mandate given")
        signer = signer_or_none(self._network.digest(agreement), call.client_signature)
        require(signer == agreement.client, "mfdb: bad client signature")
        self._earmark(agreement, call.provider_signature, block)
        self._registered(agreement, None)
        self._escrow.open_fees(agreement, call.funding)
        if call.funding > 0:
            self._ledger.move(sender, self._escrow.address, call.funding)

    def register_by_mandate(
        self, call: RegisterByMandate, lost: Callable[[CaseId], AgreementId], block: Block
    ) -> None:
        """Register an agreement that replaces a convicted one."""
        agreement, mandate = call.agreement, call.mandate
        fits_agreement(agreement)
        fits_uint64(mandate.capacity_bytes, mandate.expiry)
        fits_uint256(mandate.fee_cap_per_epoch, mandate.repair_fee)
        fits_uint256(mandate.budget, mandate.min_deposit)
        order = mandate.struct_hash()
        require(agreement.mandate == order, "mfdb: other mandate")
        signer = signer_or_none(self._network.digest(mandate), call.owner_signature)
        require(signer == mandate.owner, "mfdb: bad owner signature")
        convicted = self.kept(lost(call.case))
        assert convicted is not None
        check_mandate(agreement, mandate, convicted.agreement, block)
        self._earmark(agreement, call.provider_signature, block)
        require(mandate.repair_fee < MAX_FEE, "mfdb: fee too large")
        cost = self._spent[order] + _cost(agreement, mandate, block)
        require(cost <= mandate.budget, "mfdb: mandate used up")
        self._spent[order] = cost
        self._registered(agreement, call.case)
        self._escrow.open_fees(agreement, 0)
        self._escrow.assign_repair(call.case, agreement.id, mandate.repair_fee, block)

    def _registered(self, agreement: Agreement, case: CaseId | None) -> None:
        event = AgreementRegistered(
            agreement=agreement.id, client=agreement.client, provider=agreement.provider, case=case
        )
        self._journal.emit(event)

    def _earmark(self, agreement: Agreement, signature: bytes, block: Block) -> None:
        require(self._agreements[agreement.id] is None, "mfdb: agreement exists")
        check_terms(agreement, block)
        signer = signer_or_none(self._network.digest(agreement), signature)
        provider = agreement.provider
        require(self.may_sign(provider, signer, block.time_s), "mfdb: bad provider signature")
        free = self._total[provider] - self._earmarked[provider]
        require(agreement.deposit <= free, "mfdb: deposit too small")
        self._earmarked[provider] += agreement.deposit
        self._agreements[agreement.id] = Kept(
            agreement=agreement,
            end=agreement.end,
            earmarked=agreement.deposit,
            registered=block.time_s,
        )

    def release(self, name: AgreementId, block: Block) -> None:
        """Free what is left of an earmark, and settle the fees."""
        kept = self._agreements[name]
        require(kept is not None, "mfdb: no such agreement")
        assert kept is not None
        require(not kept.released, "mfdb: already released")
        binds_until = kept.end + kept.agreement.tail_s
        require(block.time_s > binds_until, "mfdb: agreement still binds")
        require(kept.open_cases == 0, "mfdb: case open")
        self._release(name, kept, block)

    def terminate(
        self, sender: Address, name: AgreementId, client_signature: bytes, block: Block
    ) -> None:
        """End an agreement before its time, with the client's release."""
        kept = self._agreements[name]
        require(kept is not None, "mfdb: no such agreement")
        assert kept is not None
        require(sender == kept.agreement.provider, "mfdb: not the provider")
        require(not kept.released, "mfdb: already released")
        require(kept.open_cases == 0, "mfdb: case open")
        self.check_released(kept, Release(name, SegmentId(ZERO_HASH)), client_signature)
        ended = replace(kept, end=min(kept.end, block.time_s - 1))
        self._release(name, ended, block)

    def check_released(self, kept: Kept, release: Release, signature: bytes) -> None:
        """Revert unless an agreement's client signed a release."""
        signer = signer_or_none(self._network.digest(release), signature)
        require(signer == kept.agreement.client, "mfdb: bad client signature")

    def _release(self, name: AgreementId, kept: Kept, block: Block) -> None:
        self._earmarked[kept.agreement.provider] -= kept.earmarked
        self._agreements[name] = replace(kept, earmarked=0, released=True)
        self._escrow.settle_fees(kept, block)

    # ---- for the court

    def case_opened(self, name: AgreementId, digest_signer: Address | None, block: Block) -> Kept:
        """Count a case against an agreement that still binds."""
        kept = self._agreements[name]
        require(kept is not None, "mfdb: no such agreement")
        assert kept is not None
        require(block.time_s <= kept.end, "mfdb: agreement over")
        require(self.bound_by(kept, digest_signer), "mfdb: bad receipt signature")
        self._agreements[name] = replace(kept, open_cases=kept.open_cases + 1)
        return kept

    def case_closed(self, name: AgreementId) -> Kept:
        """Count a case as closed."""
        kept = self._agreements[name]
        assert kept is not None
        self._agreements[name] = replace(kept, open_cases=kept.open_cases - 1)
        return kept

    def slash(self, case: CaseId, accuser: Address, receipt: StoreReceipt, size: int,
              block: Block) -> tuple[int, int]:  # fmt: skip
        """Take from an earmark in proportion to the bytes lost; return it and the compensation."""
        kept = self._agreements[receipt.agreement]
        assert kept is not None
        agreement = kept.agreement
        lost = agreement.deposit * min(size, agreement.capacity_bytes) // agreement.capacity_bytes
        slashed = min(lost, kept.earmarked)
        compensation = slashed * self._terms.compensation_bp // 10000
        reward = slashed * self._terms.accuser_bp // 10000
        self._agreements[receipt.agreement] = replace(kept, earmarked=kept.earmarked - slashed)
        self._earmarked[agreement.provider] -= slashed
        self._total[agreement.provider] -= slashed
        self._escrow.compensate(case, agreement.client, compensation, receipt, block)
        here = self._network.deposits
        self._ledger.move(here, self._escrow.address, compensation)
        self._ledger.move(here, accuser, reward)
        self._ledger.burn(here, slashed - compensation - reward)
        return slashed, compensation


class Escrow:
    """Storage fees in trust, and compensations until they are paid out."""

    def __init__(
        self, journal: Journal, ledger: Ledger, network: Network, address: Address, window_s: int
    ) -> None:
        self._journal = journal
        self._ledger = ledger
        self._network = network
        self._window_s = window_s
        self.address = address
        self._fees: Table[AgreementId, _Fees] = Table(journal, _Fees())
        self._credits: Table[CaseId, _Credit | None] = Table(journal, None)

    def held_for(self, case: CaseId) -> Wei:
        """Return what is held for a case."""
        credit = self._credits[case]
        return Wei(0 if credit is None else credit.amount)

    # ---- storage fees

    def open_fees(self, agreement: Agreement, funding: int) -> None:
        """Note an agreement's fee and what its client pays in with it."""
        self._fees[agreement.id] = _Fees(per_epoch=agreement.fee_per_epoch, held=funding)

    def _epochs_due(self, kept: Kept, block: Block) -> int:
        agreement = kept.agreement
        fees = self._fees[agreement.id]
        first = max(agreement.start, kept.registered)
        last = min(block.time_s, kept.end)
        if fees.per_epoch == 0 or last <= first or kept.earmarked == 0:
            return 0
        passed = (last - first) // agreement.epoch_s
        return min(passed - fees.claimed, fees.held // fees.per_epoch)

    def _pay_provider(self, kept: Kept, epochs: int) -> None:
        name = kept.agreement.id
        fees = self._fees[name]
        amount = epochs * fees.per_epoch
        self._fees[name] = replace(fees, held=fees.held - amount, claimed=fees.claimed + epochs)
        self._ledger.move(self.address, kept.agreement.provider, amount)

    def claim(self, kept: Kept | None, block: Block) -> None:
        """Pay the provider the whole epochs that passed, as far as they are funded."""
        require(kept is not None, "mfdb: no such agreement")
        assert kept is not None
        epochs = self._epochs_due(kept, block)
        require(epochs > 0, "mfdb: nothing due")
        self._pay_provider(kept, epochs)

    def fund(self, sender: Address, kept: Kept | None, amount: int, block: Block) -> None:
        """Add to what an agreement's fees are paid from."""
        require(kept is not None, "mfdb: no such agreement")
        assert kept is not None
        fits_uint256(amount)
        require(block.time_s <= kept.end, "mfdb: agreement over")
        require(amount > 0, "mfdb: no amount")
        name = kept.agreement.id
        fees = self._fees[name]
        self._fees[name] = replace(fees, held=fees.held + amount)
        self._ledger.move(sender, self.address, amount)

    def fees(self, agreement: AgreementId) -> FeesState:
        """Return the fees of an agreement."""
        fees = self._fees[agreement]
        return FeesState(per_epoch=Wei(fees.per_epoch), held=Wei(fees.held), claimed=fees.claimed)

    def settle_fees(self, kept: Kept, block: Block) -> None:
        """Pay the provider what is due and the client the rest."""
        epochs = self._epochs_due(kept, block)
        if epochs > 0:
            self._pay_provider(kept, epochs)
        fees = self._fees[kept.agreement.id]
        if fees.held > 0:
            self._fees[kept.agreement.id] = replace(fees, held=0)
            self._ledger.move(self.address, kept.agreement.client, fees.held)

    # ---- compensations

    def compensate(
        self, case: CaseId, owner: Address, amount: int, receipt: StoreReceipt, block: Block
    ) -> None:
        """Hold what a conviction yielded."""
        self._credits[case] = _Credit(
            owner=owner,
            amount=amount,
            promise=promise_of(receipt),
            release_after=block.time_s + self._window_s,
        )

    def _open(self, case: CaseId) -> _Credit:
        credit = self._credits[case]
        require(credit is not None and not credit.paid, "mfdb: no compensation")
        assert credit is not None
        return credit

    def assign_repair(self, case: CaseId, agreement: AgreementId, fee: int, block: Block) -> None:
        """Name the agreement that replaces the convicted one."""
        credit = self._open(case)
        require(block.time_s <= credit.release_after, "mfdb: repair window passed")
        require(credit.replacement is None, "mfdb: already replaced")
        self._credits[case] = replace(credit, replacement=agreement, repair_fee=fee)

    def settle_repair(
        self, case: CaseId, receipt: StoreReceipt, signature: bytes, deposits: Deposits
    ) -> None:
        """Pay the repair of the lost shard, and the owner the rest."""
        fits_uint64(receipt.shard, receipt.units, receipt.expiry)
        credit = self._open(case)
        require(credit.replacement is not None, "mfdb: not replaced")
        require(receipt.agreement == credit.replacement, "mfdb: other agreement")
        require(promise_of(receipt) == credit.promise, "mfdb: other shard")
        kept = deposits.kept(receipt.agreement)
        assert kept is not None
        require(receipt.expiry >= kept.end, "mfdb: receipt too short")
        signer = signer_or_none(self._network.digest(receipt), signature)
        require(deposits.bound_by(kept, signer), "mfdb: bad receipt signature")
        fee = min(credit.repair_fee, credit.amount)
        self._pay_out(case, credit, kept.agreement.provider, fee)

    def release(self, case: CaseId, block: Block) -> None:
        """Pay the owner everything once the repair window has passed."""
        credit = self._open(case)
        require(block.time_s > credit.release_after, "mfdb: repair window open")
        self._pay_out(case, credit, ZERO_ADDRESS, 0)

    def _pay_out(self, case: CaseId, credit: _Credit, repairer: Address, fee: int) -> None:
        rest = credit.amount - fee
        self._credits[case] = replace(credit, amount=0, paid=True)
        event = CompensationPaid(
            case=case,
            owner=credit.owner,
            to_owner=Wei(rest),
            repairer=repairer,
            to_repairer=Wei(fee),
        )
        self._journal.emit(event)
        if fee > 0:
            self._ledger.move(self.address, repairer, fee)
        if rest > 0:
            self._ledger.move(self.address, credit.owner, rest)


def fits_agreement(agreement: Agreement) -> None:
    """Revert unless every number of an agreement fits its field."""
    fits_uint64(
        agreement.capacity_bytes,
        agreement.epoch_s,
        agreement.start,
        agreement.end,
        agreement.tail_s,
        agreement.answer_window_s,
    )
    fits_uint256(agreement.fee_per_epoch, agreement.deposit)


def check_terms(agreement: Agreement, block: Block) -> None:
    """Revert unless the contracts would take such an agreement."""
    window = agreement.answer_window_s
    require(agreement.capacity_bytes > 0, "mfdb: no capacity")
    require(agreement.deposit > 0, "mfdb: no deposit")
    require(agreement.epoch_s > 0, "mfdb: no epoch")
    require(agreement.fee_per_epoch < MAX_FEE, "mfdb: fee too large")
    over = agreement.end <= agreement.start or agreement.end <= block.time_s
    require(not over, "mfdb: agreement over")
    require(agreement.end - agreement.start <= MAX_TERM_S, "mfdb: term too long")
    require(agreement.start <= block.time_s + MAX_LEAD_S, "mfdb: starts too late")
    require(0 < window <= MAX_WINDOW_S, "mfdb: bad answer window")
    require(agreement.tail_s >= window, "mfdb: tail too short")
    require(agreement.tail_s <= MAX_TERM_S, "mfdb: tail too long")


def check_mandate(
    agreement: Agreement, mandate: RepairMandate, lost: Agreement, block: Block
) -> None:
    """Revert unless an agreement stays within a mandate and replaces the lost one."""
    owners = {lost.client, agreement.client}
    require(owners == {mandate.owner}, "mfdb: other client")
    subjects = {lost.subject, agreement.subject}
    require(subjects == {mandate.subject}, "mfdb: other subject")
    require(agreement.provider != lost.provider, "mfdb: convicted provider")
    require(block.time_s <= mandate.expiry, "mfdb: mandate expired")
    require(agreement.fee_per_epoch <= mandate.fee_cap_per_epoch, "mfdb: fee over mandate")
    require(agreement.deposit >= mandate.min_deposit, "mfdb: deposit under mandate")
    require(agreement.capacity_bytes <= mandate.capacity_bytes, "mfdb: capacity over mandate")
    require(agreement.epoch_s >= lost.epoch_s, "mfdb: epoch too short")
    require(agreement.end >= lost.end, "mfdb: ends too early")
    require(agreement.answer_window_s <= lost.answer_window_s, "mfdb: window too long")


def _cost(agreement: Agreement, mandate: RepairMandate, block: Block) -> int:
    seconds = max(0, agreement.end - max(agreement.start, block.time_s))
    return mandate.repair_fee + agreement.fee_per_epoch * (seconds // agreement.epoch_s)
