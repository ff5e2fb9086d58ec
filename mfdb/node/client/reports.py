"""The rows of the SHOW statements that only the network can answer."""

from __future__ import annotations

import datetime
import logging
from decimal import Decimal
from typing import TYPE_CHECKING

from mfdb.chain.port import CaseClosed, CaseOpened, CaseStatus, RecordKind
from mfdb.kernel.digest import sha256
from mfdb.kernel.errors import MfdbError, NotSupportedError
from mfdb.kernel.ids import show, show_mft
from mfdb.node.answers import LogPage, Receipts
from mfdb.node.client.health import Health
from mfdb.node.requests import GetReceipts, ReadLog
from mfdb.rules.records import open_offer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.node.accounts import Accounts
    from mfdb.node.answers import LogItem
    from mfdb.node.client.context import ClientContext
    from mfdb.node.client.lookup import Lookup
    from mfdb.node.directory import Correspondent
    from mfdb.node.whereabouts import Whereabouts

log = logging.getLogger(__name__)
PAGE_BYTES = 2**20
Columns = dict[str, str]
"""The SQL types of a table's columns, by name, in their order."""
Row = tuple[object, ...]
Table = tuple[Columns, list[Row]]

PROVIDERS: Columns = {
    "provider": "IDENTITY",
    "address": "TEXT",
    "roles": "TEXT",
    "deposit": "MFT",
    "earmarked": "MFT",
}
PEERS: Columns = {
    "peer": "IDENTITY",
    "address": "TEXT",
    "connected": "BOOLEAN",
    "consumed": "MFT",
    "served": "MFT",
}
SEGMENTS: Columns = {
    "segment": "TEXT",
    "number": "INTEGER",
    "changesets": "INTEGER",
    "bytes": "BIGINT",
    "code": "TEXT",
    "shards_stored": "INTEGER",
}
RECEIPTS: Columns = {
    "changeset": "TEXT",
    "provider": "IDENTITY",
    "log_number": "BIGINT",
    "expires": "TIMESTAMPTZ",
    "receipt": "TEXT",
    "segment": "TEXT",
    "shard": "INTEGER",
}
OFFERS: Columns = {
    "provider": "IDENTITY",
    "capacity_bytes": "BIGINT",
    "price": "MFT",
    "per_bytes": "BIGINT",
    "per_seconds": "BIGINT",
    "until": "TIMESTAMPTZ",
}
BALANCES: Columns = {"account": "TEXT", "amount": "MFT"}
CHEQUES: Columns = {
    "peer": "IDENTITY",
    "consumed": "MFT",
    "paid": "MFT",
    "cheques": "BIGINT",
    "served": "MFT",
    "received": "MFT",
}
DEPOSITS: Columns = {"provider": "IDENTITY", "deposit": "MFT", "earmarked": "MFT"}
CASES: Columns = {
    "case_id": "TEXT",
    "accused": "IDENTITY",
    "accuser": "IDENTITY",
    "shard": "INTEGER",
    "status": "TEXT",
    "compensation": "MFT",
}
REPUTATION: Columns = {
    "provider": "IDENTITY",
    "score": "DOUBLE PRECISION",
    "open": "INTEGER",
    "acquitted": "INTEGER",
    "convicted": "INTEGER",
    "slashed": "MFT",
}
HEALTH: Columns = {
    "reading": "TEXT",
    "state": "TEXT",
    "value": "TEXT",
    "threshold": "TEXT",
    "hint": "TEXT",
}
REPAIRS: Columns = {
    "case_id": "TEXT",
    "convicted": "IDENTITY",
    "segment": "TEXT",
    "shard": "INTEGER",
    "state": "TEXT",
    "repaired_by": "IDENTITY",
}


COLUMNS: dict[str, Columns] = {
    "providers": PROVIDERS,
    "peers": PEERS,
    "balances": BALANCES,
    "cheques": CHEQUES,
    "deposits": DEPOSITS,
    "offers": OFFERS,
    "court cases": CASES,
    "reputation": REPUTATION,
    "segments": SEGMENTS,
    "receipts": RECEIPTS,
    "health": HEALTH,
    "repairs": REPAIRS,
}
"""The columns of everything that a node tells."""


class Reports:
    """Tables about providers, segments, receipts, money and cases."""

    def __init__(self, context: ClientContext, lookup: Lookup, accounts: Accounts) -> None:
        self._context = context
        self._lookup = lookup
        self._accounts = accounts
        self._health = Health(context, lookup)
        self._of_network: dict[str, Callable[[], Awaitable[list[Row]]]] = {
            "peers": self._peers,
            "balances": self._balances,
            "cheques": self._cheques,
            "deposits": self._deposits,
            "offers": self._offers,
            "court cases": self._cases,
            "reputation": self._reputation,
        }
        self._of_dataset: dict[str, Callable[[DatasetId], Awaitable[list[Row]]]] = {
            "segments": self._segments,
            "receipts": self._receipts,
            "health": self._readings,
            "repairs": self._repairs,
        }

    async def table(self, what: str, dataset: DatasetId | None) -> Table:
        """Return columns and rows; what is told of each dataset has no rows without one.

        Raises:
            NotSupportedError: there is no such table.
        """
        if what == "providers":
            return PROVIDERS, await self._providers(dataset)
        if what in self._of_network:
            return COLUMNS[what], await self._of_network[what]()
        if what in self._of_dataset:
            rows = [] if dataset is None else await self._of_dataset[what](dataset)
            return COLUMNS[what], rows
        known = ", ".join(COLUMNS).upper()
        raise NotSupportedError(f"SHOW {what.upper()} is not known", hint=f"known: {known}")

    async def _providers(self, dataset: DatasetId | None) -> list[Row]:
        records = await self._context.directory.providers()
        roles = await self._roles(dataset)
        rows: list[Row] = []
        for identity, record in records.items():
            if dataset is not None and identity not in roles:
                continue
            deposit = await self._context.chain.deposit(identity)
            rows.append(
                (
                    show(identity),
                    ", ".join(record.underlays),
                    roles.get(identity, ""),
                    _amount(deposit.total),
                    _amount(deposit.earmarked),
                )
            )
        return rows

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

    async def _peers(self) -> list[Row]:
        """Whom we have talked to since the start, and what passed between us."""
        rows: list[Row] = []
        for peer in self._context.directory.met():
            account = self._accounts.of(peer.identity).ledger.account
            address = ", ".join(peer.record.underlays)
            amounts = _amount(account.consumed), _amount(account.served)
            rows.append((show(peer.identity), address, peer.is_open, *amounts))
        return rows

    async def _segments(self, dataset: DatasetId) -> list[Row]:
        found = await self._lookup.look(dataset)
        stored = await self._health.stored(found)
        rows: list[Row] = []
        for bundle in found.segments:
            certificate = bundle.certificate
            rows.append(
                (
                    show(certificate.segment),
                    certificate.number,
                    certificate.count,
                    certificate.length_bytes,
                    f"{certificate.k}/{certificate.n}",
                    stored[certificate.segment],
                )
            )
        return rows

    async def _receipts(self, dataset: DatasetId) -> list[Row]:
        found = await self._lookup.look(dataset)
        correspondent = await self._context.directory.reach_any(found.placement.replica_set)
        rows: list[Row] = []
        async for item in _log(correspondent, dataset):
            request = GetReceipts(dataset=dataset, changeset=item.changeset)
            receipts = item.receipts or (await correspondent.ask(request, Receipts)).receipts
            rows += [
                (
                    show(item.changeset),
                    show(one.batch.provider),
                    one.ack.log_number,
                    _moment(one.ack.expiry),
                    show(sha256(one.ack.words())),
                    None,
                    None,
                )
                for one in receipts
            ]
        return rows + _store_receipts(found)

    async def _balances(self) -> list[Row]:
        me, chain = self._context.me, self._context.chain
        rows: list[Row] = [(show(me), _amount(await chain.balance(me)))]
        chequebook = self._accounts.chequebook
        if any(chequebook):
            rows.append(
                (f"chequebook {show(chequebook)}", _amount(await chain.balance(chequebook)))
            )
        return rows

    async def _cheques(self) -> list[Row]:
        rows: list[Row] = []
        for peer, account in self._accounts.known().items():
            state = account.ledger.account
            serial = account.issued.cheque.serial if account.issued else 0
            amounts = (_amount(state.served), _amount(state.received))
            rows.append(
                (show(peer), _amount(state.consumed), _amount(state.paid), serial, *amounts)
            )
        return rows

    async def _deposits(self) -> list[Row]:
        rows: list[Row] = []
        for identity in await self._context.directory.providers():
            state = await self._context.chain.deposit(identity)
            rows.append((show(identity), _amount(state.total), _amount(state.earmarked)))
        return rows

    async def _offers(self) -> list[Row]:
        network, chain = self._context.network.id, self._context.chain
        rows: list[Row] = []
        for identity, data in sorted((await chain.records(RecordKind.OFFER)).items()):
            try:
                one = open_offer(data, network=network, identity=identity)
            except MfdbError as error:
                log.warning("left out an offer identity=0x%s %s", identity.hex(), error)
                continue
            if one.capacity_bytes:
                price = (_amount(one.price), one.per_bytes, one.per_s)
                until = _moment(one.valid_until) if one.valid_until else None
                rows.append((show(identity), one.capacity_bytes, *price, until))
        return rows

    async def _heard(self) -> list[tuple[CaseOpened, CaseClosed | None]]:
        """Return every case that the chain tells of, with its verdict if there is one."""
        opened: dict[bytes, CaseOpened] = {}
        closed: dict[bytes, CaseClosed] = {}
        for seen in await self._context.chain.events():
            if isinstance(seen.event, CaseOpened):
                opened[seen.event.case] = seen.event
            elif isinstance(seen.event, CaseClosed):
                closed[seen.event.case] = seen.event
        return [(case, closed.get(id_)) for id_, case in opened.items()]

    async def _cases(self) -> list[Row]:
        return [_case_row(case, closed) for case, closed in await self._heard()]

    async def _reputation(self) -> list[Row]:
        """What the court found about each provider; who was never accused has an even score."""
        records: dict[Address, _Record] = {
            identity: _Record() for identity in await self._context.directory.providers()
        }
        for case, closed in await self._heard():
            records.setdefault(case.provider, _Record()).add(closed)
        return [(show(identity), *record.row()) for identity, record in records.items()]

    async def _readings(self, dataset: DatasetId) -> list[Row]:
        return [
            (check, "ALARM" if alarms else "ok", value, limit, hint)
            for check, alarms, value, limit, hint in await self._health.readings(dataset)
        ]

    async def _repairs(self, dataset: DatasetId) -> list[Row]:
        found = await self._lookup.look(dataset)
        rows: list[Row] = []
        for case, (opened, paid) in (await self._health.repairs(found)).items():
            repaired = paid is not None and paid.to_repairer > 0
            state = "repaired" if repaired else "owner paid" if paid else "under way"
            receipt = opened.receipt
            by = show(paid.repairer) if paid is not None and repaired else None
            rows.append(
                (show(case), show(opened.provider), show(receipt.segment), receipt.shard, state, by)
            )
        return rows


class _Record:
    """What the court found about one provider."""

    def __init__(self) -> None:
        self._open = self._acquitted = self._convicted = self._slashed = 0

    def add(self, closed: CaseClosed | None) -> None:
        """Take one more case."""
        if closed is None:
            self._open += 1
        elif closed.status is CaseStatus.GUILTY:
            self._convicted += 1
            self._slashed += closed.slashed
        else:
            self._acquitted += 1

    def row(self) -> Row:
        """Return the score (the chance of standing the next case, by Laplace) and its reasons."""
        score = (self._acquitted + 1) / (self._acquitted + self._convicted + 2)
        return score, self._open, self._acquitted, self._convicted, _amount(self._slashed)


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


def _moment(time_s: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(time_s, datetime.UTC)


def _store_receipts(found: Whereabouts) -> list[Row]:
    """Return the receipts for shards of sealed segments; their ids are what CHALLENGE takes."""
    agreements = found.placement.agreements.values()
    providers = {made.agreement.id: show(made.agreement.provider) for made in agreements}
    receipts = [signed.receipt for bundle in found.segments for signed in bundle.receipts]
    return [
        (
            None,
            providers.get(one.agreement),
            None,
            _moment(one.expiry),
            show(one.struct_hash()),
            show(one.segment),
            one.shard,
        )
        for one in receipts
    ]


def _case_row(opened: CaseOpened, closed: CaseClosed | None) -> Row:
    return (
        show(opened.case),
        show(opened.provider),
        show(opened.accuser),
        opened.receipt.shard,
        closed.status.name.lower().replace("_", " ") if closed else "open",
        _amount(closed.compensation) if closed else None,
    )


def _amount(wei: int) -> Decimal:
    return Decimal(show_mft(wei))
