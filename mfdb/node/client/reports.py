"""The rows of the SHOW statements that only the network can answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.chain.port import CaseClosed, CaseOpened
from mfdb.kernel.errors import NotSupportedError, ProgrammingError
from mfdb.kernel.ids import show, show_mft
from mfdb.node.client.health import Health
from mfdb.node.messages import GetReceipts, LogPage, ReadLog, Receipts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mfdb.kernel.ids import DatasetId
    from mfdb.node.accounts import Accounts
    from mfdb.node.client.context import ClientContext
    from mfdb.node.client.lookup import Lookup
    from mfdb.node.directory import Correspondent
    from mfdb.node.messages import LogItem

PAGE_BYTES = 2**20
Table = tuple[list[str], list[tuple[object, ...]]]


class Reports:
    """Tables about providers, segments, receipts, money and cases."""

    def __init__(self, context: ClientContext, lookup: Lookup, accounts: Accounts) -> None:
        self._context = context
        self._lookup = lookup
        self._accounts = accounts
        self._health = Health(context, lookup)
        self._tables: dict[str, Callable[[DatasetId | None], Awaitable[Table]]] = {
            "providers": self._providers,
            "peers": self._providers,
            "segments": self._segments,
            "receipts": self._receipts,
            "balances": self._balances,
            "cheques": self._cheques,
            "deposits": self._deposits,
            "court cases": self._cases,
            "health": self._readings,
            "repairs": self._repairs,
        }

    async def table(self, what: str, dataset: DatasetId | None) -> Table:
        """Return column names and rows.

        Raises:
            NotSupportedError: there is no such table.
        """
        made = self._tables.get(what.lower())
        if made is None:
            known = ", ".join(name.upper() for name in self._tables)
            raise NotSupportedError(f"SHOW {what.upper()} is not known", hint=f"known: {known}")
        return await made(dataset)

    async def _providers(self, dataset: DatasetId | None) -> Table:
        columns = ["provider", "address", "roles", "deposit", "earmarked"]
        records = await self._context.directory.providers()
        roles = await self._roles(dataset)
        rows: list[tuple[object, ...]] = []
        for identity, record in records.items():
            if dataset is not None and identity not in roles:
                continue
            deposit = await self._context.chain.deposit(identity)
            rows.append(
                (
                    show(identity),
                    ", ".join(record.underlays),
                    roles.get(identity, ""),
                    show_mft(deposit.total),
                    show_mft(deposit.earmarked),
                )
            )
        return columns, rows

    async def _roles(self, dataset: DatasetId | None) -> dict[bytes, str]:
        if dataset is None:
            return {}
        placement = (await self._lookup.look(dataset)).placement
        parts: dict[bytes, list[str]] = {}
        for slot, provider in sorted(placement.replicas.items()):
            parts.setdefault(provider, []).append(f"replica {slot}")
        for slot, provider in sorted(placement.shards.items()):
            parts.setdefault(provider, []).append(f"shard {slot}")
        return {provider: ", ".join(names) for provider, names in parts.items()}

    async def _segments(self, dataset: DatasetId | None) -> Table:
        columns = ["segment", "number", "changesets", "bytes", "code", "shards stored"]
        found = await self._lookup.look(_needed(dataset))
        rows: list[tuple[object, ...]] = []
        for bundle in found.segments:
            certificate = bundle.certificate
            stored = len({signed.receipt.shard for signed in bundle.receipts})
            rows.append(
                (
                    show(certificate.segment),
                    certificate.number,
                    certificate.count,
                    certificate.length_bytes,
                    f"{certificate.k}/{certificate.n}",
                    stored,
                )
            )
        return columns, rows

    async def _receipts(self, dataset: DatasetId | None) -> Table:
        columns = ["changeset", "provider", "log number", "expires"]
        named = _needed(dataset)
        found = await self._lookup.look(named)
        correspondent = await self._context.directory.reach_any(found.placement.replica_set)
        rows: list[tuple[object, ...]] = []
        async for item in _log(correspondent, named):
            request = GetReceipts(dataset=named, changeset=item.changeset)
            receipts = item.receipts or (await correspondent.ask(request, Receipts)).receipts
            rows += [
                (show(item.changeset), show(r.batch.provider), r.ack.log_number, r.ack.expiry)
                for r in receipts
            ]
        return columns, rows

    async def _balances(self, _: DatasetId | None) -> Table:
        columns = ["account", "MFT"]
        rows: list[tuple[object, ...]] = [
            (show(self._context.me), show_mft(await self._context.chain.balance(self._context.me)))
        ]
        if any(self._accounts.chequebook):
            chequebook = self._accounts.chequebook
            balance = await self._context.chain.balance(chequebook)
            rows.append((f"chequebook {show(chequebook)}", show_mft(balance)))
        return columns, rows

    async def _cheques(self, _: DatasetId | None) -> Table:
        columns = ["peer", "consumed", "paid", "cheques"]
        rows: list[tuple[object, ...]] = []
        for peer, account in self._accounts.known().items():
            state = account.ledger.account
            serial = account.issued.cheque.serial if account.issued else 0
            rows.append((show(peer), show_mft(state.consumed), show_mft(state.paid), serial))
        return columns, rows

    async def _deposits(self, _: DatasetId | None) -> Table:
        columns = ["provider", "deposit", "earmarked"]
        rows: list[tuple[object, ...]] = []
        for identity in await self._context.directory.providers():
            state = await self._context.chain.deposit(identity)
            rows.append((show(identity), show_mft(state.total), show_mft(state.earmarked)))
        return columns, rows

    async def _cases(self, _: DatasetId | None) -> Table:
        columns = ["case", "accused", "accuser", "shard", "status", "compensation"]
        opened: dict[bytes, CaseOpened] = {}
        closed: dict[bytes, CaseClosed] = {}
        for seen in await self._context.chain.events():
            if isinstance(seen.event, CaseOpened):
                opened[seen.event.case] = seen.event
            elif isinstance(seen.event, CaseClosed):
                closed[seen.event.case] = seen.event
        rows = [_case_row(case, closed.get(id_)) for id_, case in opened.items()]
        return columns, rows

    async def _readings(self, dataset: DatasetId | None) -> Table:
        columns = ["check", "state", "value", "limit", "hint"]
        rows: list[tuple[object, ...]] = [
            (check, "ALARM" if alarms else "ok", value, limit, hint)
            for check, alarms, value, limit, hint in await self._health.readings(_needed(dataset))
        ]
        return columns, rows

    async def _repairs(self, dataset: DatasetId | None) -> Table:
        columns = ["case", "convicted", "segment", "shard", "state", "repaired by"]
        found = await self._lookup.look(_needed(dataset))
        rows: list[tuple[object, ...]] = []
        for case, (opened, paid) in (await self._health.repairs(found)).items():
            repaired = paid is not None and paid.to_repairer > 0
            state = "repaired" if repaired else "owner paid" if paid else "under way"
            receipt = opened.receipt
            by = show(paid.repairer) if paid is not None and repaired else ""
            rows.append(
                (show(case), show(opened.provider), show(receipt.segment), receipt.shard, state, by)
            )
        return columns, rows


async def _log(correspondent: Correspondent, dataset: DatasetId) -> AsyncIterator[LogItem]:
    """Yield every entry of a replica's log, sealed ones too."""
    after = -1
    while True:
        request = ReadLog(dataset=dataset, after=after, limit_bytes=PAGE_BYTES)
        page = await correspondent.ask(request, LogPage)
        for item in page.items:
            yield item
        if not page.items or not page.more:
            return
        after = page.items[-1].number


def _case_row(opened: CaseOpened, closed: CaseClosed | None) -> tuple[object, ...]:
    return (
        show(opened.case),
        show(opened.provider),
        show(opened.accuser),
        opened.receipt.shard,
        closed.status.name.lower().replace("_", " ") if closed else "open",
        show_mft(closed.compensation) if closed else "",
    )


def _needed(dataset: DatasetId | None) -> DatasetId:
    if dataset is None:
        raise ProgrammingError("name a dataset", hint="for example: SHOW SEGMENTS FOR mailbox")
    return dataset
