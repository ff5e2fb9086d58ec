"""What must always hold (DESIGN 13), asked of the disks, the chain and the promises of a run.

Checkers look from outside: they read what lies on the disks, replay the chain's events and hold
both against what was promised; they never ask a node what it believes. `after_step` is cheap
enough for every step; `shortfall` tells what is still missing for a network without faults.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from mfdb.chain.port import CaseClosed, CaseOpened, CaseStatus, CompensationPaid, Transferred
from mfdb.kernel.clock import hlc_seconds
from mfdb.kernel.codec import decode
from mfdb.kernel.errors import MfdbError
from mfdb.kernel.ids import ZERO_ADDRESS, Address, AgreementId, ChangesetId, DatasetId, SegmentId
from mfdb.kernel.limits import HLC_AHEAD_S, RECORD_BYTES
from mfdb.node.dues import PayCheque
from mfdb.node.provider import sealed_shelf, shelf
from mfdb.node.provider.records import DamagedRecord
from mfdb.rules.changeset import is_changeset
from mfdb.rules.receipt import check_write_receipt
from mfdb.testing.memory_store import MemorySnapshot
from mfdb.testing.sim_chain_state import SUPPLY
from mfdb.testing.workload import SECRET, rows_of
from replication.moving import is_other_code, to_recode
from replication.segment import is_shard, stored_shards

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set

    from mfdb.node.provider.shelf import View
    from mfdb.rules.placement import Placement
    from mfdb.rules.receipt import WriteReceipt
    from mfdb.testing.simulator_machine import Machine
    from mfdb.testing.simulator_scene import Scene
    from mfdb.testing.workload import Owner, Promise, Writer
    from replication.segment import SealedSegment


class CheckFailed(AssertionError):
    """Something of DESIGN 13 does not hold; `rule` is its number there."""

    def __init__(self, rule: int, what: str) -> None:
        super().__init__(f"rule {rule}: {what}")
        self.rule = rule


def demand(rule: int, holds: bool, what: Callable[[], str]) -> None:  # noqa: FBT001 - reads well
    """Fail unless it holds; `what` is made only then."""
    if not holds:
        raise CheckFailed(rule, what())


@dataclass(slots=True)
class Checkers:
    """The checkers of one run, with what they remember between steps."""

    scene: Scene
    _verified: set[ChangesetId] = field(default_factory=set)
    _cheques: dict[tuple[Machine, bytes], tuple[int, int]] = field(default_factory=dict)
    _balances: dict[Address, int] = field(default_factory=dict)
    _seen_events: int = 0
    _burnt: int = 0
    _branch: int = 0
    _batches: dict[tuple[Address, int], bytes] = field(default_factory=dict)
    _taken: dict[tuple[Machine, bytes], None] = field(default_factory=dict)

    def after_step(self) -> None:
        """Check all that must hold at every moment.

        Raises:
            CheckFailed: it does not.
        """
        self._durable()
        self._released_rightly()
        self._spread()
        self._timely()
        self._secret()
        self._fed()
        self._money()
        self._slashed()
        self._receipted()

    # ---- 1: acknowledged rows are kept

    def _durable(self) -> None:
        """Every acknowledged changeset is whole on W disks, or k shards of a segment are.

        A disk that failed, or one that left, is one of the W - 1 losses that may happen.
        """
        scene = self.scene
        views = [view for _, view in scene.keepers()]
        quorum = _write_quorum(scene) if scene.promises.writes else 0
        quorum -= bool(scene.damaged) + len(scene.gone)
        sealed = _whole_segments(scene)
        for id_ in scene.promises.writes:
            copies = sum(_holds(v, scene.dataset, id_) for v in views)
            entries = sum(_opens(v, scene.dataset, id_) for v in views)
            if copies < quorum and id_ not in sealed:
                raise CheckFailed(
                    1,
                    f"changeset {id_.hex()[:12]} was acknowledged, is on {copies} disks "
                    "and in no segment with k shards",
                )
            if entries < quorum:
                raise CheckFailed(1, f"the key of {id_.hex()[:12]} is on {entries} disks")

    def _released_rightly(self) -> None:
        """A replica lets go of its bytes only for a segment whose n shards are all promised."""
        scene = self.scene
        for machine, view in scene.keepers():
            taken = [ChangesetId(key[33:]) for key, _ in view.scan(b"N" + scene.dataset)]
            gone = [id_ for id_ in taken if view.get(b"X" + scene.dataset + id_) is None]
            if not gone:
                continue
            promised = self._promised(view)
            if self.scene.moves:  # it may be released from a segment before it hears of the next
                others = (self._promised(other) for _, other in scene.keepers())
                promised = promised.union(*others)
            if not promised.issuperset(gone):
                raise CheckFailed(
                    1,
                    f"{machine.name} released {len(gone)} changesets, some of which are in no "
                    "segment with n store receipts",
                )

    def _promised(self, view: View) -> set[ChangesetId]:
        scene = self.scene
        placement = shelf.placement(view, scene.dataset, scene.chain.network)
        signers = _signers(scene, placement)
        found: set[ChangesetId] = set()
        for bundle in sealed_shelf.segments(view, scene.dataset):
            stored = stored_shards(bundle, scene.chain.network, signers, until=0)
            if len(stored) == bundle.certificate.n:
                found.update(bundle.changesets)
        return found

    def _spread(self) -> None:
        """No provider has two shards, or two copies, of a dataset: each loss is one loss."""
        placement = self.scene.placement()
        _demand_apart("shards", placement.shards)
        _demand_apart("copies", placement.replicas)

    def _timely(self) -> None:
        """No provider took what is from further in the future than `HLC_AHEAD_S` (DESIGN 5)."""
        latest_s = self.scene.chain.now_s() + HLC_AHEAD_S + self.scene.clock_error_s
        for machine, view in self.scene.keepers():
            for key, _ in view.scan(b"N" + self.scene.dataset):
                if (machine, key) in self._taken:
                    continue
                self._taken[machine, key] = None
                header = shelf.header(view, self.scene.dataset, ChangesetId(key[33:]))
                if header is not None and hlc_seconds(header.stamp) > latest_s:
                    raise CheckFailed(5, f"{machine.name} took a changeset from the future")

    # ---- 2: nobody sees what he may not

    def _secret(self) -> None:
        promises = self.scene.promises
        demand(2, not promises.leaks, lambda: "; ".join(promises.leaks))
        intruded = not self.scene.damaged and promises.intrusions  # a lost disk may lose rules too
        demand(2, not intruded, lambda: "; ".join(promises.intrusions))
        for machine, view in self.scene.disks():
            for key, value in view.scan(b""):
                if SECRET in value or SECRET in key:
                    raise CheckFailed(2, f"plaintext at {machine.name} under {key!r}")

    # ---- 3: feeds

    def _fed(self) -> None:
        demand(3, not self.scene.owner.broken, lambda: "; ".join(self.scene.owner.broken))

    # ---- 4: money

    def _money(self) -> None:
        self._conserved()
        for machine in (*self.scene.providers, *self.scene.clients):
            self._cheques_grow(machine)
        for machine in self.scene.providers:
            for peer, account in (machine.accounts.known() if machine.accounts else {}).items():
                owed, limit = account.ledger.account.owed_by_peer, account.ledger.ours.limit
                if owed > limit:
                    raise CheckFailed(
                        4, f"0x{peer.hex()[:8]} owes {machine.name} {owed} wei, over the limit"
                    )

    def _conserved(self) -> None:
        """The events of the token, replayed, give the balances, and their sum the supply."""
        events = self.scene.chain.seen(0)
        if self.scene.chain.reorganisations != self._branch:
            self._branch = self.scene.chain.reorganisations
            self._balances, self._seen_events, self._burnt = {}, 0, 0
        balances = self._balances
        for seen in events[self._seen_events :]:
            if isinstance(seen.event, Transferred):
                moved = seen.event
                if moved.sender != ZERO_ADDRESS:
                    balances[moved.sender] = balances.get(moved.sender, 0) - moved.amount
                if moved.to != ZERO_ADDRESS:
                    balances[moved.to] = balances.get(moved.to, 0) + moved.amount
                else:
                    self._burnt += moved.amount
        self._seen_events = len(events)
        held = dict(self.scene.chain.ledger.balances.items())
        total = sum(held.values())
        demand(4, total == SUPPLY - self._burnt, lambda: f"{total} wei are held in all")
        demand(4, min(held.values()) >= 0, lambda: "somebody holds less than nothing")
        wrong = [who for who in held | balances if held.get(who, 0) != balances.get(who, 0)]
        demand(4, not wrong, lambda: f"events do not explain the balance of 0x{wrong[0].hex()}")

    def _cheques_grow(self, machine: Machine) -> None:
        if machine.address in self.scene.damaged or machine.lost_commits:
            return
        view = MemorySnapshot(machine.disk.state)
        for prefix in (b"Q", b"q"):
            for key, value in view.scan(prefix):
                if len(key) != 21:
                    continue
                cheque = decode(PayCheque, value, limit_bytes=RECORD_BYTES).cheque
                now = (cheque.serial, cheque.cumulative_payout)
                name = (machine, key)
                before = self._cheques.get(name, (-1, 0))
                grew = now == before or (now[0] > before[0] and now[1] >= before[1])
                if not grew:
                    raise CheckFailed(4, f"a cheque went from {before} to {now}")
                self._cheques[name] = now

    # ---- 5: the court

    def _slashed(self) -> None:
        for provider, status in _verdicts(self.scene):
            excused = provider in self.scene.lost or provider in self.scene.damaged
            if status is CaseStatus.GUILTY and not excused:
                raise CheckFailed(5, f"honest 0x{provider.hex()[:8]} was slashed")

    # ---- 6: evidence

    def _receipted(self) -> None:
        """Every acknowledged write has W receipts, of different replicas, that verify."""
        scene = self.scene
        for id_, promise in scene.promises.writes.items():
            if id_ not in self._verified:
                self._check_receipts(promise)
                self._verified.add(id_)

    def _check_receipts(self, promise: Promise) -> None:
        scene = self.scene
        placement, quorum = scene.placement(), _write_quorum(scene)
        givers = {receipt.batch.provider for receipt in promise.receipts}
        demand(
            6,
            len(givers & placement.certifiers) >= quorum,
            lambda: f"a write was acknowledged by {len(givers)} replicas of {quorum}",
        )
        for receipt in promise.receipts:
            self._check_batch(receipt)
            due = scene.agreements_of(receipt.batch.provider)
            demand(
                6,
                receipt.ack.agreement in due
                and ChangesetId(receipt.ack.changeset) == promise.changeset,
                lambda: "a receipt names another agreement or changeset",
            )
            signer = scene.signer_of(receipt.batch.provider)
            try:
                check_write_receipt(
                    receipt, promise.data, network=scene.chain.network, signer=signer
                )
            except MfdbError as error:
                raise CheckFailed(6, f"a receipt proves nothing: {error}") from error

    def _check_batch(self, receipt: WriteReceipt) -> None:
        """No honest provider signs two roots under one number, over any restart (DESIGN 5)."""
        batch = receipt.batch
        root = self._batches.setdefault((batch.provider, batch.number), batch.root)
        excused = batch.provider in self.scene.damaged
        demand(6, root == batch.root or excused, lambda: f"two batches have number {batch.number}")

    # ---- 7, and what of the others takes time

    def shortfall(self) -> list[str]:
        """Return what is still missing for a network without faults; in the end, nothing."""
        scene = self.scene
        people: list[Owner | Writer] = [*scene.writers, scene.owner]
        return [
            *(f"{person.machine.name}'s outbox is not empty"
              for person in people if person.unsent),
            *_undecided(scene),
            *_unequal(scene),
            *_unspread(scene),
            *_unread(scene),
            *_unrepaired(scene),
            *_unmended(scene),
        ]  # fmt: skip

    def at_end(self) -> None:
        """Check what makes the other checks worth something.

        Raises:
            CheckFailed: the planted secret cannot be found where it must be.
        """
        state = self.scene.owner.machine.disk.state
        found = any(SECRET in value for value in state.values.values())
        due = self.scene.promises.acknowledged_rows()
        demand(2, found or not due, lambda: "the search finds no secrets")


def check_reader(
    scene: Scene, rows: dict[str, bytes], *, due: Mapping[str, bytes], deleted: Set[str]
) -> None:
    """Check what a reader with nothing but the owner's keys has restored.

    Raises:
        CheckFailed: an acknowledged row is missing, altered or invented, or a deleted one is back.
    """
    back = sorted(deleted & set(rows))
    demand(1, not back, lambda: f"{len(back)} deleted rows came back: {back[0]}")
    missing = sorted(set(due) - set(rows))
    demand(1, not missing, lambda: f"{len(missing)} acknowledged rows cannot be read: {missing[0]}")
    staged = {s: body for written in scene.promises.rows.values() for s, body in written.items()}
    wrong = [subject for subject, body in sorted(rows.items()) if staged.get(subject) != body]
    demand(1, not wrong, lambda: f"a row is not what was written: {wrong[0]}")


# ---- what the disks say


def _demand_apart(what: str, placed: Mapping[int, Address]) -> None:
    twice = [who for who, count in Counter(placed.values()).items() if count > 1]
    demand(1, not twice, lambda: f"two {what} are placed on 0x{twice[0].hex()[:8]}")


def _holds(view: View, dataset: DatasetId, id_: ChangesetId) -> bool:
    data = view.get(b"X" + dataset + id_)
    return data is not None and _is_changeset(id_, data)


_is_changeset = lru_cache(maxsize=1024)(is_changeset)
"""The same bytes lie on several disks and are looked at after every step."""


def _opens(view: View, dataset: DatasetId, id_: ChangesetId) -> bool:
    try:
        return shelf.key_entry(view, dataset, id_) is not None
    except DamagedRecord:
        return False


def _write_quorum(scene: Scene) -> int:
    """Return the least that any write was acknowledged by."""
    rules = next(shelf.manifests(view, scene.dataset) for _, view in scene.keepers())
    return min(signed.manifest.profile.write_quorum for signed in rules)


def _signers(scene: Scene, placement: Placement) -> dict[AgreementId, Address]:
    return {
        signed.agreement.id: scene.signer_of(provider)
        for provider, signed in placement.agreements.items()
    }


def _shards_on_disk(scene: Scene, bundle: SealedSegment) -> dict[int, list[Address]]:
    """Return which good shards of a segment lie where."""
    found: dict[int, list[Address]] = {}
    segment = bundle.certificate.segment
    for machine, view in scene.disks():
        for index in sealed_shelf.my_shards(view, segment):
            data = sealed_shelf.shard(view, segment, index) or b""
            if is_shard(bundle, index, data):
                found.setdefault(index, []).append(machine.address)
    return found


def _whole_segments(scene: Scene) -> frozenset[ChangesetId]:
    """Return what is in a segment of which k good shards lie on disks."""
    return scene.while_same("whole segments", lambda: _find_whole_segments(scene))


def _find_whole_segments(scene: Scene) -> frozenset[ChangesetId]:
    whole: set[ChangesetId] = set()
    for bundles in scene.bundles().values():
        if len(_shards_on_disk(scene, bundles[0])) >= bundles[0].certificate.k:
            whole.update(bundles[0].changesets)
    return frozenset(whole)


def _verdicts(scene: Scene) -> Iterator[tuple[Address, CaseStatus]]:
    opened: dict[bytes, CaseOpened] = {}
    for seen in scene.chain.seen(0):
        if isinstance(seen.event, CaseOpened):
            opened[seen.event.case] = seen.event
        elif isinstance(seen.event, CaseClosed):
            yield opened[seen.event.case].provider, seen.event.status


# ---- what is missing after healing


def _undecided(scene: Scene) -> Iterable[str]:
    """What the owner has decided is done, and everybody who keeps the dataset has his rules."""
    decisions = scene.owner.decisions
    if decisions is None:
        return
    yield from (f"bob is not done: {what}" for what in decisions.open)
    placed = scene.placement().providers
    rules = {
        m.name: shelf.manifest(view, scene.dataset).hash.hex()[:8]
        for m, view in scene.keepers()
        if m.address in placed
    }
    if len(set(rules.values())) > 1:
        yield f"rules: {rules}"


def _unequal(scene: Scene) -> Iterable[str]:
    """Every replica knows every changeset, holds the same unsealed, and the same rules."""
    replicas = set(scene.placement().replica_set) - scene.gone
    views = {m.name: view for m, view in scene.keepers() if m.address in replicas}
    hot = {name: shelf.unsealed(view, scene.dataset) for name, view in views.items()}
    taken = {
        name: tuple(key for key, _ in view.scan(b"N" + scene.dataset))
        for name, view in views.items()
    }
    numbers = {
        m.name: shelf.placement(view, scene.dataset, scene.chain.network).number
        for m, view in scene.keepers()
        if m.address in scene.placement().providers
    }
    if len(set(hot.values())) > 1:
        yield f"unsealed: { ({name: len(ids) for name, ids in hot.items()}) }"
    if len(set(numbers.values())) > 1:
        yield f"placement entries: {numbers}"
    for name, keys in taken.items():
        acknowledged = {
            b"N" + scene.dataset + id_
            for id_, promise in scene.promises.writes.items()
            if scene.promises.is_due(promise)
        }
        sealed = {b"N" + scene.dataset + id_ for id_ in _listed(scene)}
        if acknowledged - set(keys) - sealed:
            yield f"{name} lacks acknowledged changesets"


def _listed(scene: Scene) -> frozenset[ChangesetId]:
    return frozenset(id_ for found in scene.bundles().values() for id_ in found[0].changesets)


def _unspread(scene: Scene) -> Iterable[str]:
    """Every segment has all n shards, at those who are placed and promised them."""
    placement = scene.placement()
    found = scene.bundles()
    covered = _covered(scene, [bundles[0] for bundles in found.values()])
    for segment, bundles in found.items():
        if segment in covered:
            yield f"segment {segment.hex()[:8]} is kept though others have taken its place"
            continue
        there = _shards_on_disk(scene, bundles[0])
        lacking = [
            slot
            for slot, holder in sorted(placement.shards.items())
            if holder not in there.get(slot, ())
        ]
        if lacking:
            yield f"segment {segment.hex()[:8]} lacks shards {lacking}"
        replicas = placement.replica_set
        for machine, view in scene.keepers():
            bundle = sealed_shelf.segment(view, scene.dataset, segment)
            if machine.address not in replicas:
                continue
            if bundle is None:
                yield f"{machine.name} has not heard of segment {segment.hex()[:8]}"
            elif len({signed.receipt.shard for signed in bundle.receipts}) < len(placement.shards):
                yield f"{machine.name} lacks store receipts of segment {segment.hex()[:8]}"


def _covered(scene: Scene, bundles: Sequence[SealedSegment]) -> frozenset[SegmentId]:
    """Return the segments of another code than the profile's all of which is in one of that."""
    rules = [shelf.manifest(view, scene.dataset) for _, view in scene.keepers()]
    profile = max(rules, key=lambda manifest: manifest.number).profile
    others = [bundle for bundle in bundles if is_other_code(bundle, profile.k, profile.n)]
    left = to_recode(bundles, profile.k, profile.n)
    return frozenset(one.certificate.segment for one in others if one not in left)


def _unread(scene: Scene) -> Iterable[str]:
    """Bob's application has heard of every acknowledged row."""
    due = scene.promises.acknowledged_rows()
    unheard = set(due) - set(scene.owner.seen.values())
    if unheard:
        yield f"Bob has not heard of {len(unheard)} rows"
    here = rows_of(scene.owner.replica, scene.dataset)
    if set(due) - set(here):
        yield "Bob's replica lacks rows"
    if scene.promises.deleted & set(here):
        yield "Bob's replica shows deleted rows"


def _owes(scene: Scene, provider: Address, segment: SegmentId, slot: int) -> bool:
    """Return whether a shard of a segment is still placed on a provider."""
    return segment in scene.bundles() and scene.placement().shards.get(slot) == provider


def _unrepaired(scene: Scene) -> Iterable[str]:
    """Who lost a shard that is promised was convicted, and the owner was paid for it."""
    guilty = {who for who, status in _verdicts(scene) if status is CaseStatus.GUILTY}
    paid = [s.event for s in scene.chain.seen(0) if isinstance(s.event, CompensationPaid)]
    for provider, (segment, slot) in scene.lost.items():
        if provider not in guilty:
            if scene.moves and not _owes(scene, provider, segment, slot):
                continue  # its owner moved on before anybody asked
            yield f"0x{provider.hex()[:8]} lost shard {slot} of {segment.hex()[:8]} unpunished"
        elif not any(p.owner == scene.owner.machine.address and p.to_owner > 0 for p in paid):
            yield "the owner was not paid"


_LOOKED_AT = frozenset((b"M", b"P", b"S", b"H"))
"""Tables of a replica that are read again and again, so that rot in them cannot stay unseen."""


def _unmended(scene: Scene) -> Iterable[str]:
    """Replicas have noticed what rots in rules, placement, segments and logs, and mended it."""
    replicas = scene.placement().replica_set
    for machine, _ in scene.keepers():
        if machine.address not in replicas:
            continue
        for key in machine.disk.rotten():
            if key[:1] in _LOOKED_AT and key[1:33] == scene.dataset:
                yield f"{machine.name} has not mended {key[:1].decode()} {key[33:].hex()[:12]}"
