"""Retention: what nobody changed for so long is deleted, signed by the owner, and nothing else."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

import mfdb
from mfdb.client.expiring import Expiring
from mfdb.client.expiry import Expiry
from mfdb.kernel.errors import AccessDenied, InvalidDefinition
from tests.fixtures.datasets import Counter

if TYPE_CHECKING:
    from pathlib import Path

    from mfdb.kernel.ids import DatasetId
    from tests.fixtures.fake_network import FakeNetwork
    from tests.fixtures.users import User

DAY_S = 86_400


def vacuum(user: User) -> object:
    """Run VACUUM; return how many rows had been kept for long enough."""
    return user.now("VACUUM").rows[0][2]


def known_of(user: User) -> DatasetId:
    known = user.replica.find(user.keys.address, "notes")
    assert known is not None
    return known.manifest.dataset


def ids(user: User, name: str = "notes") -> list[object]:
    return [row[0] for row in user.now(f"SELECT id FROM {name} ORDER BY id").rows]


def test_vacuum_deletes_what_nobody_changed(local: User) -> None:
    local.now("CREATE TABLE notes (id INTEGER PRIMARY KEY, a TEXT) WITH (retention = '30 days')")
    local.now("CREATE TABLE kept (id INTEGER PRIMARY KEY)")
    local.now("INSERT INTO kept VALUES (1)")
    local.now("INSERT INTO notes VALUES (1, 'old'), (2, 'changed later')")
    local.world.seconds += 29 * DAY_S
    local.now("UPDATE notes SET a = 'new' WHERE id = 2")
    local.now("INSERT INTO notes VALUES (3, 'young')")
    assert vacuum(local) == 0
    local.world.seconds += 2 * DAY_S
    assert ids(local) == [1, 2, 3]
    assert vacuum(local) == 1
    assert ids(local) == [2, 3]
    assert ids(local, "kept") == [1]
    told = [row[-1] for row in local.now("SHOW DATASETS WHERE kind = 'dataset' ORDER BY name").rows]
    assert told == [None, "30 days"]
    assert local.now("CHECK DATABASE").rows[-1][1] == "0"


def test_it_can_be_changed_and_ended(local: User) -> None:
    local.now("CREATE MAILBOX inbox (id INTEGER, a TEXT) WITH (retention = '365 days')")
    assert "retention = '365 days'" in str(local.now("SHOW CREATE MAILBOX inbox").rows[0][0])
    local.now("INSERT INTO inbox VALUES (1, 'a')")
    local.now("ALTER MAILBOX inbox SET (retention = 'forever')")
    local.world.seconds += 400 * DAY_S
    assert "retention" not in str(local.now("SHOW CREATE MAILBOX inbox").rows[0][0])
    assert vacuum(local) == 0
    local.now("ALTER MAILBOX inbox SET (retention = '90 minutes')")
    assert vacuum(local) == 1
    with pytest.raises(InvalidDefinition) as refused:
        local.now("ALTER MAILBOX inbox SET (retention = '0 days')")
    assert refused.value.hint == "write retention = '90 days', or 'forever'"


def test_rows_that_others_refer_to_stay(local: User) -> None:
    local.now("CREATE TABLE notes (id INTEGER PRIMARY KEY) WITH (retention = '1 day')")
    local.now("CREATE TABLE held (id INTEGER PRIMARY KEY, note INTEGER REFERENCES notes)")
    local.now(
        "CREATE TABLE gone (id INTEGER PRIMARY KEY, "
        "note INTEGER REFERENCES notes ON DELETE CASCADE)"
    )
    local.now("INSERT INTO notes VALUES (1), (2), (3)")
    local.now("INSERT INTO held VALUES (1, 1)")
    local.now("INSERT INTO gone VALUES (2, 2)")
    local.world.seconds += 2 * DAY_S
    assert vacuum(local) == 2
    assert (ids(local), ids(local, "gone")) == ([1], [])
    local.now("DELETE FROM held")
    assert vacuum(local) == 1


def test_rules_bind_the_owner_too(local: User) -> None:
    for name in ("locked", "notes"):
        local.now(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY) WITH (retention = '1 day')")
        local.now(f"INSERT INTO {name} VALUES (1)")
    local.now("CREATE POLICY kept ON locked AS RESTRICTIVE FOR DELETE USING (false)")
    local.world.seconds += 2 * DAY_S
    with pytest.raises(AccessDenied):
        local.now("VACUUM")
    assert (ids(local, "locked"), ids(local)) == ([1], [])


def test_on_a_network_the_owner_deletes(world: FakeNetwork, alice: User, bob: User) -> None:
    asyncio.run(_on_a_network(world, alice, bob))


async def _on_a_network(world: FakeNetwork, alice: User, bob: User) -> None:
    await bob.run("CREATE MAILBOX inbox (id INTEGER, a TEXT) WITH (retention = '30 days')")
    await alice.run(f"INSERT INTO \"{bob.address}\".inbox VALUES (1, 'hello')")
    assert await bob.rows("SELECT id FROM inbox") == [(1,)]
    for user in (alice, bob):
        user.world.seconds += 31 * DAY_S
    world.now_s += 31 * DAY_S
    assert (await alice.rows("VACUUM"))[0][2] == 0
    assert (await bob.rows("VACUUM"))[0][2] == 1
    assert await bob.rows("SELECT id FROM inbox") == []


def test_a_directory_is_looked_after_while_it_is_open(local: User) -> None:
    local.now("CREATE TABLE notes (id INTEGER PRIMARY KEY) WITH (retention = '30 days')")
    local.now("INSERT INTO notes VALUES (1)")
    local.world.seconds += 31 * DAY_S
    expiry = Expiry(local.session.expire, Counter())
    local.session.state.retaining = expiry
    local.now("INSERT INTO notes VALUES (2)")
    expiry.settle()
    assert ids(local) == [2]
    expiry.close()
    local.now("CREATE POLICY kept ON notes AS RESTRICTIVE FOR DELETE USING (false)")
    local.world.seconds += 31 * DAY_S
    expiry = Expiry(local.session.expire, Counter())
    local.session.state.retaining = expiry
    assert ids(local) == [2]
    expiry.settle()
    assert isinstance(expiry.failure, AccessDenied)
    assert ids(local) == [2]
    expiry.close()


def test_nothing_is_asked_of_datasets_that_keep_everything(
    local: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    expiry = Expiry(local.session.expire, Counter())
    asked: list[DatasetId] = []
    monkeypatch.setattr(expiry, "expires", asked.append)
    local.session.state.retaining = expiry
    local.now("CREATE TABLE notes (id INTEGER PRIMARY KEY)")
    local.now("INSERT INTO notes VALUES (1)")
    assert local.session.expire(known_of(local)) is None
    assert asked == []


def test_vacuum_waits_for_what_is_deleted_in_the_background(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, goes_on = threading.Event(), threading.Event()
    look = Expiring.look

    def slow(expiring: Expiring, dataset: DatasetId) -> float | None:
        with expiring._ground.state.replica.reading():
            reads.set()
            assert goes_on.wait(60)
        return look(expiring, dataset)

    monkeypatch.setattr(Expiring, "look", slow)
    with mfdb.connect(tmp_path / "db", autocommit=True) as connection:
        connection.execute("CREATE TABLE notes (id INTEGER) WITH (retention = '30 days')")
        connection.execute("INSERT INTO notes VALUES (1)")
        assert reads.wait(60)
        threading.Timer(0.2, goes_on.set).start()
        assert connection.execute("VACUUM").fetchone() is not None
