"""Writing to a quorum: `replication.quorum` decides, this carries out and keeps the receipts.

The caller hears at W durable receipts; pushing goes on in the background until all N replicas
hold the changeset, and then each of them is given the receipts of the others (`rounds`), so that
whoever reads the dataset holds the evidence for it (DESIGN 5, Receipts).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, assert_never

from mfdb.dataset.outcome import WriteOutcome
from mfdb.kernel.codec import encode
from mfdb.kernel.errors import (
    AccessDenied,
    BadProof,
    MfdbError,
    NetworkError,
    ProtocolViolation,
    QuorumNotReached,
)
from mfdb.kernel.ids import ChangesetId
from mfdb.node.requests import PutChangeset
from mfdb.rules.receipt import Promised, check_promise
from replication import quorum

if TYPE_CHECKING:
    from mfdb.kernel.ids import Address
    from mfdb.node.client.context import ClientContext
    from mfdb.node.client.pipes import Pipes
    from mfdb.node.whereabouts import Whereabouts
    from mfdb.rules.changeset import Changeset
    from mfdb.rules.key_log import KeyLogEntry
    from mfdb.rules.receipt import WriteReceipt

log = logging.getLogger(__name__)


class Push:
    """One changeset on its way to all replicas of its dataset."""

    def __init__(
        self,
        context: ClientContext,
        pipes: Pipes,
        found: Whereabouts,
        changeset: Changeset,
        entry: KeyLogEntry,
    ) -> None:
        self._context = context
        self._found = found
        self._pipes = pipes
        self.request = PutChangeset(data=encode(changeset), entry=entry)
        self.body = encode(self.request)
        self._promised: Promised | None = None
        self._id = entry.changeset
        self._replicas = found.placement.replica_set
        self._need = found.manifest.profile.write_quorum
        self._trailing = frozenset(pipes.in_order(self._replicas)[self._need :])
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._result: asyncio.Future[WriteOutcome] = self._loop.create_future()
        self.over: asyncio.Future[None] = self._loop.create_future()
        """Done once every replica has answered."""
        self.receipts: dict[Address, WriteReceipt] = {}
        self._troubles: dict[Address, str] = {}
        self._write, self._first = self._begun()

    def _begun(self) -> tuple[quorum.Write, tuple[quorum.Effect, ...]]:
        now_s = self._context.clock.monotonic_s()
        return quorum.start(
            self._id,
            self._replicas,
            need=self._need,
            now_s=now_s,
            deadline_s=now_s + self._context.settings.write_deadline_s,
        )

    @property
    def was_refused(self) -> bool:
        """Whether somebody whom it was sent to will not have it, because he keeps nothing, say."""
        return bool(self._write.refused)

    async def outcome(self) -> WriteOutcome:
        """Return the receipts, once a write quorum has given them.

        Raises:
            QuorumNotReached: not in time; the write is indeterminate and goes on being pushed.
            AccessDenied, StaleWrite, MfdbError: every replica refused it.
        """
        return await self._result  # whoever stops waiting ends nothing else

    def start(self) -> None:
        """Send the changeset to every replica, to those beyond the quorum a moment later."""
        trailing_s = self._context.settings.trailing_s
        for effect in self._first:
            if isinstance(effect, quorum.SendChangeset):
                is_late = effect.provider in self._trailing
                self._pipes.to(effect.provider).put(self, trailing_s if is_late else 0.0)
            else:
                self._carry_out(effect)
        self._promised = Promised.of(self.request.data)  # while it travels

    def stop(self) -> None:
        """Push no further."""
        if self._timer is not None:
            self._timer.cancel()
        self._result.cancel()
        self.over.cancel()

    def _feed(self, event: quorum.Input) -> None:
        """Take a step: no task, no queue in between, as every hop costs each row its time."""
        self._write, effects = quorum.step(self._write, event, self._context.clock.monotonic_s())
        self._carry_out_all(effects)

    def _carry_out_all(self, effects: tuple[quorum.Effect, ...]) -> None:
        for effect in effects:
            self._carry_out(effect)
        if self._write.is_done and not self.over.done():
            if self._timer is not None:
                self._timer.cancel()
            self.over.set_result(None)

    def _carry_out(self, effect: quorum.Effect) -> None:
        match effect:
            case quorum.SendChangeset(provider=provider):
                self._pipes.to(provider).put(self)
            case quorum.Acknowledged():
                self._settle(
                    WriteOutcome(receipts=tuple(self.receipts.values()), needed=self._need)
                )
            case quorum.Replicated():
                log.debug("replicated changeset=0x%s", self._id.hex())
            case quorum.Indeterminate(have=have, need=need):
                self._fail(
                    QuorumNotReached(
                        f"{have} of {need} providers have acknowledged the write so far"
                        + "".join(f"; {reason}" for reason in sorted(set(self._troubles.values()))),
                        hint="it may still spread; it stays in the outbox and is pushed on",
                    )
                )
            case quorum.Refused(errors=errors):
                self._fail(errors[0][1])
            case quorum.Retry(at_s=at_s):
                self._set_timer(at_s)
            case _:
                assert_never(effect)

    def _set_timer(self, at_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        delay_s = max(0.0, at_s - self._context.clock.monotonic_s())
        self._timer = self._loop.call_later(delay_s, self._feed, quorum.Ticked())

    def _settle(self, outcome: WriteOutcome) -> None:
        if not self._result.done():
            self._result.set_result(outcome)

    def _fail(self, error: MfdbError) -> None:
        if not self._result.done():
            self._result.set_exception(error)
            self._result.exception()  # whoever was to wait for it may have ended: no fault of ours

    # ---- what replicas answer

    def on_receipt(self, receipt: WriteReceipt, provider: Address, signer: Address) -> None:
        """Take a replica's receipt, if it is good."""
        try:
            self._check(receipt, provider, signer)
        except MfdbError as error:
            self.on_failure(error, provider)
            return
        self.receipts[provider] = receipt
        self._troubles.pop(provider, None)
        self._feed(quorum.ReceivedReceipt(provider=provider))

    def on_failure(self, error: MfdbError, provider: Address) -> None:
        """Count on the other replicas, at once."""
        for trailing in self._trailing:
            self._pipes.to(trailing).hurry()
        if isinstance(error, ProtocolViolation):
            log.warning("bad answer to a write provider=0x%s %s", provider.hex(), error)
            error = _denied(error)
        else:
            self._troubles[provider] = error.message
        if isinstance(error, NetworkError):
            self._feed(quorum.PeerLost(provider=provider))
        else:
            self._feed(quorum.ReceivedRefusal(provider=provider, error=error))

    def _check(self, receipt: WriteReceipt, provider: Address, signer: Address) -> None:
        due = self._found.placement.agreement_of(provider)
        if receipt.ack.agreement != due or ChangesetId(receipt.ack.changeset) != self._id:
            raise BadProof("the receipt is for another agreement or changeset")
        if receipt.batch.provider != provider:
            raise BadProof("the receipt names another provider than the one that gave it")
        promised = self._promised or Promised.of(self.request.data)
        check_promise(receipt, promised, network=self._context.network, signer=signer)


def _denied(error: ProtocolViolation) -> MfdbError:
    """Return a peer's misbehaviour as an error that an application may see."""
    return AccessDenied(f"a provider answered with an invalid receipt: {error.message}")
