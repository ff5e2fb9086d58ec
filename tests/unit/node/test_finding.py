"""A dataset of somebody else is found by its name by who has a part in it, and by nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mfdb.kernel.errors import AccessDenied, UnknownDataset
from mfdb.kernel.ids import DatasetId, Hash
from mfdb.node.answers import Datasets
from mfdb.node.provider import shelf
from mfdb.node.provider.records import DamagedRecord
from mfdb.node.requests import FindDatasets
from tests.fixtures.customers import customer
from tests.fixtures.datasets import keys_of
from tests.fixtures.node_town import Town, in_town

if TYPE_CHECKING:
    from mfdb.rules.manifest import Manifest

ALICE, BOB, CAROL = (keys_of(name).address for name in ("alice", "bob", "carol"))


async def notes(town: Town) -> Any:
    alice = await customer(town)
    await alice.run("CREATE MAILBOX inbox")
    await alice.run("CREATE TABLE notes (id INTEGER, body TEXT)")
    await alice.run("INSERT INTO notes VALUES (1, 'one'), (2, 'two')")
    return alice


async def reader(town: Town, name: str) -> Any:
    """Return somebody whom others can let read: his mailbox publishes the key for it."""
    known = await customer(town, name)
    await known.run("CREATE MAILBOX inbox")
    return known


@in_town
async def test_what_is_granted_is_found_by_name_from_another_machine(town: Town) -> None:
    await town.open(7)
    alice, bob = await notes(town), await reader(town, "bob")
    await alice.run("GRANT SELECT ON notes TO bob")
    await alice.run("CREATE MAILBOX letters")
    read = await bob.run("SELECT body FROM alice.notes ORDER BY id")
    assert list(read.rows) == [("one",), ("two",)]
    for mailbox in ("inbox", "letters"):
        await bob.run(f"INSERT INTO alice.{mailbox} (body) VALUES ('hello')")
        assert list((await alice.run(f"SELECT body FROM {mailbox}")).rows) == [(b"hello",)]


@in_town
async def test_what_is_not_granted_does_not_exist(town: Town) -> None:
    await town.open(7)
    alice, carol = await notes(town), await reader(town, "carol")
    error = await carol.refused("SELECT * FROM alice.notes", UnknownDataset, "open to others")
    assert error.position == 14
    assert error.hint is not None
    await carol.refused("SELECT * FROM alice.nothing", UnknownDataset)
    await carol.refused("SELECT * FROM bob.notes", UnknownDataset)
    await alice.run("GRANT SELECT ON notes TO carol")
    assert list((await carol.run("SELECT count(*) FROM alice.notes")).rows) == [(2,)]
    await alice.run("REVOKE SELECT ON notes FROM carol")
    with pytest.raises(AccessDenied):
        await carol.run("SELECT * FROM alice.notes")


@in_town
async def test_a_provider_tells_only_those_who_have_a_part_and_nothing_that_was_dropped(
    town: Town,
) -> None:
    stands = await town.open(7)
    alice, _ = await notes(town), await reader(town, "bob")
    await alice.run("GRANT SELECT ON notes TO bob")
    asked = FindDatasets(owner=ALICE, name="notes")

    def told(caller: Any, request: FindDatasets = asked) -> set[bytes]:
        answers = [stand.node._server._answering[FindDatasets](request, caller) for stand in stands]
        assert all(isinstance(answer, Datasets) for answer in answers)
        return {dataset for answer in answers for dataset in answer.ids}  # type: ignore[union-attr]  # as just asserted

    (dataset,) = told(ALICE)
    assert told(BOB) == {dataset}
    assert not told(CAROL)
    assert not told(BOB, FindDatasets(owner=BOB, name="notes"))
    assert not told(BOB, FindDatasets(owner=ALICE, name="Notes"))
    await alice.run("DROP TABLE notes")
    assert not told(ALICE)
    await alice.run("CREATE TABLE notes (id INTEGER)")
    (other,) = told(ALICE)
    assert other != dataset


@in_town
async def test_who_tells_of_the_wrong_dataset_or_fails_is_passed_over(town: Town) -> None:
    stands = await town.open(7)
    alice, bob = await notes(town), await reader(town, "bob")
    await alice.run("GRANT SELECT ON notes TO bob")
    known = {one.manifest.name: one.manifest.dataset for one in alice.session.datasets()}
    lie = Datasets(ids=(known["inbox"], DatasetId(Hash(bytes(32)))))
    for stand in stands[:3]:
        answering = stand.node._server._answering
        assert isinstance(answering, dict)
        answering[FindDatasets] = lambda _request, _caller: lie
    stands[3].vanish()
    assert list((await bob.run("SELECT count(*) FROM alice.notes")).rows) == [(2,)]


@in_town
async def test_who_has_no_right_in_the_mailbox_finds_what_else_is_granted(town: Town) -> None:
    await town.open(7)
    alice, bob = await notes(town), await reader(town, "bob")
    await alice.run("GRANT SELECT ON notes TO bob")
    await alice.run("REVOKE INSERT ON inbox FROM PUBLIC")
    assert list((await bob.run("SELECT count(*) FROM alice.notes")).rows) == [(2,)]
    with pytest.raises(AccessDenied):
        await bob.run("INSERT INTO alice.inbox (body) VALUES ('hello')")


@in_town
async def test_a_damaged_dataset_hides_no_other(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    stands = await town.open(7)
    alice, bob = await notes(town), await reader(town, "bob")
    await alice.run("GRANT SELECT ON notes TO bob")
    known = {one.manifest.name: one.manifest.dataset for one in alice.session.datasets()}
    manifest = shelf.manifest

    def rotten(view: shelf.View, dataset: DatasetId) -> Manifest:
        if dataset == known["inbox"]:
            raise DamagedRecord("a manifest is damaged", key=b"M" + dataset)
        return manifest(view, dataset)

    monkeypatch.setattr(shelf, "manifest", rotten)
    asked = FindDatasets(owner=ALICE, name="notes")
    answers = [stand.node._server._answering[FindDatasets](asked, BOB) for stand in stands]
    assert any(isinstance(answer, Datasets) and answer.ids for answer in answers)
    monkeypatch.undo()
    assert list((await bob.run("SELECT count(*) FROM alice.notes")).rows) == [(2,)]
