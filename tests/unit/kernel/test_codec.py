"""One form only: whatever `encode` would not have produced is refused by name."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest

from mfdb.kernel.codec import Record, decode, decode_own, encode
from mfdb.kernel.errors import CorruptRecord, MalformedMessage, ValueTooLarge
from mfdb.kernel.ids import Address, Hash, Wei


class Sample(Record, frozen=True):
    number: int
    text: str
    data: bytes
    items: tuple[int, ...]


class Loose(Record, frozen=True):
    value: Any


class Sized(Record, frozen=True):
    hash: Hash
    who: Address


class Money(Record, frozen=True):
    amount: Wei


SAMPLE = Sample(number=5, text="ab", data=b"\x01\x02", items=(1, 300))
CANONICAL = bytes.fromhex("9405a26162c40201029201cd012c")


def refused(kind: type[Record], data: bytes) -> str:
    with pytest.raises(MalformedMessage) as caught:
        decode(kind, data, limit_bytes=1000)
    return caught.value.message


def test_a_record_is_an_array_in_field_order() -> None:
    assert encode(SAMPLE) == CANONICAL
    assert decode(Sample, CANONICAL, limit_bytes=len(CANONICAL)) == SAMPLE


@pytest.mark.parametrize(
    ("why", "data"),
    [
        ("u8 for a small int", "94cc05a26162c40201029201cd012c"),
        ("u16 for a small int", "94cd0005a26162c40201029201cd012c"),
        ("u32 for a u16 int", "9405a26162c40201029201ce0000012c"),
        ("i64 for a small int", "94d30000000000000005a26162c40201029201cd012c"),
        ("str8 for a short text", "9405d9026162c40201029201cd012c"),
        ("bin16 for a short string", "9405a26162c500020102" + "9201cd012c"),
        ("array16 for a short array", "9405a26162c4020102dc000201cd012c"),
        ("array16 for the record", "dc000405a26162c40201029201cd012c"),
        ("a byte after the end", "9405a26162c40201029201cd012c00"),
        ("a second message after the end", "9405a26162c40201029201cd012c" * 2),
        ("cut short", "9405a26162c40201029201cd01"),
        ("a field too many", "9505a26162c40201029201cd012cc0"),
        ("a field too few", "9305a26162c4020102"),
        (
            "a map instead of an array",
            "84a66e756d62657205a474657874a26162a464617461c4020102a5697465",
        ),
        ("a bool for an int", "94c3a26162c40201029201cd012c"),
        ("a whole float for an int", "94cb4014000000000000a26162c40201029201cd012c"),
        ("bytes for a text", "9405c4026162c40201029201cd012c"),
        ("text for bytes", "9405a26162a201029201cd012c"),
        ("text that is no UTF-8", "9405a2fffec40201029201cd012c"),
        ("a half surrogate pair", "9405a3eda080c40201029201cd012c"),
        ("nil for an int", "94c0a26162c40201029201cd012c"),
        ("nothing at all", ""),
    ],
)
def test_every_other_form_is_refused(why: str, data: str) -> None:
    assert refused(Sample, bytes.fromhex(data)).startswith(
        ("not a Sample", "Sample is not in canonical form")
    ), why


@pytest.mark.parametrize("value", ["ca3f800000", "d9016f", "c40101" + "", "91cc01"])
def test_canonical_form_holds_inside_untyped_values_too(value: str) -> None:
    """A float32, a long text head, an array with a long int; b'\\x01' itself is canonical."""
    data = bytes.fromhex("91" + value)
    if value == "c40101":
        assert decode(Loose, data, limit_bytes=10) == Loose(b"\x01")
    else:
        assert refused(Loose, data) == "Loose is not in canonical form"


def test_a_key_that_comes_twice_in_a_map_is_refused() -> None:
    assert "canonical" in refused(Loose, bytes.fromhex("9182a16101a16102"))


def test_a_length_that_lies_costs_nothing() -> None:
    for head in ("dd", "df", "c6", "db", "c9"):
        for size in (2**20, 2**26, 2**32 - 1):
            refused(Loose, bytes.fromhex("91" + head) + size.to_bytes(4, "big"))
            refused(Sample, bytes.fromhex("9405a26162c4020102" + head) + size.to_bytes(4, "big"))


@pytest.mark.parametrize("depth", [64, 2000, 100_000])
@pytest.mark.parametrize("level", [b"\x91", b"\x81\x01", b"\x81", b"\xdc\x00\x01", b"\x92\x01"])
def test_deep_nesting_is_refused_without_a_crash(level: bytes, depth: int) -> None:
    data = b"\x91" + level * depth + b"\x01"
    with pytest.raises(MalformedMessage, match="nested deeper than 64"):
        decode(Loose, data, limit_bytes=len(data))


def test_deep_nesting_does_not_kill_a_process_whose_recursion_limit_was_raised() -> None:
    """With web3 loaded the interpreter's limit is 100,000, and msgspec overflows the C stack."""
    script = (
        "import sys; sys.setrecursionlimit(10**6)\n"
        "from mfdb.kernel.errors import MalformedMessage\n"
        "from mfdb.rules.changeset import open_changeset\n"
        "from mfdb.node.requests import open_request\n"
        "for open_it in open_changeset, open_request:\n"
        "    try: open_it(bytes([0x91]) * 10**6)\n"
        "    except MalformedMessage as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.count("nested deeper")) == (0, 2), done.stderr


def test_levels_that_end_do_not_count() -> None:
    flat = Loose([[[i], {str(i): [i]}] for i in range(500)])
    assert decode(Loose, encode(flat), limit_bytes=20_000) == flat
    most = b"\x91" * 64 + b"\x01"
    assert encode(decode(Loose, most, limit_bytes=100)) == most


def test_limits_are_checked_before_anything_is_decoded() -> None:
    with pytest.raises(ValueTooLarge, match="over its limit 13"):
        decode(Sample, CANONICAL, limit_bytes=len(CANONICAL) - 1)
    with pytest.raises(ValueTooLarge):
        decode(Sample, b"\xff" * 2000, limit_bytes=1000)


def test_ids_have_one_size() -> None:
    good = Sized(hash=Hash(b"h" * 32), who=Address(b"a" * 20))
    assert decode(Sized, encode(good), limit_bytes=100) == good
    for size in (0, 19, 20, 31, 33, 64):
        if size != 32:
            refused(Sized, encode(Sized(Hash(b"h" * size), Address(b"a" * 20))))
        if size != 20:
            refused(Sized, encode(Sized(Hash(b"h" * 32), Address(b"a" * size))))


@pytest.mark.parametrize("amount", [0, 1, 2**64, 10**30, 2**256 - 1])
def test_an_amount_is_a_word_of_32_bytes(amount: int) -> None:
    data = encode(Money(Wei(amount)))
    assert data == b"\x91\xc4\x20" + amount.to_bytes(32, "big")
    back = decode(Money, data, limit_bytes=40)
    assert back.amount == amount
    assert type(back.amount) is Wei


@pytest.mark.parametrize(
    "word", [b"\x05", b"\xc4\x1f" + bytes(31), b"\xc4\x21" + bytes(33), b"\xc0", b"\xa1a"]
)
def test_an_amount_of_another_form_is_refused(word: bytes) -> None:
    refused(Money, b"\x91" + word)


def test_what_no_record_holds_is_not_encoded() -> None:
    with pytest.raises(NotImplementedError, match="object"):
        encode(Loose(object()))


def test_not_a_number_and_minus_zero_survive() -> None:
    back = decode(Loose, encode(Loose(float("nan"))), limit_bytes=20)
    assert math.isnan(back.value)
    assert math.copysign(1, decode(Loose, encode(Loose(-0.0)), limit_bytes=20).value) == -1


def test_a_damaged_record_of_our_own_is_corrupt() -> None:
    with pytest.raises(CorruptRecord, match="Sample"):
        decode_own(Sample, CANONICAL[:-1])
    assert decode_own(Sample, CANONICAL) == SAMPLE
