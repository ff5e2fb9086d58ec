# pragma version 0.4.3
"""
@title Deposits of providers, and the agreements that earmark them ("swear")
@notice The sum of a provider's earmarks never exceeds its deposit, and one token never backs two
        promises. An earmark is freed after the agreement's end and tail, with no case open. Only
        the court slashes. An agreement's id is its EIP-712 struct hash, registered once at most.
"""

import evidence
from ethereum.ercs import IERC20

interface Token:
    def burn(amount: uint256): nonpayable

interface Escrow:
    def open_fees(id: bytes32, feePerEpoch: uint256, funding: uint256): nonpayable
    def settle_fees(id: bytes32, earmarked: uint256): nonpayable
    def compensate(case: bytes32, owner: address, amount: uint256, promise: bytes32): nonpayable
    def assign_repair(case: bytes32, agreement: bytes32, fee: uint256): nonpayable

interface Court:
    def convicted(case: bytes32) -> bytes32: view

MAX_TERM: constant(uint256) = 365 * 86400
MAX_WINDOW: constant(uint256) = 30 * 86400
MAX_LEAD: constant(uint256) = 86400
MAX_FEE: constant(uint256) = 2**128
WORD: constant(uint256) = 2**64 - 1

event Staked:
    provider: indexed(address)
    amount: uint256

event Unstaked:
    provider: indexed(address)
    amount: uint256

event Delegated:
    provider: indexed(address)
    signer: indexed(address)
    until: uint256

event AgreementRegistered:
    agreement: indexed(bytes32)
    client: indexed(address)
    provider: indexed(address)
    case: bytes32

event AgreementReleased:
    agreement: indexed(bytes32)
    provider: indexed(address)
    amount: uint256

event Slashed:
    agreement: indexed(bytes32)
    provider: indexed(address)
    amount: uint256
    compensation: uint256

# `term` is capacity|start|end|tail and `clock` answerWindow|epochSeconds|registered|openCases, 64
# bits each: two slots instead of eight save 130 k gas.
struct Packed:
    client: address
    provider: address
    subject: bytes32
    initial: uint256
    earmarked: uint256
    term: uint256
    clock: uint256

TOKEN: immutable(address)
COMPENSATION_BP: immutable(uint256)
ACCUSER_BP: immutable(uint256)
DEPLOYER: immutable(address)
court: public(address)
escrow: public(address)
total: public(HashMap[address, uint256])
earmarked: public(HashMap[address, uint256])
until: public(HashMap[address, HashMap[address, uint256]])
agreements: HashMap[bytes32, Packed]
released: public(HashMap[bytes32, bool])
spent: public(HashMap[bytes32, uint256])  # of a repair mandate's budget


@deploy
def __init__(token: address, compensation_bp: uint256, accuser_bp: uint256):
    """@notice At least a tenth of a slash is burnt: less would pay for convicting oneself (E6)."""
    assert compensation_bp <= 9000 and accuser_bp <= 1000, "mfdb: bad split"
    assert compensation_bp + accuser_bp <= 9000, "mfdb: bad split"
    TOKEN = token
    COMPENSATION_BP = compensation_bp
    ACCUSER_BP = accuser_bp
    DEPLOYER = msg.sender


@external
def wire(court: address, escrow: address):
    """@notice Name the contracts that know this one; once, by the deployer, then for ever."""
    assert msg.sender == DEPLOYER, "mfdb: not the deployer"
    assert self.court == empty(address), "mfdb: already wired"
    assert court != empty(address) and escrow != empty(address), "mfdb: no contract"
    self.court = court
    self.escrow = escrow


@external
@view
def split() -> (uint256, uint256):
    """@notice Basis points of a slash for compensation and accuser; the rest is burnt."""
    return COMPENSATION_BP, ACCUSER_BP


# ---- deposits and hot keys


@external
@nonreentrant
def deposit(amount: uint256):
    """@notice Lock tokens of the sender (allowance) as its deposit."""
    assert amount > 0, "mfdb: no amount"
    self.total[msg.sender] += amount
    log Staked(provider=msg.sender, amount=amount)
    assert extcall IERC20(TOKEN).transferFrom(msg.sender, self, amount)


@external
@nonreentrant
def withdraw(amount: uint256):
    """@notice Take back deposit that no agreement has earmarked."""
    assert amount > 0, "mfdb: no amount"
    assert amount <= self.total[msg.sender] - self.earmarked[msg.sender], "mfdb: deposit earmarked"
    self.total[msg.sender] -= amount
    log Unstaked(provider=msg.sender, amount=amount)
    assert extcall IERC20(TOKEN).transfer(msg.sender, amount)


@external
def delegate(signer: address, until: uint256):
    """
    @notice Let a hot key sign for the sender until a block time. A past time ends it now; that it
            was live until now stays known, so that what it signed still binds.
    """
    assert signer != empty(address), "mfdb: no signer"
    live: uint256 = max(until, min(self.until[msg.sender][signer], block.timestamp))
    self.until[msg.sender][signer] = live
    log Delegated(provider=msg.sender, signer=signer, until=live)


@internal
@view
def _may_sign(provider: address, signer: address) -> bool:
    if signer == empty(address):
        return False
    return signer == provider or self.until[provider][signer] > block.timestamp


@external
@view
def may_sign(provider: address, signer: address) -> bool:
    """@notice Whether the signer is the provider or its delegate now."""
    return self._may_sign(provider, signer)


# ---- agreements


@internal
@pure
def _pack(a: uint256, b: uint256, c: uint256, d: uint256) -> uint256:
    return (a << 192) | (b << 128) | (c << 64) | d


@internal
@view
def _kept(id: bytes32) -> evidence.Kept:
    packed: Packed = self.agreements[id]
    return evidence.Kept(
        client=packed.client,
        provider=packed.provider,
        subject=packed.subject,
        initial=packed.initial,
        earmarked=packed.earmarked,
        capacity=packed.term >> 192,
        start=(packed.term >> 128) & WORD,
        end=(packed.term >> 64) & WORD,
        tail=packed.term & WORD,
        answerWindow=packed.clock >> 192,
        epochSeconds=(packed.clock >> 128) & WORD,
        registered=(packed.clock >> 64) & WORD,
        openCases=packed.clock & WORD,
    )


@external
@view
def agreement(id: bytes32) -> evidence.Kept:
    """@notice A registered agreement; its provider is the zero address if there is none."""
    return self._kept(id)


@internal
@view
def _bound_by(id: bytes32, signer: address) -> bool:
    # A receipt has no time of its own. A key that was live at any moment of the agreement binds
    # the provider to its end; one that ended before it began can forge nothing in it.
    kept: evidence.Kept = self._kept(id)
    if kept.provider == empty(address) or signer == empty(address):
        return False
    since: uint256 = min(kept.start, kept.registered)
    live: uint256 = self.until[kept.provider][signer]
    return signer == kept.provider or (live > 0 and live >= since)


@external
@view
def bound_by(id: bytes32, signer: address) -> bool:
    """@notice Whether what this key signed under an agreement binds the agreement's provider."""
    return self._bound_by(id, signer)


@internal
@view
def _check_terms(agreement: evidence.Agreement):
    start: uint256 = convert(agreement.start, uint256)
    end: uint256 = convert(agreement.end, uint256)
    tail: uint256 = convert(agreement.tail, uint256)
    window: uint256 = convert(agreement.answerWindow, uint256)
    assert agreement.capacity > 0, "mfdb: no capacity"
    assert agreement.deposit > 0, "mfdb: no deposit"
    assert agreement.epochSeconds > 0, "mfdb: no epoch"
    assert agreement.feePerEpoch < MAX_FEE, "mfdb: fee too large"
    assert end > start and end > block.timestamp, "mfdb: agreement over"
    assert end - start <= MAX_TERM, "mfdb: term too long"
    assert start <= block.timestamp + MAX_LEAD, "mfdb: starts too late"
    assert window > 0 and window <= MAX_WINDOW, "mfdb: bad answer window"
    assert tail >= window, "mfdb: tail too short"
    assert tail <= MAX_TERM, "mfdb: tail too long"


@internal
def _earmark(id: bytes32, agreement: evidence.Agreement, provider_signature: Bytes[65]):
    assert self.agreements[id].provider == empty(address), "mfdb: agreement exists"
    self._check_terms(agreement)
    provider: address = agreement.provider
    signer: address = evidence.signer_of(id, provider_signature, self)
    assert self._may_sign(provider, signer), "mfdb: bad provider signature"
    free: uint256 = self.total[provider] - self.earmarked[provider]
    assert agreement.deposit <= free, "mfdb: deposit too small"
    self.earmarked[provider] += agreement.deposit
    self.agreements[id] = Packed(
        client=agreement.client,
        provider=provider,
        subject=agreement.subject,
        initial=agreement.deposit,
        earmarked=agreement.deposit,
        term=self._pack(
            convert(agreement.capacity, uint256),
            convert(agreement.start, uint256),
            convert(agreement.end, uint256),
            convert(agreement.tail, uint256),
        ),
        clock=self._pack(
            convert(agreement.answerWindow, uint256),
            convert(agreement.epochSeconds, uint256),
            block.timestamp,
            0,
        ),
    )


@external
@nonreentrant
def register(
    agreement: evidence.Agreement,
    client_signature: Bytes[65],
    provider_signature: Bytes[65],
    funding: uint256,
) -> bytes32:
    """
    @notice Earmark the provider's deposit for an agreement that both signed. The sender is the
            client and pays `funding` of storage fees (allowance) into the escrow.
    """
    id: bytes32 = evidence.agreement_hash(agreement)
    client: address = agreement.client
    assert msg.sender == client, "mfdb: not the client"
    assert agreement.mandate == empty(bytes32), "mfdb: mandate given"
    assert evidence.signer_of(id, client_signature, self) == client, "mfdb: bad client signature"
    self._earmark(id, agreement, provider_signature)
    log AgreementRegistered(
        agreement=id, client=client, provider=agreement.provider, case=empty(bytes32)
    )
    extcall Escrow(self.escrow).open_fees(id, agreement.feePerEpoch, funding)
    if funding > 0:
        assert extcall IERC20(TOKEN).transferFrom(client, self.escrow, funding)
    return id


@internal
@view
def _check_mandate(
    agreement: evidence.Agreement, mandate: evidence.RepairMandate, lost: evidence.Kept
):
    assert lost.client == mandate.owner and agreement.client == mandate.owner, "mfdb: other client"
    assert (
        lost.subject == mandate.subject and agreement.subject == mandate.subject
    ), "mfdb: other subject"
    assert agreement.provider != lost.provider, "mfdb: convicted provider"
    assert block.timestamp <= convert(mandate.expiry, uint256), "mfdb: mandate expired"
    assert agreement.feePerEpoch <= mandate.feeCapPerEpoch, "mfdb: fee over mandate"
    assert agreement.deposit >= mandate.minDeposit, "mfdb: deposit under mandate"
    assert agreement.capacity <= mandate.capacity, "mfdb: capacity over mandate"
    # What the mandate does not say, the agreement that it replaces does.
    assert convert(agreement.epochSeconds, uint256) >= lost.epochSeconds, "mfdb: epoch too short"
    assert convert(agreement.end, uint256) >= lost.end, "mfdb: ends too early"
    assert convert(agreement.answerWindow, uint256) <= lost.answerWindow, "mfdb: window too long"


@internal
@view
def _cost(agreement: evidence.Agreement, mandate: evidence.RepairMandate) -> uint256:
    first: uint256 = max(convert(agreement.start, uint256), block.timestamp)
    seconds: uint256 = 0
    if convert(agreement.end, uint256) > first:
        seconds = convert(agreement.end, uint256) - first
    epochs: uint256 = seconds // convert(agreement.epochSeconds, uint256)
    return mandate.repairFee + agreement.feePerEpoch * epochs


@external
@nonreentrant
def register_by_mandate(
    agreement: evidence.Agreement,
    provider_signature: Bytes[65],
    mandate: evidence.RepairMandate,
    owner_signature: Bytes[65],
    case: bytes32,
) -> bytes32:
    """
    @notice Register an agreement that replaces the one convicted in a case, in its client's
            absence and within the bounds of the client's mandate. Anyone may submit it.
    """
    id: bytes32 = evidence.agreement_hash(agreement)
    order: bytes32 = evidence.mandate_hash(mandate)
    assert agreement.mandate == order, "mfdb: other mandate"
    assert (
        evidence.signer_of(order, owner_signature, self) == mandate.owner
    ), "mfdb: bad owner signature"
    assert mandate.owner != empty(address), "mfdb: bad owner signature"
    lost: evidence.Kept = self._kept(staticcall Court(self.court).convicted(case))
    self._check_mandate(agreement, mandate, lost)
    self._earmark(id, agreement, provider_signature)
    assert mandate.repairFee < MAX_FEE, "mfdb: fee too large"
    cost: uint256 = self.spent[order] + self._cost(agreement, mandate)
    assert cost <= mandate.budget, "mfdb: mandate used up"
    self.spent[order] = cost
    log AgreementRegistered(
        agreement=id, client=agreement.client, provider=agreement.provider, case=case
    )
    extcall Escrow(self.escrow).open_fees(id, agreement.feePerEpoch, 0)
    extcall Escrow(self.escrow).assign_repair(case, id, mandate.repairFee)
    return id


@external
@nonreentrant
def release(id: bytes32):
    """@notice Free what is left of an earmark, and settle the agreement's fees. By anyone."""
    kept: evidence.Kept = self._kept(id)
    assert kept.provider != empty(address), "mfdb: no such agreement"
    assert not self.released[id], "mfdb: already released"
    assert block.timestamp > kept.end + kept.tail, "mfdb: agreement still binds"
    assert kept.openCases == 0, "mfdb: case open"
    self._release(id, kept)


@external
@nonreentrant
def terminate(id: bytes32, client_signature: Bytes[65]):
    """
    @notice End an agreement before its time, by both parties: the client signed a release from all
            of it, its provider sends that. Frees the earmark and settles the fees until now.
    """
    kept: evidence.Kept = self._kept(id)
    assert kept.provider != empty(address), "mfdb: no such agreement"
    assert msg.sender == kept.provider, "mfdb: not the provider"
    assert not self.released[id], "mfdb: already released"
    assert kept.openCases == 0, "mfdb: case open"
    released: bytes32 = evidence.release_hash(id, empty(bytes32))
    signer: address = evidence.signer_of(released, client_signature, self)
    assert signer == kept.client, "mfdb: bad client signature"
    end: uint256 = min(kept.end, block.timestamp - 1)
    self.agreements[id].term = self._pack(kept.capacity, kept.start, end, kept.tail)
    self._release(id, kept)


@internal
def _release(id: bytes32, kept: evidence.Kept):
    self.released[id] = True
    self.earmarked[kept.provider] -= kept.earmarked
    self.agreements[id].earmarked = 0
    log AgreementReleased(agreement=id, provider=kept.provider, amount=kept.earmarked)
    extcall Escrow(self.escrow).settle_fees(id, kept.earmarked)


# ---- for the court only


@external
def case_opened(id: bytes32, signer: address) -> evidence.Kept:
    """@notice Count a case against an agreement, if it still binds and the signer bound it."""
    assert msg.sender == self.court, "mfdb: not the court"
    kept: evidence.Kept = self._kept(id)
    assert kept.provider != empty(address), "mfdb: no such agreement"
    assert block.timestamp <= kept.end, "mfdb: agreement over"
    assert self._bound_by(id, signer), "mfdb: bad receipt signature"
    self.agreements[id].clock += 1
    return kept


@external
def case_closed(id: bytes32):
    """@notice Count a case as closed."""
    assert msg.sender == self.court, "mfdb: not the court"
    assert self.agreements[id].clock & WORD > 0, "mfdb: no case open"
    self.agreements[id].clock -= 1


@external
@nonreentrant
def slash(
    id: bytes32, size: uint256, case: bytes32, accuser: address, promise: bytes32
) -> (uint256, uint256):
    """
    @notice Take from an earmark in proportion to the bytes lost: the compensation goes to the
            escrow, a reward to the accuser, the rest is burnt.
    @return What was slashed, and the compensation in it
    """
    assert msg.sender == self.court, "mfdb: not the court"
    kept: evidence.Kept = self._kept(id)
    slashed: uint256 = kept.initial * min(size, kept.capacity) // kept.capacity
    slashed = min(slashed, kept.earmarked)
    compensation: uint256 = slashed * COMPENSATION_BP // 10000
    reward: uint256 = slashed * ACCUSER_BP // 10000
    self.agreements[id].earmarked = kept.earmarked - slashed
    self.earmarked[kept.provider] -= slashed
    self.total[kept.provider] -= slashed
    log Slashed(agreement=id, provider=kept.provider, amount=slashed, compensation=compensation)
    extcall Escrow(self.escrow).compensate(case, kept.client, compensation, promise)
    assert extcall IERC20(TOKEN).transfer(self.escrow, compensation)
    assert extcall IERC20(TOKEN).transfer(accuser, reward)
    extcall Token(TOKEN).burn(slashed - compensation - reward)
    return slashed, compensation
