"""Each `ChainCall` as what it is on chain: a function of a contract with its arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_never

from mfdb.chain.abi import encode_call
from mfdb.chain.contracts.deployment import STORAGE_TRIAL
from mfdb.chain.contracts.words import (
    agreement_words,
    encode_answer,
    encode_claim,
    mandate_words,
    receipt_words,
)
from mfdb.chain.port import (
    AnswerCase,
    CashCheque,
    ClaimFees,
    CreateChequebook,
    Delegate,
    ExcuseCase,
    FundAgreement,
    OpenCase,
    PushVerdict,
    RecordBeacon,
    RegisterAgreement,
    RegisterByMandate,
    ReleaseAgreement,
    ReleaseCompensation,
    SetRecord,
    SettleRepair,
    Stake,
    TerminateAgreement,
    TransferMft,
    Unstake,
    WithdrawFromChequebook,
)
from mfdb.kernel.digest import keccak256

if TYPE_CHECKING:
    from mfdb.chain.port import ChainCall
    from mfdb.kernel.ids import Address, Hash, Wei


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A function call. `at` is set if not our deployed contract of that name is called.

    `spends` is the MFT that the called contract takes from the sender by its allowance. With
    `salted`, the first argument becomes the nonce, so that two calls never collide.
    """

    contract: str
    function: str
    arguments: tuple[Any, ...]
    at: Address | None = None
    spends: int = 0
    salted: bool = False

    def data(self, nonce: int) -> bytes:
        """Return the calldata, for the nonce of its transaction."""
        arguments = self.arguments
        if self.salted:
            arguments = (nonce.to_bytes(32, "big"), *arguments[1:])
        return encode_call(self.contract, self.function, arguments)

    def purpose(self, to: bytes) -> Hash:
        """Return what is equal for equal calls, whatever their nonce."""
        return keccak256(to + encode_call(self.contract, self.function, self.arguments))


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a call needs to know besides itself: its sender, the bond, the claim it answers."""

    sender: Address
    bond: Wei
    claim_signature: bytes = b""


def step_of(call: ChainCall, known: Known) -> Step:
    """Return the step that a call stands for."""
    match call:
        case TransferMft():
            return _step("mft", "transfer", call.to, call.amount)
        case CashCheque() | CreateChequebook() | WithdrawFromChequebook():
            return _chequebook_step(call)
        case SetRecord():
            return _step("registry", "set_record", known.sender, int(call.kind), call.record)
        case RecordBeacon():
            return _step("beacon", "record", call.epoch)
        case Stake() | Unstake() | Delegate():
            return _deposit_step(call)
        case RegisterAgreement() | RegisterByMandate():
            return _registering_step(call)
        case ReleaseAgreement() | TerminateAgreement() | ClaimFees() | SettleRepair():
            return _agreement_step(call)
        case FundAgreement():
            return _step("escrow", "fund", call.agreement, call.amount, spends=call.amount)
        case OpenCase() | AnswerCase() | ExcuseCase() | PushVerdict() | ReleaseCompensation():
            return _case_step(call, known)
        case _:
            assert_never(call)


def _step(contract: str, function: str, *arguments: Any, spends: int = 0) -> Step:
    return Step(contract=contract, function=function, arguments=arguments, spends=spends)


def _chequebook_step(call: CashCheque | CreateChequebook | WithdrawFromChequebook) -> Step:
    match call:
        case CashCheque():
            return _cash(call)
        case CreateChequebook():
            return Step(
                contract="chequebook_factory",
                function="create",
                arguments=(bytes(32), call.amount),
                spends=call.amount,
                salted=True,
            )
        case WithdrawFromChequebook():
            return Step(
                contract="chequebook",
                function="withdraw",
                arguments=(call.amount,),
                at=call.chequebook,
            )
        case _:
            assert_never(call)


def _cash(call: CashCheque) -> Step:
    cheque = call.cheque
    return Step(
        contract="chequebook",
        function="cash",
        at=cheque.chequebook,
        arguments=(
            cheque.beneficiary,
            cheque.cumulative_payout,
            cheque.serial,
            cheque.valid_from,
            cheque.valid_until,
            call.signature,
        ),
    )


def _deposit_step(call: Stake | Unstake | Delegate) -> Step:
    match call:
        case Stake():
            return _step("deposits", "deposit", call.amount, spends=call.amount)
        case Unstake():
            return _step("deposits", "withdraw", call.amount)
        case Delegate():
            return _step("deposits", "delegate", call.signer, call.until)
        case _:
            assert_never(call)


def _registering_step(call: RegisterAgreement | RegisterByMandate) -> Step:
    match call:
        case RegisterAgreement():
            words = agreement_words(call.agreement)
            signatures = (call.client_signature, call.provider_signature)
            return _step(
                "deposits", "register", words, *signatures, call.funding, spends=call.funding
            )
        case RegisterByMandate():
            return _step(
                "deposits",
                "register_by_mandate",
                agreement_words(call.agreement),
                call.provider_signature,
                mandate_words(call.mandate),
                call.owner_signature,
                call.case,
            )
        case _:
            assert_never(call)


def _agreement_step(
    call: ReleaseAgreement | TerminateAgreement | ClaimFees | SettleRepair,
) -> Step:
    match call:
        case ReleaseAgreement():
            return _step("deposits", "release", call.agreement)
        case TerminateAgreement():
            return _step("deposits", "terminate", call.agreement, call.client_signature)
        case ClaimFees():
            return _step("escrow", "claim", call.agreement)
        case SettleRepair():
            words = receipt_words(call.receipt)
            return _step("escrow", "settle_repair", call.case, words, call.signature)
        case _:
            assert_never(call)


def _case_step(
    call: OpenCase | AnswerCase | ExcuseCase | PushVerdict | ReleaseCompensation, known: Known
) -> Step:
    match call:
        case OpenCase():
            claim = encode_claim(call.receipt, call.signature)
            spends = known.bond
            return _step(
                "court", "open_case", STORAGE_TRIAL, claim, call.epoch, call.draw, spends=spends
            )
        case AnswerCase():
            claim = encode_claim(call.receipt, known.claim_signature)
            return _step("court", "answer", call.case, claim, encode_answer(call.unit, call.path))
        case ExcuseCase():
            claim = encode_claim(call.receipt, known.claim_signature)
            return _step("court", "excuse", call.case, claim, call.client_signature)
        case PushVerdict():
            return _step("court", "verdict", call.case)
        case ReleaseCompensation():
            return _step("escrow", "release", call.case)
        case _:
            assert_never(call)
