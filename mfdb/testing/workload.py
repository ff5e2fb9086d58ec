"""What people do in a simulation: Bob owns a mailbox, others insert, Bob's application listens.

Everything that was promised to an application is written down here at the moment it was promised,
outside every simulated disk; the checkers hold the nodes to it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mfdb.client.outbox import Outbox
from mfdb.dataset.replica import Replica
from mfdb.dataset.row_changes import RowDelete, RowInsert
from mfdb.kernel.codec import Record, encode
from mfdb.kernel.errors import AccessDenied, MfdbError, StaleWrite
from mfdb.kernel.ids import ZERO_HASH, DatasetId, Hash, Wei
from mfdb.kernel.seed import MAILBOX_NONCE
from mfdb.node.requests import GetCopies, GetKeys, ReadLog
from mfdb.rules.manifest import (
    Action,
    Column,
    Grant,
    Grantee,
    Kind,
    Manifest,
    Ordering,
    Profile,
    ReadKey,
    SignedManifest,
    dataset_id,
)
from mfdb.rules.signing import sign

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from mfdb.dataset.outcome import RowChanged, WriteOutcome
    from mfdb.dataset.row_changes import RowChange
    from mfdb.dataset.writer import Draft
    from mfdb.kernel.ids import Address, ChangesetId
    from mfdb.kernel.seed import IdentityKeys
    from mfdb.node.client.remote import NodeRemote
    from mfdb.node.requests import Request
    from mfdb.rules.changeset import Changeset
    from mfdb.rules.key_log import KeyLogEntry
    from mfdb.rules.receipt import WriteReceipt
    from mfdb.testing.decisions import Decisions
    from mfdb.testing.simulator_machine import ClientMachine
    from mfdb.testing.simulator_trace import Trace

SECRET = b"a secret that no provider may see"
"""Part of every planted row; it must be on Bob's disk and on no provider's."""
AGAIN_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """A write that was acknowledged to its author."""

    changeset: ChangesetId
    data: bytes
    receipts: tuple[WriteReceipt, ...]
    author: str
    epoch: int
    """The access epoch that its header names."""


@dataclass(slots=True, kw_only=True)
class Promises:
    """Everything that the network promised, and everything that was tried."""

    writes: dict[ChangesetId, Promise] = field(default_factory=dict)
    rows: dict[ChangesetId, dict[str, bytes]] = field(default_factory=dict)
    """The planted rows (subject: body) of every changeset that was staged."""
    deleting: set[str] = field(default_factory=set)
    """The subjects of rows that somebody tried to delete: from now on they may be gone."""
    deleted: set[str] = field(default_factory=set)
    """Those whose deletion was acknowledged: they are gone, and never come back."""
    leaks: list[str] = field(default_factory=list)
    """What somebody saw who may not."""
    intrusions: list[str] = field(default_factory=list)
    """What was acknowledged to somebody who had lost the right to write before he wrote it."""
    _frontiers: dict[tuple[str, int], frozenset[ChangesetId]] = field(default_factory=dict)
    """By author and the access epoch that excludes him: what he was told before it began."""
    _excluded: dict[str, int] = field(default_factory=dict)
    """The access epoch that a write quorum of providers keeps an author out with."""
    _late: set[ChangesetId] = field(default_factory=set)

    def excludes(self, author: str, epoch: int, told: frozenset[ChangesetId]) -> None:
        """Somebody is about to lose the right to write; what he was told of before is safe.

        Who tries more than once may have succeeded the first time.
        """
        self._frontiers.setdefault((author, epoch), told)

    def excluded(self, author: str, epoch: int) -> None:
        """Nothing that an author writes from now on may be acknowledged."""
        self._excluded[author] = epoch

    def admitted(self, author: str) -> None:
        """An author is about to get the right to write."""
        self._excluded.pop(author, None)

    def staged(self, author: str, changeset: Changeset, rows: dict[str, bytes]) -> None:
        """Note a changeset before anybody can promise it."""
        self.rows[changeset.id] = rows
        if self._excluded.get(author, 0) > changeset.header.acl_epoch:
            self._late.add(changeset.id)

    def acknowledged(self, promise: Promise) -> None:
        """Note what was promised."""
        self.writes.setdefault(promise.changeset, promise)
        if promise.changeset in self._late:
            self.intrusions.append(f"{promise.author} wrote {promise.changeset.hex()[:12]}")

    def is_due(self, promise: Promise) -> bool:
        """Return whether an acknowledged write is valid for certain.

        What its author was told of while the right to write was taken from him may be outside of
        the frontier that his revocation names (DESIGN 5).
        """
        return all(
            promise.changeset in told
            for (author, epoch), told in self._frontiers.items()
            if author == promise.author and epoch > promise.epoch
        )

    def acknowledged_rows(self) -> dict[str, bytes]:
        """Return every row that must be readable."""
        return {
            subject: body
            for changeset, promise in self.writes.items()
            for subject, body in self.rows.get(changeset, {}).items()
            if subject not in self.deleting and self.is_due(promise)
        }


def mailbox(owner: IdentityKeys, network: Hash, writers: Sequence[Address] = ()) -> SignedManifest:
    """Return Bob's mailbox: these or anyone may insert, nobody but him may do anything else."""
    inserting = [(Grantee.IDENTITY, bytes(writer)) for writer in writers]
    rights = Action.SELECT | Action.UPDATE | Action.DELETE | Action.SUBSCRIBE
    manifest = Manifest(
        format=1,
        network=network,
        dataset=dataset_id(owner.address, MAILBOX_NONCE),
        owner=owner.address,
        nonce=MAILBOX_NONCE,
        number=0,
        previous=ZERO_HASH,
        name="mailbox",
        kind=Kind.MAILBOX,
        ordering=Ordering.FREE,
        columns=(
            Column("subject", "TEXT", False, False, 0, None, False),  # noqa: FBT003 - one line each
            Column("body", "BYTEA", False, False, 0, None, False),  # noqa: FBT003 - one line each
        ),
        clauses=(),
        grants=(
            *(
                Grant(grantee, identity, int(Action.INSERT), (), None, 0)
                for grantee, identity in inserting or [(Grantee.PUBLIC, b"")]
            ),
            Grant(Grantee.OWNER, b"", int(rights), (), None, 0),
        ),
        acl_epoch=0,
        revocations=(),
        read_keys=(ReadKey(0, bytes(owner.seal_key(0).public_key)),),
        wrapped_keys=(),
        profile=Profile(),
        salt=Hash(bytes(32)),
        price_ceiling=Wei(0),
        retention_s=0,
        options=(),
    )
    return SignedManifest(manifest, sign(manifest, owner.account))


class Recorded:
    """A client's node that writes down what it promised; everything else passes through."""

    def __init__(self, remote: NodeRemote, promises: Promises, trace: Trace, author: str) -> None:
        self._remote = remote
        self._promises = promises
        self._trace = trace
        self._author = author

    def __getattr__(self, name: str) -> Any:
        return getattr(self._remote, name)

    async def write(
        self, dataset: DatasetId, changeset: Changeset, entry: KeyLogEntry
    ) -> WriteOutcome:
        """Return the receipts of a write, once they are written down."""
        outcome = await self._remote.write(dataset, changeset, entry)
        promise = Promise(
            changeset=changeset.id,
            data=encode(changeset),
            receipts=outcome.receipts,
            author=self._author,
            epoch=changeset.header.acl_epoch,
        )
        self._promises.acknowledged(promise)
        count = len(outcome.receipts)
        self._trace.add(f"{self._author} has {count} receipts for {changeset.id.hex()[:12]}")
        return outcome


class PlantedReplica(Replica):
    """A writer's replica that writes down which rows it signs, before anybody can promise them."""

    promises: Promises
    author: str

    def compose(
        self, dataset: DatasetId, changes: Sequence[RowChange], *, sealed_sender: bool = False
    ) -> list[Draft]:
        """Return signed changesets for providers, their rows written down."""
        drafts = super().compose(dataset, changes, sealed_sender=sealed_sender)
        for draft in drafts:
            rows = [values for values in draft.values if values is not None]
            planted = {row["subject"]: row["body"] for row in rows}
            self.promises.staged(self.author, draft.changeset, planted)
        return drafts


class Writer:
    """Somebody who inserts into Bob's mailbox, knowing nothing but his address."""

    def __init__(
        self, machine: ClientMachine, owner: Address, promises: Promises, trace: Trace
    ) -> None:
        self.machine = machine
        self._owner = owner
        self._dataset = dataset_id(owner, MAILBOX_NONCE)
        self._promises = promises
        self._trace = trace
        self._count = 0
        self.rules_change = False

    def begin(self) -> None:
        """Find the mailbox, after every start, and send what the last process left unsent."""
        machine = self.machine
        self._replica = machine.make_replica(PlantedReplica)
        self._replica.promises, self._replica.author = self._promises, machine.name
        recorded = Recorded(machine.remote, self._promises, self._trace, machine.name)
        self._outbox = Outbox(self._replica, recorded)
        self._turn = asyncio.Lock()
        self._found = asyncio.Event()
        machine.spawn("resumes", self._resume())

    @property
    def unsent(self) -> int:
        """How many changesets wait in the outbox."""
        return len(self._replica.outgoing(self._dataset))

    async def _resume(self) -> None:
        machine = self.machine
        while True:
            try:
                if not self._found.is_set():
                    found = await machine.remote.find(self._owner, "mailbox")
                    self._replica.add_manifests([found])
                    self._found.set()
                async with self._turn:
                    await self._outbox.flush(self._dataset)
            except MfdbError as error:
                self._trace.add(f"{machine.name} cannot send: {type(error).__name__}")
                # Who has no right left is shown no rules any more; what it knows has to do, so
                # that providers are asked, and refuse, what still waits.
                if isinstance(error, AccessDenied) and self._replica.find(self._owner, "mailbox"):
                    self._found.set()
            await asyncio.sleep(AGAIN_S)

    async def write(self, random: Random, count: int) -> None:
        """Insert a batch of rows; one that was not acknowledged stays in the outbox."""
        rows = [self._row(random) for _ in range(count)]
        await self._found.wait()
        try:
            async with self._turn:
                await self._outbox.write(self._dataset, rows, sealed_sender=False)
        except (StaleWrite, AccessDenied) as error:
            self._trace.add(f"{self.machine.name} has no word: {type(error).__name__}")
            await self._ask_for_rules()
        except MfdbError as error:
            self._trace.add(f"{self.machine.name} has no word: {type(error).__name__}")

    async def _ask_for_rules(self) -> None:
        """Fetch the rules again, if they can have changed, as a session does that is refused."""
        if not self.rules_change:
            return
        try:
            found = await self.machine.remote.find(self._owner, "mailbox")
            self._replica.add_manifests([found])
        except MfdbError as error:
            self._trace.add(f"{self.machine.name} hears of no rules: {type(error).__name__}")

    def _row(self, random: Random) -> RowInsert:
        self._count += 1
        subject = f"{self.machine.name} {self._count}: {SECRET.decode()}"
        size = random.choice((0, 40, 700, 3000))
        return RowInsert(values={"subject": subject, "body": SECRET + random.randbytes(size)})

    async def snoop(self) -> None:
        """Try to read what only Bob may; whatever comes back is a leak."""
        remote, dataset = self.machine.remote, self._dataset
        try:
            await remote.sync(dataset, self.machine.make_replica(Replica))
            self._promises.leaks.append(f"{self.machine.name} synced the mailbox")
        except MfdbError as error:
            self._trace.add(f"{self.machine.name} cannot sync: {type(error).__name__}")
        found = remote.known(dataset)
        if found is None:
            return
        if found.segments:
            self._promises.leaks.append(f"{self.machine.name} was told of segments")
        for provider in found.placement.providers:
            await self._ask(provider)

    async def _ask(self, provider: Address) -> None:
        ids = tuple(self._promises.writes)[:3]
        questions: list[Request] = [
            ReadLog(dataset=self._dataset, after=-1, limit_bytes=2**20),
            GetCopies(dataset=self._dataset, changesets=ids),
            GetKeys(dataset=self._dataset, changesets=ids),
        ]
        for question in questions:
            try:
                correspondent = await self.machine.remote._context.directory.reach(provider)
                await correspondent.ask(question, Record)
            except AccessDenied:
                continue
            except MfdbError as error:
                self._trace.add(f"{self.machine.name} asks in vain: {type(error).__name__}")
                return
            self._promises.leaks.append(f"a provider answered {type(question).__name__}")


class Owner:
    """Bob, and his application that consumes the changes of his mailbox."""

    def __init__(self, machine: ClientMachine, promises: Promises, trace: Trace) -> None:
        self.machine = machine
        self.dataset = dataset_id(machine.address, MAILBOX_NONCE)
        self._promises = promises
        self._trace = trace
        self._turn = asyncio.Lock()
        self._feed_id: bytes | None = None
        self.cursor = 0
        self._passed_over = 0
        self.seen: dict[bytes, str] = {}
        """The subjects that the application was told of, by the version that names the change."""
        self.broken: list[str] = []
        """What was wrong with the feed."""
        self.decisions: Decisions | None = None
        """What he decides about his mailbox, if he does."""

    def begin(self, signed: SignedManifest) -> None:
        """Follow the mailbox, after every start, from where the application was."""
        self.replica = self.machine.make_replica(Replica)
        self.replica.add_manifests([signed])
        machine = self.machine
        recorded = Recorded(machine.remote, self._promises, self._trace, machine.name)
        self._outbox = Outbox(self.replica, recorded)
        self._turn = asyncio.Lock()
        if machine.lost_commits:
            self._read_anew()
        machine.spawn("follows", self._follow())
        machine.spawn("resumes", self._resume())
        if self.decisions is not None:
            machine.spawn("decides", self.decisions.work())

    @property
    def unsent(self) -> int:
        """How many changesets wait in the outbox."""
        return len(self.replica.outgoing(self.dataset))

    def replace(self, machine: ClientMachine) -> ClientMachine:
        """Go on with another machine; its changelog is another one, read from its beginning."""
        self.machine = machine
        self._read_anew()
        return machine

    def _read_anew(self) -> None:
        """Read a changelog from its beginning: of another machine, or of a disk that lost some."""
        self.machine.lost_commits = 0
        self._feed_id = None
        self.cursor = self._passed_over = 0
        self.seen = {}

    async def publish(self, signed: SignedManifest) -> None:
        """Create the mailbox on the network."""
        await self.machine.remote.publish(signed)

    async def _follow(self) -> None:
        remote = self.machine.remote
        while True:
            try:
                found = await remote.find(self.machine.address, "mailbox")
                self.replica.add_manifests([found])
                async for _ in remote.follow(self.dataset, self.replica):
                    self._consume()
            except MfdbError as error:
                self._trace.add(f"bob's feed ended: {type(error).__name__}")
                if isinstance(error, AccessDenied):
                    self.broken.append(f"Bob was denied his own mailbox: {error}")
            await asyncio.sleep(AGAIN_S)

    async def _resume(self) -> None:
        """Send what is left in the outbox, of this process or of one before it."""
        while True:
            try:
                async with self._turn:
                    await self._outbox.flush(self.dataset)
            except MfdbError as error:
                self._trace.add(f"bob cannot send: {type(error).__name__}")
            await asyncio.sleep(AGAIN_S)

    async def delete(self, random: Random) -> None:
        """Delete a row; one whose deletion was not acknowledged may be gone or not."""
        with self.replica.reading() as reading:
            rows = list(reading.rows(reading.known(self.dataset)))
        if not rows:
            return
        row = random.choice(rows)
        subject = row.values[0]
        self._trace.add(f"bob deletes {subject.partition(':')[0]}")
        self._promises.deleting.add(subject)
        gone = [RowDelete(row=row.row, parent=row.version)]
        try:
            async with self._turn:
                await self._outbox.write(self.dataset, gone, sealed_sender=False)
        except MfdbError as error:
            self._trace.add(f"bob has no word: {type(error).__name__}")
        else:
            self._promises.deleted.add(subject)

    def _consume(self) -> None:
        """Take what is new, as an application does that stores its cursor with every change."""
        if self._feed_id not in (None, self.replica.feed_id):
            self.broken.append("the changelog's name changed over a restart")
        self._feed_id = self.replica.feed_id
        with self.replica.reading() as reading:
            known = reading.known(self.dataset)
            for change in reading.changes(known, self.cursor):
                self._take(change)

    def _take(self, change: RowChanged) -> None:
        # An insert that was shredded before it was told is passed over; its deletion follows.
        self._passed_over += change.sequence - self.cursor - 1
        if change.sequence <= self.cursor or self._passed_over > len(self._promises.deleting):
            self.broken.append(f"change {change.sequence} follows change {self.cursor}")
        self.cursor = change.sequence
        subject = self.seen.get(change.version)
        if change.op == "delete" and (subject is None or subject in self._promises.deleting):
            return
        if change.version in self.seen:
            self.broken.append(f"change {change.sequence} repeats a version")
        if change.op != "insert" or change.new is None:
            self.broken.append(f"nobody did a {change.op}")
            return
        subject = self.seen[change.version] = str(change.new["subject"])
        self._trace.add(f"bob's application hears {subject.partition(':')[0]}")

    async def seal(self) -> None:
        """Have the mailbox sealed."""
        try:
            done = await self.machine.remote.seal(self.dataset)
            self._trace.add(f"bob sealed {done.changesets} changesets into {done.shards} shards")
        except MfdbError as error:
            self._trace.add(f"bob cannot seal: {type(error).__name__}: {error}")


def rows_of(replica: Replica, dataset: DatasetId) -> dict[str, bytes]:
    """Return the visible rows of a mailbox: body by subject."""
    with replica.reading() as reading:
        known = reading.known(dataset)
        return {row.values[0]: row.values[1] for row in reading.rows(known)}
