"""Proofs of rows: whoever has a root cannot be shown a row that is not there, nor a gap."""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfdb.kernel.codec import decode, encode
from mfdb.kernel.errors import BadProof, ValueTooLarge
from mfdb.kernel.ids import Hash, VersionId
from mfdb.rules import row_tree
from mfdb.rules.row_tree import (
    KEPT,
    TWIG,
    RowLeaf,
    RowProof,
    check_rows,
    grow,
    prove,
    regrow,
    row_leaf,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.rules.row_tree import Part, Scan, Span

ALL: Span = (bytes(16), b"\xff" * 16)


class Rows:
    """Leaves in order, as a store would give them."""

    def __init__(self, leaves: list[RowLeaf]) -> None:
        self.by_place = {leaf.place: leaf for leaf in leaves}
        self.places = sorted(self.by_place)

    def scan(self, first: bytes, last: bytes) -> Iterator[RowLeaf]:
        for at in range(bisect_left(self.places, first), bisect_right(self.places, last)):
            yield self.by_place[self.places[at]]

    def within(self, spans: list[Span]) -> list[RowLeaf]:
        return [
            self.by_place[place]
            for place in self.places
            if any(first <= place <= last for first, last in spans)
        ]


def leaf_of(place: bytes, number: int) -> RowLeaf:
    return row_leaf(place + bytes(16), [VersionId(Hash(number.to_bytes(32, "big")))])


def many(count: int, seed: int = 0) -> Rows:
    drawn = random.Random(seed)
    return Rows([leaf_of(drawn.randbytes(16), at) for at in range(count)])


crowded = st.integers(0, 3000).map(lambda at: at.to_bytes(2, "big") + bytes(14))
places = st.one_of(st.binary(min_size=16, max_size=16), crowded)
leaves = st.dictionaries(places, st.integers(0, 99), max_size=120).map(
    lambda found: Rows([leaf_of(place, number) for place, number in found.items()])
)
spans = st.lists(st.tuples(places, places).map(lambda ends: (min(ends), max(ends))), max_size=4)


@given(leaves, spans)
def test_a_proof_shows_exactly_what_is_in_its_spans(rows: Rows, asked: list[Span]) -> None:
    tree = grow(rows.scan)
    proof = prove(tree, asked, rows.scan)
    again = decode(RowProof, encode(proof), limit_bytes=2**20)
    assert check_rows(again, tree.hash, asked) == rows.within(asked)
    assert tree.count == len(rows.places)


@given(leaves, st.dictionaries(places, st.integers(100, 199), max_size=40))
def test_a_tree_that_follows_changes_is_the_tree_made_anew(
    rows: Rows, changes: dict[bytes, int]
) -> None:
    after = Rows([*rows.by_place.values(), *(leaf_of(at, n) for at, n in changes.items())])
    followed = regrow(grow(rows.scan, kept=TWIG), sorted(changes), after.scan)
    assert (followed.hash, followed.count) == (grow(after.scan).hash, len(after.places))


@given(leaves, spans.filter(bool), st.data())
@settings(max_examples=60)
def test_no_forged_presence_absence_or_gap_is_believed(
    rows: Rows, asked: list[Span], data: st.DataObject
) -> None:
    """Whatever is changed in a proof, it shows the truth or is refused."""
    tree = grow(rows.scan)
    parts = list(prove(tree, asked, rows.scan).parts)
    forged = _forged(parts, data)
    try:
        shown = check_rows(RowProof(tuple(forged)), tree.hash, asked)
    except BadProof:
        return
    assert shown == rows.within(asked)
    assert forged == parts


def _forged(parts: list[Part], data: st.DataObject) -> list[Part]:
    """Return parts of which one is left out, doubled, closed, or shows other rows."""
    at = data.draw(st.integers(0, len(parts) - 1))
    part = parts[at]
    choices: list[list[Part]] = [[], [part, part], [bytes(32)], [None], [()], [b""]]
    if isinstance(part, tuple):
        invented = leaf_of(data.draw(places), 1000)
        choices += [[part[1:]], [part[:-1]], [(*part, invented)], [(invented, *part)]]
        choices += [[part[::-1]], [tuple(RowLeaf(one.place, ()) for one in part)]]
        choices.append([tuple(leaf_of(one.place, 2000) for one in part)])
        choices.append([grow(Rows(list(part)).scan).hash])
    return [*parts[:at], *data.draw(st.sampled_from(choices)), *parts[at + 1 :]]


@given(leaves, leaves, spans)
def test_a_proof_of_other_rows_is_refused(rows: Rows, others: Rows, asked: list[Span]) -> None:
    root, proof = grow(rows.scan).hash, prove(grow(others.scan), asked, others.scan)
    if rows.by_place == others.by_place:
        assert check_rows(proof, root, asked) == rows.within(asked)
    else:
        with pytest.raises(BadProof):
            check_rows(proof, root, asked)


def test_a_proof_grows_with_the_logarithm_of_the_rows() -> None:
    sizes = {}
    for count in (500, 8_000):
        rows = many(count)
        tree = grow(rows.scan)
        place = rows.places[count // 2]
        absent = (place[:-1] + bytes([place[-1] ^ 1]),) * 2
        proof = prove(tree, [(place, place), absent], rows.scan)
        assert check_rows(proof, tree.hash, [(place, place)]) == [rows.by_place[place]]
        assert check_rows(proof, tree.hash, [absent]) == []
        sizes[count] = len(encode(proof))
    assert sizes[8_000] < sizes[500] + 16 * 50 + 34 * 6
    assert sizes[8_000] < 1_600


def test_small_subtrees_are_not_kept_and_large_ones_are() -> None:
    tree = grow(many(4 * KEPT).scan)
    left = [tree]
    while left:
        here = left.pop()
        assert (here.halves is None) == (here.count <= KEPT)
        left += here.halves or ()
    assert grow(many(0).scan).count == 0


def test_what_opens_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = many(200)
    monkeypatch.setattr(row_tree, "OPEN_BYTES", 200 * 48 - 1)
    with pytest.raises(ValueTooLarge):
        prove(grow(rows.scan), [ALL], rows.scan)


def test_a_proof_cannot_go_deeper_than_row_ids() -> None:
    with pytest.raises(BadProof):
        check_rows(RowProof((None,) * 129), Hash(bytes(32)), [])


def same_root(scan: Scan, other: Scan) -> bool:
    return grow(scan).hash == grow(other).hash


def test_a_root_commits_to_every_version() -> None:
    rows = many(100)
    changed = dict(rows.by_place)
    changed[rows.places[7]] = leaf_of(rows.places[7], 999)
    assert same_root(rows.scan, many(100).scan)
    assert not same_root(rows.scan, Rows(list(changed.values())).scan)
