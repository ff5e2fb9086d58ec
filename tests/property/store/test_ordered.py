from __future__ import annotations

import itertools
import math
import struct
from contextlib import suppress
from decimal import Decimal
from functools import cmp_to_key
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfdb.kernel.errors import BadType, CorruptRecord, NumberOutOfRange
from mfdb.store.ordered import Desc, Plain, pack, pack_column, prefix_end, unpack

LARGEST = 2**256 - 1
TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\x00\x01a\xff"))
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "int": st.integers(-LARGEST, LARGEST) | st.integers(-300, 300),
    "float": st.floats(),
    "decimal": st.decimals() | st.decimals(-100, 100, places=3),
    "str": TEXTS,
    "bytes": st.binary() | st.lists(st.sampled_from([0, 1, 255])).map(bytes),
}
ANY = st.one_of(st.none(), *KINDS.values())


def is_nan(value: object) -> bool:
    if isinstance(value, Decimal):
        return value.is_nan()
    return isinstance(value, float) and math.isnan(value)


def order(left: Any, right: Any) -> int:
    """The order the docstring promises within one column, written a second time."""
    for special in (lambda v: v is None, is_nan):
        if special(left) or special(right):
            return int(special(left)) - int(special(right))
    return int(left > right) - int(left < right)


def sign(left: bytes, right: bytes) -> int:
    return (left > right) - (left < right)


def same(left: Any, right: Any) -> bool:
    return type(left) is type(right) and ((is_nan(left) and is_nan(right)) or left == right)


@given(st.one_of(*(st.lists(kind) for kind in (*KINDS.values(), st.floats(0), ANY))))
def test_a_column_is_packed_as_its_values_are(values: list[Plain]) -> None:
    assert pack_column(values) == [pack(value) for value in values]


@pytest.mark.parametrize("bad", ["\ud800", 2**256, 1j])
def test_a_column_with_what_has_no_order_is_refused(bad: Any) -> None:
    good: list[Any] = ["a"] if isinstance(bad, str) else [1]
    with pytest.raises((BadType, NumberOutOfRange)):
        pack_column([*good, bad])


@pytest.mark.parametrize("kind", sorted(KINDS))
@given(data=st.data())
def test_keys_sort_as_their_values(kind: str, data: st.DataObject) -> None:
    values = KINDS[kind] | st.none()
    left, right = data.draw(values), data.draw(values)
    assert sign(pack(left), pack(right)) == order(left, right)
    assert sign(pack(Desc(left)), pack(Desc(right))) == -order(left, right)


@given(data=st.data())
def test_composite_keys_sort_by_their_first_difference(data: st.DataObject) -> None:
    shape = data.draw(
        st.lists(st.tuples(st.sampled_from(sorted(KINDS)), st.booleans()), max_size=4)
    )
    rows = [[data.draw(KINDS[kind] | st.none()) for kind, _ in shape] for _ in range(2)]
    keys = [
        pack(*(Desc(value) if down else value for value, (_, down) in zip(row, shape, strict=True)))
        for row in rows
    ]
    expected = 0
    for left, right, (_, down) in zip(*rows, shape, strict=True):
        expected = order(left, right) * (-1 if down else 1)
        if expected:
            break
    assert sign(keys[0], keys[1]) == expected


@given(st.lists(st.tuples(ANY, st.booleans()), max_size=6))
def test_what_is_packed_is_unpacked(parts: list[tuple[Plain, bool]]) -> None:
    key = pack(*(Desc(value) if down else value for value, down in parts))
    back = unpack(key)
    assert len(back) == len(parts)
    for (value, _), found in zip(parts, back, strict=True):
        assert same(value, found), (value, found)


@given(first=ANY, second=ANY, more=ANY, down=st.booleans(), down_too=st.booleans())
def test_one_part_is_a_prefix_of_exactly_the_keys_that_begin_with_it(
    first: Plain, second: Plain, more: Plain, *, down: bool, down_too: bool
) -> None:
    a: Plain | Desc = Desc(first) if down else first
    b: Plain | Desc = Desc(second) if down_too else second
    assert pack(a, b).startswith(pack(a))
    assert pack(b, more).startswith(pack(a)) == (pack(a) == pack(b))


@given(st.binary(max_size=40))
def test_hostile_keys_decode_to_one_form_or_are_refused(key: bytes) -> None:
    try:
        parts = unpack(key)
    except CorruptRecord:
        return
    assert len(pack(*parts)) == len(key)


@given(st.lists(st.tuples(ANY, st.booleans()), min_size=1, max_size=3), st.data())
def test_a_damaged_key_raises_nothing_but_corrupt_record(
    parts: list[tuple[Plain, bool]], data: st.DataObject
) -> None:
    key = bytearray(pack(*(Desc(value) if down else value for value, down in parts)))
    position = data.draw(st.integers(0, len(key) - 1))
    key[position] ^= data.draw(st.integers(1, 255))
    with suppress(CorruptRecord):
        unpack(bytes(key))


@given(st.binary(max_size=8), st.binary(max_size=8))
def test_prefix_end_bounds_the_keys_with_a_prefix(prefix: bytes, key: bytes) -> None:
    end = prefix_end(prefix)
    inside = prefix <= key and (end is None or key < end)
    assert inside == key.startswith(prefix)


# ---- the rulings


def test_numbers_across_the_sizes_of_their_encoding() -> None:
    edges = [0, 1, 254, 255, 256, 2**63 - 1, 2**63, 2**64, 2**248, LARGEST]
    values = sorted({v + d for v in edges for d in (-1, 0, 1) if abs(v + d) <= LARGEST})
    values = sorted({*values, *(-v for v in values)})
    assert sorted(values, key=pack) == values
    assert [unpack(pack(v)) for v in values] == [(v,) for v in values]
    for v in (LARGEST + 1, -LARGEST - 1):
        with pytest.raises(NumberOutOfRange):
            pack(v)


def test_every_pair_of_special_floats() -> None:
    nan = struct.unpack(">d", b"\xff\xf8\x00\x00\x00\x00\x00\x01")[0]
    values = [-math.inf, -1e300, -5e-324, -0.0, 0.0, 5e-324, 1.5, math.inf, nan, math.nan]
    for left, right in itertools.product(values, values):
        assert sign(pack(left), pack(right)) == order(left, right), (left, right)
    assert pack(-0.0) == pack(0.0)
    assert pack(nan) == pack(math.nan)


def test_decimals_order_by_value_not_by_form() -> None:
    texts = "-Infinity -1E+50 -120 -12 -1.2 -1.19 -1E-50 0 1E-50 0.9 1 1.0001 10 1E+9999 Infinity"
    values = [Decimal(text) for text in texts.split()]
    backwards = values[::-1]
    assert sorted(backwards, key=pack) == values
    assert sorted(values, key=cmp_to_key(order)) == values
    assert pack(Decimal("1.0")) == pack(Decimal("1.000")) == pack(Decimal("10E-1"))
    assert pack(Decimal("0E+7")) == pack(Decimal("-0.00"))
    assert pack(Decimal("NaN")) == pack(Decimal("sNaN123")) > pack(Decimal("Infinity"))


def test_more_digits_than_any_context_keeps_are_kept() -> None:
    value = Decimal("1" + "23456789" * 20 + ".5")
    (back,) = unpack(pack(value))
    assert isinstance(back, Decimal)
    assert back.as_tuple() == value.as_tuple()


@pytest.mark.parametrize("value", [[], object(), 1j, "\ud800", Desc(Desc(1))])  # type: ignore[arg-type] # the error is what is tested
def test_what_has_no_order_is_refused(value: Any) -> None:
    with pytest.raises(BadType):
        pack(value)


@pytest.mark.parametrize(
    "key", [b"\x00", b"\x41", b"\x41\x00", b"\x66ab", b"\x64\x03\x41\x01\x01\x00"]
)
def test_bytes_that_no_pack_made_are_refused(key: bytes) -> None:
    with pytest.raises(CorruptRecord):
        unpack(key)
