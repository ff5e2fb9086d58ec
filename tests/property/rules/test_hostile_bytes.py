"""One byte changed anywhere: refused by a named error, never accepted, never another exception.

Every byte of the small objects is changed; of a changeset, manifest and placement entry too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mfdb.kernel.codec import decode, encode
from mfdb.kernel.errors import MfdbError
from mfdb.kernel.limits import FRAME_BYTES, MANIFEST_BYTES, RECORD_BYTES
from mfdb.node.dues import PayCheque
from mfdb.node.requests import open_request
from mfdb.pay.cheque import ChequeTerms, accept
from mfdb.rules.changeset import check_changeset, check_free_rows, open_changeset
from mfdb.rules.evidence import check_signer
from mfdb.rules.key_log import KeyLogEntry, check_entry, open_envelope
from mfdb.rules.manifest import SignedManifest, check_manifest
from mfdb.rules.placement import SignedMandate, SignedPlacement, fold
from mfdb.rules.receipt import WriteReceipt, check_write_receipt
from mfdb.rules.records import SignedHomeRecord, SignedNodeRecord, open_record
from replication.segment import (
    SealedSegment,
    certify,
    is_shard,
    open_sealed,
    open_segment,
    read_segment,
    stored_shards,
    verify_sealed,
)
from tests.factories import (
    DATASET,
    NETWORK,
    OWNER,
    PROVIDERS,
    READ_KEY,
    changeset,
    cheque,
    flips,
    key_entry,
    manifest,
    other_sizes,
    placement,
    signed_home_record,
    signed_mandate,
    signed_manifest,
    signed_node_record,
)
from tests.fixtures import sealing
from tests.unit.rules.test_receipt import DATA, HOT, batch

if TYPE_CHECKING:
    from collections.abc import Callable


def take_changeset(data: bytes) -> None:
    made = open_changeset(data)
    check_changeset(made, network=NETWORK.id, dataset=DATASET)
    check_free_rows(made)


def take_entry(data: bytes) -> None:
    entry = decode(KeyLogEntry, data, limit_bytes=FRAME_BYTES)
    check_entry(entry, changeset())
    open_envelope(entry, changeset(), READ_KEY)


def take_receipt(data: bytes) -> None:
    receipt = decode(WriteReceipt, data, limit_bytes=RECORD_BYTES)
    check_write_receipt(receipt, DATA[1], network=NETWORK, signer=HOT.address)


def take_manifest(data: bytes) -> None:
    check_manifest(decode(SignedManifest, data, limit_bytes=MANIFEST_BYTES), NETWORK.id)


def take_placement(data: bytes) -> None:
    signed = decode(SignedPlacement, data, limit_bytes=FRAME_BYTES)
    fold([signed], owner=OWNER.address, subject=manifest().subject, network=NETWORK)


def take_mandate(data: bytes) -> None:
    signed = decode(SignedMandate, data, limit_bytes=RECORD_BYTES)
    check_signer(NETWORK, signed.mandate, signed.signature, OWNER.address)


def take_node(data: bytes) -> None:
    open_record(SignedNodeRecord, data, network=NETWORK.id)


def take_home(data: bytes) -> None:
    open_record(SignedHomeRecord, data, network=NETWORK.id)


def take_cheque(data: bytes) -> None:
    paid = open_request(data)
    assert isinstance(paid, PayCheque)
    terms = ChequeTerms(
        chain_id=NETWORK.chain_id,
        chequebook=cheque().chequebook,
        issuer=OWNER.address,
        beneficiary=PROVIDERS[0].address,
    )
    accept(None, paid.cheque, paid.signature, terms, cheque().valid_from + 1)


def take_sealed(data: bytes) -> None:
    sealed = open_sealed(data)
    verify_sealed(sealed, sealing.NETWORK, sealing.ALLOWED, 2)
    counted = stored_shards(sealed, sealing.NETWORK, sealing.SIGNERS, until=4_000)
    if counted != frozenset(range(6)):
        raise _NotCountedError("a receipt does not count")


class _NotCountedError(MfdbError):
    """A receipt that does not count: the bundle stands, the promise does not."""


SIGNED_CHEQUE = PayCheque(cheque=cheque(), signature=OWNER.sign(cheque().digest(NETWORK.chain_id)))
BUNDLE = sealing.sealed(receipts=tuple(sealing.receipt_of(at) for at in range(6)))
OBJECTS: dict[str, tuple[bytes, Callable[[bytes], None]]] = {
    "changeset": (encode(changeset()), take_changeset),
    "key log entry": (encode(key_entry(changeset())), take_entry),
    "write receipt of one": (encode(batch(2)[1]), take_receipt),
    "write receipt of five": (encode(batch(5)[1]), take_receipt),
    "manifest": (encode(signed_manifest()), take_manifest),
    "placement entry": (encode(placement()), take_placement),
    "mandate": (encode(signed_mandate()), take_mandate),
    "node record": (encode(signed_node_record()), take_node),
    "home record": (encode(signed_home_record()), take_home),
    "cheque": (encode(SIGNED_CHEQUE), take_cheque),
    "sealed segment": (encode(BUNDLE), take_sealed),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_the_object_itself_is_accepted(name: str) -> None:
    data, take = OBJECTS[name]
    take(data)


@pytest.mark.parametrize("name", [name for name in OBJECTS if name != "key log entry"])
def test_every_changed_byte_is_refused_by_name(name: str) -> None:
    data, take = OBJECTS[name]
    for hostile in (*flips(data), *other_sizes(data)):
        with pytest.raises(MfdbError):
            take(hostile)


def test_of_a_key_log_entry_only_the_hint_which_key_opens_it_may_change() -> None:
    data, take = OBJECTS["key log entry"]
    accepted = 0
    for hostile in flips(data):
        try:
            take(hostile)
        except MfdbError:
            continue
        accepted += 1
        assert _opened(hostile) == _opened(data)
    assert accepted <= 2


def _opened(data: bytes) -> object:
    entry = decode(KeyLogEntry, data, limit_bytes=FRAME_BYTES)
    return (entry.dataset, entry.changeset, entry.envelope, entry.salts)


@given(st.sampled_from(sorted(OBJECTS)), st.data())
@settings(max_examples=300)
def test_bytes_moved_removed_or_doubled_are_refused(name: str, data: st.DataObject) -> None:
    good, take = OBJECTS[name]
    start = data.draw(st.integers(0, len(good)))
    stop = data.draw(st.integers(start, min(len(good), start + 40)))
    filling = data.draw(st.binary(max_size=40) | st.just(good[start:stop] * 2))
    hostile = good[:start] + filling + good[stop:]
    if hostile == good:
        return
    try:
        take(hostile)
    except MfdbError:
        return
    assert name == "key log entry", f"{name} was accepted with other bytes"
    assert _opened(hostile) == _opened(good)


@given(st.sampled_from(sorted(OBJECTS)), st.binary(max_size=300))
@example("changeset", b"")
@example("manifest", b"\x92" + b"\x9f" * 200)
def test_garbage_is_refused_by_name(name: str, garbage: bytes) -> None:
    with pytest.raises(MfdbError):
        OBJECTS[name][1](garbage)


# ---- shards and segments


@pytest.mark.parametrize("index", range(6))
def test_every_changed_byte_of_a_shard_is_seen(index: int) -> None:
    shard = sealing.SHARDS[index]
    for hostile in (*flips(shard), *other_sizes(shard)):
        assert not is_shard(BUNDLE, index, hostile)
    assert is_shard(BUNDLE, index, shard)
    assert not is_shard(BUNDLE, (index + 1) % 6, shard)


def test_a_segment_is_read_around_changed_shards() -> None:
    shards = dict(enumerate(sealing.SHARDS))
    for at in range(0, len(shards[0]), 7):
        for lying in ((0, 5), (1, 2)):
            changed = dict(shards)
            for index in lying:
                byte = bytes([shards[index][at] ^ 0x55])
                changed[index] = shards[index][:at] + byte + shards[index][at + 1 :]
            assert [id_ for id_, _ in read_segment(BUNDLE, changed)] == list(sealing.IDS)


def test_every_changed_byte_of_a_segment_changes_its_certificate() -> None:
    for hostile in flips(sealing.SEGMENT, every=3):
        made, _, _ = certify(sealing.SUBJECT, 4, sealing.IDS, hostile, k=4, n=6)
        assert made != sealing.CERTIFICATE
        try:
            open_segment(hostile, 4)
        except MfdbError:
            continue


def test_a_bundle_without_its_receipts_stands_and_promises_nothing() -> None:
    bare = sealing.sealed()
    verify_sealed(bare, sealing.NETWORK, sealing.ALLOWED, 2)
    assert isinstance(bare, SealedSegment)
    with pytest.raises(_NotCountedError):
        take_sealed(encode(bare))
