"""An entry belongs to its changeset; salts may be destroyed, never replaced."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mfdb.kernel.errors import BadProof
from mfdb.kernel.ids import ChangesetId, DatasetId
from mfdb.rules.changeset import FORMAT_1
from mfdb.rules.columns import open_row, row_key, wrap_key
from mfdb.rules.key_log import KeyLogEntry, check_entry, open_envelope
from tests.factories import (
    DATA_KEY,
    READ_KEY,
    changeset,
    header,
    insert,
    key_entry,
    private_key,
    salt,
    token,
)

MADE = changeset()
OLD = changeset(bare=header(format=FORMAT_1))
ENTRY = key_entry(MADE)


def test_a_good_entry_opens_every_row() -> None:
    check_entry(ENTRY, MADE)
    data_key = open_envelope(ENTRY, MADE, READ_KEY)
    rows = [
        open_row(
            operation.sealed,
            row_key(data_key, own),
            context=MADE.header.seal_context,
            row_id=operation.row,
        ).values
        for own, operation in zip(ENTRY.salts, MADE.operations, strict=True)
    ]
    assert rows == [(b"hello",), (b"world",)]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"dataset": DatasetId(token("other"))}, "another changeset"),
        ({"changeset": ChangesetId(token("other"))}, "another changeset"),
        ({"envelope": b""}, "80 bytes"),
        ({"envelope": bytes(81)}, "80 bytes"),
        ({"salts": ()}, "another number of salts"),
        ({"salts": (salt(0),)}, "another number of salts"),
        ({"salts": (salt(0), salt(1), salt(2))}, "another number of salts"),
        ({"salts": (salt(1), salt(0))}, "not the one"),
        ({"salts": (salt(0), salt(0))}, "not the one"),
        ({"salts": (salt(0), salt(1)[:-1])}, "not the one"),
        ({"salts": (salt(0), bytes(32))}, "not the one"),
    ],
)
def test_an_entry_that_does_not_belong(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(BadProof, match=says):
        check_entry(key_entry(MADE, **changes), MADE)
    with pytest.raises(BadProof, match=says):
        check_entry(key_entry(OLD, **changes), OLD)


def test_an_entry_of_a_changeset_of_format_1_is_good() -> None:
    check_entry(key_entry(OLD), OLD)
    check_entry(key_entry(OLD).without({1}), OLD)


def test_a_foreign_entry_is_refused() -> None:
    bare = header(number=5)
    other = changeset(insert(bare, 0, b"x"), insert(bare, 1, b"y"), bare=bare)
    with pytest.raises(BadProof, match="another changeset"):
        check_entry(key_entry(other), MADE)


def test_a_destroyed_salt_is_good_and_shreds_that_row_alone() -> None:
    shredded = ENTRY.without({0})
    check_entry(shredded, MADE)
    assert shredded.salts == (b"", salt(1))
    assert shredded.without({0}) == shredded
    assert ENTRY.without([0, 1]).salts == (b"", b"")
    assert ENTRY.without([7]) == ENTRY
    for wrong in (b"", salt(1)):
        with pytest.raises(BadProof, match="does not open"):
            open_row(
                MADE.operations[0].sealed,
                row_key(DATA_KEY, wrong),
                context=MADE.header.seal_context,
                row_id=MADE.operations[0].row,
            )


def resealed(key: bytes, public: bytes) -> KeyLogEntry:
    return msgspec.structs.replace(ENTRY, key_epoch=1, envelope=wrap_key(key, public))


def test_resealing_replaces_the_envelope_and_breaks_no_signature() -> None:
    new = private_key("next epoch")
    again = resealed(DATA_KEY, bytes(new.public_key))
    check_entry(again, MADE)
    assert open_envelope(again, MADE, new) == DATA_KEY
    with pytest.raises(BadProof, match="does not open"):
        open_envelope(again, MADE, READ_KEY)


def test_an_envelope_with_another_key_is_found_out() -> None:
    forged = resealed(token("another data key"), bytes(READ_KEY.public_key))
    check_entry(forged, MADE)  # nobody can tell without the read key
    with pytest.raises(BadProof, match="another data key"):
        open_envelope(forged, MADE, READ_KEY)
