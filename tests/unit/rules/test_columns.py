"""A sealed row opens with its key, in its place, to what was signed - and in no other way."""

from __future__ import annotations

from typing import Any

import pytest
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt
from nacl.public import PrivateKey

from mfdb.kernel.codec import encode
from mfdb.kernel.errors import BadProof, MalformedMessage
from mfdb.kernel.ids import Hash, RowId
from mfdb.rules.columns import (
    SealedRow,
    author_digest,
    check_values,
    key_commitment,
    open_row,
    open_row_1,
    row_commitment_1,
    row_key,
    row_key_1,
    row_keys,
    salt_commitment_1,
    salt_commitments,
    seal_row,
    seal_row_1,
    seal_rows,
    unwrap_key,
    wrap_key,
)
from tests.factories import (
    AUTHOR,
    DATA_KEY,
    READ_KEY,
    STRANGER,
    envelope,
    flips,
    hash_of,
    other_sizes,
    private_key,
    salt,
    token,
)

KEY = row_key(DATA_KEY, salt(0))
CONTEXT = hash_of("context")
ROW = RowId(token("row"))
CONTENT = SealedRow(("hello", 5, None, b"\x00", 1.5, True))
SEALED = seal_row(CONTENT, KEY, context=CONTEXT, row_id=ROW)
OLD_KEY = row_key_1(DATA_KEY, salt(0))
OLD, COMMITMENT = seal_row_1(CONTENT, OLD_KEY, context=CONTEXT, row_id=ROW)
KNOWN = bytes(32)
"""What stands before every plaintext."""


def open_it(**changes: Any) -> SealedRow:
    values: dict[str, Any] = {
        "sealed": SEALED, "key": KEY, "context": CONTEXT, "row_id": ROW
    } | changes  # fmt: skip
    return open_row(
        values["sealed"], values["key"], context=values["context"], row_id=values["row_id"]
    )


def open_old(**changes: Any) -> SealedRow:
    values: dict[str, Any] = {
        "sealed": OLD, "key": OLD_KEY, "context": CONTEXT, "row_id": ROW, "commitment": COMMITMENT
    } | changes  # fmt: skip
    return open_row_1(
        values["sealed"],
        values["key"],
        context=values["context"],
        row_id=values["row_id"],
        commitment=values["commitment"],
    )


def test_it_opens_to_what_was_sealed() -> None:
    assert open_it() == open_old() == CONTENT
    assert b"hello" not in SEALED


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"key": row_key(DATA_KEY, salt(1))}, "does not open"),
        ({"key": row_key(token("other"), salt(0))}, "does not open"),
        ({"context": hash_of("other context")}, "does not open"),
        ({"row_id": RowId(token("other row"))}, "does not open"),
    ],
)
def test_wrong_key_or_place(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(BadProof, match=says):
        open_it(**changes)
    with pytest.raises(BadProof, match=says):
        open_old(**changes)


def test_every_changed_byte_and_size_of_the_ciphertext_is_refused() -> None:
    for sealed in (*flips(SEALED), *other_sizes(SEALED)):
        with pytest.raises(BadProof, match="does not open"):
            open_it(sealed=sealed)


def test_rows_cannot_change_places() -> None:
    other_row = RowId(token("row 2"))
    other = seal_row(
        SealedRow(("other",)), row_key(DATA_KEY, salt(1)), context=CONTEXT, row_id=other_row
    )
    with pytest.raises(BadProof):
        open_it(sealed=other)


def test_many_rows_are_sealed_as_each_alone() -> None:
    contents = [SealedRow((at, "x" * at)) for at in range(9)]
    keys = row_keys(DATA_KEY, map(salt, range(9)))
    rows = [RowId(token(f"row {at}")) for at in range(9)]
    alone = [
        seal_row(content, key, context=CONTEXT, row_id=row)
        for content, key, row in zip(contents, keys, rows, strict=True)
    ]
    plain = [encode(content) for content in contents]
    assert seal_rows(plain, keys, context=CONTEXT, row_ids=rows) == tuple(alone)
    gaps = seal_rows([None, plain[1], None], keys[:3], context=CONTEXT, row_ids=rows[:3])
    assert gaps == (b"", alone[1], b"")
    assert keys == [row_key(DATA_KEY, salt(at)) for at in range(9)]


def test_a_ciphertext_that_does_not_commit_to_its_key_is_no_row() -> None:
    """The cipher alone opens one ciphertext under two keys that somebody chose."""
    for before in (b"", bytes(31), bytes(31) + b"\x01"):
        sealed = _sealed(before + encode(CONTENT))
        with pytest.raises(BadProof, match="commit"):
            open_it(sealed=sealed)


def test_a_row_of_format_1_is_what_its_operation_commits_to() -> None:
    with pytest.raises(BadProof, match="not what its operation commits to"):
        open_old(commitment=hash_of("other"))
    plaintext = encode(CONTENT)
    assert row_commitment_1(OLD_KEY, plaintext) == COMMITMENT
    assert row_commitment_1(row_key_1(DATA_KEY, salt(1)), plaintext) != COMMITMENT
    assert row_commitment_1(OLD_KEY, plaintext + b"\x00") != COMMITMENT


def _sealed(plaintext: bytes, key: bytes = KEY) -> bytes:
    sealed: bytes = crypto_aead_xchacha20poly1305_ietf_encrypt(
        plaintext, CONTEXT + ROW, bytes(24), key
    )
    return sealed


@pytest.mark.parametrize(
    "plaintext",
    [b"", b"\xc1", b"\x91\x91\x91\x01", b"\x91\x91\x80", b"\x93\x91\x01\xc4\x00", b"\x91" * 5000],
)
def test_a_stranger_who_seals_nonsense_gets_a_named_error(plaintext: bytes) -> None:
    with pytest.raises(MalformedMessage):
        open_it(sealed=_sealed(KNOWN + plaintext))
    with pytest.raises(MalformedMessage):
        open_old(
            sealed=_sealed(plaintext, OLD_KEY), commitment=row_commitment_1(OLD_KEY, plaintext)
        )


@pytest.mark.parametrize("value", [[], [1], {}, {"a": 1}, (1,), object()])
def test_a_value_is_a_scalar(value: Any) -> None:
    check_values((1, "a", b"b", None, True, 1.5))
    with pytest.raises(MalformedMessage, match="scalar"):
        check_values((1, value))


def test_every_row_has_its_own_key_and_commitments_of_their_own_kind() -> None:
    keys = {row_key(DATA_KEY, salt(at)) for at in range(10)}
    assert len(keys) == 10
    same = token("same bytes")
    made = {
        key_commitment(same),
        salt_commitment_1(same),
        row_commitment_1(b"", same),
        *salt_commitments([same]),
        row_key(same, same),
    }
    assert len(made) == 5
    assert salt_commitments([same, b""])[1] == bytes(32)


# ---- envelopes


def test_an_envelope_opens_for_its_read_key_only() -> None:
    made = wrap_key(DATA_KEY, bytes(READ_KEY.public_key))
    assert len(made) == 80
    assert unwrap_key(made, READ_KEY) == DATA_KEY
    assert wrap_key(DATA_KEY, bytes(READ_KEY.public_key)) != made
    with pytest.raises(BadProof, match="does not open"):
        unwrap_key(made, private_key("other"))


def test_a_fixed_envelope_is_a_sealed_box_like_any_other() -> None:
    fixed = envelope(DATA_KEY, READ_KEY.public_key, private_key("ephemeral"))
    assert unwrap_key(fixed, READ_KEY) == DATA_KEY
    for changed in (*flips(fixed), *other_sizes(fixed)):
        with pytest.raises(BadProof):
            unwrap_key(changed, READ_KEY)


def test_an_envelope_of_something_else_is_refused() -> None:
    for content in (b"", DATA_KEY[:-1], DATA_KEY + b"\x00"):
        with pytest.raises(BadProof, match="something else"):
            unwrap_key(wrap_key(content, bytes(READ_KEY.public_key)), READ_KEY)


@pytest.mark.parametrize("public", [bytes(32), b"\x01" + bytes(31), b"", bytes(31), bytes(33)])
def test_a_read_key_that_is_none_is_refused_by_name(public: bytes) -> None:
    """A manifest may say anything; points of low order make libsodium fail."""
    with pytest.raises(BadProof, match="not a public key"):
        wrap_key(DATA_KEY, public)


def test_who_cannot_write_cannot_read_back() -> None:
    assert PrivateKey.generate() != READ_KEY


def test_the_author_inside_signs_context_values_and_itself() -> None:
    digests = {
        author_digest(CONTEXT, ("a",), AUTHOR.address),
        author_digest(CONTEXT, ("a",), STRANGER.address),
        author_digest(CONTEXT, ("b",), AUTHOR.address),
        author_digest(Hash(bytes(32)), ("a",), AUTHOR.address),
    }
    assert len(digests) == 4
