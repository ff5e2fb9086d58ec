"""Accepting writes: judged by the dataset's rules, logged, and acknowledged once durable.

The receipts of a group commit share one signature, and they are part of the very transaction that
makes the changesets durable: what was promised is never forgotten, and a restart never signs a
second root for the same batch number (DESIGN 5).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from mfdb.dataset.acceptance import (
    Accepted,
    Knowledge,
    as_named,
    check_fresh,
    check_frontier,
    heads_left,
    judge,
)
from mfdb.kernel.codec import encode
from mfdb.kernel.errors import (
    AccessDenied,
    BadProof,
    CapacityExceeded,
    MfdbError,
    ReplicaBehind,
    ValueTooLarge,
)
from mfdb.kernel.ids import ChangesetId, Hash
from mfdb.net.refusal import encode_refusal
from mfdb.node.answers import Acknowledged, AllAnswered, Answered, Done
from mfdb.node.provider import rows, shelf
from mfdb.node.provider.soundness import Soundness
from mfdb.node.provider.standing import Standings
from mfdb.rules.changeset import Changeset, is_changeset, open_changeset
from mfdb.rules.key_log import KeyLogEntry, check_entry
from mfdb.rules.receipt import (
    Promised,
    WriteReceipt,
    acknowledge,
    check_bytes,
    check_promise,
    log_head,
    sign_batch,
)
from mfdb.rules.units import UnitTree

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection, Iterable

    from mfdb.kernel.ids import Address, DatasetId, RowId, VersionId
    from mfdb.kernel.seed import IdentityKeys
    from mfdb.node.commit import Transaction
    from mfdb.node.provider.context import Context
    from mfdb.node.provider.feed import Feed
    from mfdb.node.provider.shelf import LogTip
    from mfdb.node.requests import PutChangeset, PutChangesets, PutReceipts, Shred
    from mfdb.rules.changeset import Header
    from mfdb.rules.evidence import Network, WriteAck

A = TypeVar("A")

log = logging.getLogger(__name__)
RECEIPTS_AT_ONCE = 1_000
"""In one request; a client hands over fewer (`mfdb.node.client.rounds.ROUND_RECEIPTS`)."""


@dataclass(slots=True)
class Pending:
    """A changeset that is in the open transaction; its receipt comes with the group's signature."""

    dataset: DatasetId
    ack: WriteAck
    receipt: WriteReceipt | None = None


_Taken = Pending | WriteReceipt
"""What is acknowledged by the group's signature, or was before."""


class Acknowledger:
    """Signs the acks of a group commit; the committer calls it before every commit."""

    def __init__(self, keys: IdentityKeys, network: Network) -> None:
        self._keys = keys
        self._network = network
        self._pending: dict[tuple[DatasetId, Hash], Pending] = {}

    def add(self, pending: Pending) -> None:
        """Let a changeset of the open transaction be acknowledged."""
        self._pending[pending.dataset, pending.ack.changeset] = pending

    def waiting(self, dataset: DatasetId, changeset: ChangesetId) -> Pending | None:
        """Return what the open transaction is about to acknowledge for a changeset, or None."""
        return self._pending.get((dataset, Hash(changeset)))

    def sign(self, transaction: Transaction) -> None:
        """Sign what is pending and keep the receipts in the same transaction."""
        group = list(self._pending.values())
        self._pending.clear()
        if not group:
            return
        signed = sign_batch(
            [pending.ack for pending in group],
            provider=self._keys.account.address,
            number=shelf.next_batch(transaction),
            signer=self._keys.signer,
            network=self._network,
        )
        for pending, receipt in zip(group, signed, strict=True):
            shelf.put_receipt(transaction, pending.dataset, receipt)
            pending.receipt = receipt


@dataclass(frozen=True, slots=True)
class _Taking:
    """A changeset on its way in, with all that could be computed before the store is asked."""

    changeset: Changeset
    data: bytes
    entry: KeyLogEntry
    tree: UnitTree


class Intake:
    """The service that takes writes."""

    def __init__(self, context: Context, acknowledger: Acknowledger, feed: Feed) -> None:
        self._context = context
        self._me = context.me
        self._acknowledger = acknowledger
        self._feed = feed
        self._standings = Standings(context)
        self.soundness = Soundness()
        """What was taken in, for whoever looks at it again."""

    def on_put_changeset(self, request: PutChangeset) -> asyncio.Future[Acknowledged]:
        """Take a new write; one that is here already is acknowledged by its first receipt.

        Raises:
            AccessDenied, StaleWrite, BadProof, BadSignature, WrongNetwork: it is refused.
            ReplicaBehind: what it builds on has not come here yet.
            StoreFull: the disk is full; nothing was kept.
        """
        changeset = open_changeset(request.data)
        return self._enqueue(
            changeset, request.data, request.entry, fresh=True, answer=_acknowledged
        )

    async def on_put_changesets(self, request: PutChangesets) -> AllAnswered:
        """Take several new writes, in one commit; each is answered for itself."""
        taken: list[asyncio.Future[WriteReceipt] | MfdbError] = []
        for put in request.puts:
            try:
                changeset = open_changeset(put.data)
                taken.append(
                    self._enqueue(changeset, put.data, put.entry, fresh=True, answer=_itself)
                )
            except MfdbError as error:
                taken.append(error)
        return AllAnswered(answers=tuple([await self._answered(one) for one in taken]))

    async def _answered(self, taken: asyncio.Future[WriteReceipt] | MfdbError) -> Answered:
        if isinstance(taken, MfdbError):
            return Answered(None, encode_refusal(taken))
        try:
            return Answered(await taken, b"")
        except MfdbError as error:
            return Answered(None, encode_refusal(error))

    async def take(
        self, changeset: Changeset, data: bytes, entry: KeyLogEntry, *, fresh: bool
    ) -> WriteReceipt:
        """Return this provider's receipt for a changeset, once it is durable.

        `fresh` asks for what only a new write must satisfy: its parents are still heads.
        """
        return await self._enqueue(changeset, data, entry, fresh=fresh, answer=_itself)

    def _enqueue(
        self,
        changeset: Changeset,
        data: bytes,
        entry: KeyLogEntry,
        *,
        fresh: bool,
        answer: Callable[[WriteReceipt], A],
    ) -> asyncio.Future[A]:
        check_entry(entry, changeset)
        dataset = changeset.header.dataset
        taking = _Taking(changeset, data, entry, UnitTree(data))

        def told(taken: _Taken) -> A:
            self._feed.wake(dataset)
            return answer(_receipt(taken))

        return self._context.committer.enqueue(
            lambda transaction: self._take(transaction, taking, fresh=fresh), told
        )

    def _take(self, transaction: Transaction, taking: _Taking, *, fresh: bool) -> _Taken:
        dataset, id_ = taking.entry.dataset, taking.entry.changeset
        receipt = shelf.receipt_of(transaction, dataset, id_, self._me)
        promised = receipt or self._acknowledger.waiting(dataset, id_)
        standing = self._standings.of(transaction, dataset)
        known = standing.knowledge(transaction, dataset)
        if promised is not None:
            _mend(transaction, taking)
            if fresh:  # kept it is, as promised, but it would not count for anybody
                check_frontier(taking.changeset, known)
            return promised
        accepted = self._judge(transaction, taking.changeset, known, fresh=fresh)
        self.soundness.note(id_, taking.data, taking.tree)
        made = standing.agreement
        _demand_room(transaction, dataset, made.capacity_bytes, len(taking.data))
        tip = self._log(transaction, id_, taking.changeset.header)
        shelf.put_changeset(transaction, taking.entry, taking.changeset.header, taking.data)
        rows.put_versions(transaction, accepted, tip.number)
        ack = acknowledge(
            standing.agreement_id,
            id_,
            Promised.by(taking.tree),
            place=(tip.number, tip.head),
            expiry=made.end,
        )
        pending = Pending(dataset, ack)
        self._acknowledger.add(pending)
        return pending

    def judged(self, transaction: Transaction, changeset: Changeset) -> Accepted:
        """Return what a changeset that was taken once was found to say.

        Raises:
            AccessDenied, ReplicaBehind, UnknownDataset: it cannot be said any more.
        """
        dataset = changeset.header.dataset
        known = self._standings.of(transaction, dataset).knowledge(transaction, dataset)
        return self._judge(transaction, changeset, known, fresh=False)

    def _judge(
        self, transaction: Transaction, changeset: Changeset, known: Knowledge, *, fresh: bool
    ) -> Accepted:
        dataset, now_s = changeset.header.dataset, self._context.clock.now_s()
        known = known if fresh else as_named(changeset, known)
        verdict = judge(changeset, known, network=self._context.network.id, now_s=now_s)
        if not isinstance(verdict, Accepted):
            raise ReplicaBehind(
                "the write names a manifest or row version that is not known here yet",
                hint="sync and write again",
            )
        if fresh:
            check_fresh(
                verdict,
                known,
                heads_of=lambda row: _heads(transaction, dataset, row, known),
                now_s=now_s,
            )
        return verdict

    def _log(self, transaction: Transaction, id_: ChangesetId, header: Header) -> LogTip:
        tip = shelf.tip(transaction, header.dataset)
        number, newest = tip.number + 1, max(tip.newest, header.hlc)
        after = shelf.LogTip(number, log_head(tip.head, number, id_), newest)
        shelf.put_log(transaction, header.dataset, id_, after)
        return after

    async def on_put_receipts(self, request: PutReceipts, caller: Address) -> Done:
        """Keep other replicas' receipts, handed over by a provider or somebody with a right here.

        Raises:
            AccessDenied: the caller is none of them.
            ValueTooLarge: there are more than anybody has to hand over at once.
            BadProof, BadSignature: one is not what it says.
        """
        if len(request.receipts) > RECEIPTS_AT_ONCE:
            raise ValueTooLarge(f"at most {RECEIPTS_AT_ONCE} receipts are taken at once")
        self._context.demand_part(request.dataset, caller)
        return await self.keep_receipts(request)

    async def keep_receipts(self, request: PutReceipts) -> Done:
        """Keep other replicas' receipts beside the changesets that they are for.

        The first that comes of a provider for a changeset is taken on what it says; its proof is
        verified when it is asked for. Any other than the first must prove itself at once.

        Raises:
            BadProof, BadSignature: one is not what it says.
        """
        signers = await self._signers(request.dataset, request.receipts)
        agreed = self._context.placement(request.dataset).agreements
        for receipt in request.receipts:
            if receipt.ack.agreement != agreed[receipt.batch.provider].agreement.id:
                raise BadProof("a receipt names another agreement than its provider's")
        await self._context.committer.submit(
            lambda transaction: self._keep(transaction, request, signers)
        )
        return Done()

    async def _signers(
        self, dataset: DatasetId, receipts: Iterable[WriteReceipt]
    ) -> dict[Address, Address]:
        providers = set(self._context.placement(dataset).providers)
        named = dict.fromkeys(receipt.batch.provider for receipt in receipts)
        if not providers.issuperset(named):
            raise BadProof("a receipt is of somebody who is no provider of the dataset")
        records = [await self._context.directory.record(provider) for provider in named]
        return {record.identity: record.signer for record in records}

    def _keep(
        self, transaction: Transaction, request: PutReceipts, signers: dict[Address, Address]
    ) -> None:
        dataset, network = request.dataset, self._context.network
        promised: dict[ChangesetId, Promised | None] = {}
        for receipt in request.receipts:
            id_, provider = ChangesetId(receipt.ack.changeset), receipt.batch.provider
            if provider == self._me:
                continue  # nobody knows better what was promised here
            if id_ not in promised:
                promised[id_] = self._promised(transaction, dataset, id_)
            due, data = promised[id_], encode(receipt)
            if due is None:
                continue
            kept = shelf.heard_receipt(transaction, dataset, id_, provider)
            if kept is None:
                check_bytes(receipt, due)
            elif kept == data:
                continue
            else:
                check_promise(receipt, due, network=network, signer=signers[provider])
            shelf.put_heard_receipt(transaction, dataset, receipt, signers[provider], data)

    def _promised(
        self, transaction: Transaction, dataset: DatasetId, id_: ChangesetId
    ) -> Promised | None:
        """Return what a receipt for a changeset must promise: what our own one does."""
        if shelf.changeset_data(transaction, dataset, id_) is None:
            return None
        own = shelf.receipt_of(transaction, dataset, id_, self._context.me)
        return None if own is None else Promised(own.ack.root, own.ack.units)

    async def on_shred(self, request: Shred, caller: Address) -> Done:
        """Destroy row salts for the dataset's owner: those rows can never be opened again.

        Raises:
            AccessDenied: the caller is not the owner.
        """
        with self._context.store.snapshot() as view:
            owner = shelf.manifest(view, request.dataset).owner
        if caller != owner:
            raise AccessDenied("only the dataset's owner may shred rows")
        await self._context.committer.submit(lambda transaction: _shred(transaction, request))
        return Done()


def _heads(
    transaction: Transaction, dataset: DatasetId, row: RowId, known: Knowledge
) -> Collection[VersionId]:
    """Return the versions of a row that a new one may supersede.

    Once rights were revoked, a row's newest version may be one that no reader counts.
    """
    if not any(manifest.revocations for manifest in known.manifests):
        return rows.heads(transaction, dataset, row)
    return heads_left(rows.versions(transaction, dataset, row), known)


def _itself(receipt: WriteReceipt) -> WriteReceipt:
    return receipt


def _acknowledged(receipt: WriteReceipt) -> Acknowledged:
    return Acknowledged(receipt=receipt)


def _receipt(taken: _Taken) -> WriteReceipt:
    """Return the receipt for what is durable now."""
    receipt = taken.receipt if isinstance(taken, Pending) else taken
    if receipt is None:
        raise BadProof("a committed changeset has no receipt")
    return receipt


def _mend(transaction: Transaction, taking: _Taking) -> None:
    """Put good bytes in the place of kept ones that rotted on the disk."""
    id_, data = taking.entry.changeset, taking.data
    kept = shelf.changeset_data(transaction, taking.entry.dataset, id_)
    if kept is not None and kept != data and is_changeset(id_, data):
        log.warning("mended a damaged changeset=0x%s", id_.hex())
        shelf.mend_changeset(transaction, taking.entry.dataset, id_, data)


def _demand_room(
    transaction: Transaction, dataset: DatasetId, capacity_bytes: int, size_bytes: int
) -> None:
    """A strangers' mailbox may not outgrow what its owner pays for and a deposit stands for."""
    used = shelf.used_bytes(transaction, dataset)
    if used + size_bytes > capacity_bytes:
        raise CapacityExceeded(
            f"the agreement is over {capacity_bytes} bytes, {used} are used",
            hint="the owner can seal the dataset or make a larger agreement",
        )


def _shred(transaction: Transaction, request: Shred) -> None:
    for changeset, index in request.salts:
        entry = shelf.key_entry(transaction, request.dataset, changeset)
        if entry is not None:
            shelf.put_key_entry(transaction, entry.without({index}))
