from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from mfdb.kernel.codec import encode
from mfdb.kernel.digest import sha256
from mfdb.kernel.errors import (
    BadProof,
    BadSignature,
    MalformedMessage,
    MfdbError,
    StripeLost,
    ValueTooLarge,
)
from mfdb.kernel.ids import ChangesetId, Hash
from mfdb.kernel.limits import CHANGESET_BYTES, SEGMENT_LIMIT_BYTES
from mfdb.rules.units import GROUP_BYTES, UnitTree
from replication.codec import Codec
from replication.segment import (
    ALIGNED_FROM_BYTES,
    HEAD_BYTES,
    SEALED_LIMIT_BYTES,
    SEGMENT_CHANGESETS,
    build_segment,
    certify,
    check_certificate,
    check_receipt,
    most_bytes,
    open_sealed,
    open_segment,
    read_segment,
    shards_root,
    stored_shards,
    verify_sealed,
)
from tests.fixtures.sealing import (
    ALLOWED,
    CERTIFICATE,
    CHANGESETS,
    HOLDERS,
    IDS,
    NETWORK,
    REPLICAS,
    ROOTS,
    SEGMENT,
    SHARDS,
    SIGNERS,
    SUBJECT,
    receipt_of,
    sealed,
)

if TYPE_CHECKING:
    from mfdb.rules.evidence import SealCertificate

ONE = ChangesetId(b"\x01" * 32)
TWO = ChangesetId(b"\x02" * 32)


def test_content_follows_from_the_id_list_alone() -> None:
    assert build_segment(4, reversed(CHANGESETS)) == SEGMENT
    assert open_segment(SEGMENT, 4) == CHANGESETS


def test_bytes_of_the_format() -> None:
    due = "02 0000000000000009 00000001" + "01" * 32 + "00000002 abcd"
    assert build_segment(9, [(ONE, b"\xab\xcd")]) == bytes.fromhex(due)


def test_a_large_changeset_stands_where_nodes_of_unit_trees_do() -> None:
    small, large = b"\xab" * 70, b"\xcd" * ALIGNED_FROM_BYTES
    data = build_segment(9, [(ONE, small), (TWO, large)])
    at = data.index(large)
    assert at == GROUP_BYTES
    assert open_segment(data, 9) == [(ONE, small), (TWO, large)]
    with pytest.raises(MalformedMessage, match="not zero"):
        open_segment(data[: at - 1] + b"\x01" + data[at:], 9)
    assert len(data) <= HEAD_BYTES + most_bytes(len(small)) + most_bytes(len(large))


def test_segments_of_format_1_have_no_gaps_and_are_read() -> None:
    large = bytes(ALIGNED_FROM_BYTES)
    entries = [(ONE, b"small"), (TWO, large)]
    framed = [struct.pack(">32sI", id_, len(data)) + data for id_, data in entries]
    assert open_segment(struct.pack(">BQI", 1, 9, 2) + b"".join(framed), 9) == entries
    with pytest.raises(MalformedMessage, match="format 3, this release reads 1 and 2"):
        open_segment(struct.pack(">BQI", 3, 9, 2) + b"".join(framed), 9)


@pytest.mark.parametrize(
    "sizes",
    [
        (1_000, 70_000, 5, 300_000, 65_535, 65_536, 700),
        (400_000,),
        (262_144 - 2_048, 100_000),
        (66_000,),
        (65_536, 65_536, 65_536, 65_536),
    ],
)
@pytest.mark.parametrize("known", [0, 1, 2])
def test_what_is_known_of_changesets_changes_no_root(sizes: tuple[int, ...], known: int) -> None:
    """Every one, every other one or none of them has its nodes remembered."""
    made = [
        (ChangesetId(sha256(bytes([at]))), (bytes(range(at, 251 - at)) * (size // 200))[:size])
        for at, size in enumerate(sizes)
    ]
    ids, data = sorted(id_ for id_, _ in made), build_segment(3, made)
    nodes = {id_: UnitTree(body).groups for id_, body in made[:: known or 1]} if known else {}
    plain = certify(SUBJECT, 3, ids, data, k=4, n=6)
    assert certify(SUBJECT, 3, ids, data, k=4, n=6, nodes=nodes) == plain


@pytest.mark.parametrize(
    "entries", [[], [(ONE, b"a"), (ONE, b"b")], [(ChangesetId(b"short"), b"a")]]
)
def test_lists_that_make_no_segment(entries: list[tuple[ChangesetId, bytes]]) -> None:
    with pytest.raises(BadProof):
        build_segment(0, entries)


def test_limits_hold_when_building() -> None:
    with pytest.raises(ValueTooLarge, match="changeset has at most"):
        build_segment(0, [(ONE, bytes(CHANGESET_BYTES + 1))])
    full = [(ChangesetId(bytes([at]) * 32), bytes(CHANGESET_BYTES)) for at in range(4)]
    with pytest.raises(ValueTooLarge, match="segment has at most"):
        build_segment(0, full)
    many = ((ChangesetId(at.to_bytes(32, "big")), b"") for at in range(SEGMENT_CHANGESETS + 1))
    with pytest.raises(ValueTooLarge, match="changesets"):
        build_segment(0, many)


def _framed(*entries: tuple[bytes, int, bytes], count: int | None = None) -> bytes:
    head = struct.pack(">BQI", 2, 4, len(entries) if count is None else count)
    return head + b"".join(key + struct.pack(">I", size) + body for key, size, body in entries)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", MalformedMessage),
        (SEGMENT[:12], MalformedMessage),
        (SEGMENT[:-1], MalformedMessage),
        (SEGMENT + b"\x00", MalformedMessage),
        (b"\x00" + SEGMENT[1:], MalformedMessage),
        (_framed((TWO, 0, b""), (ONE, 0, b"")), MalformedMessage),
        (_framed((ONE, 0, b""), (ONE, 0, b"")), MalformedMessage),
        (_framed((ONE, 2**32 - 1, b"a")), MalformedMessage),
        (_framed((ONE, 0, b""), count=2), MalformedMessage),
        (_framed(count=2**32 - 1), ValueTooLarge),
        (bytes(SEGMENT_LIMIT_BYTES + 1), ValueTooLarge),
    ],
)
def test_hostile_segments_are_refused(data: bytes, error: type[MfdbError]) -> None:
    with pytest.raises(error):
        open_segment(data, 4)


def test_a_segment_is_opened_by_its_number() -> None:
    with pytest.raises(MalformedMessage, match="not segment 5"):
        open_segment(SEGMENT, 5)


def test_a_certificate_covers_ids_and_shards() -> None:
    check_certificate(CERTIFICATE, IDS, ROOTS)
    other = [ChangesetId(b"\xff" * 32)]
    swapped = (ROOTS[1], ROOTS[0], *ROOTS[2:])
    for ids, roots in (
        (IDS[:-1], ROOTS),
        (IDS[:-1] + other, ROOTS),
        (IDS[::-1], ROOTS),
        ([], ROOTS),
        (IDS, ROOTS[:-1]),
        (IDS, swapped),
        (IDS, (Hash(b"short"), *ROOTS[1:])),
    ):
        with pytest.raises(BadProof):
            check_certificate(CERTIFICATE, ids, roots)


@pytest.mark.parametrize(
    "changed",
    [
        {"k": 0},
        {"k": 6},
        {"n": 256},
        {"number": -1},
        {"count": 0},
        {"count": SEGMENT_CHANGESETS + 1},
        {"length_bytes": 0},
        {"length_bytes": SEGMENT_LIMIT_BYTES + 1},
        {"shards": Hash(b"short")},
    ],
)
def test_certificates_out_of_range_are_refused(changed: dict[str, Any]) -> None:
    bad: SealCertificate = msgspec.structs.replace(CERTIFICATE, **changed)
    with pytest.raises(BadProof):
        check_certificate(bad, IDS, ROOTS)


def test_a_sealed_segment_reads_from_any_k_good_shards() -> None:
    held = {0: SHARDS[0], 1: b"lost", 3: SHARDS[3], 4: SHARDS[4], 5: SHARDS[5], 9: b"?"}
    assert read_segment(sealed(), held) == CHANGESETS
    with pytest.raises(StripeLost):
        read_segment(sealed(), {**held, 5: SHARDS[4]})


def test_shards_of_something_else_than_the_segment_are_noticed() -> None:
    forged = build_segment(4, [(IDS[0], b"x" * (len(SEGMENT) - 49))])
    assert len(forged) == len(SEGMENT)
    made, shards, roots = certify(SUBJECT, 4, IDS, forged, k=4, n=6)
    bundle = msgspec.structs.replace(sealed(), certificate=made, shard_roots=roots)
    with pytest.raises(BadProof, match="other changesets"):
        read_segment(bundle, dict(enumerate(shards)))


def test_parity_of_something_else_than_the_data_is_noticed() -> None:
    """Whoever certified that lied; which k shards are at hand must not decide what is read."""
    forged = build_segment(4, [(IDS[0], b"x" * (len(SEGMENT) - 49))])
    shards = (*SHARDS[:4], *Codec(4, 6).encode(forged)[4:])
    roots = tuple(UnitTree(shard).root for shard in shards)
    lied = msgspec.structs.replace(CERTIFICATE, shards=shards_root(roots))
    bundle = msgspec.structs.replace(sealed(), certificate=lied, shard_roots=roots)
    assert read_segment(bundle, dict(enumerate(shards))) == CHANGESETS
    for lost in range(4):
        held = {at: shard for at, shard in enumerate(shards) if at != lost}
        with pytest.raises(BadProof, match="do not decode"):
            read_segment(bundle, held)


def test_a_bundle_survives_its_encoding_and_verifies() -> None:
    bundle = sealed(receipts=(receipt_of(0), receipt_of(5)))
    again = open_sealed(encode(bundle))
    assert again == bundle
    verify_sealed(again, NETWORK, ALLOWED, 2)
    with pytest.raises(ValueTooLarge):
        open_sealed(bytes(SEALED_LIMIT_BYTES + 1))
    with pytest.raises(MalformedMessage):
        open_sealed(encode(bundle)[:-1])


def test_w_different_replicas_must_have_signed() -> None:
    with pytest.raises(BadSignature, match="3 replicas must sign, 2 did"):
        verify_sealed(sealed(signers=2), NETWORK, ALLOWED, 3)
    twice = msgspec.structs.replace(sealed(), signatures=sealed().signatures[:1] * 2)
    with pytest.raises(BadSignature):
        verify_sealed(twice, NETWORK, ALLOWED, 2)
    stranger = HOLDERS[0].sign(NETWORK.digest(CERTIFICATE))
    mixed = msgspec.structs.replace(sealed(), signatures=(*sealed().signatures, stranger))
    with pytest.raises(BadSignature):
        verify_sealed(mixed, NETWORK, ALLOWED, 2)
    with pytest.raises(BadSignature):
        verify_sealed(sealed(), NETWORK, ALLOWED - {REPLICAS[0].address}, 1)
    flood = msgspec.structs.replace(sealed(), signatures=sealed().signatures * 2)
    with pytest.raises(BadProof, match="more signatures"):
        verify_sealed(flood, NETWORK, ALLOWED, 2)


@pytest.mark.parametrize(
    "changed",
    [
        {"shard": 1},
        {"shard": 6},
        {"shard": -1},
        {"units": 2},
        {"root": Hash(b"\x00" * 32)},
        {"segment": b"\x00" * 32},
        {"expiry": -1},
        {"agreement": b"short"},
    ],
)
def test_receipts_for_anything_else_are_refused(changed: dict[str, Any]) -> None:
    good = receipt_of(0)
    bad = msgspec.structs.replace(good.receipt, **changed)
    check_receipt(sealed(), good.receipt)
    with pytest.raises(BadProof):
        check_receipt(sealed(), bad)
    bundle = sealed(receipts=(msgspec.structs.replace(good, receipt=bad),))
    with pytest.raises(BadProof):
        verify_sealed(bundle, NETWORK, ALLOWED, 2)
    assert stored_shards(bundle, NETWORK, SIGNERS, until=1) == set()


def test_only_good_receipts_count_as_stored() -> None:
    unsigned = msgspec.structs.replace(receipt_of(2), signature=bytes(65))
    forged = msgspec.structs.replace(receipt_of(3), signature=receipt_of(4).signature)
    bundle = sealed(receipts=(receipt_of(0), receipt_of(1, expiry=99), unsigned, forged))
    assert stored_shards(bundle, NETWORK, SIGNERS, until=100) == {0}
    assert stored_shards(bundle, NETWORK, {}, until=100) == set()


def test_one_agreement_counts_for_one_shard() -> None:
    bundle = sealed(receipts=(receipt_of(0), receipt_of(1, holder=0)))
    assert stored_shards(bundle, NETWORK, SIGNERS, until=100) == {0}
