"""Dumps of replicas: taken, judged, restored; and everything that can be wrong with their files."""

from __future__ import annotations

import asyncio
import re
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from mfdb.client.session import Session
from mfdb.dataset.dump.chain import DumpFile, Former, former_of
from mfdb.dataset.dump.file_form import DumpWriter
from mfdb.dataset.dump.judging import judge_dumps
from mfdb.dataset.dump.parts import (
    ChangesetPart,
    DumpEnd,
    DumpHead,
    EntryPart,
    IndexPart,
    KeysPart,
    ManifestPart,
    Part,
    SlotsPart,
)
from mfdb.dataset.dump.restoring import restore
from mfdb.dataset.dump.taking import take
from mfdb.kernel.errors import BadDump, DuplicateObject
from mfdb.kernel.ids import Hash
from tests.factories import body_of
from tests.fixtures.users import Names, User

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fixtures.fake_network import FakeNetwork

SCRIPT = """
CREATE DATASET people (id SERIAL PRIMARY KEY, name TEXT UNIQUE, CHECK (name <> ''));
INSERT INTO people (name) VALUES ('ann'), ('bea'), ('cid'), ('dan');
UPDATE people SET name = 'bob' WHERE name = 'bea';
DELETE FROM people WHERE name = 'dan';
CREATE INDEX by_name ON people (name);
CREATE DATASET notes (body TEXT, at TIMESTAMP DEFAULT now());
INSERT INTO notes (body) VALUES ('one'), ('two');
ALTER DATASET notes ADD COLUMN stars INTEGER DEFAULT 3;
ALTER DATASET notes RENAME TO letters;
CREATE DATASET notes (x INTEGER);
CREATE VIEW starred AS SELECT body FROM letters WHERE stars > 2;
CREATE DATASET gone (x INTEGER);
DROP DATASET gone;
CREATE DATASET free (x INTEGER) WITH (ordering = 'free');
INSERT INTO free VALUES (1), (2), (3);
UPDATE free SET x = 20 WHERE x = 2;
DELETE FROM free WHERE x = 3;
"""
LATER = """
INSERT INTO people (name) VALUES ('eve');
UPDATE people SET name = 'rob' WHERE name = 'bob';
DELETE FROM people WHERE name IN ('ann', 'rob');
DELETE FROM free WHERE x = 1;
INSERT INTO free VALUES (4);
DROP DATASET notes;
CREATE INDEX by_stars ON letters (stars DESC);
"""
QUERIES = [
    "SELECT * FROM people ORDER BY id",
    "SELECT * FROM letters ORDER BY body",
    "SELECT * FROM starred ORDER BY body",
    "SELECT * FROM free ORDER BY x",
    "SELECT name FROM people WHERE name >= 'b' ORDER BY name",
    "SHOW DATASETS",
    "SHOW GRANTS ON people",
    "SHOW INDEXES ON people",
    "SHOW CREATE DATASET people",
]


def script(user: User, text: str) -> None:
    for statement in filter(str.strip, text.split(";")):
        user.now(statement)


def dump(user: User, former: Former | None = None, **options: Any) -> bytes:
    stream = BytesIO()
    with user.store.snapshot() as snapshot:
        take(stream, snapshot, user.keys.account, time_s=1, former=former, **options)
    return stream.getvalue()


def file_of(data: bytes, name: str = "a.dump") -> DumpFile:
    @contextmanager
    def opened() -> Iterator[BytesIO]:
        yield BytesIO(data)

    return DumpFile(name, len(data), opened)


def restored(user: User, *dumps: bytes) -> User:
    other = User("bob", None)
    done = restore(other.replica, judge_dumps([file_of(one) for one in dumps]))
    assert done.check.is_good
    other.session = Session(
        other.replica, other.keys, clock=other.world, entropy=other.world, identities=Names()
    )
    assert user.keys.address == other.keys.address
    return other


def shown(user: User) -> list[object]:
    return [user.now(query).rows for query in QUERIES]


@pytest.fixture
def bob(local: User) -> User:
    script(local, SCRIPT)
    return local


def test_what_is_restored_is_what_was_dumped(bob: User) -> None:
    other = restored(bob, dump(bob))
    assert shown(other) == shown(bob)
    assert other.now("CHECK DATABASE").rows == bob.now("CHECK DATABASE").rows
    for user in (bob, other):
        user.now("INSERT INTO people (name) VALUES ('zoe')")
    assert shown(other) == shown(bob)  # it numbers on where the other stands
    assert bob.replica.check().rows == other.replica.check().rows


def test_a_chain_of_dumps_gives_the_newest_state(bob: User) -> None:
    first = dump(bob)
    script(bob, LATER)
    second = dump(bob, former_of(file_of(first)))
    bob.now("INSERT INTO free VALUES (5)")
    bob.now("DELETE FROM people WHERE name = 'cid'")
    third = dump(bob, former_of(file_of(second)))
    assert len(third) < len(second) < len(first) * 1.2
    other = restored(bob, third, first, second)  # in any order
    assert shown(other) == shown(bob)
    report = judge_dumps([file_of(one) for one in (first, second, third)]).report
    assert [one.number for one in report.files] == [0, 1, 2]
    assert report.is_good
    assert {one.name for one in report.datasets} == {"people", "letters", "starred", "free"}
    assert all(not one.notes for one in report.datasets), report.datasets


def test_what_a_later_dump_deleted_is_destroyed_when_a_chain_is_restored(bob: User) -> None:
    first = dump(bob)
    bob.now("DELETE FROM people WHERE name = 'ann'")
    bob.now("DELETE FROM free WHERE x = 20")
    other = restored(bob, first, dump(bob, former_of(file_of(first))))
    with other.store.snapshot() as snapshot:
        ledger = b"".join(value for _, value in snapshot.scan(b"q"))
        assert b"ann" not in ledger
        assert b"cid" in ledger
        salts = sorted(value for _, value in snapshot.scan(b"z"))
    with bob.store.snapshot() as snapshot:
        assert salts == sorted(value for _, value in snapshot.scan(b"z"))


def test_nothing_new_makes_a_small_dump_that_lists_everything(bob: User) -> None:
    first = dump(bob)
    second = dump(bob, former_of(file_of(first)))
    assert judge_dumps([file_of(first), file_of(second)]).report.is_good
    assert shown(restored(bob, first, second)) == shown(bob)


def test_some_datasets_alone(bob: User) -> None:
    known = bob.replica.find(bob.keys.address, "people")
    assert known is not None
    other = restored(bob, dump(bob, only=[known.manifest.dataset]))
    assert other.now(QUERIES[0]).rows == bob.now(QUERIES[0]).rows
    assert [row[0] for row in other.now("SHOW DATASETS").rows] == ["people"]


def test_a_chain_with_a_hole_is_refused(bob: User) -> None:
    first = dump(bob)
    second = dump(bob, former_of(file_of(first)))
    third = dump(bob, former_of(file_of(second)))
    with pytest.raises(BadDump, match="dump 2 of its chain follows none of number 1"):
        judge_dumps([file_of(first), file_of(third)])
    with pytest.raises(BadDump, match="dump 1 of its chain"):
        judge_dumps([file_of(second)])
    script(bob, "INSERT INTO free VALUES (9)")
    with pytest.raises(BadDump, match="follows another dump than the one given"):
        judge_dumps([file_of(dump(bob)), file_of(second)])
    with pytest.raises(BadDump, match="second full dump"):
        judge_dumps([file_of(first), file_of(first)])


def test_dumps_of_different_people_are_no_chain(bob: User) -> None:
    first = dump(bob)
    carol = User("carol", None)
    with pytest.raises(BadDump, match="another identity's"):
        dump(carol, former_of(file_of(first)))
    with pytest.raises(BadDump, match="another identity's"):
        restore(carol.replica, judge_dumps([file_of(first)]))


def test_a_replica_that_holds_datasets_is_not_overwritten(bob: User) -> None:
    with pytest.raises(DuplicateObject, match="datasets of this identity here already"):
        restore(bob.replica, judge_dumps([file_of(dump(bob))]))


@pytest.mark.parametrize("at", [0, 8, 9, 40, 200, -1, -100])
def test_a_bit_that_turned_is_found_and_placed(bob: User, at: int) -> None:
    data = bytearray(dump(bob))
    data[at] ^= 1
    with pytest.raises(Exception, match=r"a\.dump: (at byte \d+|the dump has format)") as raised:
        judge_dumps([file_of(bytes(data))])
    assert raised.value.__class__.__name__ in ("BadDump", "WrongVersion")


@pytest.mark.parametrize("length", [0, 5, 9, 15, 100, -1])
def test_a_file_that_was_cut_off_is_found(bob: User, length: int) -> None:
    with pytest.raises(BadDump, match="the file ends at byte"):
        judge_dumps([file_of(dump(bob)[:length])])


def test_bytes_after_the_end_are_refused(bob: User) -> None:
    with pytest.raises(BadDump, match="beyond the end"):
        judge_dumps([file_of(dump(bob) + b"x")])


def test_something_else_is_no_dump() -> None:
    with pytest.raises(BadDump, match="this is no dump"):
        judge_dumps([file_of(b"SQLite format 3\x00" + bytes(100))])


def rewritten(user: User, data: bytes, change: Callable[[Part], Part | None]) -> bytes:
    """Return a dump whose parts somebody changed before the identity signed it."""
    stream = BytesIO()
    writer: DumpWriter | None = None
    for _, part in file_of(data).parts():
        if isinstance(part, DumpHead):
            writer = DumpWriter(stream, part)
        elif writer is not None and not isinstance(part, DumpEnd):
            changed = change(part)
            if changed is not None:
                writer.put(changed)  # type: ignore[arg-type] # head and end are not among them
    assert writer is not None
    writer.end(user.keys.account)
    return stream.getvalue()


def _other_value(part: Part) -> Part:
    if not isinstance(part, SlotsPart):
        return part
    runs = tuple(tuple(slot.replace(b"ann", b"eva") for slot in run) for run in part.runs)
    return replace(part, runs=runs)


def _other_salt(part: Part) -> Part:
    if not isinstance(part, KeysPart):
        return part
    salts = tuple(bytes(32) if salt else salt for salt in part.entry.salts)
    return replace(part, entry=replace(part.entry, salts=salts))


def _other_operation(part: Part) -> Part:
    if not isinstance(part, ChangesetPart):
        return part
    first = replace(part.changeset.operations[0], salt_commitment=Hash(bytes(32)))
    body = body_of(first, *part.changeset.operations[1:])
    return replace(part, changeset=replace(part.changeset, body=body))


def _other_rules(part: Part) -> Part:
    if not isinstance(part, ManifestPart):
        return part
    return replace(
        part, signed=replace(part.signed, manifest=replace(part.signed.manifest, name="mine"))
    )


def _without(kind: type[Part]) -> Callable[[Part], Part | None]:
    return lambda part: None if isinstance(part, kind) else part


FORGERIES: list[tuple[Callable[[Part], Part | None], str]] = [
    (_other_value, "the operations are not those that were signed"),
    (_other_salt, "a row salt is not the one that its operation commits to"),
    (_other_operation, "the operations do not match the header's root"),
    (_other_rules, "Manifest signed by"),
    (_without(ChangesetPart), "a changeset .* is missing"),
    (_without(KeysPart), "what opens a changeset .* is missing"),
    (_without(SlotsPart), "operations are missing"),
    (_without(EntryPart), "operations come without the header that signs them"),
    (_without(ManifestPart), "rows come without the rules"),
    (_without(IndexPart), "an index .* is missing"),
]


@pytest.mark.parametrize(("change", "said"), FORGERIES)
def test_what_was_changed_before_the_dump_was_signed_is_found_and_never_restored(
    bob: User, change: Callable[[Part], Part | None], said: str
) -> None:
    forged = rewritten(bob, dump(bob), change)
    judged = judge_dumps([file_of(forged)])
    assert any(re.search(said, problem) for problem in judged.report.problems), (
        judged.report.problems
    )
    other = User("bob", None)
    with pytest.raises(BadDump, match="does not verify"):
        restore(other.replica, judged)
    assert other.now("SHOW DATASETS").rows == []


def test_a_dump_that_nobody_changed_verifies_when_it_is_written_again(bob: User) -> None:
    assert judge_dumps([file_of(rewritten(bob, dump(bob), lambda part: part))]).report.is_good


def test_a_dump_signed_by_somebody_else_is_refused(bob: User) -> None:
    forged = rewritten(User("carol", None), dump(bob), lambda part: part)
    with pytest.raises(BadDump, match="signed by"):
        judge_dumps([file_of(forged)])


def test_datasets_of_a_network_are_dumped_with_what_opens_them(world: FakeNetwork) -> None:
    asyncio.run(_with_letters(world))


async def _with_letters(world: FakeNetwork) -> None:
    online = User("bob", world)
    alice = User("alice", world)
    await online.run("CREATE MAILBOX inbox")
    for at in range(3):
        await alice.run(f"INSERT INTO \"{online.address}\".inbox (body) VALUES ('letter {at}')")
    await online.run("DELETE FROM inbox WHERE body = 'letter 1'")
    query = "SELECT subject, body FROM inbox ORDER BY body"
    rows = await online.rows(query)
    first = dump(online)
    await alice.run(f"INSERT INTO \"{online.address}\".inbox (body) VALUES ('letter 9')")
    await online.rows(query)
    await online.run("DELETE FROM inbox WHERE body = 'letter 0'")
    second = dump(online, former_of(file_of(first)))
    other = restored(online, first, second)
    other.now("SET freshness = 'cached'")
    assert other.now(query).rows == await online.rows(query) != rows
    report = judge_dumps([file_of(first), file_of(second)]).report
    assert [(one.name, one.kind, one.changesets) for one in report.datasets] == [
        ("inbox", "mailbox", 6)
    ]
