"""Values of arrays: texts and bytes and back, order, and what strangers may store."""

from __future__ import annotations

import pickle
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfdb.dataset.schema import fits
from mfdb.kernel.errors import BadType, InvalidText, NotSupportedError
from mfdb.rules.manifest import Column
from mfdb.sql import array_functions
from mfdb.sql.arrays import accept, array_of, decode, encode, give, key_of, read, text_of
from mfdb.sql.types import BIGINT, BOOLEAN, DECIMAL, DOUBLE, TEXT, SqlType, parse_type

TEXTS = st.lists(st.none() | st.text(alphabet='ab\\"{},NUL \0\n\u00e4', max_size=4), max_size=4)
NUMBERS = st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=4)
FLOATS = st.lists(st.floats(allow_nan=False), max_size=3)


@given(TEXTS)
def test_a_text_spells_the_array_that_it_was_made_of(values: list[str | None]) -> None:
    kind = array_of(TEXT)
    assert decode(read(text_of(encode(values), kind), kind), TEXT) == values


@given(NUMBERS, NUMBERS)
def test_keys_compare_as_arrays_do(left: list[int | None], right: list[int | None]) -> None:
    def order(values: list[int | None]) -> list[tuple[bool, int]]:
        return [(value is None, value or 0) for value in values]

    keys = [key_of(encode(values), BIGINT) for values in (left, right)]
    assert (keys[0] < keys[1]) is (order(left) < order(right))
    assert (keys[0] == keys[1]) is (left == right)


@given(FLOATS, FLOATS)
def test_keys_of_floats_and_exact_numbers_compare_too(
    left: list[float], right: list[float]
) -> None:
    keys = [key_of(encode(values), DOUBLE) for values in (left, right)]
    assert (keys[0] < keys[1]) is (left < right)
    exact = [[Decimal(repr(one)) for one in side if abs(one) < 1e300] for side in (left, right)]
    keys = [key_of(encode(values), DECIMAL) for values in exact]
    assert (keys[0] < keys[1]) is (exact[0] < exact[1])


@given(st.lists(st.text(alphabet="ab\0\1", max_size=3), max_size=3),
       st.lists(st.text(alphabet="ab\0\1", max_size=3), max_size=3))  # fmt: skip
def test_keys_of_texts_keep_elements_apart(left: list[str], right: list[str]) -> None:
    keys = [key_of(encode(values), TEXT) for values in (left, right)]
    assert (keys[0] < keys[1]) is (left < right)


def test_applications_give_and_get_lists() -> None:
    kind = parse_type("DECIMAL(8,2)[]")
    array = accept([Decimal("1.5"), None, 2], kind)
    given = give(array, kind)
    assert given == [Decimal("1.50"), None, Decimal("2.00")]
    assert str(given) == "{1.50,NULL,2.00}"
    assert str(pickle.loads(pickle.dumps(given))) == str(given)
    assert str(kind) == "DECIMAL(8,2)[]"
    with pytest.raises(BadType):
        accept({1: 2}, kind)


@pytest.mark.parametrize("text", ["", "{", "1,2", "{1,,2}", "{1 2}", '{"1}', "{1}}", "{x}", "{1,}"])
def test_what_spells_no_array_says_so(text: str) -> None:
    with pytest.raises(InvalidText):
        read(text, array_of(BIGINT))


@pytest.mark.parametrize("text", ["{{1},{2}}", "[0:1]={1,2}"])
def test_there_is_one_dimension_that_counts_from_one(text: str) -> None:
    with pytest.raises(NotSupportedError):
        read(text, array_of(BIGINT))


@pytest.mark.parametrize(
    ("kind", "value", "fine"),
    [
        ("INTEGER[]", encode([1, None]), True),
        ("INTEGER[]", encode([2**31]), False),
        ("INTEGER[]", encode(["1"]), False),
        ("INTEGER[]", b"\x91\xcc\x01", False),
        ("INTEGER[]", b"\x91", False),
        ("INTEGER[]", b"\x01", False),
        ("INTEGER[]", "{1}", False),
        ("VARCHAR(3)[]", encode(["abc"]), True),
        ("VARCHAR(3)[]", "abc", False),
        ("DECIMAL(4,1)[]", encode([Decimal("1.5")]), True),
        ("INTEGER[][]", encode([1]), False),
    ],
)
def test_what_strangers_store_is_judged(kind: str, value: object, *, fine: bool) -> None:
    column = Column(
        name="a", type=kind, clear=False, not_null=False, key=0, default=None, unique=False
    )
    assert fits(column, value) is fine


@pytest.mark.parametrize(
    ("value", "values", "every", "found"),
    [
        (1, [1, None], False, True),
        (2, [1, None], False, None),
        (None, [], False, False),
        (None, [], True, True),
        (None, [1], False, None),
        (1, [1, None], True, None),
        (1, [2, None], True, False),
    ],
)
def test_any_and_all_know_null(
    value: int | None, values: list[int | None], *, every: bool, found: bool | None
) -> None:
    call = array_functions.tested(lambda left, right: left == right, BIGINT, every=every)
    assert call(value, encode(values)) is found


def test_arrays_of_arrays_are_refused() -> None:
    with pytest.raises(NotSupportedError):
        array_of(array_of(BOOLEAN))
    assert array_of(SqlType("VARCHAR", "text", (3,))).numbers == (3,)
