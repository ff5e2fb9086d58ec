"""The chain port on any JSON-RPC endpoint (DESIGN 11).

One call: `calls` says which function it is, `sender` signs, writes down and sends it, `events`
reads what came of it. Views are single `eth_call`s; those that need several pin them to one block.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from mfdb.chain.abi import decode_log, decode_result, encode_call, topic
from mfdb.chain.calls import Known, Step, step_of
from mfdb.chain.contracts.words import decode_claim
from mfdb.chain.deploy import check_deployment, check_key
from mfdb.chain.event_log import BlockRef, EventLog
from mfdb.chain.events import Log, read_log
from mfdb.chain.log_reader import LogReader
from mfdb.chain.networks import profile_of
from mfdb.chain.outbox import Outbox
from mfdb.chain.port import (
    AgreementState,
    AnswerCase,
    CaseState,
    CaseStatus,
    ChequebookState,
    CourtTerms,
    DepositState,
    ExcuseCase,
    FeesState,
    Head,
    Mined,
    OpenCase,
    RecordBeacon,
)
from mfdb.chain.rpc import Endpoint, RpcRefused, read_hash, read_int, read_object
from mfdb.chain.sender import Job, Sender
from mfdb.kernel.digest import keccak256
from mfdb.kernel.errors import ChainUnavailable, DeadlineExceeded, MalformedMessage, WrongChain
from mfdb.kernel.ids import (
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    AgreementId,
    CaseId,
    Hash,
    Wei,
    show,
)
from mfdb.rules.evidence import Network

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from mfdb.chain.deploy import Deployment
    from mfdb.chain.outbox import Outgoing, Writable
    from mfdb.chain.port import ChainCall, RecordKind, Seen
    from mfdb.kernel.account import Account

_LOG = logging.getLogger(__name__)

SLACK_S = 0.5

_NO_BLOOM = "0x" + "00" * 256


class Web3Chain:
    """`mfdb.chain.port.Chain` on an endpoint. One object serves any number of keys."""

    def __init__(self, endpoint: Endpoint, deployment: Deployment, outbox: Outbox) -> None:
        """Use `connect`: it checks that the endpoint is the right one."""
        self._endpoint = endpoint
        self._contracts = dict(deployment.contracts)
        self._first_block = deployment.deploy_block
        self._chain_id = deployment.chain_id
        self._profile = profile_of(deployment.chain_id)
        self._network = _network(deployment)
        self._sender = Sender(
            endpoint,
            chain_id=deployment.chain_id,
            outbox=outbox,
            confirmations=self._profile.confirmations,
        )
        self._logs = LogReader(endpoint, self._contracts, log_range=self._profile.log_range)
        self._terms: CourtTerms | None = None
        self._records: dict[int, _RecordScan] = {}
        self._events = _EventScan(self._first_block)

    @classmethod
    async def connect(
        cls,
        deployment: Deployment,
        *,
        rpc_url: str | None = None,
        store: Writable | None = None,
        request_s: float = 10.0,
    ) -> Web3Chain:
        """Return a chain whose endpoint was checked to serve the deployment.

        With a store, transactions outlive the process: repeat a call after a crash and it is
        finished, not sent twice.

        Raises:
            WrongChain: another chain id, or other code at our addresses.
            ChainUnavailable: the endpoint does not answer.
        """
        endpoint = await Endpoint.open(rpc_url or deployment.rpc_url, request_s=request_s)
        try:
            await check_deployment(endpoint, deployment)
        except BaseException:
            await endpoint.close()
            raise
        return cls(endpoint, deployment, Outbox(store, _network(deployment).id))

    # ---- what is the case

    @property
    def network(self) -> Network:
        """The network that evidence is signed for."""
        return self._network

    async def head(self) -> Head:
        """Return the newest block."""
        found = read_object(await self._endpoint.header("latest"))
        return Head(
            number=read_int(found.get("number")),
            hash=read_hash(found.get("hash")),
            time_s=read_int(found.get("timestamp")),
        )

    async def terms(self) -> CourtTerms:
        """Return the parameters of the contracts; asked once, for they never change."""
        if self._terms is None:
            (found,) = await self._view("court", "terms")
            bond, draws, epoch_s, repair_window_s, compensation_bp, accuser_bp = found
            self._terms = CourtTerms(
                bond=Wei(bond),
                draws=draws,
                epoch_s=epoch_s,
                repair_window_s=repair_window_s,
                compensation_bp=compensation_bp,
                accuser_bp=accuser_bp,
            )
        return self._terms

    async def balance(self, account: Address) -> Wei:
        """Return an account's MFT."""
        (found,) = await self._view("mft", "balanceOf", account)
        return Wei(found)

    async def chequebook(self, chequebook: Address, beneficiary: Address) -> ChequebookState | None:
        """Return a chequebook's state, or None if our factory did not make it."""
        if not await self._logs.is_chequebook(chequebook):
            return None
        at = await self._endpoint.height()
        issuer, total, paid, bounced = await asyncio.gather(
            self._view("chequebook", "issuer", to=chequebook, block=at),
            self._view("chequebook", "total", to=chequebook, block=at),
            self._view("chequebook", "paidOut", beneficiary, to=chequebook, block=at),
            self._view("chequebook", "bounced", to=chequebook, block=at),
        )
        return ChequebookState(
            issuer=Address(issuer[0]),
            balance=Wei(total[0]),
            paid_out=Wei(paid[0]),
            bounced=bool(bounced[0]),
        )

    async def chequebook_of(self, issuer: Address) -> Address | None:
        """Return the newest chequebook that an identity made through our factory, or None."""
        wanted = {
            "address": show(self._contracts["chequebook_factory"]),
            "topics": [
                show(topic("chequebook_factory", "ChequebookCreated")),
                "0x" + issuer.hex().rjust(64, "0"),
            ],
        }
        last = await self._endpoint.height()
        made = await self._logs.range(wanted, first=self._first_block, last=last)
        return Address(made[-1].topics[2][-20:]) if made else None

    async def deposit(self, provider: Address) -> DepositState:
        """Return a provider's deposit."""
        at = await self._endpoint.height()
        total, earmarked = await asyncio.gather(
            self._view("deposits", "total", provider, block=at),
            self._view("deposits", "earmarked", provider, block=at),
        )
        return DepositState(total=Wei(total[0]), earmarked=Wei(earmarked[0]))

    async def may_sign(self, provider: Address, signer: Address) -> bool:
        """Return whether `signer` is the provider or its delegate now."""
        (found,) = await self._view("deposits", "may_sign", provider, signer)
        return bool(found)

    async def agreement(self, agreement: AgreementId) -> AgreementState | None:
        """Return a registered agreement, or None."""
        (found,) = await self._view("deposits", "agreement", agreement)
        client, provider, _subject, _initial, earmarked, capacity, *rest = found
        _start, end, tail, _window, _epoch, _registered, open_cases = rest
        if provider == ZERO_ADDRESS:
            return None
        return AgreementState(
            client=Address(client),
            provider=Address(provider),
            earmarked=Wei(earmarked),
            capacity_bytes=capacity,
            end=end,
            tail_s=tail,
            open_cases=open_cases,
        )

    async def fees(self, agreement: AgreementId) -> FeesState:
        """Return the fees of an agreement; all zero if there is none."""
        (found,) = await self._view("escrow", "fees", agreement)
        per_epoch, held, claimed = found
        return FeesState(per_epoch=Wei(per_epoch), held=Wei(held), claimed=claimed)

    async def beacon(self, epoch: int) -> Hash | None:
        """Return the beacon of an epoch, or None before it is recorded."""
        (found,) = await self._view("beacon", "beacon", epoch)
        return None if found == ZERO_HASH else Hash(found)

    async def case(self, case: CaseId) -> CaseState | None:
        """Return a case, or None."""
        at = await self._endpoint.height()
        found, credit = await asyncio.gather(
            self._view("court", "case_of", case, block=at),
            self._view("escrow", "credit", case, block=at),
        )
        status, agreement, accuser, _kind, unit, _size, deadline, _claim, _promise = found[0]
        if status == 0:
            return None
        return CaseState(
            id=case,
            status=CaseStatus(status),
            agreement=AgreementId(agreement),
            accuser=Address(accuser),
            unit=unit,
            deadline=deadline,
            compensation=Wei(credit[0][1]),
        )

    async def block_of(self, transaction: Hash) -> int | None:
        """Return the number of the block that a transaction is in now, or None."""
        found = await self._endpoint.request("eth_getTransactionReceipt", show(transaction))
        number = None if found is None else read_object(found).get("blockNumber")
        return None if number is None else read_int(number)

    async def gas_used(self, transaction: Hash) -> int:
        """Return the gas that a mined transaction used."""
        found = await self._endpoint.request("eth_getTransactionReceipt", show(transaction))
        if found is None:
            raise ChainUnavailable(f"the endpoint knows no transaction {show(transaction)}")
        return read_int(read_object(found).get("gasUsed"))

    async def named_contracts(self) -> dict[str, Address]:
        """Return the addresses of our contracts by name, for reports."""
        return dict(self._contracts)

    async def close(self) -> None:
        """Close the connections; the outbox's store belongs to who gave it."""
        await self._endpoint.close()

    # ---- records

    async def record(self, identity: Address, kind: RecordKind) -> bytes | None:
        """Return an identity's newest record of a kind, or None."""
        digest, number = await self._view("registry", "record_at", identity, int(kind))
        if digest == ZERO_HASH:
            return None
        wanted = {
            "address": show(self._contracts["registry"]),
            "topics": [
                show(topic("registry", "RecordPublished")),
                "0x" + identity.hex().rjust(64, "0"),
                "0x" + int(kind).to_bytes(32, "big").hex(),
            ],
        }
        for log in reversed(await self._logs.range(wanted, first=number, last=number)):
            record = _fields("registry", log)["record"]
            if keccak256(record) == digest:
                return bytes(record)
        raise ChainUnavailable("the endpoint has lost the log of a record")

    async def records(self, kind: RecordKind) -> dict[Address, bytes]:
        """Return the newest record of a kind of every identity that published one.

        Only blocks since the last time are read, unless the chain was rewritten meanwhile.
        """
        head = await self.head()
        scan = self._records.get(int(kind))
        if scan is None or not await self._still_there(scan, head):
            scan = self._records[int(kind)] = _RecordScan(self._first_block)
        wanted = {
            "address": show(self._contracts["registry"]),
            "topics": [
                show(topic("registry", "RecordPublished")),
                None,
                "0x" + int(kind).to_bytes(32, "big").hex(),
            ],
        }
        for log in await self._logs.range(wanted, first=scan.next, last=head.number):
            fields = _fields("registry", log)
            scan.found[Address(fields["identity"])] = bytes(fields["record"])
        scan.next, scan.top = head.number + 1, head.hash
        return dict(scan.found)

    async def _still_there(self, scan: _RecordScan | _EventScan, head: Head) -> bool:
        """Return whether the newest block that was read is on the branch of `head`."""
        if scan.top is None or scan.top == head.hash:
            return scan.top is not None
        block = await self.block(scan.next - 1)
        return block is not None and block.hash == scan.top

    # ---- events

    async def events(self, *, since_block: int = 0) -> list[Seen]:
        """Return all events of our contracts from a block on, in chain order.

        Only blocks since the last time are read, unless the chain was rewritten meanwhile or an
        earlier block is asked for.
        """
        first = max(since_block, self._first_block)
        head = await self.head()
        scan = self._events
        if first < scan.first or not await self._still_there(scan, head):
            scan = _EventScan(first)
        new = await self._logs.seen(first=scan.next, last=head.number)
        self._events = scan.up_to(head, new, first)
        return list(self._events.found)

    async def follow(
        self, *, since_block: int = 0, poll_s: float | None = None
    ) -> AsyncIterator[Seen]:
        """Yield events as they happen, for ever; those a reorganisation took back as `removed`.

        While the endpoint is down it waits, and misses nothing.

        Raises:
            ChainError: the chain was rewritten too deep to follow.
        """
        log = EventLog(self, since_block=max(since_block, self._first_block))
        pause = poll_s if poll_s is not None else self._profile.block_s / 4
        while True:
            try:
                told = await log.advance()
            except ChainUnavailable as error:
                _LOG.warning("waiting for the chain: %s", error)
                told = []
            for seen in told:
                yield seen
            if not told:
                await asyncio.sleep(pause)

    async def height(self) -> int:
        """Return the number of the newest block."""
        return await self._endpoint.height()

    async def block(self, number: int) -> BlockRef | None:
        """Return the block at a height, or None if there is none now."""
        found = await self._endpoint.header(hex(number))
        if found is None:
            return None
        block = read_object(found)
        return BlockRef(
            number=read_int(block.get("number")),
            hash=read_hash(block.get("hash")),
            parent=read_hash(block.get("parentHash")),
            empty=block.get("logsBloom") == _NO_BLOOM,
        )

    async def seen(self, *, first: int, last: int) -> list[Seen]:
        """Return the events of a range of blocks."""
        return await self._logs.seen(first=first, last=last)

    async def seen_in(self, block: Hash) -> list[Seen] | None:
        """Return the events of a block by its hash, or None if it is gone."""
        try:
            return await self._logs.seen_in(block)
        except RpcRefused as refusal:
            _LOG.info("block gone hash=0x%s: %s", block.hex(), refusal)
            return None

    # ---- transactions

    async def send(self, call: ChainCall, sender: Account, *, timeout_s: float = 60) -> Mined:
        """Sign, send and await a transaction. Safe to repeat: it goes in once or not at all.

        Raises:
            TransactionReverted: a contract refused, with its reason.
            DeadlineExceeded: not in a block within `timeout_s`; it may still get in.
            ChainUnavailable: the endpoint was down.
            WrongChain: the key is a development account's and the chain is real.
        """
        check_key(self._chain_id, sender.address)
        deadline = asyncio.get_running_loop().time() + timeout_s
        try:
            # `wait` keeps the deadline and says more; this bounds what comes before it.
            async with asyncio.timeout_at(deadline + SLACK_S):
                return await self._send(call, sender, deadline)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"{type(call).__name__} was not sent within {timeout_s:g} s",
                hint="the same call again goes on where this one stopped",
            ) from error

    async def _send(self, call: ChainCall, sender: Account, deadline: float) -> Mined:
        terms = await self.terms()
        signature = await self._claim_signature(call)
        step = step_of(
            call, Known(sender=sender.address, bond=terms.bond, claim_signature=signature)
        )
        receipt = await self._run(step, sender, deadline)
        if isinstance(call, RecordBeacon) and await self.beacon(call.epoch) is None:
            # The first transaction fixed the block; the next is in a later one and records it.
            receipt = await self._run(step, sender, deadline)
        return self._mined(call, receipt)

    async def _run(self, step: Step, sender: Account, deadline: float) -> dict[str, Any]:
        """Send a step, with the approval it needs before it, and return its receipt."""
        to = step.at or self._contracts[step.contract]
        with ExitStack() as waiting:
            async with self._sender.lock(sender.address):
                if step.spends:
                    await self._allow(to, step, sender, deadline)
                entry = await self._started(to, step, sender)
                waiting.enter_context(self._sender.waiting(entry))
                if step.spends:
                    # The next one would count on the allowance that this one is about to use up.
                    return await self._sender.receipt(entry, deadline)
            return await self._sender.receipt(entry, deadline)

    async def _started(self, to: Address, step: Step, sender: Account) -> Outgoing:
        """Return a step's transaction on its way: of an earlier try, or a new one."""
        purpose = step.purpose(to)
        entry = await self._sender.adopt(sender.address, purpose)
        if entry is not None:
            return entry
        return await self._sender.submit(Job(to=to, data=step.data, purpose=purpose), sender)

    async def _allow(self, spender: Address, step: Step, owner: Account, deadline: float) -> None:
        """Let a contract take what a step needs from its caller, if it may not yet.

        Never more than is needed: an allowance that is left over is a risk without use. The key's
        lock is held until the approval is mined, for the next transaction depends on it.
        """
        if self._sender.left_over(owner.address, step.purpose(spender)):
            return  # an earlier try got as far as the step itself
        (allowed,) = await self._view("mft", "allowance", owner.address, spender)
        if allowed >= step.spends:
            return
        approve = Step(contract="mft", function="approve", arguments=(spender, step.spends))
        entry = await self._started(self._contracts["mft"], approve, owner)
        with self._sender.waiting(entry):
            await self._sender.receipt(entry, deadline)

    async def _claim_signature(self, call: ChainCall) -> bytes:
        """Return the signature in the claim that an answer answers; the case's event has it."""
        if not isinstance(call, AnswerCase | ExcuseCase):
            return b""
        wanted = {
            "address": show(self._contracts["court"]),
            "topics": [show(topic("court", "CaseOpened")), show(call.case)],
        }
        last = await self._endpoint.height()
        for log in await self._logs.range(wanted, first=self._first_block, last=last):
            _, signature = decode_claim(bytes(_fields("court", log)["claim"]))
            return signature
        return b""  # no such case: the court will say so

    def _mined(self, call: ChainCall, receipt: dict[str, Any]) -> Mined:
        created: Address | None = None
        case: CaseId | None = None
        for found in receipt.get("logs") or ():
            log = read_log(found)
            if log.address == self._contracts["chequebook_factory"]:
                created = Address(_fields("chequebook_factory", log)["chequebook"])
            elif log.address == self._contracts["court"] and isinstance(call, OpenCase):
                case = CaseId(_fields("court", log)["case"])
        return Mined(
            transaction=read_hash(receipt.get("transactionHash")),
            block=read_int(receipt.get("blockNumber")),
            gas_used=read_int(receipt.get("gasUsed")),
            created=created,
            case=case,
        )

    async def _view(
        self,
        contract: str,
        function: str,
        *arguments: Any,
        to: Address | None = None,
        block: int | str = "latest",
    ) -> tuple[Any, ...]:
        data = encode_call(contract, function, arguments)
        try:
            answer = await self._endpoint.call(to or self._contracts[contract], data, block=block)
            return decode_result(contract, function, answer)
        except MalformedMessage as error:
            raise WrongChain(f"{contract} does not answer {function} as it should") from error


class _RecordScan:
    """How far records of a kind were read, and what was found."""

    def __init__(self, first: int) -> None:
        self.next = first
        self.top: Hash | None = None
        self.found: dict[Address, bytes] = {}


class _EventScan:
    """The events of the blocks that were read, from `first` on."""

    def __init__(self, first: int) -> None:
        self.first = self.next = first
        self.top: Hash | None = None
        self.found: tuple[Seen, ...] = ()

    def up_to(self, head: Head, new: Sequence[Seen], first: int) -> _EventScan:
        """Return a scan that ends at a head and has forgotten what lies before `first`."""
        later = _EventScan(first)
        later.next, later.top = head.number + 1, head.hash
        later.found = tuple(seen for seen in (*self.found, *new) if seen.block >= first)
        return later


def _network(deployment: Deployment) -> Network:
    return Network(chain_id=deployment.chain_id, deposits=deployment.contracts["deposits"])


def _fields(contract: str, log: Log) -> dict[str, Any]:
    decoded = decode_log(contract, log.topics, log.data)
    if decoded is None:
        raise MalformedMessage(f"a log of {contract} that its ABI does not know")
    return decoded[1]
