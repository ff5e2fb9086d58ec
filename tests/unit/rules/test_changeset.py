"""A changeset with any one field changed is refused, and says what is wrong."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mfdb.kernel.codec import encode
from mfdb.kernel.errors import (
    BadProof,
    BadSignature,
    MalformedMessage,
    ProtocolViolation,
    ValueTooLarge,
    WrongNetwork,
)
from mfdb.kernel.ids import DatasetId, RowId
from mfdb.rules.changeset import (
    FORMAT_1,
    Changeset,
    check_changeset,
    check_free_rows,
    due_row_ids,
    keyed_row_id,
    open_changeset,
    version_id,
)
from mfdb.rules.operations import OperationKind, operations_root
from tests.factories import (
    AUTHOR,
    DATASET,
    NETWORK,
    OWNER,
    STRANGER,
    body_of,
    changeset,
    delete,
    hash_of,
    header,
    insert,
    sealed_sender_insert,
    token,
)

GOOD = changeset()
OLD = changeset(bare=header(format=FORMAT_1))
BOTH = pytest.mark.parametrize("format_", [FORMAT_1, 2])


def check(made: Changeset, dataset: DatasetId = DATASET) -> None:
    check_changeset(made, network=NETWORK.id, dataset=dataset)


@pytest.mark.parametrize("good", [GOOD, OLD])
def test_a_good_one_passes_and_reads_back(good: Changeset) -> None:
    assert open_changeset(encode(good)) == good
    check(good)
    check_free_rows(good)
    assert (good.count, good.is_plain) == (2, False)
    assert good.kinds == {OperationKind.INSERT}


def test_rows_that_are_due_need_not_be_said() -> None:
    bare = header()
    first, second = insert(bare, 0, b"x", clear=()), insert(bare, 1, b"y", clear=())
    body = body_of(first, second, rows=b"")
    made = changeset(first, second, bare=bare, body=body)
    check(made)
    check_free_rows(made)
    assert made.is_plain
    assert made.operations == (first, second)
    assert open_changeset(encode(made)).operations == (first, second)


def test_all_kinds_of_operations_read_back() -> None:
    bare = header()
    update = msgspec.structs.replace(
        insert(bare, 1, b"y", clear=(None,)), kind=OperationKind.UPDATE, parent=token("parent")
    )
    operations = (insert(bare, 0, b"x", clear=()), update, delete(RowId(token("r")), token("p")))
    made = changeset(*operations, bare=bare)
    check(made)
    assert open_changeset(encode(made)).operations == operations
    assert made.kinds == set(OperationKind)


@pytest.mark.parametrize(
    "columns",
    [
        {"kinds": b"\x00\x00"},
        {"kinds": b"\x01"},
        {"kinds": b"\x00\x03"},
        {"kinds": b"\x00\x01"},
        {"kinds": b"\x00\x01", "rows": b"", "parents": bytes(32)},
        {"rows": bytes(32)},
        {"rows": bytes(65)},
        {"parents": bytes(32)},
        {"sealed": ()},
        {"sealed": (b"x",)},
        {"clear": ((), ())},
        {"clear": ((1,),)},
        {"salt_commitments": b""},
        {"salt_commitments": bytes(63)},
    ],
)
def test_a_body_has_one_form(columns: dict[str, Any]) -> None:
    made = changeset(bare=header(), body=body_of(*GOOD.operations, **columns))
    with pytest.raises(MalformedMessage):
        open_changeset(encode(made))
    with pytest.raises(MalformedMessage):
        check(made)


def test_a_format_has_operations_of_its_own_form() -> None:
    for good, format_ in ((GOOD, FORMAT_1), (OLD, 2)):
        bare = msgspec.structs.replace(good.header, format=format_)
        made = Changeset(bare, good.signature, good.body)
        with pytest.raises(MalformedMessage, match="another format"):
            open_changeset(encode(made))
        with pytest.raises(MalformedMessage, match="another format"):
            check(made)


HEADER_CHANGES: list[tuple[str, Any, type[ProtocolViolation], str]] = [
    ("format", 3, BadProof, "format"),
    ("network", hash_of("other network"), WrongNetwork, "ours is"),
    ("dataset", DatasetId(token("other dataset")), BadProof, "another dataset"),
    ("manifest", hash_of("other manifest"), BadSignature, "Header signed by"),
    ("acl_epoch", 1, BadSignature, "signed by"),
    ("acl_epoch", -1, MalformedMessage, "epoch"),
    ("key_epoch", 1, BadSignature, "signed by"),
    ("key_epoch", -1, MalformedMessage, "epoch"),
    ("signer", STRANGER.address, BadProof, "identity"),
    ("identity", STRANGER.address, BadProof, "identity"),
    ("identity", b"", BadSignature, "signed by"),
    ("run", token("other run", 16), BadSignature, "signed by"),
    ("run", b"", MalformedMessage, "16"),
    ("run", bytes(1000), MalformedMessage, "16"),
    ("number", 5, BadSignature, "signed by"),
    ("number", -1, BadProof, "out of range"),
    ("number", 2**63, BadProof, "out of range"),
    ("previous", hash_of("other"), BadSignature, "signed by"),
    ("hlc", 1, BadSignature, "signed by"),
    ("hlc", -1, BadProof, "out of range"),
    ("hlc", 2**64, BadProof, "out of range"),
    ("nonce", token("other nonce", 16), BadSignature, "signed by"),
    ("nonce", bytes(17), MalformedMessage, "16"),
    ("key_commitment", hash_of("other key"), BadSignature, "signed by"),
    ("operation_count", 1, BadProof, "counts"),
    ("operation_count", 3, BadProof, "counts"),
    ("operations_root", hash_of("other root"), BadProof, "root"),
]


@pytest.mark.parametrize(("field", "value", "error", "says"), HEADER_CHANGES)
def test_each_field_of_the_header_counts(
    field: str, value: Any, error: type[ProtocolViolation], says: str
) -> None:
    changed = msgspec.structs.replace(GOOD.header, **{field: value})
    with pytest.raises(error, match=says):
        check(msgspec.structs.replace(GOOD, header=changed))


def test_the_table_above_names_every_field_of_the_header() -> None:
    assert {row[0] for row in HEADER_CHANGES} == set(GOOD.header.__struct_fields__)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", OperationKind.UPDATE),
        ("row", RowId(token("other row"))),
        ("parent", token("parent")),
        ("sealed", b"other"),
        ("clear", (1,)),
        ("salt_commitment", hash_of("other")),
        ("commitment", hash_of("other")),
    ],
)
def test_each_field_of_an_operation_counts(field: str, value: Any) -> None:
    first = msgspec.structs.replace(OLD.operations[0], **{field: value})
    with pytest.raises(BadProof):
        check(msgspec.structs.replace(OLD, body=(first, *OLD.operations[1:])))
    if field in ("row", "sealed", "clear", "salt_commitment"):
        first = msgspec.structs.replace(GOOD.operations[0], **{field: value})
        with pytest.raises(BadProof, match="root"):
            check(msgspec.structs.replace(GOOD, body=body_of(first, *GOOD.operations[1:])))


def test_operations_cannot_change_places() -> None:
    with pytest.raises(BadProof, match="root"):
        check(msgspec.structs.replace(OLD, body=OLD.operations[::-1]))
    with pytest.raises(BadProof, match="root"):
        check(msgspec.structs.replace(GOOD, body=body_of(*GOOD.operations[::-1])))


@pytest.mark.parametrize("signer", [STRANGER, OWNER])
def test_another_ones_signature_is_refused(signer: Any) -> None:
    with pytest.raises(BadProof, match="identity"):
        check(changeset(signer=signer, bare=header(signer, identity=AUTHOR.address)))
    forged = msgspec.structs.replace(GOOD, signature=changeset(signer=signer).signature)
    with pytest.raises(BadSignature):
        check(forged)


def test_a_changeset_is_not_for_another_dataset() -> None:
    with pytest.raises(BadProof, match="another dataset"):
        check(GOOD, DatasetId(token("other dataset")))


@pytest.mark.parametrize(
    ("operation", "says"),
    [
        ({"parent": token("parent")}, "an insert has no parent"),
        ({"kind": OperationKind.DELETE}, "an insert has no parent"),
        ({"kind": OperationKind.UPDATE, "parent": b"short"}, "an insert has no parent"),
    ],
)
def test_signed_nonsense_is_refused_too(operation: dict[str, Any], says: str) -> None:
    bare = header(format=FORMAT_1)
    odd = msgspec.structs.replace(insert(bare, 0, b"x"), **operation)
    with pytest.raises(BadProof, match=says):
        check(changeset(odd, bare=bare))


@BOTH
@pytest.mark.parametrize("clear", [((1,),), ({"a": 1},), (msgspec.msgpack.Ext(1, b""),)])
def test_a_clear_value_is_a_scalar(clear: tuple[Any, ...], format_: int) -> None:
    bare = header(format=format_)
    with pytest.raises(MalformedMessage, match="scalar"):
        check(changeset(insert(bare, 0, b"x", clear=clear), bare=bare))


@BOTH
def test_a_row_is_touched_at_most_once(format_: int) -> None:
    bare = header(format=format_)
    first = insert(bare, 0, b"x")
    with pytest.raises(BadProof, match="at most once"):
        check(changeset(first, delete(first.row, token("parent")), bare=bare))


def test_an_empty_changeset_is_none() -> None:
    empty = Changeset(header=OLD.header, signature=OLD.signature, body=())
    with pytest.raises(BadProof, match="1 to 10000"):
        check(empty)


@BOTH
def test_nobody_squats_a_row_id_of_a_free_dataset(format_: int) -> None:
    bare = header(format=format_)
    squat = insert(bare, 1, b"x")  # the id that is due at index 1, used at index 0
    check(made := changeset(squat, bare=bare))
    with pytest.raises(BadProof, match="not due"):
        check_free_rows(made)
    update = delete(RowId(token("any row")), token("parent"))
    check_free_rows(changeset(update, bare=bare))


@BOTH
def test_row_ids_differ_by_dataset_signer_nonce_and_index(format_: int) -> None:
    other = DatasetId(token("other dataset"))
    bare = header(format=format_)
    ids = {
        *due_row_ids(bare, 300),
        *due_row_ids(header(format=format_, nonce=b"n" * 16), 300),
        *due_row_ids(header(STRANGER, format=format_), 300),
        *due_row_ids(header(format=format_, dataset=other), 300),
        keyed_row_id(DATASET, b"n" * 32),
        keyed_row_id(other, b"n" * 32),
    }
    assert len(ids) == 4 * 300 + 2


def test_the_rows_of_a_changeset_are_neighbours() -> None:
    ids = due_row_ids(header(), 10_000)
    assert ids == sorted(ids)
    assert len({one[:5] for one in ids}) == 1


def test_equal_ids_have_equal_bytes() -> None:
    """Signatures are canonical, but a signer can make many over one header."""
    twin = msgspec.structs.replace(GOOD, signature=AUTHOR.sign(hash_of("x")))
    assert twin.id != GOOD.id
    assert version_id(twin.id, 0) != version_id(GOOD.id, 0) != version_id(GOOD.id, 1)


def test_the_seal_context_does_not_depend_on_the_operations() -> None:
    assert GOOD.header.seal_context == header().seal_context
    assert header(number=9).seal_context != header().seal_context


def test_a_sealed_sender_names_no_identity() -> None:
    one_time = STRANGER
    bare = header(one_time, identity=b"")
    check(changeset(sealed_sender_insert(bare, 0, AUTHOR, b"x"), bare=bare, signer=one_time))


def test_too_many_bytes_are_refused_before_they_are_read() -> None:
    with pytest.raises(ValueTooLarge):
        open_changeset(bytes(16 * 2**20 + 1))


def test_the_root_covers_every_operation() -> None:
    bare = header()
    operations = tuple(insert(bare, at, b"x") for at in range(5))
    roots = {operations_root(operations[:count]) for count in range(1, 6)}
    roots |= {operations_root(body_of(*operations[:count])) for count in range(1, 6)}
    assert len(roots) == 10
