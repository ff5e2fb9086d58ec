"""Union of changesets is commutative, associative and idempotent: replicas end up equal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfdb.dataset.layout import RowState
from mfdb.dataset.outcome import Incoming
from mfdb.dataset.replica import Replica
from mfdb.dataset.row_changes import RowChange, RowDelete, RowInsert, RowUpdate
from mfdb.dataset.working import parse
from mfdb.dataset.writer import Chain, ChangesetWriter
from mfdb.kernel.clock import HlcClock
from mfdb.rules.changeset import version_id
from mfdb.testing.memory_store import MemoryStore
from tests.fixtures.datasets import NETWORK, Counter, column, keys_of, mailbox_of, signed

if TYPE_CHECKING:
    from mfdb.kernel.ids import RowId, VersionId

OWNER = keys_of("bob")
MAILBOX = mailbox_of(OWNER, column("body"), column("shelf", clear=True))
LATER = 1_900_000_000.0


@dataclass
class Story:
    """Changesets that two machines of the owner and a stranger wrote, knowing more or less."""

    items: list[Incoming] = field(default_factory=list)
    versions: list[tuple[RowId, VersionId]] = field(default_factory=list)
    dead: set[VersionId] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.worlds = {name: Counter(name) for name in ("desk", "phone", "alice")}
        self.writers = {
            name: ChangesetWriter(
                keys_of("alice" if name == "alice" else "bob").account, HlcClock(world), world
            )
            for name, world in self.worlds.items()
        }
        self.chains: dict[str, Chain] = {n: w.new_chain() for n, w in self.writers.items()}

    def write(self, who: str, changes: list[RowChange]) -> None:
        draft = self.writers[who].compose(MAILBOX, changes, self.chains[who])
        self.chains[who] = draft.chain
        self.items.append(Incoming(changeset=draft.changeset, entry=draft.entry))
        for index, operation in enumerate(draft.changeset.operations):
            version = version_id(draft.changeset.id, index)
            if isinstance(changes[index], RowDelete):
                self.dead.add(version)
            self.versions.append((operation.row, version))


steps = st.lists(
    st.tuples(
        st.sampled_from(["desk", "phone", "alice"]),
        st.sampled_from(["insert", "update", "delete"]),
        st.integers(0, 30),
    ),
    min_size=1,
    max_size=12,
)


def told(script: list[tuple[str, str, int]]) -> Story:
    story = Story()
    for number, (who, kind, pick) in enumerate(script):
        living = [pair for pair in story.versions if pair[1] not in story.dead]
        if who == "alice" or kind == "insert" or not living:
            change: RowChange = RowInsert(values={"body": f"{who} {number}", "shelf": "s"})
            story.write(who, [change, RowInsert(values={"body": f"+{number}", "shelf": "s"})])
            continue
        row, parent = living[pick % len(living)]
        if kind == "delete":
            story.write(who, [RowDelete(row=row, parent=parent)])
        else:
            values = {"body": f"{who} {number}", "shelf": "s"}
            story.write(who, [RowUpdate(row=row, parent=parent, values=values)])
    return story


def fresh() -> tuple[Replica, MemoryStore]:
    world = Counter("reader")
    world.seconds = LATER
    store = MemoryStore()
    replica = Replica(store, OWNER, clock=world, entropy=world, networks=[NETWORK])
    replica.add_manifests([signed(MAILBOX, OWNER)])
    return replica, store


def state(replica: Replica, store: MemoryStore) -> Any:
    known = replica.known(MAILBOX.dataset)
    with replica.reading() as reading:
        rows = sorted((row.row, row.version, row.values) for row in reading.rows(known))
        conflicts = sorted((c.version, c.reason) for c in reading.conflicts(known))
    with store.snapshot() as snapshot:
        heads = {key: sorted(parse(RowState, value).heads) for key, value in snapshot.scan(b"w")}
        keys = dict(snapshot.scan(b"k"))
    return rows, conflicts, heads, keys


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(script=steps, data=st.data())
def test_any_order_grouping_and_repetition_gives_equal_replicas(
    script: list[tuple[str, str, int]], data: st.DataObject
) -> None:
    story = told(script)
    one, store = fresh()
    report = one.apply(MAILBOX.dataset, story.items)
    assert report.refused == ()
    assert report.parked == ()
    shuffled = data.draw(st.permutations(story.items + story.items[::2]))
    cut = data.draw(st.integers(0, len(shuffled)))
    other, other_store = fresh()
    for item in shuffled[:cut]:
        assert other.apply(MAILBOX.dataset, [item]).refused == ()
    other.apply(MAILBOX.dataset, shuffled[cut:])
    assert state(other, other_store) == state(one, store)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(script=steps, data=st.data())
def test_a_feed_replayed_gives_the_table_without_gap_or_repeat(
    script: list[tuple[str, str, int]], data: st.DataObject
) -> None:
    story = told(script)
    replica, _ = fresh()
    known = replica.known(MAILBOX.dataset)
    table: dict[RowId, Any] = {}
    seen, last = set(), 0
    for item in data.draw(st.permutations(story.items)):
        replica.apply(MAILBOX.dataset, [item])
        with replica.reading() as reading:
            for change in reading.changes(known, last):
                assert change.sequence == last + 1
                last = change.sequence
                key = (change.op, change.version)
                assert key not in seen
                seen.add(key)
                assert (change.row in table) == (change.op != "insert")
                if change.new is None:
                    del table[change.row]
                else:
                    table[change.row] = change.new
    with replica.reading() as reading:
        shown = {
            row.row: dict(zip(("body", "shelf"), row.values, strict=False))
            for row in reading.rows(known)
        }
    assert table == shown
