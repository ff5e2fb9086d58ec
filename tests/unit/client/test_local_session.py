"""Sessions on one machine: statements, batches, definitions, rights and what is refused."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from mfdb.kernel.errors import (
    AccessDenied,
    BatchFailed,
    CorruptRecord,
    DuplicateDataset,
    DuplicateRow,
    InterfaceError,
    InvalidDefinition,
    InvalidText,
    MfdbError,
    NetworkError,
    NotSupportedError,
    ProgrammingError,
    SchemaViolation,
    UnknownDataset,
    UnknownIdentity,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.client.results import Change
    from tests.fixtures.users import User

NOTES = "CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT, tag TEXT UNIQUE)"


@pytest.fixture
def notes(local: User) -> User:
    local.now(NOTES)
    local.now("INSERT INTO notes VALUES (1, 'one', 'a'), (2, 'two', 'b'), (3, 'three', NULL)")
    return local


def rows(user: User, text: str, *params: object) -> Sequence[tuple[object, ...]]:
    return user.now(text, *params).rows


def test_results_carry_tags_columns_and_counts(notes: User) -> None:
    result = notes.now("SELECT id, body AS text FROM notes WHERE id <= ? ORDER BY id", 2)
    assert (result.tag, result.count) == ("SELECT 2", 2)
    assert [(column.name, column.type) for column in result.columns] == [
        ("id", "INTEGER"),
        ("text", "TEXT"),
    ]
    assert result.rows == [(1, "one"), (2, "two")]
    assert notes.now("UPDATE notes SET body = 'x' WHERE id > 1").tag == "UPDATE 2"
    assert notes.now("DELETE FROM notes RETURNING id").rows == [(1,), (2,), (3,)]
    assert notes.now("INSERT INTO notes (id) VALUES (9)").tag == "INSERT 1"


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("id = 2", [2]),
        ("id IN (3, 1, 7)", [1, 3]),
        ("id > 1", [2, 3]),
        ("id >= 1 AND id < 3", [1, 2]),
        ("id BETWEEN 2 AND 9", [2, 3]),
        ("id = NULL", []),
        ("tag = 'b'", [2]),
        ("tag IS NULL", [3]),
        ("body LIKE 't%'", [2, 3]),
    ],
)
def test_conditions_find_the_same_rows_committed_and_pending(
    local: User, where: str, found: list[int]
) -> None:
    local.now(NOTES)
    local.now("BEGIN")
    local.now("INSERT INTO notes VALUES (1, 'one', 'a'), (2, 'two', 'b'), (3, 'three', NULL)")
    query = f"SELECT id FROM notes WHERE {where} ORDER BY id"
    assert [row[0] for row in rows(local, query)] == found
    local.now("COMMIT")
    assert [row[0] for row in rows(local, query)] == found


def test_composite_keys_are_read_in_order_and_by_prefix(local: User) -> None:
    local.now("CREATE TABLE t (a TEXT, b INTEGER, c TEXT, PRIMARY KEY (a, b))")
    local.now("INSERT INTO t VALUES ('x', 2, 'p'), ('x', -1, 'q'), ('y', 0, 'r'), ('', 5, 's')")
    assert rows(local, "SELECT c FROM t WHERE a = 'x'") == [("q",), ("p",)]
    assert rows(local, "SELECT c FROM t WHERE a = 'x' AND b > -1") == [("p",)]
    assert rows(local, "SELECT c FROM t WHERE a = 'x' AND b = -1") == [("q",)]
    assert rows(local, "SELECT c FROM t WHERE a > '' AND a < 'y'") == [("q",), ("p",)]


def test_a_batch_reads_its_own_changes_and_others_see_them_at_commit(notes: User) -> None:
    notes.now("BEGIN")
    notes.now("UPDATE notes SET body = 'changed' WHERE id = 1")
    notes.now("DELETE FROM notes WHERE id = 2")
    notes.now("INSERT INTO notes VALUES (2, 'again', 'b'), (4, 'four', 'd')")
    notes.now("UPDATE notes SET id = 5 WHERE id = 4")
    inside = rows(notes, "SELECT * FROM notes ORDER BY id")
    assert inside == [
        (1, "changed", "a"), (2, "again", "b"), (3, "three", None), (5, "four", "d"),
    ]  # fmt: skip
    with notes.replica.reading() as reading:
        (known,) = reading.datasets()
        assert [row.values[1] for row in reading.rows(known)] == ["one", "two", "three"]
        before = reading.last_sequence(known)
    assert notes.now("COMMIT").tag == "COMMIT"
    assert rows(notes, "SELECT * FROM notes ORDER BY id") == inside
    with notes.replica.reading() as reading:
        changes = list(reading.changes(known, before))
        assert {change.op for change in changes} == {"insert", "update"}
        assert len(changes) == 3, "a changeset touches a row once"


def test_rollback_leaves_nothing_and_a_failed_batch_ends_only_so(notes: User) -> None:
    notes.now("BEGIN")
    notes.now("INSERT INTO notes (id) VALUES (7)")
    with pytest.raises(DuplicateRow):
        notes.now("INSERT INTO notes (id) VALUES (7)")
    with pytest.raises(BatchFailed):
        notes.now("SELECT * FROM notes")
    assert notes.now("COMMIT").tag == "ROLLBACK"
    assert rows(notes, "SELECT count(*) FROM notes") == [(3,)]
    notes.now("BEGIN")
    notes.now("DELETE FROM notes")
    notes.now("ROLLBACK")
    assert rows(notes, "SELECT count(*) FROM notes") == [(3,)]
    notes.now("BEGIN")
    with pytest.raises(ProgrammingError):
        notes.now("BEGIN")


def test_a_batch_over_two_local_datasets_is_atomic(local: User) -> None:
    local.now("CREATE TABLE a (id INTEGER PRIMARY KEY)")
    local.now("CREATE TABLE b (id INTEGER PRIMARY KEY)")
    local.now("BEGIN")
    local.now("INSERT INTO a VALUES (1)")
    local.now("INSERT INTO b VALUES (1)")
    local.store.disk.full = True
    with pytest.raises(MfdbError):
        local.now("COMMIT")
    local.store.disk.full = False
    assert rows(local, "SELECT count(*) FROM a") == rows(local, "SELECT count(*) FROM b") == [(0,)]


def test_unique_columns_hold_against_committed_and_pending_rows(notes: User) -> None:
    with pytest.raises(DuplicateRow, match="tag"):
        notes.now("INSERT INTO notes VALUES (9, '', 'a')")
    notes.now("BEGIN")
    notes.now("UPDATE notes SET tag = 'z' WHERE id = 1")
    notes.now("INSERT INTO notes VALUES (9, '', 'a')")
    with pytest.raises(DuplicateRow, match="tag"):
        notes.now("INSERT INTO notes VALUES (10, '', 'z')")
    notes.now("ROLLBACK")


def test_many_sets_of_parameters_become_one_changeset(notes: User) -> None:
    result = notes.session.start_many(
        "INSERT INTO notes (id) VALUES (?)", [(n,) for n in range(100, 200)]
    )
    assert result.tag == "INSERT 100"  # type: ignore[union-attr] # local: no awaitable
    with notes.replica.reading() as reading:
        (known,) = reading.datasets()
        changesets = {row.hlc for row in reading.rows(known) if row.values[0] >= 100}
    assert len(changesets) == 1
    with pytest.raises(DuplicateRow):
        notes.session.start_many("INSERT INTO notes (id) VALUES (?)", [(300,), (300,)])
    assert rows(notes, "SELECT count(*) FROM notes WHERE id = 300") == [(0,)]


# ---- definitions


def test_definitions_that_cannot_stand_are_refused(local: User) -> None:
    local.now(NOTES)
    with pytest.raises(DuplicateDataset):
        local.now(NOTES)
    assert local.now(NOTES.replace("TABLE", "TABLE IF NOT EXISTS")).tag == "CREATE DATASET"
    with pytest.raises(NotSupportedError, match="PRIMARY KEY"):
        local.now("CREATE TABLE f (id INTEGER PRIMARY KEY) WITH (ordering = 'free')")
    with pytest.raises(InvalidDefinition, match="mailbox"):
        local.now("CREATE MAILBOX m WITH (ordering = 'owner')")
    with pytest.raises(AccessDenied):
        local.now("CREATE TABLE alice.x (a TEXT)")
    local.now("BEGIN")
    with pytest.raises(NotSupportedError, match="batch"):
        local.now("CREATE TABLE y (a TEXT)")


@pytest.mark.parametrize(
    ("options", "error", "hint"),
    [
        ("replica = 3", InvalidDefinition, "replicas"),
        ("replicas = 3, replicas = 4", InvalidDefinition, ""),
        ("replicas = 'three'", InvalidDefinition, "replicas = 3"),
        ("erasure = '4 of 6'", InvalidDefinition, "4/6"),
        ("replicas = 3, write_quorum = 1", SchemaViolation, ""),
        ("ordering = 'anyhow'", InvalidDefinition, "owner"),
        ("retention = 'soon'", InvalidDefinition, "90 days"),
        ("price_ceiling = 5", InvalidDefinition, "MFT"),
    ],
)
def test_options_are_checked_and_wrong_ones_explained(
    local: User, options: str, error: type[MfdbError], hint: str
) -> None:
    with pytest.raises(error) as caught:
        local.now(f"CREATE TABLE x (a TEXT) WITH ({options})")
    assert hint in caught.value.hint


def test_options_become_the_profile(local: User) -> None:
    local.now(
        "CREATE TABLE x (a TEXT) WITH (replicas = 5, erasure = '3/9', retention = '2 days', "
        "price_ceiling = '0.002 MFT', local = true)"
    )
    found = local.replica.find(local.keys.address, "x")
    assert found is not None
    manifest = found.manifest
    assert (manifest.profile.replicas, manifest.profile.write_quorum) == (5, 3)
    assert (manifest.profile.k, manifest.profile.n) == (3, 9)
    assert manifest.retention_s == 2 * 86_400
    assert manifest.price_ceiling == 2 * 10**15
    local.now("ALTER DATASET x SET (replicas = 4)")
    with pytest.raises(InvalidDefinition, match="created"):
        local.now("ALTER DATASET x SET (ordering = 'free')")
    found = local.replica.find(local.keys.address, "x")
    assert found is not None
    assert (found.manifest.profile.replicas, found.manifest.profile.k) == (4, 3)
    assert found.manifest.number == 1


def test_a_dropped_dataset_is_gone_and_its_name_free(notes: User) -> None:
    assert notes.now("DROP TABLE notes").tag == "DROP DATASET"
    with pytest.raises(UnknownDataset):
        notes.now("SELECT * FROM notes")
    with pytest.raises(UnknownDataset):
        notes.now("DROP TABLE notes")
    assert notes.now("DROP TABLE IF EXISTS notes").tag == "DROP DATASET"
    notes.now(NOTES)
    assert rows(notes, "SELECT * FROM notes") == []


def test_a_mailbox_has_columns_for_mail_and_lets_anybody_insert(local: User) -> None:
    local.now("CREATE MAILBOX mailbox")
    columns = [row[0] for row in rows(local, "SHOW COLUMNS FROM mailbox")]
    assert columns == ["sent_at", "sender", "subject", "headers", "body"]
    grants = {(row[0], row[1]) for row in rows(local, "SHOW GRANTS ON mailbox")}
    assert grants == {("INSERT", "PUBLIC")} | {
        (action, "OWNER") for action in ("SELECT", "UPDATE", "DELETE", "SUBSCRIBE")
    }


# ---- rights


def test_grants_are_given_shown_and_taken_back(notes: User) -> None:
    notes.now("GRANT INSERT, SELECT ON notes TO alice UNTIL '2030-01-01'")
    notes.now("GRANT INSERT, SELECT ON notes TO alice UNTIL '2030-01-01'")
    shown = [row for row in rows(notes, "SHOW GRANTS ON notes") if row[1] != "OWNER"]
    assert [row[0] for row in shown] == ["SELECT", "INSERT"]
    known = notes.replica.find(notes.keys.address, "notes")
    assert known is not None
    assert known.manifest.number == 1, "giving what is given already changes nothing"
    notes.now("REVOKE INSERT ON notes FROM alice")
    shown = [row for row in rows(notes, "SHOW GRANTS ON notes") if row[1] != "OWNER"]
    assert [row[0] for row in shown] == ["SELECT"]
    known = notes.replica.find(notes.keys.address, "notes")
    assert known is not None
    assert known.manifest.acl_epoch == 1
    assert len(known.manifest.revocations) == 1
    assert len(known.manifest.read_keys) == 1
    notes.now("REVOKE ALL ON notes FROM alice")
    known = notes.replica.find(notes.keys.address, "notes")
    assert known is not None
    assert len(known.manifest.read_keys) == 2, "who lost SELECT gets no key of the next epoch"
    notes.now("INSERT INTO notes (id, body) VALUES (8, 'new epoch')")
    assert rows(notes, "SELECT body FROM notes WHERE id IN (1, 8)") == [("one",), ("new epoch",)]


def test_grants_that_mean_nothing_are_refused(local: User) -> None:
    local.now("CREATE MAILBOX mailbox")
    local.now("CREATE TABLE t (open TEXT CLEAR, closed TEXT)")
    with pytest.raises(NotSupportedError, match="mailbox"):
        local.now("GRANT SELECT ON mailbox TO alice")
    with pytest.raises(InvalidDefinition, match="key"):
        local.now("GRANT SELECT ON t TO AUTHOR")
    with pytest.raises(NotSupportedError, match="closed"):
        local.now("GRANT UPDATE (open) ON t TO alice")
    with pytest.raises(UnknownIdentity):
        local.now("GRANT INSERT ON t TO dave")
    with pytest.raises(InvalidDefinition, match="closed"):
        local.now("GRANT INSERT ON t WHERE closed = 'x' TO PUBLIC")


def test_who_gives_itself_no_right_has_none(local: User) -> None:
    local.now("CREATE TABLE t (a TEXT CLEAR)")
    local.now("INSERT INTO t VALUES ('red'), ('blue')")
    local.now("REVOKE ALL ON t FROM OWNER")
    for text in ("SELECT * FROM t", "INSERT INTO t VALUES ('x')", "DELETE FROM t"):
        with pytest.raises(AccessDenied):
            local.now(text)
    local.now("GRANT SELECT ON t WHERE a = 'red' TO OWNER")
    assert rows(local, "SELECT * FROM t") == [("red",)]


# ---- telling


def test_show_and_explain_tell_what_is_here(notes: User) -> None:
    assert [row[:6] for row in rows(notes, "SHOW DATASETS")] == [
        ("notes", notes.address, "dataset", "owner", "local", None)
    ]
    assert rows(notes, "SHOW DATASETS LIKE 'x%'") == []
    shown = rows(notes, "DESCRIBE notes")
    assert shown[0][:4] == ("id", "INTEGER", False, "primary 1")
    assert ("bob", notes.address, False, True) in rows(notes, "SHOW IDENTITIES")
    plan = [row[0] for row in rows(notes, "EXPLAIN SELECT * FROM notes WHERE id = 1")]
    assert plan[0] == "route: row"
    assert plan[-1] == "place: this machine only"
    assert rows(notes, "SHOW CONFLICTS") == []
    with pytest.raises(NetworkError):
        notes.now("SHOW PROVIDERS")
    with pytest.raises(ProgrammingError, match="showw"):
        notes.now("SHOW showw")


def test_show_create_makes_the_same_dataset_again(notes: User, world: object) -> None:
    from tests.fixtures.users import User

    notes.now("CREATE TABLE t (a TEXT CLEAR NOT NULL DEFAULT 'x', b REAL CHECK (b > 0))")
    notes.now("GRANT INSERT ON t WHERE a = 'x' TO alice UNTIL '2030-01-01'")
    other = User("carol", None)
    for (statement,) in rows(notes, "SHOW CREATE DATASET t"):
        other.now(str(statement))
    again = rows(other, "SHOW CREATE DATASET t")
    assert set(again) == set(rows(notes, "SHOW CREATE DATASET t"))


def test_settings_are_set_shown_and_checked(local: User) -> None:
    local.now("SET freshness = '10 seconds'")
    local.now("SET sealed_sender = on")
    assert rows(local, "SHOW SETTINGS") == [
        ("freshness", "10 seconds", "latest"),
        ("sealed_sender", "on", "off"),
        ("route", "auto", "auto"),
        ("memory_limit", "1GB", "1GB"),
        ("wait", "1", "1"),
        ("timezone", "UTC", "UTC"),
        ("search_path", "public", "public"),
        ("client_encoding", "UTF8", "UTF8"),
        ("standard_conforming_strings", "on", "on"),
        ("owner", "", ""),
    ]
    local.now("SET freshness = DEFAULT")
    assert rows(local, "SHOW SETTINGS")[0][1] == "latest"
    for text in (
        "SET freshness = 'sometimes'",
        "SET sealed_sender = 7",
        "SET freshnes = 'x'",
        "SET wait = 0",
        "SET wait = 'long'",
        "SET wait = 1001",
        "SET wait = -1",
    ):
        with pytest.raises(InvalidDefinition):
            local.now(text)


@pytest.mark.parametrize(
    "text",
    [
        "STAKE 1000 MFT ON storage",
        "UNSTAKE ALL",
        "OFFER SERVICE storage WITH (capacity = '50 GB') PRICE 0.001 MFT PER gb month",
        "REVOKE OFFER SERVICE storage",
        "FUND DATASET m WITH 50 MFT",
        "FUND chequebook WITH 5 MFT",
        "WITHDRAW 5 MFT FROM chequebook TO bob",
        "TRANSFER 3 MFT TO bob",
        "CHALLENGE RECEIPT 'id' WITH (stake = 5)",
    ],
)
def test_money_needs_a_network(local: User, text: str) -> None:
    with pytest.raises(NetworkError, match="needs a network") as caught:
        local.now(text)
    assert caught.value.position == 0
    assert "network=" in caught.value.hint


def test_identities_are_created_once(local: User) -> None:
    result = local.now("CREATE IDENTITY dora")
    assert result.rows[0][0] == "dora"
    with pytest.raises(MfdbError):
        local.now("CREATE IDENTITY dora")


# ---- subscriptions


async def taken(
    user: User, text: str, count: int, *params: object, since: str | None = None
) -> list[Change]:
    changes = []
    stream = user.session.subscribe(text, params, since)
    async with asyncio.timeout(5):
        async for change in stream:
            changes.append(change)
            if len(changes) == count:
                break
    await stream.aclose()  # type: ignore[attr-defined] # an async generator
    return changes


def test_a_subscription_gives_a_snapshot_then_changes_and_resumes(notes: User) -> None:
    async def main() -> None:
        stream = notes.session.subscribe("SUBSCRIBE TO notes")
        seen = [await anext(stream) for _ in range(3)]
        assert [change.op for change in seen] == ["insert"] * 3
        notes.now("UPDATE notes SET body = 'uno' WHERE id = 1")
        notes.now("DELETE FROM notes WHERE id = 2")
        updated, deleted = [await anext(stream) for _ in range(2)]
        assert (updated.op, updated.old, updated.new) == (
            "update",
            {"id": 1, "body": "one", "tag": "a"},
            {"id": 1, "body": "uno", "tag": "a"},
        )
        assert (deleted.op, deleted.new) == ("delete", None)
        assert deleted.old == {"id": 2, "body": "two", "tag": "b"}
        assert updated.author == notes.address
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        assert not waiting.done()
        notes.now("INSERT INTO notes (id) VALUES (4)")
        inserted = await asyncio.wait_for(waiting, 5)
        assert inserted.new == {"id": 4, "body": None, "tag": None}
        (again,) = await taken(notes, "SUBSCRIBE TO notes", 1, since=deleted.cursor)
        assert again == inserted
        # a cursor out of the snapshot loses nothing that came after it
        rest = await taken(notes, "SUBSCRIBE TO notes", 3, since=seen[1].cursor)
        assert [change.op for change in rest] == ["insert", "update", "delete"]
        await stream.aclose()  # type: ignore[attr-defined] # an async generator

    asyncio.run(main())


def test_a_subscription_filters_and_projects_both_sides(notes: User) -> None:
    async def main() -> None:
        text = "SUBSCRIBE TO SELECT upper(body) AS b FROM notes WHERE id > ?"
        stream = notes.session.subscribe(text, [2])
        assert (await anext(stream)).new == {"b": "THREE"}
        notes.now("INSERT INTO notes VALUES (0, 'unseen', NULL), (9, 'seen', NULL)")
        assert (await anext(stream)).new == {"b": "SEEN"}
        notes.now("UPDATE notes SET id = 1000, body = 'moved' WHERE id = 1")
        moved = await anext(stream)
        assert (moved.op, moved.new) == ("insert", {"b": "MOVED"})
        notes.now("UPDATE notes SET id = -1 WHERE id = 1000")
        assert (await anext(stream)).op == "delete"
        await stream.aclose()  # type: ignore[attr-defined] # an async generator

    asyncio.run(main())


def test_cursors_are_checked(notes: User) -> None:
    async def main() -> None:
        (change,) = await taken(notes, "SUBSCRIBE TO notes", 1)
        notes.now("CREATE TABLE other (a TEXT)")
        for wrong in ("", "c1.", "c1.AAAA", "x" * 1000, change.cursor[:-2], change.cursor + "A"):
            if not wrong:
                continue
            with pytest.raises(InvalidText):
                await taken(notes, "SUBSCRIBE TO notes", 1, since=wrong)
        with pytest.raises(InvalidText, match="another dataset"):
            await taken(notes, "SUBSCRIBE TO other", 1, since=change.cursor)
        (resumed,) = await taken(notes, "SUBSCRIBE TO notes SINCE ?", 1, change.cursor)
        assert resumed.key != change.key

    asyncio.run(main())


def test_a_foreign_cursor_replays_from_the_beginning_with_equal_keys(notes: User) -> None:
    async def main() -> None:
        seen = await taken(notes, "SUBSCRIBE TO notes", 3)
        foreign = notes.replica._info
        notes.replica._info = type(foreign)(foreign.format, b"elsewhere")
        again = await taken(notes, "SUBSCRIBE TO notes", 3, since=seen[-1].cursor)
        assert [change.key for change in again] == [change.key for change in seen]

    asyncio.run(main())


def test_a_closed_session_says_so(notes: User) -> None:
    asyncio.run(notes.session.close())
    with pytest.raises(InterfaceError, match="closed"):
        notes.now("SELECT 1")


def test_verify_answers_only_what_was_signed(local: User) -> None:
    local.now("CREATE DATASET notes (id INTEGER PRIMARY KEY, body TEXT)")
    local.now("INSERT INTO notes VALUES (1, 'one'), (2, 'two')")
    query = "SELECT body FROM notes WHERE id = 2 VERIFY"
    for _ in range(2):  # the second time it is remembered, and checked all the same
        assert local.now(query).rows == [("two",)]
    with local.store.snapshot() as snapshot:
        ((key, value),) = [(k, v) for k, v in snapshot.scan(b"d") if b"two" in v]
    local.store.write([(key, value.replace(b"two", b"TWO"))])
    assert local.now("SELECT body FROM notes WHERE id = 2").rows == [("TWO",)]
    for text in (query, "SELECT count(*) FROM notes a JOIN notes b ON a.id = b.id VERIFY"):
        with pytest.raises(CorruptRecord, match="shows other values than were signed"):
            local.now(text)
    with pytest.raises(UnknownDataset):
        local.now("SELECT * FROM nothing VERIFY")
