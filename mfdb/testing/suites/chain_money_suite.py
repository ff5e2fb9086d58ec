"""What every `mfdb.chain.port.Chain` must do when people move their own money about."""

# ruff: noqa: D102 - the name of a test is its sentence, and a port has many
from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.chain.port import FeesState, FundAgreement, WithdrawFromChequebook
from mfdb.kernel.ids import MFT, AgreementId, Hash, Wei
from mfdb.testing.suites.chain_release_suite import refused
from mfdb.testing.suites.chain_stage import EPOCHS, FUNDING, Stage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class MoneySuite:
    """The part of `ChainSuite` about fees that are paid in later, and chequebooks."""

    def play(self, scenario: Callable[[Stage], Awaitable[None]]) -> None:
        """Run a scenario on a stage of its own."""
        raise NotImplementedError

    def test_anybody_adds_to_the_fees_of_an_agreement_that_runs(self) -> None:
        async def scenario(stage: Stage) -> None:
            chain = stage.world.chain
            agreement = await stage.register()
            fees = FeesState(per_epoch=agreement.fee_per_epoch, held=FUNDING, claimed=0)
            assert await chain.fees(agreement.id) == fees
            before = await chain.balance(stage.accuser.address)
            call = FundAgreement(agreement=agreement.id, amount=Wei(5 * MFT))
            mined = await stage.send(call, stage.accuser)
            assert (await chain.fees(agreement.id)).held == FUNDING + 5 * MFT
            assert await chain.balance(stage.accuser.address) == before - 5 * MFT
            assert await chain.block_of(mined.transaction) == mined.block
            nothing = FundAgreement(agreement=agreement.id, amount=Wei(0))
            await refused(stage, nothing, stage.client, "no amount")
            nobody = FundAgreement(agreement=AgreementId(stage.fresh()), amount=Wei(MFT))
            await refused(stage, nobody, stage.client, "no such agreement")
            await stage.world.advance(EPOCHS * stage.terms.epoch_s + 1)
            await refused(stage, call, stage.client, "agreement over")

        self.play(scenario)

    def test_what_is_not_there_has_no_fees_and_no_block(self) -> None:
        async def scenario(stage: Stage) -> None:
            chain = stage.world.chain
            none = FeesState(per_epoch=Wei(0), held=Wei(0), claimed=0)
            assert await chain.fees(AgreementId(stage.fresh())) == none
            assert await chain.block_of(Hash(b"\x07" * 32)) is None

        self.play(scenario)

    def test_an_issuer_takes_out_what_its_chequebook_holds(self) -> None:
        async def scenario(stage: Stage) -> None:
            chain = stage.world.chain
            chequebook = await stage.chequebook(Wei(10 * MFT))
            before = await chain.balance(stage.client.address)
            part = WithdrawFromChequebook(chequebook=chequebook, amount=Wei(4 * MFT))
            await stage.send(part, stage.client)
            assert await chain.balance(stage.client.address) == before + 4 * MFT
            assert await chain.balance(chequebook) == 6 * MFT
            await refused(stage, part, stage.accuser, "not the issuer")
            more = WithdrawFromChequebook(chequebook=chequebook, amount=Wei(6 * MFT + 1))
            await refused(stage, more, stage.client, "not liquid")
            await stage.send(await stage.cheque(chequebook, Wei(6 * MFT)), stage.provider)
            await refused(stage, part, stage.client, "not liquid")

        self.play(scenario)
