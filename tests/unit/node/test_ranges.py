"""SELECT ... VERIFY of a range of clear keys: what replicas show of it alone, and liars."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from mfdb.dataset.row_changes import RowInsert
from mfdb.kernel.errors import BadProof, MalformedMessage, ValueTooLarge
from mfdb.kernel.ids import Hash, RowId
from mfdb.node.answers import LogPage, Rows
from mfdb.node.provider import row_trees, rows
from mfdb.node.requests import GetChanges, GetRows
from mfdb.rules.row_tree import RowProof, SignedRowRoot, grow, prove
from mfdb.rules.signing import sign
from tests.fixtures.customers import Customer, customer
from tests.fixtures.node_town import Stand, Town, in_town

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.rules.row_tree import Part, RowLeaf

    Forge = Callable[[tuple[Part, ...]], tuple[Part, ...]]

TABLE = "CREATE DATASET log (at BIGINT CLEAR PRIMARY KEY, body TEXT)"
RANGE = "SELECT count(*), max(at) FROM log WHERE at > 10000 AND at <= 15000 VERIFY"


async def desktop_and_laptop(town: Town) -> tuple[Customer, Customer]:
    """Return Alice twice: with a log of 30 keys, and on a machine that has only its rules."""
    await town.open(6)
    alice = await customer(town)
    await alice.run(TABLE)
    laptop = await customer(town)
    await laptop.session.restore()
    await laptop.run("SET freshness = 'cached'")
    for first in (1, 11, 21):
        await alice.run(
            "INSERT INTO log SELECT 1000 * n, 'x' FROM generate_series($1, $1 + 9) AS s(n)", first
        )
    return alice, laptop


async def told(who: Customer, text: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in (await who.run(text)).rows]


def log_of(who: Customer) -> DatasetId:
    known = {one.manifest.name: one.manifest.dataset for one in who.session.datasets()}
    return known["log"]


async def replicas(town: Town, who: Customer) -> list[Stand]:
    remote = who.remote
    found = await remote._lookup.look(log_of(who))
    return [town.stand(provider) for provider in found.placement.replica_set]


def lie(stand: Stand, kind: type, answer: Any) -> Any:
    """Let a provider answer one kind of request otherwise; return how it answered before."""
    before = stand.node._server._answering
    stand.node._server._answering = {**before, kind: answer}
    return before[kind]


@in_town
async def test_of_a_range_only_its_rows_come_and_are_proven(town: Town) -> None:
    alice, laptop = await desktop_and_laptop(town)
    assert await told(laptop, RANGE) == [(5, 15_000)]
    proofs = (await laptop.run("SHOW PROOFS")).rows
    assert len(proofs) == 3
    assert {row[3] for row in proofs} == {5}
    assert max(int(str(row[7])) for row in proofs) < 2_000
    assert await told(laptop, "SELECT count(*) FROM log") == [(10,)], "one changeset has come"
    # Once sealed, a segment brings them; a range without rows costs no fetch at all.
    await alice.run("ALTER DATASET log SEAL")
    assert await told(laptop, "SELECT count(*) FROM log WHERE at > 90000 VERIFY") == [(0,)]
    assert await told(laptop, "SELECT count(*) FROM log") == [(10,)]
    assert await told(laptop, "SELECT count(*) FROM log WHERE at >= 29000 VERIFY") == [(2,)]
    assert await told(laptop, "SELECT count(*) FROM log VERIFY") == [(30,)]


@in_town
async def test_a_row_hidden_in_a_range_or_cut_off_its_end_is_noticed(town: Town) -> None:
    _, laptop = await desktop_and_laptop(town)
    liar = (await replicas(town, laptop))[1]
    honest = lie(liar, GetRows, None)

    def forged(forge: Forge) -> Any:
        async def answer(request: GetRows, caller: Address) -> Rows:
            true = await honest(request, caller)
            return Rows(signed=true.signed, proof=RowProof(forge(true.proof.parts)))

        return answer

    forgeries: list[tuple[Forge, str]] = [
        (lambda parts: tuple(map(_without_last, parts)), "do not lead to the root"),
        (lambda parts: tuple(map(_without_first, parts)), "do not lead to the root"),
        (lambda parts: tuple(map(_closed, parts)), "leaves out what was asked for"),
        (lambda parts: parts[:-1], "leaves out what was asked for|do not lead to the root"),
    ]
    for forge, said in forgeries:
        lie(liar, GetRows, forged(forge))
        with pytest.raises(BadProof, match=said):
            await laptop.run(RANGE)
    lie(liar, GetRows, honest)
    assert await told(laptop, RANGE) == [(5, 15_000)]


@in_town
async def test_whoever_signs_a_tree_without_a_row_is_outvoted_and_found_out(town: Town) -> None:
    _, laptop = await desktop_and_laptop(town)
    liar, *_ = await replicas(town, laptop)
    dataset = log_of(laptop)
    honest = lie(liar, GetRows, None)
    pages = lie(liar, GetChanges, None)
    hidden = await _place_of(liar, dataset)

    async def hiding(request: GetRows, caller: Address) -> Rows:
        true = await honest(request, caller)
        with liar.store.snapshot() as view:
            kept = list(rows.leaves(view, dataset, bytes(16), b"\xff" * 16))

        def scan(first: bytes, last: bytes) -> Iterator[RowLeaf]:
            return (one for one in kept if one.place != hidden and first <= one.place <= last)

        tree = grow(scan)
        root = msgspec.structs.replace(true.signed.root, rows=tree.hash)
        signed = SignedRowRoot(root, sign(root, liar.keys.signer))
        return Rows(signed=signed, proof=prove(tree, request.spans, scan))

    async def nothing(request: GetChanges, caller: Address) -> LogPage:
        page: LogPage = await pages(request, caller)
        return msgspec.structs.replace(page, items=())

    lie(liar, GetRows, hiding)
    lie(liar, GetChanges, nothing)
    with pytest.raises(BadProof, match="denies a row that it acknowledged"):
        await laptop.run(RANGE)


@in_town
async def test_changes_are_told_page_by_page_and_within_bounds(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, laptop = await desktop_and_laptop(town)
    await alice.run("UPDATE log SET body = 'y' WHERE at = 15000")
    monkeypatch.setattr(row_trees, "PAGE_ITEMS", 1)
    assert await told(laptop, RANGE) == [(5, 15_000)]
    assert await told(laptop, "SELECT body FROM log WHERE at = 15000") == [("y",)]
    (stand, *_), dataset = await replicas(town, laptop), log_of(laptop)
    ask: Any = stand.node._server._answering[GetChanges]
    everything = GetChanges(dataset=dataset, spans=((bytes(16), b"\xff" * 16),), after=-1)
    first = await ask(everything, laptop.person.address)
    assert (len(first.items), first.more) == (1, True)
    with pytest.raises(MalformedMessage):
        await ask(msgspec.structs.replace(everything, spans=((b"", b""),)), laptop.person.address)
    monkeypatch.setattr(row_trees, "VERSIONS", 20)
    with pytest.raises(ValueTooLarge):
        await ask(everything, laptop.person.address)
    assert await told(laptop, "SELECT count(*) FROM log WHERE at > 0 VERIFY") == [(30,)]


@in_town
async def test_no_row_stands_elsewhere_than_its_key_belongs(town: Town) -> None:
    alice, _ = await desktop_and_laptop(town)
    person, dataset = alice.person, log_of(alice)
    row = RowId(Hash(b"\xee" * 32))
    with pytest.raises(BadProof, match="does not stand where its key belongs"):
        person.replica.stage(dataset, [RowInsert(values={"at": 1, "body": ""}, row=row)])


async def _place_of(stand: Stand, dataset: DatasetId) -> bytes:
    """Return the place of the row with key 13,000."""
    with stand.store.snapshot() as view:
        found = [one.place for one in rows.leaves(view, dataset, bytes(16), b"\xff" * 16)]
    return sorted(found)[12]


def _without_last(part: Part) -> Part:
    return part[:-1] if isinstance(part, tuple) else part


def _without_first(part: Part) -> Part:
    return part[1:] if isinstance(part, tuple) else part


def _closed(part: Part) -> Part:
    if not isinstance(part, tuple):
        return part
    return grow(partial(_scan, part)).hash


def _scan(leaves: tuple[RowLeaf, ...], first: bytes, last: bytes) -> Iterator[RowLeaf]:
    return (one for one in leaves if first <= one.place <= last)
