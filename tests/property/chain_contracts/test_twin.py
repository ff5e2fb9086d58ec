"""Random histories: the twin does what the contracts do, and no history breaks an invariant.

Both get the same transactions at the same block times. Shards have one unit, because the two
chains draw different beacons.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfdb.chain import port
from mfdb.kernel.errors import TransactionReverted
from mfdb.kernel.ids import MFT, ZERO_ADDRESS, AgreementId, CaseId, Hash, SegmentId, Wei
from mfdb.rules.evidence import Release
from mfdb.rules.units import UnitTree, unit_of
from tests.fixtures.court_scene import (
    ACCUSER,
    ACTORS,
    ALICE,
    BOB,
    FAUCET,
    PROVIDER,
    REPAIRER,
    STRANGER,
    Scene,
    SimGround,
    replace_record,
    run,
)

if TYPE_CHECKING:
    from mfdb.kernel.account import Account
    from mfdb.kernel.ids import Address
    from mfdb.rules.evidence import StoreReceipt

UNIT = b"one unit".ljust(512, b"\x00")
SUPPLY = 10**28
Step = tuple[str, int, int]


@dataclass
class Actor:
    """One side's memory of a history: what it made, in the order in which it was made."""

    scene: Scene
    agreements: list[AgreementId] = field(default_factory=list)
    cases: list[CaseId] = field(default_factory=list)
    books: list[Address] = field(default_factory=list)
    repairs: dict[int, AgreementId] = field(default_factory=dict)

    def receipt(self, agreement: AgreementId, n: int) -> StoreReceipt:
        segment = SegmentId(bytes([n % 2]) * 32)
        root = UnitTree(UNIT).root
        kept = run(self.scene.chain.agreement(agreement))
        end = kept.end if kept else self.scene.now
        return self.scene.receipt(agreement, segment=segment, root=root, units=1, expiry=end)


def _agreement(actor: Actor, a: int, b: int) -> tuple[Account, port.ChainCall]:
    provider = (PROVIDER, REPAIRER)[a % 2]
    agreement = actor.scene.terms_of(
        provider=provider.address,
        deposit=Wei((5, 30, 60, 101)[b % 4] * MFT),
        capacity_bytes=(512, 1000, 1024)[a % 3],
        nonce=Hash(bytes([a % 4, b % 4]) * 16),
        end=actor.scene.now // 1000 * 1000 + (900, 3000)[b % 2],
        start=actor.scene.now // 1000 * 1000,
    )
    if agreement.id not in actor.agreements:
        actor.agreements.append(agreement.id)
    signature = actor.scene.sign(agreement, provider)
    return BOB, actor.scene.registration(
        agreement, provider_signature=signature, funding=Wei((0, 3, 20)[b % 3] * MFT)
    )


def _replacement(actor: Actor, a: int, b: int) -> tuple[Account, port.ChainCall]:
    scene = actor.scene
    case = _case(actor, a)
    order = scene.mandate(repair_fee=Wei((0, 1, 50)[b % 3] * MFT), budget=Wei(60 * MFT),
                          min_deposit=Wei(MFT), expiry=2**40)  # fmt: skip
    agreement = scene.terms_of(
        provider=(REPAIRER, PROVIDER)[b % 2].address,
        mandate=order.struct_hash(),
        nonce=Hash(bytes([a % 4, 9]) * 16),
        deposit=Wei(5 * MFT),
        start=scene.now // 1000 * 1000,
        end=scene.now // 1000 * 1000 + 4000,
    )
    actor.repairs[a % 4] = agreement.id
    return STRANGER, port.RegisterByMandate(
        agreement=agreement,
        provider_signature=scene.sign(agreement, (REPAIRER, PROVIDER)[b % 2]),
        mandate=order,
        owner_signature=scene.sign(order, BOB),
        case=case,
    )


def _case(actor: Actor, a: int) -> CaseId:
    return actor.cases[a % len(actor.cases)] if actor.cases else CaseId(bytes(32))


def _known(actor: Actor, a: int) -> AgreementId:
    known = actor.agreements
    return known[a % len(known)] if known else AgreementId(bytes(32))


def _open(actor: Actor, a: int, b: int) -> tuple[Account, port.ChainCall]:
    receipt = actor.receipt(_known(actor, a), b)
    epoch = actor.scene.now // 600 - (b % 5 == 4)
    signer = REPAIRER if b % 7 == 6 else PROVIDER
    call = actor.scene.accusation(receipt, epoch, signature=actor.scene.sign(receipt, signer))
    return (ACCUSER, ALICE)[b % 2], call


def _answer(actor: Actor, a: int, b: int) -> tuple[Account, port.ChainCall]:
    case = _case(actor, a)
    receipt = actor.scene.receipts.get(case, actor.receipt(_known(actor, a), b))
    unit = UNIT if b % 3 else unit_of(b"wrong", 0)
    return STRANGER, port.AnswerCase(case=case, receipt=receipt, unit=unit, path=())


def _excuse(actor: Actor, a: int, b: int) -> tuple[Account, port.ChainCall]:
    case = _case(actor, a)
    receipt = actor.scene.receipts.get(case, actor.receipt(_known(actor, a), b))
    release = Release(receipt.agreement, receipt.segment)
    signature = actor.scene.sign(release, (BOB, BOB, PROVIDER)[b % 3])
    return STRANGER, port.ExcuseCase(case=case, receipt=receipt, client_signature=signature)


def _terminated(actor: Actor, a: int, b: int) -> tuple[Account, port.ChainCall]:
    agreement = _known(actor, a)
    release = Release(agreement, SegmentId(Hash(bytes(31) + bytes([b % 4 == 3]))))
    signature = actor.scene.sign(release, (BOB, BOB, STRANGER)[b % 3])
    call = port.TerminateAgreement(agreement=agreement, client_signature=signature)
    return (PROVIDER, PROVIDER, REPAIRER)[b % 5 % 3], call


def _settle(actor: Actor, a: int, b: int) -> tuple[Account, port.ChainCall]:
    case = _case(actor, a)
    lost = actor.scene.receipts.get(case, actor.receipt(_known(actor, a), b))
    new = actor.repairs.get(a % 4, AgreementId(bytes(32)))
    receipt = replace_record(lost, agreement=new, expiry=2**40 if b % 4 else 5)
    signature = actor.scene.sign(receipt, (REPAIRER, PROVIDER)[b % 2])
    return STRANGER, port.SettleRepair(case=case, receipt=receipt, signature=signature)


def _cash(actor: Actor, a: int, b: int) -> tuple[Account, port.ChainCall]:
    book = actor.books[a % len(actor.books)] if actor.books else ZERO_ADDRESS
    cheque = actor.scene.cheque(book, cumulative_payout=Wei(b * MFT), serial=b % 4,
                                beneficiary=(BOB, STRANGER)[b % 2].address)  # fmt: skip
    signature = ALICE.sign(cheque.digest(actor.scene.chain.network.chain_id))
    return STRANGER, port.CashCheque(cheque=cheque, signature=signature)


def transaction(actor: Actor, step: Step) -> tuple[Account, port.ChainCall]:  # noqa: C901, PLR0912 - one case a kind
    """Return sender and call of a step, signed for the actor's own network."""
    kind, a, b = step
    provider = (PROVIDER, REPAIRER)[a % 2]
    match kind:
        case "stake":
            return provider, port.Stake(amount=Wei(b * MFT))
        case "unstake":
            return provider, port.Unstake(amount=Wei(b * 4 * MFT))
        case "register":
            return _agreement(actor, a, b)
        case "open":
            return _open(actor, a, b)
        case "answer":
            return _answer(actor, a, b)
        case "verdict":
            return STRANGER, port.PushVerdict(case=_case(actor, a))
        case "replace":
            return _replacement(actor, a, b)
        case "settle":
            return _settle(actor, a, b)
        case "compensation":
            return STRANGER, port.ReleaseCompensation(case=_case(actor, a))
        case "release":
            return STRANGER, port.ReleaseAgreement(agreement=_known(actor, a))
        case "terminate":
            return _terminated(actor, a, b)
        case "excuse":
            return _excuse(actor, a, b)
        case "claim":
            return STRANGER, port.ClaimFees(agreement=_known(actor, a))
        case "fund":
            call = port.FundAgreement(agreement=_known(actor, a), amount=Wei(b * MFT))
            return (BOB, STRANGER)[a % 2], call
        case "withdraw":
            book = actor.books[a % len(actor.books)] if actor.books else ZERO_ADDRESS
            withdrawn = port.WithdrawFromChequebook(chequebook=book, amount=Wei(b * MFT))
            return (ALICE, BOB)[b % 3 == 2], withdrawn
        case "book":
            return ALICE, port.CreateChequebook(amount=Wei(b * MFT))
        case "cash":
            return _cash(actor, a, b)
    return BOB, port.TransferMft(to=provider.address, amount=Wei(b * MFT))


KINDS = ("stake", "unstake", "register", "register", "open", "open", "open", "answer", "verdict",
         "verdict", "replace", "settle", "compensation", "release", "claim", "terminate",
         "excuse", "book", "cash", "cash", "pay", "fund", "withdraw", "travel",
         "travel")  # fmt: skip
steps = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 7), st.integers(0, 30)),
    min_size=10,
    max_size=40,
)
OPENING: list[Step] = [("register", 0, 1), ("register", 2, 1), ("open", 0, 0), ("open", 1, 1)]


def outcome(actor: Actor, step: Step) -> str:
    """Do a step and say how it went."""
    sender, call = transaction(actor, step)
    try:
        mined = actor.scene.do(sender, call)
    except TransactionReverted as refusal:
        return refusal.message
    if mined.case is not None:
        assert mined.case not in actor.cases
        actor.cases.append(mined.case)
        assert isinstance(call, port.OpenCase)
        actor.scene.receipts[mined.case] = call.receipt
    if mined.created is not None:
        actor.books.append(mined.created)
    return "done"


def seen_by(actor: Actor) -> list[object]:
    """Return all state that the port tells, without what must differ."""
    chain = actor.scene.chain
    found: list[object] = [run(chain.balance(each.address)) for each in (*ACTORS, FAUCET)]
    found += [actor.scene.balance(actor.scene.contract(n)) for n in ("deposits", "escrow", "court")]
    found += [run(chain.deposit(each.address)) for each in (PROVIDER, REPAIRER)]
    known = [*actor.agreements, *actor.repairs.values()]
    found += [run(chain.agreement(each)) for each in known]
    found += [run(chain.fees(each)) for each in known]
    for case in actor.cases:
        state = run(chain.case(case))
        assert state is not None
        found.append((state.status, state.agreement, state.deadline, state.compensation))
    for book in actor.books:
        state_of = run(chain.chequebook(book, BOB.address))
        assert state_of is not None
        found.append((state_of.balance, state_of.paid_out, state_of.bounced))
    return found


def check_invariants(actor: Actor) -> None:
    """Hold a history against DESIGN 11 and 13."""
    scene, chain = actor.scene, actor.scene.chain
    events = [seen.event for seen in run(chain.events())]
    held: dict[Address, int] = {FAUCET.address: SUPPLY}
    for event in events:
        if isinstance(event, port.Transferred) and event.sender != ZERO_ADDRESS:
            held[event.sender] = held.get(event.sender, 0) - event.amount
            held[event.to] = held.get(event.to, 0) + event.amount
    held.pop(ZERO_ADDRESS, None)
    for holder, amount in held.items():
        assert scene.balance(holder) == amount >= 0, "transfers explain every balance"
    totals = [run(chain.deposit(each.address)) for each in (PROVIDER, REPAIRER)]
    assert all(0 <= deposit.earmarked <= deposit.total for deposit in totals)
    assert scene.balance(scene.contract("deposits")) == sum(each.total for each in totals)
    owed = sum(_compensation(actor, case) for case in actor.cases)
    assert scene.balance(scene.contract("escrow")) >= owed
    closed = [event.case for event in events if isinstance(event, port.CaseClosed)]
    assert len(closed) == len(set(closed)), "a case is settled once"
    filed = len(actor.cases) - len(closed)
    assert scene.balance(scene.contract("court")) == filed * scene.terms.bond
    paid = [event.case for event in events if isinstance(event, port.CompensationPaid)]
    assert len(paid) == len(set(paid)), "a compensation is paid once"


def _compensation(actor: Actor, case: CaseId) -> int:
    state = run(actor.scene.chain.case(case))
    return 0 if state is None else state.compensation


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=steps)
def test_the_twin_does_what_the_contracts_do(history: list[Step]) -> None:
    real, twin = Actor(Scene("contracts")), Actor(Scene("twin"))
    clock = twin.scene.ground
    assert isinstance(clock, SimGround)
    for step in [*OPENING, *history]:
        kind, a, _b = step
        if kind == "travel":
            real.scene.travel((30, 400, 901, 3700)[a % 4])
            continue
        if kind == "open":
            # The next epoch may begin while the beacon is recorded: then neither has the next one.
            epoch = real.scene.beacon()
            clock.clock.time_s = real.scene.now
            twin.scene.beacon(epoch)
        clock.clock.time_s = real.scene.now
        assert outcome(real, step) == outcome(twin, step), step
    clock.clock.time_s = real.scene.now
    assert seen_by(real) == seen_by(twin)
    for actor in (real, twin):
        check_invariants(actor)
