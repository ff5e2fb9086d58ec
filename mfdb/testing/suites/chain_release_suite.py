"""What every `mfdb.chain.port.Chain` must do when a client lets its provider go."""

# ruff: noqa: D102 - the name of a test is its sentence, and a port has many
from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from mfdb.chain.port import CaseStatus, ExcuseCase, OpenCase, TerminateAgreement, Unstake
from mfdb.kernel.errors import TransactionReverted
from mfdb.kernel.ids import MFT, ZERO_HASH, SegmentId
from mfdb.rules.evidence import Release
from mfdb.testing.suites.chain_stage import FUNDING, STAKED, Stage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mfdb.kernel.account import Account


class ReleaseSuite:
    """The part of `ChainSuite` about releases."""

    def play(self, scenario: Callable[[Stage], Awaitable[None]]) -> None:
        """Run a scenario on a stage of its own."""
        raise NotImplementedError

    def test_a_client_lets_its_provider_go_before_the_end(self) -> None:
        async def scenario(stage: Stage) -> None:
            chain = stage.world.chain
            agreement = await stage.register()
            earned = await chain.balance(stage.provider.address)
            left = await chain.balance(stage.client.address)
            whole = Release(agreement.id, SegmentId(ZERO_HASH))
            leave = TerminateAgreement(
                agreement=agreement.id, client_signature=stage.sign(whole, stage.client)
            )
            forged = stage.sign(whole, stage.provider)
            part = stage.sign(Release(agreement.id, SegmentId(b"g" * 32)), stage.client)
            for wrong in (forged, part):
                call = replace(leave, client_signature=wrong)
                await refused(stage, call, stage.provider, "bad client signature")
            await refused(stage, leave, stage.client, "not the provider")
            await stage.world.advance(2 * stage.terms.epoch_s + 30)
            await stage.send(leave, stage.provider)
            deposit = await chain.deposit(stage.provider.address)
            assert (deposit.total, deposit.earmarked) == (STAKED, 0)
            await stage.send(Unstake(amount=STAKED), stage.provider)
            assert await chain.balance(stage.provider.address) == earned + 4 * MFT + STAKED
            assert await chain.balance(stage.client.address) == left + FUNDING - 4 * MFT
            state = await chain.agreement(agreement.id)
            assert state is not None
            assert state.end < await stage.now()
            await refused(stage, leave, stage.provider, "already released")
            receipt = stage.receipt(agreement)
            accusation = OpenCase(
                receipt=receipt,
                signature=stage.sign(receipt, stage.provider),
                epoch=await stage.beacon(),
                draw=0,
            )
            await refused(stage, accusation, stage.accuser, "agreement over")

        self.play(scenario)

    def test_nobody_leaves_while_a_case_is_open(self) -> None:
        async def scenario(stage: Stage) -> None:
            agreement = await stage.register()
            await stage.accuse(agreement)
            whole = Release(agreement.id, SegmentId(ZERO_HASH))
            leave = TerminateAgreement(
                agreement=agreement.id, client_signature=stage.sign(whole, stage.client)
            )
            await refused(stage, leave, stage.provider, "case open")

        self.play(scenario)

    def test_a_release_of_the_segment_acquits(self) -> None:
        async def scenario(stage: Stage) -> None:
            chain = stage.world.chain
            agreement = await stage.register()
            case = await stage.accuse(agreement)
            receipt = stage.receipt(agreement)
            released = Release(agreement.id, receipt.segment)
            excuse = ExcuseCase(
                case=case,
                receipt=receipt,
                client_signature=stage.sign(released, stage.client),
            )
            other = stage.sign(Release(agreement.id, SegmentId(b"h" * 32)), stage.client)
            for wrong in (other, stage.sign(released, stage.provider)):
                call = replace(excuse, client_signature=wrong)
                await refused(stage, call, stage.provider, "bad client signature")
            held = await chain.balance(stage.provider.address)
            await stage.send(excuse, stage.provider)
            closed = await chain.case(case)
            assert closed is not None
            assert closed.status is CaseStatus.NOT_GUILTY
            assert await chain.balance(stage.provider.address) == held + stage.terms.bond
            await refused(stage, excuse, stage.provider, "no open case")

        self.play(scenario)


async def refused(stage: Stage, call: Any, sender: Account, reason: str) -> None:
    """Send a call that the contracts must refuse with this reason."""
    with pytest.raises(TransactionReverted) as caught:
        await stage.send(call, sender)
    assert caught.value.message == "mfdb: " + reason
