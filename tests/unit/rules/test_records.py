"""Node and home records: signed by the identity that they name, for this network, in one form."""

from __future__ import annotations

from typing import Any

import pytest

from mfdb.kernel.codec import encode
from mfdb.kernel.errors import (
    BadSignature,
    MalformedMessage,
    MfdbError,
    ValueTooLarge,
    WrongNetwork,
)
from mfdb.rules.records import (
    NodeRecord,
    SignedHomeRecord,
    SignedNodeRecord,
    open_record,
)
from tests.factories import (
    NETWORK,
    STRANGER,
    hash_of,
    node_record,
    signed_home_record,
    signed_node_record,
)


def node(data: bytes) -> SignedNodeRecord:
    return open_record(SignedNodeRecord, data, network=NETWORK.id)


def home(data: bytes) -> SignedHomeRecord:
    return open_record(SignedHomeRecord, data, network=NETWORK.id)


def test_good_ones_open() -> None:
    assert node(encode(signed_node_record())) == signed_node_record()
    assert home(encode(signed_home_record())) == signed_home_record()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"network": hash_of("other")}, WrongNetwork),
        ({"identity": STRANGER.address}, BadSignature),
        ({"identity": b""}, MalformedMessage),
        ({"signer": b"short"}, MalformedMessage),
        ({"transport_key": bytes(31)}, MalformedMessage),
        ({"seal_key": bytes(33)}, MalformedMessage),
        ({"seal_key": b""}, MalformedMessage),
        ({"chequebook": bytes(32)}, MalformedMessage),
        ({"underlays": ("x" * 9000,)}, ValueTooLarge),
    ],
)
def test_a_bad_node_record_is_refused_even_signed(
    changes: dict[str, Any], error: type[MfdbError]
) -> None:
    with pytest.raises(error):
        node(encode(signed_node_record(**changes)))


@pytest.mark.parametrize("field", NodeRecord.__struct_fields__)
def test_each_field_is_signed(field: str) -> None:
    other = node_record(
        network=hash_of("n"), identity=STRANGER.address, signer=STRANGER.address,
        transport_key=bytes(32), seal_key=bytes(32), underlays=(), chequebook=bytes(20), roles=0,
        time_s=5,
    )  # fmt: skip
    changed = node_record(**{field: getattr(other, field)})
    signed = SignedNodeRecord(record=changed, signature=signed_node_record().signature)
    with pytest.raises((BadSignature, WrongNetwork)):
        node(encode(signed))


@pytest.mark.parametrize(
    "changes", [{"mailbox_providers": (bytes(19),)}, {"home_providers": (bytes(32),)}]
)
def test_a_home_record_names_addresses(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedMessage):
        home(encode(signed_home_record(**changes)))


def test_strangers_sign_nobody_elses_record() -> None:
    with pytest.raises(BadSignature, match="NodeRecord signed by"):
        node(encode(signed_node_record(STRANGER)))
    with pytest.raises(BadSignature, match="HomeRecord signed by"):
        home(encode(signed_home_record(STRANGER)))


def test_one_kind_never_passes_for_the_other() -> None:
    with pytest.raises(MalformedMessage):
        node(encode(signed_home_record()))
    with pytest.raises(MalformedMessage):
        home(encode(signed_node_record()))
