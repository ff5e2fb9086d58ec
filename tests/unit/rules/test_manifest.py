"""Which manifests may stand, and which may follow which."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mfdb.kernel.codec import decode, encode
from mfdb.kernel.errors import (
    BadProof,
    BadSignature,
    MalformedMessage,
    MfdbError,
    SchemaViolation,
    UnknownColumn,
    WrongNetwork,
    WrongVersion,
)
from mfdb.kernel.ids import ZERO_HASH, Address, DatasetId, Hash
from mfdb.kernel.limits import MANIFEST_BYTES
from mfdb.rules.clauses import Check, plain
from mfdb.rules.manifest import (
    Grantee,
    Kind,
    Manifest,
    Profile,
    ReadKey,
    Revocation,
    SignedManifest,
    check_manifest,
    check_successor,
)
from tests.factories import (
    DATASET,
    FORMAT_2,
    NETWORK,
    OWNER,
    STRANGER,
    column,
    grant,
    hash_of,
    manifest,
    signed_manifest,
    token,
)


def check(signed: SignedManifest) -> None:
    check_manifest(signed, NETWORK.id)


def test_a_good_one_passes_and_reads_back() -> None:
    check(signed_manifest())
    data = encode(signed_manifest())
    assert decode(SignedManifest, data, limit_bytes=MANIFEST_BYTES) == signed_manifest()
    check(decode(SignedManifest, data, limit_bytes=MANIFEST_BYTES))


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"format": 3}, WrongVersion, "this release reads 1 to 2"),
        ({"network": hash_of("other")}, WrongNetwork, "ours is"),
        ({"dataset": DatasetId(token("other"))}, BadProof, "follow from owner and nonce"),
        ({"owner": STRANGER.address}, BadProof, "follow from owner and nonce"),
        ({"nonce": hash_of("other")}, BadProof, "follow from owner and nonce"),
        ({"number": 1}, BadProof, "only the first"),
        ({"number": -1, "previous": hash_of("p")}, MalformedMessage, "out of range"),
        ({"previous": hash_of("p")}, BadProof, "only the first"),
        ({"acl_epoch": -1}, MalformedMessage, "out of range"),
        ({"columns": ()}, SchemaViolation, "1 to 256 columns"),
        ({"columns": (column("a"), column("a"))}, SchemaViolation, "distinct names"),
        ({"columns": tuple(column(f"c{i}") for i in range(257))}, SchemaViolation, "256"),
        ({"columns": (column("c" * 129),)}, SchemaViolation, "128 characters"),
        ({"name": "n" * 129}, SchemaViolation, "128 characters"),
        ({"columns": (column("a", default=5),)}, SchemaViolation, "an array that begins"),
        ({"columns": (column("a", default=["later"]),)}, SchemaViolation, "no operator"),
        ({"clauses": (["value"],)}, SchemaViolation, "operands"),
        ({"clauses": ([["value", 1]],)}, SchemaViolation, "an array that begins"),
        ({"read_keys": ()}, SchemaViolation, "read key"),
        ({"read_keys": (ReadKey(0, b"short"),)}, SchemaViolation, "read key"),
        ({"profile": Profile(replicas=3, write_quorum=1)}, SchemaViolation, "more than half"),
    ],
)
def test_what_may_not_stand_even_signed(
    changes: dict[str, Any], error: type[MfdbError], says: str
) -> None:
    with pytest.raises(error, match=says):
        check(signed_manifest(**changes))


def test_a_condition_is_bounded_so_that_no_owner_decides_how_long_we_evaluate() -> None:
    deep: Any = ["value", True]
    for _ in range(40):
        deep = ["not", deep]
    wide = ["and", *(["in", *(["value", n] for n in range(250))] for _ in range(5))]
    for condition in (deep, wide):
        with pytest.raises(SchemaViolation, match="at most"):
            check(signed_manifest(grants=(grant(Grantee.PUBLIC, condition=condition),)))


def test_format_2_has_clauses() -> None:
    made = manifest(**FORMAT_2)
    check(signed_manifest(**FORMAT_2))
    assert [type(clause).__name__ for clause in made.parsed_clauses] == [
        "Check",
        "Unique",
        "ForeignKey",
        "Layout",
        "Policy",
    ]
    assert tuple(plain(clause) for clause in made.parsed_clauses) == made.clauses
    assert made.layout.numbers == (0, 2)


def test_checks_of_format_1_read_as_clauses_with_names() -> None:
    (found,) = manifest().parsed_clauses
    assert found == Check("mailbox_check", ["<=", ["column", "stars"], ["value", 5]])


@pytest.mark.parametrize(
    ("clause", "says"),
    [
        (["nothing"], "is none"),
        (["check", "a"], "is none"),
        (["check", "", ["value", True]], "is named"),
        (["check", "c" * 129, ["value", True]], "128 characters"),
        (["check", "a", ["later"]], "no operator"),
        (["unique", "a", []], "1 to 16 columns"),
        (["unique", "a", ["nothing"]], "1 to 16 columns"),
        (["unique", "a", ["body", "body"]], "each once"),
        (["foreign", "a", ["body"], b"d" * 32, ["x", "y"], "CASCADE", "CASCADE"], "as many"),
        (["foreign", "a", ["body"], b"d" * 31, ["x"], "CASCADE", "CASCADE"], "one dataset"),
        (["foreign", "a", ["body"], b"d" * 32, ["x"], "EXPLODE", "CASCADE"], "what happens"),
        (["layout", 2, [0], [None]], "numbers every column"),
        (["layout", 1, [0, 1], [None, None]], "numbers every column"),
        (["layout", 2, [0, 0], [None, None]], "numbers every column"),
        (["view", "SELECT 1", []], "a view has a query"),
        (["policy", "p", False, 0, [[0, b""]], None, None], "some actions"),
        (["policy", "p", False, 1, [], None, None], "1 to 64 grantees"),
        (["policy", "p", False, 1, [[9, b""]], None, None], "no known kind"),
    ],
)
def test_clauses_that_may_not_stand(clause: list[Any], says: str) -> None:
    with pytest.raises(SchemaViolation, match=says):
        check(signed_manifest(format=2, clauses=(clause,)))


def test_a_view_has_a_query_and_format_2() -> None:
    view = ["view", "SELECT 1", []]
    check(signed_manifest(format=2, kind=Kind.VIEW, clauses=(view,)))
    for number in (1, 2):
        with pytest.raises(SchemaViolation, match="view"):
            check(signed_manifest(kind=Kind.VIEW, format=number, clauses=()))


def test_now_is_a_default() -> None:
    check(signed_manifest(columns=(column("at", "TIMESTAMP", default=["now"]),)))


@pytest.mark.parametrize("field", [f for f in Manifest.__struct_fields__ if f != "options"])
def test_each_field_is_signed(field: str) -> None:
    """Whatever changes after the signature is made is refused."""
    other = signed_manifest(
        name="other", number=1, previous=hash_of("p"), acl_epoch=1, format=2, clauses=(),
        network=hash_of("n"), dataset=DatasetId(token("d")), owner=STRANGER.address,
        nonce=hash_of("n"), kind=0, ordering=0, columns=(column("x"),), grants=(),
        revocations=(Revocation(STRANGER.address, ()),), read_keys=(ReadKey(1, bytes(32)),),
        wrapped_keys=(), profile=Profile(replicas=5, write_quorum=3), salt=hash_of("s"),
        price_ceiling=0, retention_s=1,
    ).manifest  # fmt: skip
    value = getattr(other, field)
    if field == "wrapped_keys":
        value = (msgspec.convert([0, STRANGER.address, b"x"], _wrapped()),)
    changed = msgspec.structs.replace(manifest(), **{field: value})
    assert changed != manifest()
    with pytest.raises((BadSignature, BadProof, WrongNetwork, WrongVersion)):
        check(SignedManifest(manifest=changed, signature=signed_manifest().signature))


def _wrapped() -> type:
    from mfdb.rules.manifest import WrappedKey

    return WrappedKey


def test_only_the_owner_signs() -> None:
    with pytest.raises(BadSignature, match=STRANGER.address.hex()):
        check(signed_manifest(STRANGER))


def test_a_frontier_of_odd_size_does_not_decode() -> None:
    odd = signed_manifest(revocations=(Revocation(STRANGER.address, (Hash(b"short"),)),))
    with pytest.raises(MalformedMessage, match="length"):
        decode(SignedManifest, encode(odd), limit_bytes=MANIFEST_BYTES)
    odd = signed_manifest(revocations=(Revocation(Address(b"short"), ()),))
    with pytest.raises(MalformedMessage, match="length"):
        decode(SignedManifest, encode(odd), limit_bytes=MANIFEST_BYTES)


# ---- succession


def successor(current: Manifest, **changes: Any) -> Manifest:
    return manifest(
        **({"number": current.number + 1, "previous": current.hash, "acl_epoch": 0} | changes)
    )


def test_versions_are_chained() -> None:
    first = manifest()
    second = successor(first)
    check_successor(first, second)
    check_successor(second, successor(second, acl_epoch=3))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"number": 0}, "grow by one"),
        ({"number": 2}, "grow by one"),
        ({"previous": hash_of("other")}, "does not follow"),
        ({"previous": ZERO_HASH}, "does not follow"),
        ({"dataset": DatasetId(token("other"))}, "does not follow"),
    ],
)
def test_what_may_not_follow(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(BadProof, match=says):
        check_successor(manifest(), successor(manifest(), **changes))


def test_access_epochs_never_go_back() -> None:
    current = manifest(acl_epoch=4)
    check_successor(current, successor(current, acl_epoch=4))
    with pytest.raises(BadProof, match="never go back"):
        check_successor(current, successor(current, acl_epoch=3))


# ---- profile and columns


@pytest.mark.parametrize(
    ("n", "w", "r", "k", "m"),
    [(3, 2, 2, 4, 6), (1, 1, 1, 1, 2), (5, 3, 1, 10, 16), (32, 17, 32, 32, 64), (2, 2, 1, 1, 2)],
)
def test_profiles_that_keep_the_promise(n: int, w: int, r: int, k: int, m: int) -> None:
    Profile(replicas=n, write_quorum=w, read_quorum=r, k=k, n=m).check()


@pytest.mark.parametrize(
    ("n", "w", "r", "k", "m"),
    [
        (0, 0, 0, 4, 6), (3, 4, 2, 4, 6), (3, 0, 2, 4, 6), (33, 17, 1, 4, 40), (4, 2, 2, 4, 6),
        (3, 2, 0, 4, 6), (3, 2, 4, 4, 6), (3, 2, 2, 6, 6), (3, 2, 2, 0, 6), (3, 2, 2, 60, 65),
        (7, 4, 4, 4, 6), (-3, -2, 1, 4, 6),
    ],
)  # fmt: skip
def test_profiles_that_do_not(n: int, w: int, r: int, k: int, m: int) -> None:
    with pytest.raises(SchemaViolation):
        Profile(replicas=n, write_quorum=w, read_quorum=r, k=k, n=m).check()


def test_columns_are_found_by_name_and_kind() -> None:
    made = manifest(
        columns=(column("b", key=2), column("a", key=1, clear=True), column("c", clear=True))
    )
    assert [found.name for found in made.key_columns] == ["a", "b"]
    assert [found.name for found in made.sealed_columns] == ["b"]
    assert [found.name for found in made.clear_columns] == ["a", "c"]
    assert made.column("c").clear
    with pytest.raises(UnknownColumn, match="no column d"):
        made.column("d")


def test_the_name_on_chain_is_blind() -> None:
    assert manifest().subject not in (DATASET, manifest(salt=hash_of("other salt")).subject)
    assert manifest().subject.find(OWNER.address) == -1
