# pragma version 0.4.3
"""
@title The court ("swindle"): trials that whoever must move loses on silence
@notice Knows no evidence itself: a witness contract per kind of case reads the claim and judges
        the answer. A case asks for one unit, drawn by an audit epoch's beacon. Only a claim's hash
        is stored; the claim is in the event. The accuser's bond goes to the provider that
        answers, and back to the accuser of one that does not.
"""

import evidence
from ethereum.ercs import IERC20

interface Deposits:
    def case_opened(id: bytes32, signer: address) -> evidence.Kept: nonpayable
    def case_closed(id: bytes32): nonpayable
    def slash(
        id: bytes32, size: uint256, case: bytes32, accuser: address, promise: bytes32
    ) -> (uint256, uint256): nonpayable
    def agreement(id: bytes32) -> evidence.Kept: view
    def split() -> (uint256, uint256): view

interface Escrow:
    def repair_window_s() -> uint256: view

interface Beacon:
    def beacon(epoch: uint256) -> bytes32: view
    def epoch_s() -> uint256: view

interface Witness:
    def examine(claim: Bytes[1024]) -> evidence.Testimony: view
    def refute(claim: Bytes[1024], index: uint256, proof: Bytes[2560]) -> bool: view

FILED: constant(uint256) = 1
GUILTY: constant(uint256) = 2
NOT_GUILTY: constant(uint256) = 3

event CaseOpened:
    case: indexed(bytes32)
    agreement: indexed(bytes32)
    provider: indexed(address)
    accuser: address
    kind: uint256
    unit: uint256
    deadline: uint256
    claim: Bytes[1024]

event CaseClosed:
    case: indexed(bytes32)
    agreement: indexed(bytes32)
    provider: indexed(address)
    status: uint256
    slashed: uint256
    compensation: uint256

struct Case:
    status: uint256
    agreement: bytes32
    accuser: address
    kind: uint256
    unit: uint256
    size: uint256
    deadline: uint256
    claimHash: bytes32
    promise: bytes32

# `head` is kind|status|deadline|accuser (8, 8, 64, 160 bits), `lost` size|unit (128 bits each).
struct Packed:
    head: uint256
    lost: uint256
    agreement: bytes32
    claimHash: bytes32
    promise: bytes32

struct Terms:
    bond: uint256
    draws: uint256
    epochSeconds: uint256
    repairWindow: uint256
    compensationBp: uint256
    accuserBp: uint256

TOKEN: immutable(address)
DEPOSITS: immutable(address)
ESCROW: immutable(address)
BEACON: immutable(address)
BOND: immutable(uint256)
DRAWS: immutable(uint256)
MAX_CASES: immutable(uint256)
DEPLOYER: immutable(address)
frozen: public(bool)
witness: public(HashMap[uint256, address])
number: public(uint256)
cases: HashMap[bytes32, Packed]
pending: HashMap[bytes32, bool]  # by agreement, promise and unit: a case is open
broken: public(HashMap[bytes32, HashMap[bytes32, bool]])  # agreement, promise: convicted and slashed
filed: HashMap[bytes32, uint256]  # by agreement, accuser and epoch: cases opened


@deploy
def __init__(
    token: address,
    deposits: address,
    escrow: address,
    beacon: address,
    bond: uint256,
    draws: uint256,
    max_cases: uint256,
):
    """@param max_cases How many cases one accuser may open per agreement and audit epoch"""
    assert bond > 0, "mfdb: no bond"
    assert draws > 0 and draws <= 1000, "mfdb: bad draws"
    assert max_cases > 0, "mfdb: bad case limit"
    TOKEN = token
    DEPOSITS = deposits
    ESCROW = escrow
    BEACON = beacon
    BOND = bond
    DRAWS = draws
    MAX_CASES = max_cases
    DEPLOYER = msg.sender


@external
def add_kind(kind: uint256, witness: address):
    """@notice Let a witness judge a kind of case; by the deployer, until `freeze`."""
    assert msg.sender == DEPLOYER, "mfdb: not the deployer"
    assert not self.frozen, "mfdb: frozen"
    assert kind > 0 and kind < 256, "mfdb: bad kind"
    assert self.witness[kind] == empty(address), "mfdb: kind exists"
    assert witness != empty(address), "mfdb: no contract"
    self.witness[kind] = witness


@external
def freeze():
    """@notice From now on the kinds of cases are what they are."""
    assert msg.sender == DEPLOYER, "mfdb: not the deployer"
    self.frozen = True


@external
@view
def terms() -> Terms:
    """@notice The parameters that the contracts were deployed with."""
    compensation: uint256 = 0
    accuser: uint256 = 0
    compensation, accuser = staticcall Deposits(DEPOSITS).split()
    return Terms(
        bond=BOND,
        draws=DRAWS,
        epochSeconds=staticcall Beacon(BEACON).epoch_s(),
        repairWindow=staticcall Escrow(ESCROW).repair_window_s(),
        compensationBp=compensation,
        accuserBp=accuser,
    )


@internal
@view
def _case(id: bytes32) -> Case:
    packed: Packed = self.cases[id]
    return Case(
        status=(packed.head >> 224) & 255,
        agreement=packed.agreement,
        accuser=convert(convert(packed.head & (2**160 - 1), uint160), address),
        kind=packed.head >> 232,
        unit=packed.lost & (2**128 - 1),
        size=packed.lost >> 128,
        deadline=(packed.head >> 160) & (2**64 - 1),
        claimHash=packed.claimHash,
        promise=packed.promise,
    )


@external
@view
def case_of(id: bytes32) -> Case:
    """@notice A case; its status is zero if there is none."""
    return self._case(id)


@external
@view
def convicted(id: bytes32) -> bytes32:
    """@notice The agreement convicted in a case; reverts if none was."""
    case: Case = self._case(id)
    assert case.status == GUILTY, "mfdb: no conviction"
    return case.agreement


@internal
def _close(id: bytes32, case: Case, status: uint256):
    self.cases[id].head = (self.cases[id].head & ~(255 << 224)) | (status << 224)
    self.pending[keccak256(abi_encode(case.agreement, case.promise, case.unit))] = False


@internal
@view
def _draw(testimony: evidence.Testimony, epoch: uint256, draw: uint256) -> uint256:
    beacon: bytes32 = staticcall Beacon(BEACON).beacon(epoch)
    assert beacon != empty(bytes32), "mfdb: no beacon"
    assert draw < DRAWS, "mfdb: no such draw"
    drawn: bytes32 = sha256(
        concat(beacon, testimony.agreement, testimony.segment, convert(draw, bytes32))
    )
    return convert(drawn, uint256) % testimony.units


@internal
def _count(agreement: bytes32, promise: bytes32, unit: uint256, epoch: uint256):
    # The limit is per accuser: a provider's friend must not use up the cases of others.
    filing: bytes32 = keccak256(abi_encode(agreement, msg.sender, epoch))
    assert self.filed[filing] < MAX_CASES, "mfdb: too many cases"
    self.filed[filing] += 1
    pending: bytes32 = keccak256(abi_encode(agreement, promise, unit))
    assert not self.pending[pending], "mfdb: case already open"
    assert not self.broken[agreement][promise], "mfdb: already convicted"
    self.pending[pending] = True


@external
@nonreentrant
def open_case(kind: uint256, claim: Bytes[1024], epoch: uint256, draw: uint256) -> bytes32:
    """
    @notice Accuse the signer of a claim of not having unit number `draw` of an epoch's audit. The
            sender posts the bond (allowance).
    @return The case's id, never used before
    """
    judge: address = self.witness[kind]
    assert judge != empty(address), "mfdb: unknown kind"
    testimony: evidence.Testimony = staticcall Witness(judge).examine(claim)
    assert block.timestamp <= testimony.expiry, "mfdb: receipt expired"
    kept: evidence.Kept = extcall Deposits(DEPOSITS).case_opened(
        testimony.agreement, testimony.signer
    )
    seconds: uint256 = staticcall Beacon(BEACON).epoch_s()
    assert epoch <= block.timestamp // seconds, "mfdb: no beacon"
    assert (epoch + 1) * seconds > kept.start, "mfdb: epoch outside term"
    unit: uint256 = self._draw(testimony, epoch, draw)
    self._count(testimony.agreement, testimony.promise, unit, block.timestamp // seconds)
    deadline: uint256 = block.timestamp + kept.answerWindow
    self.number += 1
    id: bytes32 = keccak256(abi_encode(chain.id, self, self.number, keccak256(claim)))
    self.cases[id] = Packed(
        head=(kind << 232)
        | (FILED << 224)
        | (deadline << 160)
        | convert(convert(msg.sender, uint160), uint256),
        lost=(testimony.size << 128) | unit,
        agreement=testimony.agreement,
        claimHash=keccak256(claim),
        promise=testimony.promise,
    )
    log CaseOpened(
        case=id,
        agreement=testimony.agreement,
        provider=kept.provider,
        accuser=msg.sender,
        kind=kind,
        unit=unit,
        deadline=deadline,
        claim=claim,
    )
    assert extcall IERC20(TOKEN).transferFrom(msg.sender, self, BOND)
    return id


@external
@nonreentrant
def answer(id: bytes32, claim: Bytes[1024], proof: Bytes[2560]):
    """@notice Show what a case asks for: acquits, and the bond is the provider's. By anyone."""
    case: Case = self._case(id)
    assert case.status == FILED, "mfdb: no open case"
    assert block.timestamp <= case.deadline, "mfdb: too late to answer"
    assert keccak256(claim) == case.claimHash, "mfdb: other claim"
    assert staticcall Witness(self.witness[case.kind]).refute(claim, case.unit, proof)
    provider: address = (staticcall Deposits(DEPOSITS).agreement(case.agreement)).provider
    self._acquit(id, case, provider)


@external
@nonreentrant
def excuse(id: bytes32, claim: Bytes[1024], client_signature: Bytes[65]):
    """@notice Show that the client released the provider from what a case asks for. By anyone."""
    case: Case = self._case(id)
    assert case.status == FILED, "mfdb: no open case"
    assert block.timestamp <= case.deadline, "mfdb: too late to answer"
    assert keccak256(claim) == case.claimHash, "mfdb: other claim"
    testimony: evidence.Testimony = staticcall Witness(self.witness[case.kind]).examine(claim)
    kept: evidence.Kept = staticcall Deposits(DEPOSITS).agreement(case.agreement)
    released: bytes32 = evidence.release_hash(case.agreement, testimony.segment)
    signer: address = evidence.signer_of(released, client_signature, DEPOSITS)
    assert signer == kept.client, "mfdb: bad client signature"
    self._acquit(id, case, kept.provider)


@internal
def _acquit(id: bytes32, case: Case, provider: address):
    self._close(id, case, NOT_GUILTY)
    log CaseClosed(
        case=id,
        agreement=case.agreement,
        provider=provider,
        status=NOT_GUILTY,
        slashed=0,
        compensation=0,
    )
    extcall Deposits(DEPOSITS).case_closed(case.agreement)
    assert extcall IERC20(TOKEN).transfer(provider, BOND)


@external
@nonreentrant
def verdict(id: bytes32):
    """
    @notice Close a case whose answer window passed in silence: guilty. By anyone. A promise is
            slashed once, however many cases were open for it.
    """
    case: Case = self._case(id)
    assert case.status == FILED, "mfdb: no open case"
    assert block.timestamp > case.deadline, "mfdb: answer window open"
    provider: address = (staticcall Deposits(DEPOSITS).agreement(case.agreement)).provider
    self._close(id, case, GUILTY)
    slashed: uint256 = 0
    compensation: uint256 = 0
    extcall Deposits(DEPOSITS).case_closed(case.agreement)
    if not self.broken[case.agreement][case.promise]:
        self.broken[case.agreement][case.promise] = True
        slashed, compensation = extcall Deposits(DEPOSITS).slash(
            case.agreement, case.size, id, case.accuser, case.promise
        )
    log CaseClosed(
        case=id,
        agreement=case.agreement,
        provider=provider,
        status=GUILTY,
        slashed=slashed,
        compensation=compensation,
    )
    assert extcall IERC20(TOKEN).transfer(case.accuser, BOND)
