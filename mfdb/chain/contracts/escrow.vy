# pragma version 0.4.3
"""
@title Storage fees in trust, and compensations until they are paid out
@notice Fees are earned in arrears, epoch by epoch, from the later of an agreement's start and its
        registration. A convicted segment does not stop the fees of the others; an agreement whose
        whole earmark was slashed earns no more. A compensation pays the repair of the lost shard
        first and its owner the rest, or the owner all of it once the repair window has passed.
"""

import evidence
from ethereum.ercs import IERC20

interface Deposits:
    def agreement(id: bytes32) -> evidence.Kept: view
    def bound_by(id: bytes32, signer: address) -> bool: view

MAX_REPAIR_WINDOW: constant(uint256) = 365 * 86400

event FeesPaid:
    agreement: indexed(bytes32)
    provider: indexed(address)
    amount: uint256

event FeesReturned:
    agreement: indexed(bytes32)
    client: indexed(address)
    amount: uint256

event CompensationPaid:
    case: indexed(bytes32)
    owner: indexed(address)
    toOwner: uint256
    repairer: indexed(address)
    toRepairer: uint256

struct Fees:
    perEpoch: uint256
    held: uint256
    claimed: uint256  # whole epochs

struct Credit:
    owner: address
    amount: uint256
    promise: bytes32
    releaseAfter: uint256  # zero: there is none, or it is paid
    replacement: bytes32
    repairFee: uint256

TOKEN: immutable(address)
REPAIR_WINDOW: immutable(uint256)
DEPLOYER: immutable(address)
deposits: public(address)
fees: public(HashMap[bytes32, Fees])
credits: HashMap[bytes32, Credit]


@deploy
def __init__(token: address, repair_window_s: uint256):
    assert repair_window_s > 0 and repair_window_s <= MAX_REPAIR_WINDOW, "mfdb: bad repair window"
    TOKEN = token
    REPAIR_WINDOW = repair_window_s
    DEPLOYER = msg.sender


@external
def wire(deposits: address):
    """@notice Name the deposits contract; once, by the deployer, then for ever."""
    assert msg.sender == DEPLOYER, "mfdb: not the deployer"
    assert self.deposits == empty(address), "mfdb: already wired"
    assert deposits != empty(address), "mfdb: no contract"
    self.deposits = deposits


@external
@view
def repair_window_s() -> uint256:
    """@notice How long a compensation waits for a repair, in seconds."""
    return REPAIR_WINDOW


@external
@view
def credit(case: bytes32) -> Credit:
    """@notice What is held for a case."""
    return self.credits[case]


# ---- storage fees


@external
def open_fees(id: bytes32, feePerEpoch: uint256, funding: uint256):
    """@notice Deposits only: note an agreement's fee and what its client pays in with it."""
    assert msg.sender == self.deposits, "mfdb: not the deposits"
    self.fees[id] = Fees(perEpoch=feePerEpoch, held=funding, claimed=0)


@external
@nonreentrant
def fund(id: bytes32, amount: uint256):
    """@notice Add tokens of the sender (allowance) to an agreement's fees."""
    kept: evidence.Kept = staticcall Deposits(self.deposits).agreement(id)
    assert kept.provider != empty(address), "mfdb: no such agreement"
    assert block.timestamp <= kept.end, "mfdb: agreement over"
    assert amount > 0, "mfdb: no amount"
    self.fees[id].held += amount
    assert extcall IERC20(TOKEN).transferFrom(msg.sender, self, amount)


@internal
@view
def _epochs_due(id: bytes32, kept: evidence.Kept) -> uint256:
    fees: Fees = self.fees[id]
    first: uint256 = max(kept.start, kept.registered)
    last: uint256 = min(block.timestamp, kept.end)
    if fees.perEpoch == 0 or last <= first or kept.earmarked == 0:
        return 0
    passed: uint256 = (last - first) // kept.epochSeconds
    return min(passed - fees.claimed, fees.held // fees.perEpoch)


@internal
def _pay_provider(id: bytes32, kept: evidence.Kept, epochs: uint256):
    amount: uint256 = epochs * self.fees[id].perEpoch
    self.fees[id].claimed += epochs
    self.fees[id].held -= amount
    log FeesPaid(agreement=id, provider=kept.provider, amount=amount)
    assert extcall IERC20(TOKEN).transfer(kept.provider, amount)


@external
@view
def due(id: bytes32) -> uint256:
    """@notice What `claim` would pay now."""
    kept: evidence.Kept = staticcall Deposits(self.deposits).agreement(id)
    return self._epochs_due(id, kept) * self.fees[id].perEpoch


@external
@nonreentrant
def claim(id: bytes32):
    """@notice Pay the provider the fees of all whole epochs that passed, as far as they are funded."""
    kept: evidence.Kept = staticcall Deposits(self.deposits).agreement(id)
    assert kept.provider != empty(address), "mfdb: no such agreement"
    epochs: uint256 = self._epochs_due(id, kept)
    assert epochs > 0, "mfdb: nothing due"
    self._pay_provider(id, kept, epochs)


@internal
def _settle(id: bytes32, kept: evidence.Kept):
    epochs: uint256 = self._epochs_due(id, kept)
    if epochs > 0:
        self._pay_provider(id, kept, epochs)
    rest: uint256 = self.fees[id].held
    if rest > 0:
        self.fees[id].held = 0
        log FeesReturned(agreement=id, client=kept.client, amount=rest)
        assert extcall IERC20(TOKEN).transfer(kept.client, rest)


@external
@nonreentrant
def refund(id: bytes32):
    """@notice After an agreement's end: pay the provider what is due, its client the rest."""
    kept: evidence.Kept = staticcall Deposits(self.deposits).agreement(id)
    assert kept.provider != empty(address), "mfdb: no such agreement"
    assert block.timestamp > kept.end, "mfdb: agreement still runs"
    self._settle(id, kept)


@external
@nonreentrant
def settle_fees(id: bytes32, earmarked: uint256):
    """@notice Deposits only: settle the fees of an agreement being released."""
    assert msg.sender == self.deposits, "mfdb: not the deposits"
    kept: evidence.Kept = staticcall Deposits(self.deposits).agreement(id)
    kept.earmarked = earmarked
    self._settle(id, kept)


# ---- compensations


@external
def compensate(case: bytes32, owner: address, amount: uint256, promise: bytes32):
    """@notice Deposits only: hold what a conviction yielded, for the repair and the owner."""
    assert msg.sender == self.deposits, "mfdb: not the deposits"
    assert self.credits[case].owner == empty(address), "mfdb: already compensated"
    self.credits[case] = Credit(
        owner=owner,
        amount=amount,
        promise=promise,
        releaseAfter=block.timestamp + REPAIR_WINDOW,
        replacement=empty(bytes32),
        repairFee=0,
    )


@external
def assign_repair(case: bytes32, agreement: bytes32, fee: uint256):
    """@notice Deposits only: name the agreement that replaces the convicted one."""
    assert msg.sender == self.deposits, "mfdb: not the deposits"
    credit: Credit = self.credits[case]
    assert credit.releaseAfter != 0, "mfdb: no compensation"
    assert block.timestamp <= credit.releaseAfter, "mfdb: repair window passed"
    assert credit.replacement == empty(bytes32), "mfdb: already replaced"
    self.credits[case].replacement = agreement
    self.credits[case].repairFee = fee


@internal
def _pay_out(case: bytes32, credit: Credit, repairer: address, fee: uint256):
    self.credits[case].amount = 0
    self.credits[case].releaseAfter = 0
    rest: uint256 = credit.amount - fee
    log CompensationPaid(
        case=case, owner=credit.owner, toOwner=rest, repairer=repairer, toRepairer=fee
    )
    if fee > 0:
        assert extcall IERC20(TOKEN).transfer(repairer, fee)
    if rest > 0:
        assert extcall IERC20(TOKEN).transfer(credit.owner, rest)


@external
@nonreentrant
def settle_repair(case: bytes32, receipt: evidence.StoreReceipt, signature: Bytes[65]):
    """
    @notice Show that the lost shard stands again: a receipt for the same bytes under the agreement
            that replaces the convicted one, good to its end. Pays the repair, then the owner.
    """
    credit: Credit = self.credits[case]
    assert credit.releaseAfter != 0, "mfdb: no compensation"
    assert credit.replacement != empty(bytes32), "mfdb: not replaced"
    assert receipt.agreement == credit.replacement, "mfdb: other agreement"
    assert evidence.promise_of(receipt) == credit.promise, "mfdb: other shard"
    kept: evidence.Kept = staticcall Deposits(self.deposits).agreement(credit.replacement)
    assert convert(receipt.expiry, uint256) >= kept.end, "mfdb: receipt too short"
    signer: address = evidence.signer_of(
        evidence.receipt_hash(receipt), signature, self.deposits
    )
    assert staticcall Deposits(self.deposits).bound_by(
        credit.replacement, signer
    ), "mfdb: bad receipt signature"
    self._pay_out(case, credit, kept.provider, min(credit.repairFee, credit.amount))


@external
@nonreentrant
def release(case: bytes32):
    """@notice Pay the owner all of a compensation once its repair window has passed. By anyone."""
    credit: Credit = self.credits[case]
    assert credit.releaseAfter != 0, "mfdb: no compensation"
    assert block.timestamp > credit.releaseAfter, "mfdb: repair window open"
    self._pay_out(case, credit, empty(address), 0)
