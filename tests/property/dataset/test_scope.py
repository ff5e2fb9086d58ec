"""Scopes: the places that are asked for hold every row of the keys that a query names."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfdb.client.matching import bounds
from mfdb.dataset.catalogue import Known
from mfdb.dataset.keyring import Keyring
from mfdb.dataset.rows import handle_maker
from mfdb.dataset.scope import scope_of_keys, scope_of_range
from mfdb.rules.manifest import ROWS_IN_ORDER, Manifest
from mfdb.sql.tables import KeyRange
from tests.fixtures.datasets import column, keys_of, manifest_of, signed

BOB, EVE = keys_of("bob"), keys_of("eve")
ORDERED = ((ROWS_IN_ORDER, "1"),)
Key = tuple[int | str, ...]

texts = st.text(alphabet="ab\x00\xff€", max_size=9)
numbers = st.integers(-(2**63), 2**63 - 1) | st.integers(-300, 300)
keys: st.SearchStrategy[Key] = st.tuples(numbers) | st.tuples(texts) | st.tuples(texts, numbers)


def manifest(*types: str, clear: bool = True, **changes: Any) -> Manifest:
    columns = [column(f"c{at}", kind, key=at + 1, clear=clear) for at, kind in enumerate(types)]
    return manifest_of(BOB, *columns, options=ORDERED, **changes)


def known(*manifests: Manifest) -> Known:
    return Known(chain=tuple(signed(one, BOB) for one in manifests))


def of_width(key: Key) -> Known:
    return known(manifest(*(["TEXT", "BIGINT"][: len(key)])))


def place_of(one: Known, key: Key) -> bytes:
    make = handle_maker(one.manifest, Keyring(BOB))
    assert make is not None
    return make(key)[:16]


@given(st.data(), keys, st.tuples(st.booleans(), st.booleans()))
def test_every_row_of_a_range_stands_within_its_span(
    data: st.DataObject, low: Key, opens: tuple[bool, bool]
) -> None:
    low_open, high_open = opens
    same = st.tuples(*(texts if isinstance(part, str) else numbers for part in low))
    high, key = data.draw(same), data.draw(same)
    dataset = of_width(low)
    asked = KeyRange(
        prefix=low[:-1], low=low[-1], low_open=low_open, high=high[-1], high_open=high_open
    )
    start, stop = bounds(asked)
    scope = scope_of_range(dataset, start, stop)
    assert scope is not None
    ((first, last),) = scope.spans
    inner = (*low[:-1], key[-1])
    above = inner[-1:] > low[-1:] or (inner == low and not low_open)
    below = inner[-1:] < high[-1:] or (inner[-1:] == high[-1:] and not high_open)
    if above and below:
        assert first <= place_of(dataset, inner) <= last


@given(st.lists(st.integers(-(2**40), 2**40), min_size=2, max_size=9))
def test_places_have_the_order_of_keys_and_short_keys_have_spans_of_their_own(
    numbers: list[int],
) -> None:
    dataset = known(manifest("BIGINT"))
    places = [place_of(dataset, (number,)) for number in sorted(set(numbers))]
    assert places == sorted(places)
    scope = scope_of_keys(dataset, Keyring(EVE), [(number,) for number in numbers])
    assert scope is not None
    assert len(scope.spans) == len(places)
    for place, (first, last) in zip(places, scope.spans, strict=True):
        assert first <= place <= last


@given(st.lists(keys.filter(lambda key: len(key) == 1), min_size=1, max_size=5))
def test_the_owner_names_places_and_a_reader_of_sealed_keys_none(named: list[Key]) -> None:
    named = [key for key in named if type(key[0]) is type(named[0][0])]
    kind = "TEXT" if isinstance(named[0][0], str) else "BIGINT"
    sealed = known(manifest(kind, clear=False))
    scope = scope_of_keys(sealed, Keyring(BOB), named)
    assert scope is not None
    assert set(scope.spans) == {(place_of(sealed, key),) * 2 for key in named}
    assert scope_of_keys(sealed, Keyring(EVE), named) is None
    assert scope_of_range(sealed, b"", b"\xff") is None


@pytest.mark.parametrize("change", ["key", "type", "dropped"])
def test_a_key_that_was_another_before_names_no_rows(change: str) -> None:
    before = manifest("BIGINT", "TEXT")
    first, second = before.columns
    changed = {
        "key": (first, msgspec.structs.replace(second, key=0)),
        "type": (msgspec.structs.replace(first, type="INTEGER"), second),
        "dropped": tuple(msgspec.structs.replace(one, key=0) for one in before.columns),
    }[change]
    after = msgspec.structs.replace(before, columns=changed, number=1)
    assert scope_of_keys(known(before), Keyring(BOB), [(1, "a")]) is not None
    again = msgspec.structs.replace(before, number=2)
    for chain in ((before, after), (before, after, again), (again,)):
        assert scope_of_keys(known(*chain), Keyring(BOB), [(1, "a")]) is None
        assert scope_of_range(known(*chain), b"", b"\xff") is None
