"""What every `mfdb.chain.port.Chain` must do.

Inherit in a test module and say how a world is opened:

    class TestMyChain(ChainSuite):
        async def open_world(self) -> ChainWorld:
            return MyWorld(...)

Each test opens a world, which may be shared with other tests: actors are new every time.
"""

# ruff: noqa: D102 - the name of a test is its sentence, and a port has many
from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mfdb.chain.port import (
    AgreementRegistered,
    CaseClosed,
    CaseOpened,
    CaseStatus,
    ChequeCashed,
    ClaimFees,
    CompensationPaid,
    Delegate,
    PushVerdict,
    RecordBeacon,
    RecordKind,
    RecordPublished,
    ReleaseAgreement,
    ReleaseCompensation,
    SetRecord,
    SettleRepair,
    TransferMft,
    Transferred,
    Unstake,
)
from mfdb.kernel.ids import (
    MFT,
    ZERO_ADDRESS,
    Address,
    AgreementId,
    CaseId,
    Wei,
)
from mfdb.testing.suites.chain_money_suite import MoneySuite
from mfdb.testing.suites.chain_release_suite import ReleaseSuite, refused
from mfdb.testing.suites.chain_stage import (
    DEPOSIT,
    FUNDING,
    REPAIR_FEE,
    SHARD,
    STAKED,
    ChainWorld,
    Stage,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mfdb.chain.port import Chain, ChainEvent, Mined
    from mfdb.kernel.account import Account

GIVEN = 1000 * MFT
TEST_S = 120


class ChainSuite(ReleaseSuite, MoneySuite):
    """Conformance of one chain; see the module docstring."""

    async def open_world(self) -> ChainWorld:
        """Return a world, on a running event loop."""
        raise NotImplementedError

    def play(self, scenario: Callable[[Stage], Awaitable[None]]) -> None:
        """Run a scenario on a stage of its own."""

        async def played() -> None:
            world = await self.open_world()
            try:
                await scenario(await Stage.set_up(world))
            finally:
                await world.close()

        asyncio.run(asyncio.wait_for(played(), TEST_S))

    # ---- money

    def test_a_transfer_moves_the_amount_and_is_told(self) -> None:
        async def scenario(stage: Stage) -> None:
            chain, client, accuser = stage.world.chain, stage.client, stage.accuser
            call = TransferMft(to=accuser.address, amount=Wei(7 * MFT))
            mined = await chain.send(call, client)
            assert await chain.balance(client.address) == GIVEN - 7 * MFT
            assert await chain.balance(accuser.address) == GIVEN + 7 * MFT
            told = await _told(chain, mined)
            assert told == [
                Transferred(sender=client.address, to=accuser.address, amount=Wei(7 * MFT))
            ]
            assert await chain.gas_used(mined.transaction) == mined.gas_used
            assert (await chain.head()).number >= mined.block

        self.play(scenario)

    def test_a_transfer_of_more_than_there_is_is_refused_with_a_hint(self) -> None:
        async def scenario(stage: Stage) -> None:
            call = TransferMft(to=stage.accuser.address, amount=Wei(GIVEN + 1))
            await refused(stage, call, stage.client, "balance too small")
            assert await stage.world.chain.balance(stage.client.address) == GIVEN

        self.play(scenario)

    def test_two_equal_transfers_are_two_transfers(self) -> None:
        async def scenario(stage: Stage) -> None:
            call = TransferMft(to=stage.accuser.address, amount=Wei(MFT))
            first = await stage.send(call, stage.client)
            second = await stage.send(call, stage.client)
            assert first.transaction != second.transaction
            assert await stage.world.chain.balance(stage.accuser.address) == GIVEN + 2 * MFT

        self.play(scenario)

    def test_transfers_at_the_same_moment_all_go_in(self) -> None:
        async def scenario(stage: Stage) -> None:
            call = TransferMft(to=stage.accuser.address, amount=Wei(MFT))
            sent = [stage.send(call, stage.client) for _ in range(10)]
            mined = await asyncio.gather(*sent)
            assert len({one.transaction for one in mined}) == 10
            assert await stage.world.chain.balance(stage.accuser.address) == GIVEN + 10 * MFT

        self.play(scenario)

    def test_every_token_that_moved_was_told(self) -> None:
        async def scenario(stage: Stage) -> None:
            chain = stage.world.chain
            await _convicted(stage)
            sums: defaultdict[Address, int] = defaultdict(int)
            for seen in await chain.events():
                if isinstance(seen.event, Transferred):
                    sums[seen.event.sender] -= seen.event.amount
                    sums[seen.event.to] += seen.event.amount
            contracts = await chain.named_contracts()
            for holder in (
                *(actor.address for actor in _actors(stage)),
                *(contracts[name] for name in ("deposits", "escrow", "court")),
            ):
                assert await chain.balance(holder) == sums[holder]
            minted = -sums[ZERO_ADDRESS]
            assert sum(sums.values()) == 0
            assert sum(at for who, at in sums.items() if who != ZERO_ADDRESS) == minted

        self.play(scenario)

    # ---- cheques

    def test_a_cheque_is_paid_and_cumulative(self) -> None:
        async def scenario(stage: Stage) -> None:
            chain, provider = stage.world.chain, stage.provider
            chequebook = await stage.chequebook(Wei(10 * MFT))
            before = await chain.balance(provider.address)
            cash = await stage.cheque(chequebook, Wei(4 * MFT))
            mined = await stage.send(cash, provider)
            cashed = ChequeCashed(
                chequebook=chequebook, beneficiary=provider.address, amount=Wei(4 * MFT)
            )
            assert cashed in await _told(chain, mined)
            await stage.send(await stage.cheque(chequebook, Wei(6 * MFT), serial=2), provider)
            state = await chain.chequebook(chequebook, provider.address)
            assert state is not None
            assert (state.issuer, state.balance) == (stage.client.address, 4 * MFT)
            assert (state.paid_out, state.bounced) == (6 * MFT, False)
            assert await chain.balance(provider.address) == before + 6 * MFT

        self.play(scenario)

    def test_a_cheque_is_not_paid_twice(self) -> None:
        async def scenario(stage: Stage) -> None:
            chequebook = await stage.chequebook(Wei(10 * MFT))
            cash = await stage.cheque(chequebook, Wei(4 * MFT))
            await stage.send(cash, stage.provider)
            await refused(stage, cash, stage.accuser, "nothing due")

        self.play(scenario)

    def test_a_cheque_that_is_not_covered_bounces_and_is_paid_in_part(self) -> None:
        async def scenario(stage: Stage) -> None:
            chain = stage.world.chain
            chequebook = await stage.chequebook(Wei(3 * MFT))
            await stage.send(await stage.cheque(chequebook, Wei(5 * MFT)), stage.provider)
            state = await chain.chequebook(chequebook, stage.provider.address)
            assert state is not None
            assert (state.balance, state.paid_out, state.bounced) == (0, 3 * MFT, True)

        self.play(scenario)

    def test_a_cheque_that_another_signed_isrefused(self) -> None:
        async def scenario(stage: Stage) -> None:
            chequebook = await stage.chequebook(Wei(3 * MFT))
            cash = await stage.cheque(chequebook, Wei(MFT))
            digest = cash.cheque.digest(stage.world.chain.network.chain_id)
            forged = replace(cash, signature=stage.provider.sign(digest))
            await refused(stage, forged, stage.provider, "bad cheque signature")

        self.play(scenario)

    def test_an_account_is_no_chequebook_of_ours(self) -> None:
        async def scenario(stage: Stage) -> None:
            found = await stage.world.chain.chequebook(stage.client.address, stage.provider.address)
            assert found is None

        self.play(scenario)

    # ---- deposits and agreements

    def test_an_agreement_earmarks_the_deposit(self) -> None:
        async def scenario(stage: Stage) -> None:
            chain, provider = stage.world.chain, stage.provider
            agreement = await stage.agreement()
            assert await chain.agreement(agreement.id) is None
            mined = await stage.send(stage.registration(agreement), stage.client)
            deposit = await chain.deposit(provider.address)
            assert (deposit.total, deposit.earmarked) == (STAKED, DEPOSIT)
            state = await chain.agreement(agreement.id)
            assert state is not None
            assert (state.client, state.provider) == (stage.client.address, provider.address)
            assert (state.earmarked, state.capacity_bytes) == (DEPOSIT, len(SHARD) * 2)
            assert (state.end, state.tail_s, state.open_cases) == (agreement.end, 1_200, 0)
            assert await chain.balance(stage.client.address) == GIVEN - FUNDING
            told = AgreementRegistered(
                agreement=agreement.id,
                client=stage.client.address,
                provider=provider.address,
                case=None,
            )
            assert told in await _told(chain, mined)

        self.play(scenario)

    def test_an_agreement_is_registered_once(self) -> None:
        async def scenario(stage: Stage) -> None:
            agreement = await stage.register()
            call = stage.registration(agreement)
            await refused(stage, call, stage.client, "agreement exists")

        self.play(scenario)

    def test_an_earmarked_deposit_is_not_withdrawn(self) -> None:
        async def scenario(stage: Stage) -> None:
            await stage.register()
            over = Unstake(amount=Wei(STAKED - DEPOSIT + 1))
            await refused(stage, over, stage.provider, "deposit earmarked")
            await stage.send(Unstake(amount=Wei(STAKED - DEPOSIT)), stage.provider)
            deposit = await stage.world.chain.deposit(stage.provider.address)
            assert deposit.total == deposit.earmarked == DEPOSIT

        self.play(scenario)

    def test_a_delegate_signs_until_its_time(self) -> None:
        async def scenario(stage: Stage) -> None:
            chain, provider, hot = stage.world.chain, stage.provider.address, stage.accuser.address
            assert await chain.may_sign(provider, provider)
            assert not await chain.may_sign(provider, hot)
            until = await stage.now() + 600
            await stage.send(Delegate(signer=hot, until=until), stage.provider)
            assert await chain.may_sign(provider, hot)
            await stage.world.advance(700)
            assert not await chain.may_sign(provider, hot)

        self.play(scenario)

    def test_fees_are_paid_in_arrears(self) -> None:
        async def scenario(stage: Stage) -> None:
            chain = stage.world.chain
            agreement = await stage.register()
            before = await chain.balance(stage.provider.address)
            await refused(stage, ClaimFees(agreement=agreement.id), stage.provider, "nothing due")
            await stage.world.advance(2 * stage.terms.epoch_s + 30)
            await stage.send(ClaimFees(agreement=agreement.id), stage.provider)
            assert await chain.balance(stage.provider.address) == before + 4 * MFT

        self.play(scenario)

    def test_a_deposit_is_released_after_the_tail(self) -> None:
        async def scenario(stage: Stage) -> None:
            agreement = await stage.register()
            release = ReleaseAgreement(agreement=agreement.id)
            await stage.world.advance(agreement.end - await stage.now() + 10)
            await refused(stage, release, stage.provider, "agreement still binds")
            await stage.world.advance(agreement.tail_s + 10)
            await stage.send(release, stage.provider)
            deposit = await stage.world.chain.deposit(stage.provider.address)
            assert (deposit.total, deposit.earmarked) == (STAKED, 0)
            await refused(stage, release, stage.provider, "already released")

        self.play(scenario)

    # ---- records and beacons

    def test_a_record_is_read_back_and_replaced(self) -> None:
        async def scenario(stage: Stage) -> None:
            chain, client, provider = stage.world.chain, stage.client, stage.provider
            assert await chain.record(client.address, RecordKind.NODE) is None
            mined = await stage.send(SetRecord(kind=RecordKind.NODE, record=b"one"), client)
            assert await chain.record(client.address, RecordKind.NODE) == b"one"
            published = RecordPublished(
                identity=client.address, kind=RecordKind.NODE, record=b"one"
            )
            assert published in await _told(chain, mined)
            assert (await chain.records(RecordKind.NODE))[client.address] == b"one"
            await stage.send(SetRecord(kind=RecordKind.NODE, record=b"two"), client)
            await stage.send(SetRecord(kind=RecordKind.HOME, record=b"home"), provider)
            assert await chain.record(client.address, RecordKind.NODE) == b"two"
            nodes = await chain.records(RecordKind.NODE)
            assert nodes[client.address] == b"two"
            assert provider.address not in nodes
            assert (await chain.records(RecordKind.HOME))[provider.address] == b"home"

        self.play(scenario)

    def test_a_beacon_is_recorded_once(self) -> None:
        async def scenario(stage: Stage) -> None:
            chain = stage.world.chain
            await stage.world.advance(stage.terms.epoch_s)
            epoch = await stage.now() // stage.terms.epoch_s
            assert await chain.beacon(epoch) is None
            await stage.beacon()
            beacon = await chain.beacon(epoch)
            assert beacon is not None
            assert len(set(beacon)) > 1
            await stage.send(RecordBeacon(epoch=epoch), stage.client)
            assert await chain.beacon(epoch) == beacon
            early = RecordBeacon(epoch=epoch + 1000)
            await refused(stage, early, stage.client, "epoch not begun")

        self.play(scenario)

    # ---- the court

    def test_a_right_answer_acquits_and_earns_the_bond(self) -> None:
        async def scenario(stage: Stage) -> None:
            chain = stage.world.chain
            agreement = await stage.register()
            case = await stage.accuse(agreement)
            opened = await chain.case(case)
            assert opened is not None
            assert (opened.status, opened.agreement) == (CaseStatus.FILED, agreement.id)
            assert opened.accuser == stage.accuser.address
            assert 0 <= opened.unit < stage.tree.count
            held = await chain.balance(stage.provider.address)
            answer = await stage.answer(agreement, case)
            await stage.send(answer, stage.provider)
            closed = await chain.case(case)
            assert closed is not None
            assert (closed.status, closed.compensation) == (CaseStatus.NOT_GUILTY, 0)
            assert await chain.balance(stage.provider.address) == held + stage.terms.bond
            await refused(stage, answer, stage.provider, "no open case")
            deposit = await chain.deposit(stage.provider.address)
            assert (deposit.total, deposit.earmarked) == (STAKED, DEPOSIT)

        self.play(scenario)

    def test_a_wrong_unit_does_not_acquit(self) -> None:
        async def scenario(stage: Stage) -> None:
            agreement = await stage.register()
            case = await stage.accuse(agreement)
            answer = await stage.answer(agreement, case)
            wrong = replace(answer, unit=bytes(512))
            await refused(stage, wrong, stage.provider, "wrong unit or path")
            other = replace(answer, receipt=stage.receipt(await stage.agreement()))
            await refused(stage, other, stage.provider, "other claim")

        self.play(scenario)

    def test_an_accusation_is_told_with_its_receipt(self) -> None:
        async def scenario(stage: Stage) -> None:
            chain = stage.world.chain
            agreement = await stage.register()
            first = (await chain.head()).number
            case = await stage.accuse(agreement)
            state = await chain.case(case)
            assert state is not None
            told = [
                seen.event
                for seen in await chain.events(since_block=first)
                if isinstance(seen.event, CaseOpened) and seen.event.case == case
            ]
            assert told == [
                CaseOpened(
                    case=case,
                    agreement=agreement.id,
                    provider=stage.provider.address,
                    accuser=stage.accuser.address,
                    receipt=stage.receipt(agreement),
                    unit=state.unit,
                    deadline=state.deadline,
                )
            ]

        self.play(scenario)

    def test_silence_convicts_and_the_repair_is_paid(self) -> None:
        async def scenario(stage: Stage) -> None:
            chain = stage.world.chain
            agreement, case = await _convicted(stage)
            state = await chain.case(case)
            assert state is not None
            slashed = DEPOSIT * stage.tree.count * 512 // (len(SHARD) * 2)
            held = slashed * stage.terms.compensation_bp // 10_000
            assert (state.status, state.compensation) == (CaseStatus.GUILTY, held)
            deposit = await chain.deposit(stage.provider.address)
            assert (deposit.total, deposit.earmarked) == (STAKED - slashed, DEPOSIT - slashed)
            replacement, call = await stage.replacement(agreement, case)
            mined = await stage.send(call, stage.accuser)
            told = AgreementRegistered(
                agreement=replacement.id,
                client=stage.client.address,
                provider=stage.repairer.address,
                case=case,
            )
            assert told in await _told(chain, mined)
            receipt = stage.receipt(replacement)
            before = await chain.balance(stage.client.address)
            settle = SettleRepair(
                case=case, receipt=receipt, signature=stage.sign(receipt, stage.repairer)
            )
            mined = await stage.send(settle, stage.repairer)
            paid = CompensationPaid(
                case=case,
                owner=stage.client.address,
                to_owner=Wei(held - REPAIR_FEE),
                repairer=stage.repairer.address,
                to_repairer=REPAIR_FEE,
            )
            assert paid in await _told(chain, mined)
            assert await chain.balance(stage.client.address) == before + held - REPAIR_FEE
            await refused(stage, settle, stage.repairer, "no compensation")

        self.play(scenario)

    def test_without_repair_the_owner_gets_it_all_after_the_window(self) -> None:
        async def scenario(stage: Stage) -> None:
            chain = stage.world.chain
            _, case = await _convicted(stage)
            state = await chain.case(case)
            assert state is not None
            release = ReleaseCompensation(case=case)
            await refused(stage, release, stage.accuser, "repair window open")
            await stage.world.advance(stage.terms.repair_window_s + 10)
            before = await chain.balance(stage.client.address)
            await stage.send(release, stage.accuser)
            assert await chain.balance(stage.client.address) == before + state.compensation
            after = await chain.case(case)
            assert after is not None
            assert after.compensation == 0

        self.play(scenario)

    def test_a_verdict_comes_after_the_window_and_once(self) -> None:
        async def scenario(stage: Stage) -> None:
            agreement = await stage.register()
            case = await stage.accuse(agreement)
            await refused(stage, PushVerdict(case=case), stage.accuser, "answer window open")
            await stage.world.advance(agreement.answer_window_s + 10)
            answer = await stage.answer(agreement, case)
            await refused(stage, answer, stage.provider, "too late to answer")
            mined = await stage.send(PushVerdict(case=case), stage.client)
            closed = [
                event
                for event in await _told(stage.world.chain, mined)
                if isinstance(event, CaseClosed)
            ]
            assert [(one.case, one.status) for one in closed] == [(case, CaseStatus.GUILTY)]
            await refused(stage, PushVerdict(case=case), stage.client, "no open case")

        self.play(scenario)

    def test_what_does_not_exist_is_none(self) -> None:
        async def scenario(stage: Stage) -> None:
            chain = stage.world.chain
            assert await chain.case(CaseId(b"c" * 32)) is None
            assert await chain.agreement(AgreementId(b"a" * 32)) is None
            nobody = await chain.deposit(stage.client.address)
            assert (nobody.total, nobody.earmarked) == (0, 0)

        self.play(scenario)


# ---- steps that several tests share


def _actors(stage: Stage) -> tuple[Account, ...]:
    return stage.client, stage.provider, stage.accuser, stage.repairer


async def _convicted(stage: Stage) -> tuple[Any, CaseId]:
    """Convict the provider by its silence; return the agreement and the case."""
    agreement = await stage.register()
    case = await stage.accuse(agreement)
    await stage.world.advance(agreement.answer_window_s + 10)
    await stage.send(PushVerdict(case=case), stage.accuser)
    return agreement, case


async def _told(chain: Chain, mined: Mined) -> list[ChainEvent]:
    """Return the events of one transaction."""
    return [
        seen.event
        for seen in await chain.events(since_block=mined.block)
        if seen.transaction == mined.transaction
    ]
