"""Who may change what of a placement log, under which agreement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from mfdb.kernel.errors import BadProof, BadSignature, ProtocolViolation, WrongNetwork
from mfdb.kernel.ids import CaseId, DatasetId, Hash, Wei
from mfdb.rules.placement import (
    Assignment,
    Placement,
    Role,
    SignedPlacement,
    extend,
    fold,
    merged,
)
from mfdb.rules.signing import digest_of, sign
from tests.factories import (
    DATASET,
    NETWORK,
    OWNER,
    PROVIDERS,
    STRANGER,
    hash_of,
    mandate,
    manifest,
    placement,
    signed_agreement,
    signed_mandate,
    takeover,
    token,
)

if TYPE_CHECKING:
    from mfdb.kernel.account import Account

SUBJECT = manifest().subject


def run(*entries: SignedPlacement) -> Placement:
    return fold(entries, owner=OWNER.address, subject=SUBJECT, network=NETWORK)


FIRST = placement()
HEAD = digest_of(FIRST.entry)


def owners_next(**changes: Any) -> SignedPlacement:
    values: dict[str, Any] = {"number": 1, "previous": HEAD, "agreements": (), "mandate": None}
    return placement(**(values | {"assignments": ()} | changes))


def test_the_owner_places_replicas_and_shards() -> None:
    stands = run(FIRST)
    assert stands.replica_set == tuple(p.address for p in PROVIDERS[:3])
    assert stands.providers == tuple(p.address for p in PROVIDERS[:6])
    assert stands.dataset == DATASET
    assert (stands.number, stands.head) == (0, HEAD)
    made = signed_agreement(PROVIDERS[4]).agreement
    assert stands.agreement_of(PROVIDERS[4].address) == made.id
    assert stands.agreement_of(PROVIDERS[6].address) is None


def test_a_provider_takes_a_shard_over_under_the_mandate() -> None:
    stands = run(FIRST, takeover(HEAD))
    assert stands.shards[2] == PROVIDERS[6].address
    assert stands.shards[1] == PROVIDERS[1].address
    assert stands.replica_set == run(FIRST).replica_set
    assert stands.mandate == signed_mandate()


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"network": hash_of("other")}, WrongNetwork, "ours is"),
        ({"number": 2}, BadProof, "does not follow"),
        ({"number": 0}, BadProof, "does not follow"),
        ({"previous": hash_of("other")}, BadProof, "does not follow"),
        ({"dataset": DatasetId(token("other"))}, BadProof, "another dataset"),
        ({"case": b"short"}, BadProof, "case id"),
        (
            {"assignments": (Assignment(Role.SHARD, -1, PROVIDERS[0].address),)},
            BadProof,
            "slot",
        ),
        (
            {"assignments": (Assignment(Role.REPLICA, 255, PROVIDERS[0].address),)},
            BadProof,
            "slot",
        ),
        (
            {"assignments": (Assignment(Role.SHARD, 0, PROVIDERS[6].address),)},
            BadProof,
            "without an agreement",
        ),
    ],
)
def test_what_the_owner_may_not_sign(
    changes: dict[str, Any], error: type[ProtocolViolation], says: str
) -> None:
    with pytest.raises(error, match=says):
        run(FIRST, owners_next(**changes))


@pytest.mark.parametrize("signer", [STRANGER, PROVIDERS[0], PROVIDERS[6]])
def test_nobody_else_places_replicas(signer: Account) -> None:
    entry = owners_next(
        assignments=(Assignment(Role.REPLICA, 0, signer.address),), case=CaseId(token("case"))
    ).entry
    with pytest.raises(BadSignature, match="neither by owner nor under a mandate"):
        run(FIRST, SignedPlacement(entry=entry, signature=sign(entry, signer)))


def test_a_takeover_needs_a_case() -> None:
    with pytest.raises(BadSignature, match="under a mandate"):
        run(FIRST, takeover(HEAD, case=b""))


def test_a_takeover_is_for_its_signer_only() -> None:
    other = (Assignment(Role.SHARD, 2, PROVIDERS[5].address),)
    with pytest.raises(BadSignature, match="under a mandate"):
        run(FIRST, takeover(HEAD, assignments=other))
    signed = takeover(HEAD)
    stolen = SignedPlacement(entry=signed.entry, signature=sign(signed.entry, STRANGER))
    with pytest.raises(BadSignature, match="under a mandate"):
        run(FIRST, stolen)


def test_a_takeover_needs_a_mandate() -> None:
    bare = placement(mandate=None)
    with pytest.raises(BadSignature, match="under a mandate"):
        run(bare, takeover(digest_of(bare.entry)))


def test_only_the_owner_gives_a_mandate() -> None:
    own = signed_mandate(PROVIDERS[6])
    with pytest.raises(BadSignature, match="only the owner"):
        run(FIRST, takeover(HEAD, mandate=own))
    bare = placement(mandate=None)
    with pytest.raises(BadSignature, match="only the owner"):
        run(bare, takeover(digest_of(bare.entry), mandate=own))


def test_a_mandate_that_the_owner_did_not_sign_serves_nobody() -> None:
    forged = placement(mandate=signed_mandate(STRANGER))
    with pytest.raises(BadSignature, match="RepairMandate signed by"):
        run(forged, takeover(digest_of(forged.entry)))


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"subject": hash_of("other")}, BadProof, "another dataset or client"),
        ({"client": STRANGER.address}, BadProof, "another dataset or client"),
        ({"mandate": hash_of("other mandate")}, BadProof, "did not give"),
    ],
)
def test_the_agreement_of_a_takeover_is_the_mandates(
    changes: dict[str, Any], error: type[ProtocolViolation], says: str
) -> None:
    made = {"mandate": mandate().struct_hash(), **changes}
    with pytest.raises(error, match=says):
        run(FIRST, takeover(HEAD, agreements=(signed_agreement(PROVIDERS[6], **made),)))


def test_the_agreement_of_a_takeover_is_with_its_provider() -> None:
    others = signed_agreement(PROVIDERS[5], mandate=mandate().struct_hash())
    with pytest.raises(BadProof, match="without an agreement"):
        run(FIRST, takeover(HEAD, agreements=(others,)))


def test_an_agreement_without_the_owners_signature_is_none() -> None:
    made = signed_agreement(PROVIDERS[6])
    for signature in (b"", made.provider_signature, STRANGER.sign(hash_of("x"))):
        unsigned = msgspec.structs.replace(made, client_signature=signature)
        with pytest.raises(BadSignature):
            run(FIRST, takeover(HEAD, agreements=(unsigned,)))
    changed = msgspec.structs.replace(made.agreement, deposit=Wei(made.agreement.deposit + 1))
    with pytest.raises(BadSignature):
        run(FIRST, takeover(HEAD, agreements=(msgspec.structs.replace(made, agreement=changed),)))


def test_the_log_is_chained_and_its_order_fixed() -> None:
    second = takeover(HEAD)
    third = owners_next(number=2, previous=digest_of(second.entry))
    assert run(FIRST, second, third).number == 2
    for wrong in ((second,), (FIRST, third), (FIRST, FIRST), (FIRST, second, second)):
        with pytest.raises(BadProof, match="does not follow"):
            run(*wrong)


def test_folding_is_extending_one_by_one() -> None:
    stands = Placement()
    for entry in (FIRST, takeover(HEAD)):
        stands = extend(stands, entry, owner=OWNER.address, subject=SUBJECT, network=NETWORK)
    assert stands == run(FIRST, takeover(HEAD))
    assert run() == Placement()


def test_an_entry_of_another_network_or_owner_is_refused() -> None:
    with pytest.raises(BadSignature):
        fold([FIRST], owner=STRANGER.address, subject=SUBJECT, network=NETWORK)
    with pytest.raises(BadProof):
        fold([FIRST], owner=OWNER.address, subject=Hash(token("x")), network=NETWORK)


# ---- logs that part

LOW, HIGH = CaseId(Hash(b"\x01" * 32)), CaseId(Hash(b"\x02" * 32))
LOWER, HIGHER = takeover(HEAD, case=LOW), takeover(HEAD, case=HIGH)


def test_a_log_grows_by_what_follows_it_and_by_nothing_else() -> None:
    assert merged((), (FIRST,)) == (FIRST,)
    assert merged((FIRST,), (LOWER,)) == (FIRST, LOWER)
    assert merged((FIRST, LOWER), (FIRST,)) == merged((FIRST, LOWER), ()) == (FIRST, LOWER)
    with pytest.raises(BadProof, match="does not follow"):
        merged((), (LOWER,))


def test_of_two_take_overs_at_once_everybody_keeps_the_same() -> None:
    for known, told in ((LOWER, HIGHER), (HIGHER, LOWER)):
        assert merged((FIRST, known), (told,)) == (FIRST, LOWER)
        assert merged((FIRST, known), (FIRST, told)) == (FIRST, LOWER)


def test_what_the_owner_went_on_from_stands() -> None:
    later = owners_next(number=2, previous=digest_of(HIGHER.entry))
    for known, told in (((LOWER,), (HIGHER, later)), ((HIGHER, later), (LOWER,))):
        assert merged((FIRST, *known), told) == (FIRST, HIGHER, later)
