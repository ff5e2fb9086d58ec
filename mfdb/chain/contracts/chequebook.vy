# pragma version 0.4.3
"""
@title Chequebook: pays cumulative EIP-712 cheques of its issuer
@notice Meant to be cloned (EIP-1167) by the factory: what differs per clone is in storage, and the
        signing domain names the clone itself, so a cheque is good at one chequebook of one chain.
        A beneficiary's hard deposit is paid from first and never pays anybody else.
"""

import typed_data
from ethereum.ercs import IERC20

NAME: constant(bytes32) = keccak256("mfdb chequebook")
CHEQUE: constant(bytes32) = keccak256(
    "Cheque(address chequebook,address beneficiary,uint256 cumulativePayout,uint64 serial,uint64 validFrom,uint64 validUntil)"
)
# Time a beneficiary has to cash before a hard deposit shrinks.
DECREASE_DELAY: constant(uint256) = 86400

struct HardDeposit:
    amount: uint256
    decrease: uint256
    decreaseAt: uint256

event ChequeCashed:
    beneficiary: indexed(address)
    amount: uint256
    cumulativePayout: uint256
    serial: uint64

event ChequeBounced:
    beneficiary: indexed(address)
    shortfall: uint256

event HardDepositChanged:
    beneficiary: indexed(address)
    amount: uint256

event DecreasePrepared:
    beneficiary: indexed(address)
    decrease: uint256
    decreaseAt: uint256

TOKEN: immutable(address)
issuer: public(address)
paidOut: public(HashMap[address, uint256])
serial: public(HashMap[address, uint64])
shortfall: public(HashMap[address, uint256])
unpaid: uint256  # beneficiaries with a shortfall
hardDeposit: public(HashMap[address, HardDeposit])
totalHardDeposit: public(uint256)


@deploy
def __init__(token: address):
    TOKEN = token
    self.issuer = 0x000000000000000000000000000000000000dEaD  # the master is nobody's


@external
def initialise(issuer: address):
    """@notice Called by the factory in the transaction that makes the clone."""
    assert self.issuer == empty(address), "mfdb: already initialised"
    assert issuer != empty(address), "mfdb: no issuer"
    self.issuer = issuer


@external
@view
def token() -> address:
    return TOKEN


@internal
@view
def _total() -> uint256:
    return staticcall IERC20(TOKEN).balanceOf(self)


@external
@view
def total() -> uint256:
    """@notice All tokens of this chequebook."""
    return self._total()


@external
@view
def liquid() -> uint256:
    """@notice What no hard deposit holds."""
    return self._total() - self.totalHardDeposit


@external
@view
def bounced() -> bool:
    """@notice Whether some beneficiary got less than a cheque promised and is still owed it."""
    return self.unpaid > 0


@external
@nonreentrant
def cash(
    beneficiary: address,
    cumulativePayout: uint256,
    serial: uint64,
    validFrom: uint64,
    validUntil: uint64,
    signature: Bytes[65],
):
    """
    @notice Pay the beneficiary what a cheque promises beyond what was paid, or what there is.
            Anyone may submit it; a shortfall is recorded and the same cheque may be tried again.
    """
    signed: bytes32 = typed_data.digest(
        NAME,
        self,
        keccak256(
            abi_encode(CHEQUE, self, beneficiary, cumulativePayout, serial, validFrom, validUntil)
        ),
    )
    issuer: address = self.issuer
    assert typed_data.signer_of(signed, signature) == issuer, "mfdb: bad cheque signature"
    assert block.timestamp >= convert(validFrom, uint256), "mfdb: cheque not yet valid"
    assert block.timestamp <= convert(validUntil, uint256), "mfdb: cheque expired"
    assert serial >= self.serial[beneficiary], "mfdb: newer cheque cashed"
    assert cumulativePayout > self.paidOut[beneficiary], "mfdb: nothing due"
    due: uint256 = cumulativePayout - self.paidOut[beneficiary]
    hard: uint256 = self.hardDeposit[beneficiary].amount
    paid: uint256 = min(due, self._total() - self.totalHardDeposit + hard)
    used: uint256 = min(paid, hard)
    self.paidOut[beneficiary] += paid
    self.serial[beneficiary] = serial
    if used > 0:
        self.hardDeposit[beneficiary].amount = hard - used
        self.totalHardDeposit -= used
    self._note_shortfall(beneficiary, due - paid)
    log ChequeCashed(
        beneficiary=beneficiary, amount=paid, cumulativePayout=cumulativePayout, serial=serial
    )
    if paid > 0:
        assert extcall IERC20(TOKEN).transfer(beneficiary, paid)


@internal
def _note_shortfall(beneficiary: address, missing: uint256):
    before: uint256 = self.shortfall[beneficiary]
    if missing > 0:
        log ChequeBounced(beneficiary=beneficiary, shortfall=missing)
    if missing == before:
        return
    if before == 0:
        self.unpaid += 1
    if missing == 0:
        self.unpaid -= 1
    self.shortfall[beneficiary] = missing


@external
@nonreentrant
def withdraw(amount: uint256):
    """@notice Take back tokens that no hard deposit holds."""
    assert msg.sender == self.issuer, "mfdb: not the issuer"
    assert amount <= self._total() - self.totalHardDeposit, "mfdb: not liquid"
    assert extcall IERC20(TOKEN).transfer(msg.sender, amount)


@external
@nonreentrant
def increase_hard_deposit(beneficiary: address, amount: uint256):
    """@notice Set tokens aside for one beneficiary; a decrease being prepared is dropped."""
    assert msg.sender == self.issuer, "mfdb: not the issuer"
    assert amount <= self._total() - self.totalHardDeposit, "mfdb: not liquid"
    self.totalHardDeposit += amount
    raised: uint256 = self.hardDeposit[beneficiary].amount + amount
    self.hardDeposit[beneficiary] = HardDeposit(amount=raised, decrease=0, decreaseAt=0)
    log HardDepositChanged(beneficiary=beneficiary, amount=raised)


@external
def prepare_decrease(beneficiary: address, amount: uint256):
    """@notice Announce that a hard deposit will shrink, a day from now at the earliest."""
    assert msg.sender == self.issuer, "mfdb: not the issuer"
    assert amount > 0, "mfdb: no amount"
    assert amount <= self.hardDeposit[beneficiary].amount, "mfdb: hard deposit too small"
    at: uint256 = block.timestamp + DECREASE_DELAY
    self.hardDeposit[beneficiary].decrease = amount
    self.hardDeposit[beneficiary].decreaseAt = at
    log DecreasePrepared(beneficiary=beneficiary, decrease=amount, decreaseAt=at)


@external
def decrease(beneficiary: address):
    """@notice Shrink a hard deposit as announced, or to nothing if cashing took some meanwhile."""
    held: HardDeposit = self.hardDeposit[beneficiary]
    assert held.decrease > 0, "mfdb: no decrease prepared"
    assert block.timestamp >= held.decreaseAt, "mfdb: decrease too early"
    step: uint256 = min(held.decrease, held.amount)
    self.hardDeposit[beneficiary] = HardDeposit(
        amount=held.amount - step, decrease=0, decreaseAt=0
    )
    self.totalHardDeposit -= step
    log HardDepositChanged(beneficiary=beneficiary, amount=held.amount - step)
