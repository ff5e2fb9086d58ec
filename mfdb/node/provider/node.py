"""A whole provider: services wired to each other, chain duties done, loops running."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

from mfdb.chain.port import Delegate, RecordKind, SetRecord, Stake
from mfdb.kernel.codec import Record, encode
from mfdb.kernel.errors import InterfaceError, MfdbError
from mfdb.kernel.ids import Wei
from mfdb.net.address import parse_host_port
from mfdb.node import requests
from mfdb.node.accounts import Accounts, price_table
from mfdb.node.chequebook import open_chequebook
from mfdb.node.commit import Committer
from mfdb.node.directory import Directory
from mfdb.node.provider import releases, rows
from mfdb.node.provider.auditing import Auditing
from mfdb.node.provider.completing import Completing
from mfdb.node.provider.context import Context
from mfdb.node.provider.court import Court
from mfdb.node.provider.damage import Damage
from mfdb.node.provider.duties import Duties
from mfdb.node.provider.earnings import Earnings
from mfdb.node.provider.feed import Feed
from mfdb.node.provider.figures import Gauges
from mfdb.node.provider.finding import Finding
from mfdb.node.provider.healing import Healing
from mfdb.node.provider.intake import Acknowledger, Intake
from mfdb.node.provider.leaving import Leaving
from mfdb.node.provider.notice import Notice
from mfdb.node.provider.offering import Offering
from mfdb.node.provider.repairing import Repairing
from mfdb.node.provider.restoring import Restoring
from mfdb.node.provider.row_trees import RowTrees
from mfdb.node.provider.sealing import Sealing
from mfdb.node.provider.server import Answering, Server
from mfdb.node.provider.serving import Serving
from mfdb.node.provider.shards import Shards
from mfdb.node.provider.taking_over import TakingOver
from mfdb.node.sessions import Sessions
from mfdb.node.tasks import Tasks
from mfdb.pay.price import Thresholds
from mfdb.rules.records import DRAINING, PROVIDER, NodeRecord, SignedNodeRecord
from mfdb.rules.signing import sign

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mfdb.kernel.ids import DatasetId
    from mfdb.kernel.seed import IdentityKeys
    from mfdb.net.port import Transport
    from mfdb.node.ports import Ports
    from mfdb.node.provider.figures import Figures
    from mfdb.node.settings import NodeSettings, ProviderSettings

log = logging.getLogger(__name__)

DELEGATION_S = 365 * 24 * 3600
MEETING_S = 1.0
"""How long those who connect wait for each other, so that they are met at once."""
RESTORING_S = 1.0
"""How soon a damaged record is mended after it was found."""


class ProviderNode:
    """One provider. `start`, then it works by itself until `close`."""

    def __init__(
        self,
        keys: IdentityKeys,
        ports: Ports,
        *,
        node: NodeSettings,
        settings: ProviderSettings,
    ) -> None:
        self._keys = keys
        self._ports = ports
        self._node = node
        self._settings = settings
        self._tasks = Tasks()
        self._acknowledger = Acknowledger(keys, ports.chain.network)
        self._committer = Committer(
            ports.store,
            ports.run_blocking,
            run_briefly=ports.run_briefly,
            before_commit=self._acknowledger.sign,
        )
        self._sessions = Sessions(ports.chain.network.id)
        self._accounts = Accounts(
            keys,
            chain=ports.chain,
            clock=ports.clock,
            store=ports.store,
            committer=self._committer,
            prices=price_table(settings.price_per_request, settings.price_per_kib),
            thresholds=Thresholds(payment=settings.payment_threshold),
        )
        self._server = Server(self._sessions, self._accounts)
        self._damage = Damage(ports.clock)
        self._server.on_refusal = self._damage.note
        self._transport: Transport | None = None
        self._gauges: Gauges | None = None
        self._leaving: Leaving | None = None
        self._bound = ""

    async def start(self, address: str, *, announce: str | None = None) -> str:
        """Serve on "host:port" and return the address bound, once the chain duties are done.

        `announce` is what others dial, where a router or proxy stands before this node.

        Raises:
            InterfaceError: one of them is no "host:port".
            PortTaken: another process listens there.
            WrongVersion: another release wrote the store.
            ChainUnavailable, TransactionReverted: staking or publishing failed.
        """
        if announce is not None:
            parse_host_port(announce)
        self._tasks.spawn("committer", self._committer.run())
        await self._committer.submit(rows.modernise)
        self._accounts.restore_all()
        self._transport = self._ports.make_transport(self._keys.transport_seed, self._server)
        bound = await self._transport.listen(address)
        self._bound = announce or bound
        if not self.is_draining:
            await self._stake()
        me = await self._publish(self._bound)
        await self._serve(me, self._transport)
        log.info("provider ready identity=0x%s address=%s", self._keys.account.address.hex(), bound)
        return bound

    def figures(self) -> Figures:
        """Return what this provider tells of itself in numbers.

        Raises:
            InterfaceError: it has not been started.
        """
        if self._gauges is None:
            raise InterfaceError("the provider has not been started")
        return self._gauges.read()

    @property
    def is_draining(self) -> bool:
        """Whether it takes nothing new and asks to be let go."""
        with self._ports.store.snapshot() as view:
            return releases.is_draining(view)

    @property
    def kept(self) -> list[DatasetId]:
        """The datasets of which something is placed here."""
        return self._leaving.kept if self._leaving is not None else []

    @property
    def gives_notice(self) -> bool:
        """Whether it also leaves datasets whose owners are not there to let it go."""
        with self._ports.store.snapshot() as view:
            return releases.gives_notice(view)

    async def drain(self, *, drains: bool = True, gives_notice: bool = False) -> None:
        """Begin to drain, or end it: durable, and told to everybody by the node record.

        `gives_notice` also leaves datasets whose owners are not there, at the price of the smallest
        shard's part of the deposit (`mfdb.node.provider.notice`).

        Raises:
            ChainUnavailable, TransactionReverted: the record could not be published.
        """
        change = partial(releases.put_draining, drains=drains, gives_notice=gives_notice)
        await self._committer.submit(change)
        me = await self._publish(self._bound)
        self._server.introduce(me)

    async def close(self) -> None:
        """Stop working; everything acknowledged is on disk already."""
        await self._accounts.flush()
        if self._transport is not None:
            await self._transport.close()
        await self._tasks.close()

    # ---- chain duties

    async def _stake(self) -> None:
        chain, account = self._ports.chain, self._keys.account
        deposit = await chain.deposit(account.address)
        if deposit.total < self._settings.stake:
            await chain.send(Stake(amount=Wei(self._settings.stake - deposit.total)), account)
        signer = self._keys.signer.address
        if not await chain.may_sign(account.address, signer):
            until = (await chain.head()).time_s + DELEGATION_S
            await chain.send(Delegate(signer=signer, until=until), account)

    async def _publish(self, address: str) -> SignedNodeRecord:
        chain, account = self._ports.chain, self._keys.account
        self._accounts.chequebook = await open_chequebook(
            self._keys, self._ports, self._committer, self._settings.chequebook_amount
        )
        record = NodeRecord(
            network=chain.network.id,
            identity=account.address,
            signer=self._keys.signer.address,
            transport_key=self._keys.transport_key,
            seal_key=bytes(self._keys.seal_key(0).public_key),
            underlays=(address,),
            chequebook=self._accounts.chequebook,
            roles=PROVIDER | (DRAINING if self.is_draining else 0),
            time_s=int(self._ports.clock.now_s()),
        )
        signed = SignedNodeRecord(record=record, signature=sign(record, account))
        await chain.send(SetRecord(kind=RecordKind.NODE, record=encode(signed)), account)
        return signed

    # ---- wiring

    async def _serve(self, me: SignedNodeRecord, transport: Transport) -> None:
        directory = Directory(
            me,
            transport=transport,
            chain=self._ports.chain,
            sessions=self._sessions,
            accounts=self._accounts,
            settings=self._node,
        )
        context = Context(
            keys=self._keys,
            network=self._ports.chain.network,
            chain=self._ports.chain,
            clock=self._ports.clock,
            entropy=self._ports.entropy,
            store=self._ports.store,
            committer=self._committer,
            run_blocking=self._ports.run_blocking,
            directory=directory,
            node=self._node,
            settings=self._settings,
            damage=self._damage,
            invited=set(),
        )
        feed = Feed()
        offering = Offering(context)
        await offering.look()
        duties = Duties(context, offering)
        intake = Intake(context, self._acknowledger, feed)
        serving = Serving(context, feed)
        shards = Shards(context)
        sealing = Sealing(context, intake)
        completing = Completing(context, sealing)
        healing = Healing(context, duties, sealing, completing)
        court = Court(context, shards, offering.on_event)
        repairing = Repairing(context, court)
        taking_over = TakingOver(context, duties, sealing)
        leaving = self._leaving = Leaving(context, sealing)
        self._gauges = Gauges(
            store=self._ports.store,
            committer=self._committer,
            server=self._server,
            completing=completing,
            healing=healing,
            repairing=repairing,
            damage=self._damage,
        )
        answering = {
            **_finding(duties, Finding(context)),
            **_reading(serving, shards, healing, RowTrees(context, serving)),
            **_writing(duties, intake, sealing, taking_over),
            **_moving(healing, leaving),
        }
        self._server.serve(me, duties.offer, answering, serving.on_follow)
        self._server.on_arrival = healing.arrived
        healing.began()
        self._loop("offering", offering.look, self._node.poll_s)
        self._loop("court", court.look, self._node.poll_s)
        self._loop("auditing", Auditing(context, court).look, self._node.poll_s)
        self._loop("repairing", repairing.look, self._node.poll_s)
        notice = Notice(context, court, repairing, sealing)
        self._loop("notice", notice.look, self._settings.reconcile_s)
        self._loop("leaving", leaving.look, self._settings.reconcile_s)
        self._loop("taking over", taking_over.look, self._settings.reconcile_s)
        self._loop("restoring", Restoring(context, intake, sealing).look, RESTORING_S)
        self._loop("healing", healing.look, self._settings.reconcile_s)
        self._loop("meeting", healing.meet, MEETING_S)
        self._loop("accounts", self._settle, self._node.poll_s)
        self._loop("earnings", Earnings(context).look, self._settings.collect_s)

    async def _settle(self) -> None:
        await self._accounts.flush()
        await self._accounts.cash(self._settings.cash_above)

    def _loop(self, name: str, work: Callable[[], Awaitable[None]], every_s: float) -> None:
        self._tasks.spawn(name, _forever(name, work, every_s, self._damage.note))


async def _forever(
    name: str,
    work: Callable[[], Awaitable[None]],
    every_s: float,
    note: Callable[[MfdbError], None],
) -> None:
    """Do some work again and again; what fails now is tried again next time."""
    while True:
        await asyncio.sleep(every_s)
        try:
            await work()
        except MfdbError as error:
            note(error)
            log.warning("%s failed, will be tried again: %s", name, error)
        except Exception:
            # A bug in one duty must not end it: a provider that stops answering cases is slashed.
            log.exception("%s failed, will be tried again", name)


def _finding(duties: Duties, finding: Finding) -> dict[type[Record], Answering]:
    return {
        requests.FindDatasets: finding.on_find_datasets,
        requests.GetDataset: duties.on_get_dataset,
        requests.GetHistory: duties.on_get_history,
        requests.GetSegments: duties.on_get_segments,
    }


def _reading(
    serving: Serving, shards: Shards, healing: Healing, trees: RowTrees
) -> dict[type[Record], Answering]:
    return {
        requests.ReadLog: serving.on_read_log,
        requests.GetKeys: serving.on_get_keys,
        requests.GetRoot: serving.on_get_root,
        requests.GetRows: trees.on_get_rows,
        requests.GetChanges: trees.on_get_changes,
        requests.GetReceipts: serving.on_get_receipts,
        requests.GetCopies: serving.on_get_copies,
        requests.GetShard: shards.on_get_shard,
        requests.Audit: lambda request, _: shards.on_audit(request),
        requests.Reconcile: healing.on_reconcile,
    }


def _moving(healing: Healing, leaving: Leaving) -> dict[type[Record], Answering]:
    return {
        requests.Heal: healing.on_heal,
        requests.Recode: leaving.on_recode,
        requests.PutCopies: leaving.on_put_copies,
        requests.PutReleases: leaving.on_put_releases,
    }


def _writing(
    duties: Duties, intake: Intake, sealing: Sealing, taking_over: TakingOver
) -> dict[type[Record], Answering]:
    return {
        requests.PutChangeset: lambda request, _: intake.on_put_changeset(request),
        requests.PutChangesets: lambda request, _: intake.on_put_changesets(request),
        requests.PutReceipts: intake.on_put_receipts,
        requests.Shred: intake.on_shred,
        requests.ProposeAgreement: duties.on_propose_agreement,
        requests.PutManifest: lambda request, _: duties.on_put_manifest(request),
        requests.PutPlacement: lambda request, _: duties.on_put_placement(request),
        requests.SealNow: sealing.on_seal_now,
        requests.ListHot: sealing.on_list_hot,
        requests.PrepareSeal: sealing.on_prepare_seal,
        requests.ProposeSeal: sealing.on_propose_seal,
        requests.PutShard: lambda request, _: sealing.on_put_shard(request),
        requests.PutSealed: lambda request, _: sealing.on_put_sealed(request),
        requests.TakeOver: taking_over.on_take_over,
    }
