"""The chain port: what mfdb asks of a chain, in the words of its contracts.

A transaction is one of the frozen `ChainCall` dataclasses; a view is a method. Two adapters stand
behind it: `web3_chain.Web3Chain` (any JSON-RPC endpoint) and the simulated twin in `mfdb.testing`.
Amounts are wei of MFT, times are block time in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.kernel.account import Account
    from mfdb.kernel.ids import Address, AgreementId, CaseId, Hash, Wei
    from mfdb.rules.evidence import Agreement, Cheque, Network, RepairMandate, StoreReceipt


# ---- transactions


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferMft:
    """Send MFT to an account."""

    to: Address
    amount: Wei


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateChequebook:
    """Make the sender's chequebook through the factory and fund it; `Mined.created` names it."""

    amount: Wei


@dataclass(frozen=True, slots=True, kw_only=True)
class CashCheque:
    """Pay out what a cheque promises beyond what was paid; a shortfall marks a bounce."""

    cheque: Cheque
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawFromChequebook:
    """Take MFT out of the sender's chequebook, to the sender."""

    chequebook: Address
    amount: Wei


@dataclass(frozen=True, slots=True, kw_only=True)
class Stake:
    """Lock MFT as the sender's provider deposit."""

    amount: Wei


@dataclass(frozen=True, slots=True, kw_only=True)
class Unstake:
    """Take back deposit that no agreement has earmarked."""

    amount: Wei


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegate:
    """Let a hot key sign receipts and agreements for the sender until a block time."""

    signer: Address
    until: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterAgreement:
    """Earmark the provider's deposit for an agreement.

    The sender is its client and pays `funding` wei of storage fees into the escrow.
    """

    agreement: Agreement
    client_signature: bytes
    provider_signature: bytes
    funding: Wei


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterByMandate:
    """Register an agreement that replaces the one convicted in `case`, in the owner's absence."""

    agreement: Agreement
    provider_signature: bytes
    mandate: RepairMandate
    owner_signature: bytes
    case: CaseId


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseAgreement:
    """Free the earmark of an agreement whose end and tail have passed without an open case."""

    agreement: AgreementId


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminateAgreement:
    """End an agreement before its time, by its provider with the client's release of all of it."""

    agreement: AgreementId
    client_signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimFees:
    """Pay the provider the fees of all whole epochs passed and not yet claimed."""

    agreement: AgreementId


@dataclass(frozen=True, slots=True, kw_only=True)
class FundAgreement:
    """Add MFT of the sender to the fees of an agreement; what is not earned goes to its client."""

    agreement: AgreementId
    amount: Wei


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRecord:
    """Publish the sender's record of a kind; a later one replaces it."""

    kind: RecordKind
    record: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordBeacon:
    """Fix the beacon of an audit epoch, once its block has passed."""

    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCase:
    """Accuse the signer of a store receipt of not holding draw number `draw` of an epoch.

    The sender posts the court's bond.
    """

    receipt: StoreReceipt
    signature: bytes
    epoch: int
    draw: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerCase:
    """Show the unit asked for, with its Merkle path; acquits."""

    case: CaseId
    receipt: StoreReceipt
    unit: bytes
    path: Sequence[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExcuseCase:
    """Show the client's signed release from the segment that a case asks for; acquits."""

    case: CaseId
    receipt: StoreReceipt
    client_signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PushVerdict:
    """Close a case whose answer window has passed in silence: guilty."""

    case: CaseId


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleRepair:
    """Show that the lost shard stands on a new provider: pays it, the rest goes to the owner."""

    case: CaseId
    receipt: StoreReceipt
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseCompensation:
    """Pay the whole compensation to the owner once the repair window has passed."""

    case: CaseId


ChainCall = (
    TransferMft
    | CreateChequebook
    | CashCheque
    | WithdrawFromChequebook
    | Stake
    | Unstake
    | Delegate
    | RegisterAgreement
    | RegisterByMandate
    | ReleaseAgreement
    | TerminateAgreement
    | ClaimFees
    | FundAgreement
    | SetRecord
    | RecordBeacon
    | OpenCase
    | AnswerCase
    | ExcuseCase
    | PushVerdict
    | SettleRepair
    | ReleaseCompensation
)


# ---- what the chain says


class RecordKind(IntEnum):
    """Kinds of records that the registry keeps for an identity."""

    NODE = 0
    HOME = 1
    OFFER = 2


class CaseStatus(IntEnum):
    """Where a case stands."""

    NONE = 0
    FILED = 1
    GUILTY = 2
    NOT_GUILTY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The newest block."""

    number: int
    hash: Hash
    time_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mined:
    """A transaction that is in a block."""

    transaction: Hash
    block: int
    gas_used: int
    created: Address | None = None
    case: CaseId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChequebookState:
    """What a chequebook holds and has paid to one beneficiary."""

    issuer: Address
    balance: Wei
    paid_out: Wei
    bounced: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositState:
    """A provider's deposit: all of it, and the part that agreements have earmarked."""

    total: Wei
    earmarked: Wei


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementState:
    """What the deposits contract keeps of an agreement."""

    client: Address
    provider: Address
    earmarked: Wei
    capacity_bytes: int
    end: int
    tail_s: int
    open_cases: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FeesState:
    """What the escrow keeps of an agreement's fees; `claimed` counts whole epochs."""

    per_epoch: Wei
    held: Wei
    claimed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseState:
    """A case and what hangs on it. `compensation` is what the escrow holds for it."""

    id: CaseId
    status: CaseStatus
    agreement: AgreementId
    accuser: Address
    unit: int
    deadline: int
    compensation: Wei


@dataclass(frozen=True, slots=True, kw_only=True)
class CourtTerms:
    """Parameters the contracts were deployed with. `draws` is q, units per audit."""

    bond: Wei
    draws: int
    epoch_s: int
    repair_window_s: int
    compensation_bp: int
    accuser_bp: int


# ---- events


@dataclass(frozen=True, slots=True, kw_only=True)
class Transferred:
    """MFT moved; from the zero address it was minted, to it burnt."""

    sender: Address
    to: Address
    amount: Wei


@dataclass(frozen=True, slots=True, kw_only=True)
class ChequeCashed:
    """A chequebook paid a beneficiary."""

    chequebook: Address
    beneficiary: Address
    amount: Wei


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPublished:
    """An identity published a record."""

    identity: Address
    kind: RecordKind
    record: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementRegistered:
    """An agreement's deposit is earmarked. `case` is set when it replaces a convicted one."""

    agreement: AgreementId
    client: Address
    provider: Address
    case: CaseId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseOpened:
    """A provider stands accused and must answer before `deadline`."""

    case: CaseId
    agreement: AgreementId
    provider: Address
    accuser: Address
    receipt: StoreReceipt
    unit: int
    deadline: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseClosed:
    """A verdict: guilty slashed `slashed`, of which `compensation` lies in the escrow."""

    case: CaseId
    agreement: AgreementId
    status: CaseStatus
    slashed: Wei
    compensation: Wei


@dataclass(frozen=True, slots=True, kw_only=True)
class CompensationPaid:
    """The escrow closed a compensation: so much for the repair, so much for the owner."""

    case: CaseId
    owner: Address
    to_owner: Wei
    repairer: Address
    to_repairer: Wei


ChainEvent = (
    Transferred
    | ChequeCashed
    | RecordPublished
    | AgreementRegistered
    | CaseOpened
    | CaseClosed
    | CompensationPaid
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An event and where it stands; `removed` says a reorganisation took it back."""

    event: ChainEvent
    block: int
    transaction: Hash
    removed: bool = False


class Chain(Protocol):
    """A node's way to the chain.

    Every method raises `ChainUnavailable` when the endpoint does not answer in time.
    """

    @property
    def network(self) -> Network:
        """The network that evidence is signed for."""
        ...

    async def head(self) -> Head:
        """Return the newest block."""
        ...

    async def terms(self) -> CourtTerms:
        """Return the parameters of the contracts."""
        ...

    async def send(self, call: ChainCall, sender: Account, *, timeout_s: float = 60) -> Mined:
        """Sign, send and await a transaction. Safe to repeat: it goes in once or not at all.

        Raises:
            TransactionReverted: a contract refused, with its reason.
            DeadlineExceeded: not in a block within `timeout_s`; it may still get in.
        """
        ...

    async def balance(self, account: Address) -> Wei:
        """Return an account's MFT."""
        ...

    async def chequebook(self, chequebook: Address, beneficiary: Address) -> ChequebookState | None:
        """Return a chequebook's state, or None if our factory did not make it."""
        ...

    async def chequebook_of(self, issuer: Address) -> Address | None:
        """Return the newest chequebook that an identity made through our factory, or None."""
        ...

    async def deposit(self, provider: Address) -> DepositState:
        """Return a provider's deposit."""
        ...

    async def may_sign(self, provider: Address, signer: Address) -> bool:
        """Return whether `signer` is the provider or its delegate now."""
        ...

    async def agreement(self, agreement: AgreementId) -> AgreementState | None:
        """Return a registered agreement, or None."""
        ...

    async def fees(self, agreement: AgreementId) -> FeesState:
        """Return the fees of an agreement; all zero if there is none."""
        ...

    async def record(self, identity: Address, kind: RecordKind) -> bytes | None:
        """Return an identity's newest record of a kind, or None."""
        ...

    async def records(self, kind: RecordKind) -> dict[Address, bytes]:
        """Return the newest record of a kind of every identity that published one."""
        ...

    async def beacon(self, epoch: int) -> Hash | None:
        """Return the beacon of an epoch, or None before it is recorded."""
        ...

    async def case(self, case: CaseId) -> CaseState | None:
        """Return a case, or None."""
        ...

    async def events(self, *, since_block: int = 0) -> list[Seen]:
        """Return all events of our contracts from a block on, in chain order."""
        ...

    async def block_of(self, transaction: Hash) -> int | None:
        """Return the number of the block that a transaction is in now, or None."""
        ...

    async def gas_used(self, transaction: Hash) -> int:
        """Return the gas that a mined transaction used."""
        ...

    async def named_contracts(self) -> dict[str, Address]:
        """Return the addresses of our contracts by name, for reports."""
        ...

    async def close(self) -> None:
        """Free connections and the outbox."""
        ...
