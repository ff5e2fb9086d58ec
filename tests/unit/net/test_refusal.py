from __future__ import annotations

import pytest

from mfdb.kernel import errors
from mfdb.kernel.codec import encode
from mfdb.kernel.errors import InternalError, MalformedMessage, MfdbError, StaleWrite, ValueTooLarge
from mfdb.net.refusal import Refusal, decode_refusal, encode_refusal

CLASSES = sorted(
    (it for it in vars(errors).values() if isinstance(it, type) and issubclass(it, MfdbError)),
    key=lambda it: it.__name__,
)


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_survives_the_journey(kind: type[MfdbError]) -> None:
    back = decode_refusal(encode_refusal(kind("why\n€", hint="what now")))
    assert type(back) is kind
    assert (back.message, back.hint) == ("why\n€", "what now")


@pytest.mark.parametrize("code", ["", "SystemExit", "Exception", "__builtins__", "NoSuchFact"])
def test_an_unknown_class_becomes_internal_error(code: str) -> None:
    error = decode_refusal(encode(Refusal(code, "m", "h")))
    assert type(error) is InternalError


def test_text_is_cut_on_both_sides() -> None:
    wide = "\U0001f600" * 10**5
    assert len(encode_refusal(StaleWrite(wide, hint=wide))) <= 8192
    error = decode_refusal(encode(Refusal("StaleWrite", "m" * 4000, "h" * 4000)))
    assert (len(error.message), len(error.hint)) == (1000, 500)
    with pytest.raises(ValueTooLarge):
        decode_refusal(encode(Refusal("StaleWrite", "m" * 10**5, "")))


def test_half_a_surrogate_pair_does_not_stop_an_error() -> None:
    assert decode_refusal(encode_refusal(StaleWrite("bad \ud800"))).message == "bad ?"


@pytest.mark.parametrize("body", [b"", b"\x93", b"\x00" * 20, encode(["StaleWrite", "m"])])
def test_bytes_that_are_no_refusal_are_malformed(body: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_refusal(body)
