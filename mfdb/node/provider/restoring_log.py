"""Mending what is kept of single changesets, and the log that they stand in.

header, versions       -> the changeset that they are read from: here, at a replica, or in shards
what opens a changeset -> other replicas, verified by what its operations commit to
receipts               -> other replicas, verified by their signature; an own one that nobody has
is signed once more, over the very same acknowledgement
log                    -> the number that is kept with every changeset, and the other way round
bytes of a changeset   -> other replicas
sums and sizes         -> counted again
a sealing under way    -> what is unsealed is marked anew; what was signed is told by its segment,
or made again of what is listed here, or others signed; until then nothing else is signed
"""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from mfdb.kernel.codec import encode
from mfdb.kernel.errors import ProtocolViolation
from mfdb.kernel.ids import ZERO_HASH, Address, ChangesetId, DatasetId, Hash
from mfdb.node.answers import HotList, Keys, Receipts
from mfdb.node.provider import hot_index, records, rows, sealed_shelf, shelf
from mfdb.node.provider.records import DamagedRecord
from mfdb.node.provider.sources import answers, other_providers
from mfdb.node.requests import GetKeys, GetReceipts, ListHot
from mfdb.rules.changeset import Header, open_changeset
from mfdb.rules.key_log import KeyLogEntry, check_entry
from mfdb.rules.receipt import (
    Promised,
    WriteReceipt,
    acknowledge,
    check_promise,
    log_head,
    sign_batch,
)
from replication.seal import missing
from replication.segment import build_segment, certify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mfdb.kernel.codec import Record
    from mfdb.kernel.ids import SegmentId
    from mfdb.node.commit import Transaction
    from mfdb.node.provider.context import Context
    from mfdb.node.provider.intake import Intake
    from mfdb.node.provider.sealing import Sealing
    from mfdb.node.provider.shelf import View
    from mfdb.rules.changeset import Changeset
    from mfdb.store.port import Store

log = logging.getLogger(__name__)
_KINDS: dict[bytes, type[Record]] = {
    b"h": Header,
    b"K": KeyLogEntry,
    b"V": rows.ChangesetMeta,
    b"R": WriteReceipt,
    b"H": shelf.LogTip,
}


_PLAIN: dict[bytes, Callable[[bytes, bytes], object]] = {
    b"r": shelf.heard,
    b"L": shelf.entry_in,
    b"N": shelf.number_in,
    b"u": shelf.number_in,
    b"c": sealed_shelf.segment_in,
    b"k": sealed_shelf.ids_in,
    b"i": sealed_shelf.ids_in,
    b"O": hot_index.opened,
}


_COUNTED = (b"O", b"u", b"k")


class RestoringLog:
    """The part of the mending that is about writes."""

    def __init__(self, context: Context, intake: Intake, sealing: Sealing) -> None:
        self._context = context
        self._intake = intake
        self._sealing = sealing

    def is_whole(self, view: View, key: bytes) -> bool:
        """Return whether the record under a key is whole, or is not kept any more."""
        data, table = view.get(key), key[:1]
        if data is None:
            return table != b"L"
        if table == b"X":
            return self._intake.soundness.is_sound(ChangesetId(Hash(key[33:])), data)
        try:
            if table in _KINDS:
                records.opened(_KINDS[table], key, data)
            elif table in _PLAIN:
                _PLAIN[table](key, data)
        except DamagedRecord:
            return False  # the answer asked for
        return True

    async def restore(self, key: bytes, dataset: DatasetId) -> None:
        """Mend a record, if that can be done at present."""
        id_ = ChangesetId(Hash(key[33:65]))
        match key[:1]:
            case b"h":
                await self._header(dataset, id_)
            case b"K":
                await self._entry(dataset, id_)
            case b"V":
                await self._versions(dataset, id_)
            case b"R" | b"r":
                await self._receipt(key, dataset, id_)
            case b"H" | b"L":
                await self._number(dataset)
            case b"N":
                await self._number_of(dataset, id_)
            case b"X":
                others = await other_providers(self._context, dataset)
                await self._sealing.copies.fetch(dataset, [id_], others)
            case b"c" | b"i":
                await self._signed(dataset, int.from_bytes(key[33:], "big"))
            case table if table in _COUNTED:
                again = partial(_count_again, key=key, dataset=dataset)
                await self._context.committer.submit(again)
            case _:
                log.error("nobody mends key=0x%s", key.hex())

    # ---- what follows from the changeset

    async def _changeset(self, dataset: DatasetId, id_: ChangesetId) -> Changeset:
        """Return a changeset from wherever it is.

        Raises:
            StripeLost: it is nowhere to be had at present.
            DamagedRecord: it is not, and not sealed either.
        """
        copies = self._sealing.copies
        found = copies.held(dataset, [id_])
        if not found:
            others = await other_providers(self._context, dataset)
            found = await copies.fetch(dataset, [id_], others)
        if not found:
            found = await self._sealing.unpacked(dataset, [id_])
        if id_ not in found:
            raise records.damaged(b"", "changeset")
        return open_changeset(found[id_])

    async def _header(self, dataset: DatasetId, id_: ChangesetId) -> None:
        header = (await self._changeset(dataset, id_)).header
        await self._context.committer.submit(
            lambda transaction: shelf.put_header(transaction, dataset, id_, header)
        )

    async def _versions(self, dataset: DatasetId, id_: ChangesetId) -> None:
        changeset = await self._changeset(dataset, id_)
        await self._context.committer.submit(
            lambda transaction: rows.put_meta(
                transaction, self._intake.judged(transaction, changeset)
            )
        )

    async def _entry(self, dataset: DatasetId, id_: ChangesetId) -> None:
        """Take what others keep; a salt that was destroyed anywhere was to be everywhere."""
        changeset = await self._changeset(dataset, id_)
        good: list[KeyLogEntry] = []
        request = GetKeys(dataset=dataset, changesets=(id_,))
        async for told in answers(self._context, dataset, request, Keys):
            for entry in told.entries[:1]:
                try:
                    check_entry(entry, changeset)
                except ProtocolViolation as error:
                    log.warning("what opens a changeset is not good: %s", error)
                else:
                    good.append(entry)
        if good:
            shredded = {at for one in good for at, salt in enumerate(one.salts) if not salt}
            newest = max(good, key=lambda one: one.key_epoch).without(shredded)
            await self._context.committer.submit(
                lambda transaction: shelf.put_key_entry(transaction, newest)
            )

    # ---- receipts

    async def _receipt(self, key: bytes, dataset: DatasetId, id_: ChangesetId) -> None:
        giver, is_own = Address(key[65:]), key.startswith(b"R")
        signer = self._context.keys.signer.address
        if giver != self._context.me:
            signer = (await self._context.directory.record(giver)).signer
        request = GetReceipts(dataset=dataset, changeset=id_)
        told_by = 0
        async for told in answers(self._context, dataset, request, Receipts):
            told_by += 1
            for receipt in told.receipts:
                if receipt.batch.provider == giver and self._is_good(receipt, id_, signer):
                    await self._keep(dataset, receipt, signer, is_own=is_own)
                    return
        if giver == self._context.me:
            await self._sign_again(dataset, id_)
        elif told_by:
            log.error("nobody has the receipt any more key=0x%s", key.hex())
            await self._context.committer.submit(lambda transaction: transaction.delete(key))

    def _is_good(self, receipt: WriteReceipt, id_: ChangesetId, signer: Address) -> bool:
        promised = Promised(receipt.ack.root, receipt.ack.units)
        try:
            check_promise(receipt, promised, network=self._context.network, signer=signer)
        except ProtocolViolation as error:
            log.warning("a receipt that was told is not good: %s", error)
            return False
        return bytes(receipt.ack.changeset) == id_

    async def _keep(
        self, dataset: DatasetId, receipt: WriteReceipt, signer: Address, *, is_own: bool
    ) -> None:
        def change(transaction: Transaction) -> None:
            if is_own:
                shelf.put_receipt(transaction, dataset, receipt)
            else:
                shelf.put_heard_receipt(transaction, dataset, receipt, signer, encode(receipt))

        await self._context.committer.submit(change)

    async def _sign_again(self, dataset: DatasetId, id_: ChangesetId) -> None:
        """Acknowledge once more what stands in our log, at the place where it stands."""
        held = self._sealing.copies.held(dataset, [id_])
        made = self._context.placement(dataset).agreements.get(self._context.me)
        heads = await self._context.run_blocking(lambda: self._heads(dataset))
        with self._context.store.snapshot() as view:
            number = shelf.log_number(view, dataset, id_)
        if id_ not in held or made is None or number is None:
            log.error("a receipt cannot be signed again changeset=0x%s", id_.hex())
            return
        ack = acknowledge(
            made.agreement.id,
            id_,
            Promised.of(held[id_]),
            place=(number, heads[number][1]),
            expiry=made.agreement.end,
        )

        def change(transaction: Transaction) -> None:
            (receipt,) = sign_batch(
                [ack],
                provider=self._context.me,
                number=shelf.next_batch(transaction),
                signer=self._context.keys.signer,
                network=self._context.network,
            )
            shelf.put_receipt(transaction, dataset, receipt)

        await self._context.committer.submit(change)

    # ---- sealings

    async def _signed(self, dataset: DatasetId, number: int) -> None:
        """Write down again which certificate was signed for a segment's number, and its list."""
        with self._context.store.snapshot() as view:
            bundles = sealed_shelf.segments(view, dataset)
        for bundle in bundles:
            if bundle.certificate.number == number:
                named = bundle.certificate.segment
                await self._keep_signed(dataset, number, named, bundle.changesets)
                return
        segment, lists = _signed_as_kept(self._context.store, dataset, number)
        if segment is not None:
            request = ListHot(dataset=dataset, number=number)
            lists = [
                told.signed async for told in answers(self._context, dataset, request, HotList)
            ]
        for ids in lists:
            made = await self._remade(dataset, number, ids)
            if made is not None and segment in (None, made):
                await self._keep_signed(dataset, number, made, ids)
                return

    async def _remade(
        self, dataset: DatasetId, number: int, ids: tuple[ChangesetId, ...]
    ) -> SegmentId | None:
        """Return which segment listed changesets make; None if not all can be had at present."""
        copies, others = self._sealing.copies, await other_providers(self._context, dataset)
        held = await copies.fetch(dataset, ids, others)
        held |= await self._sealing.unpacked(dataset, missing(ids, held.keys()))
        if not ids or missing(ids, held.keys()):
            return None
        with self._context.store.snapshot() as view:
            manifest = shelf.manifest(view, dataset)
        k, n = manifest.profile.k, manifest.profile.n

        def make() -> SegmentId:
            segment = build_segment(number, held.items())
            return certify(manifest.subject, number, sorted(held), segment, k=k, n=n)[0].segment

        return await self._context.run_blocking(make)

    async def _keep_signed(
        self, dataset: DatasetId, number: int, segment: SegmentId, ids: tuple[ChangesetId, ...]
    ) -> None:
        await self._context.committer.submit(
            lambda transaction: sealed_shelf.put_signed_segment(
                transaction, dataset, number, segment, ids
            )
        )

    # ---- the log

    async def _number_of(self, dataset: DatasetId, id_: ChangesetId) -> None:
        """Find where a changeset stands in the log."""
        with self._context.store.snapshot() as view:
            found = [number for number, one in _entries(view, dataset).items() if one == id_]
        if len(found) == 1:
            await self._context.committer.submit(
                lambda transaction: shelf.put_log_number(transaction, dataset, id_, found[0])
            )

    async def _number(self, dataset: DatasetId) -> None:
        """Write the log and its tip anew; while the tip is damaged nothing is added to it."""
        heads = await self._context.run_blocking(lambda: self._heads(dataset))
        gone = await self._context.run_blocking(lambda: self._gone(dataset, heads))
        newest = await self._context.run_blocking(lambda: self._newest(dataset))
        tip = shelf.LogTip(len(heads) - 1, heads[-1][1] if heads else ZERO_HASH, newest)

        def change(transaction: Transaction) -> None:
            for number in gone:
                shelf.put_log_entry(transaction, dataset, number, heads[number][0])
            try:
                shelf.tip(transaction, dataset)
            except DamagedRecord:
                shelf.put_tip(transaction, dataset, tip)

        await self._context.committer.submit(change)

    def _heads(self, dataset: DatasetId) -> Sequence[tuple[ChangesetId, Hash]]:
        """Return every changeset of the log, by number, with the head after it."""
        with self._context.store.snapshot() as view:
            numbered = sorted(_numbers(view, dataset))
        heads: list[tuple[ChangesetId, Hash]] = []
        head = ZERO_HASH
        for number, (found, id_) in enumerate(numbered):
            if number != found:
                raise records.damaged(b"", "log")
            head = log_head(head, number, id_)
            heads.append((id_, head))
        return heads

    def _gone(self, dataset: DatasetId, heads: Sequence[tuple[ChangesetId, Hash]]) -> list[int]:
        """Return which numbers of the log name another changeset than stands there, or none."""
        with self._context.store.snapshot() as view:
            kept = _entries(view, dataset)
            return [number for number, (id_, _) in enumerate(heads) if kept.get(number) != id_]

    def _newest(self, dataset: DatasetId) -> int:
        with self._context.store.snapshot() as view:
            headers = records.every(view, b"h" + dataset, Header)
            return max((header.hlc for header in headers), default=0)


def _numbers(view: View, dataset: DatasetId) -> Iterator[tuple[int, ChangesetId]]:
    """Yield the log number of every changeset that ever came here, with the changeset."""
    prefix = b"N" + dataset
    for key, data in view.scan(prefix):
        yield shelf.number_in(key, data), ChangesetId(key[len(prefix) :])


def _entries(view: View, dataset: DatasetId) -> dict[int, ChangesetId]:
    """Return every changeset of the log by its number, as far as that is sound."""
    prefix = b"L" + dataset
    kept: dict[int, ChangesetId] = {}
    for key, data in view.scan(prefix):
        with suppress(DamagedRecord):  # it is what is to be mended
            kept[int.from_bytes(key[len(prefix) :], "big")] = shelf.entry_in(key, data)
    return kept


def _count_again(transaction: Transaction, key: bytes, dataset: DatasetId) -> None:
    """Write down again what follows from other things that lie here."""
    if key.startswith(b"O"):
        hot_index.sum_again(transaction, key)
    elif key.startswith(b"u"):
        sealed_shelf.count_bytes(transaction, dataset)
    else:  # what was marked lies here until it is sealed
        ids = tuple(entry.changeset for entry in hot_index.entries(transaction, dataset))
        sealed_shelf.put_mark(transaction, dataset, int.from_bytes(key[33:], "big"), ids)


def _signed_as_kept(
    store: Store, dataset: DatasetId, number: int
) -> tuple[SegmentId | None, list[tuple[ChangesetId, ...]]]:
    """Return what is sound of the certificate signed for a number: its segment, or its list."""
    with store.snapshot() as view:
        try:
            return sealed_shelf.signed_segment(view, dataset, number), []
        except DamagedRecord as error:
            log.info("the list must tell it: %s", error)
        try:
            return None, [sealed_shelf.signed_changesets(view, dataset, number)]
        except DamagedRecord as error:
            log.warning("nothing is known any more of what was signed: %s", error)
        return None, []
