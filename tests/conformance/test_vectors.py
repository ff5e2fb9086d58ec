"""The JSON vectors hold, and hold by other people's code too: hashlib, libsodium, eth-account."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from eth_account import Account as EthAccount
from eth_account.messages import _hash_eip191_message, encode_typed_data
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt
from nacl.public import PrivateKey, SealedBox
from nacl.signing import VerifyKey

from mfdb.kernel.codec import decode, encode
from mfdb.kernel.limits import FRAME_BYTES
from mfdb.net.frames import FrameReader
from mfdb.net.proof import check_proof, read_hello
from mfdb.node.answers import Answer
from mfdb.node.requests import Request
from mfdb.rules.changeset import check_changeset, check_free_rows, open_changeset
from mfdb.rules.evidence import (
    AckBatch,
    Agreement,
    Cheque,
    RepairMandate,
    SealCertificate,
    StoreReceipt,
)
from mfdb.rules.key_log import KeyLogEntry, check_entry, open_envelope
from replication.codec import Codec
from tests.conformance.make_vectors import DIRECTORY, GROUPS, WORDS, rendered, shown
from tests.factories import token

EVIDENCE: dict[str, Any] = {
    kind.__name__: kind
    for kind in (Agreement, RepairMandate, StoreReceipt, AckBatch, SealCertificate, Cheque)
}


def load(group: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((DIRECTORY / f"{group}.json").read_text())
    return found


def raw(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def named(group: str, name: str) -> dict[str, Any]:
    return next(vector for vector in load(group) if vector["name"] == name)


def tagged(domain: str, *parts: bytes) -> bytes:
    return hashlib.sha256(domain.encode() + b"\x00" + b"".join(parts)).digest()


def signer_of(vector: dict[str, Any]) -> str:
    found: str = EthAccount._recover_hash(
        raw(vector["digest"]), signature=raw(vector["signature"])
    ).lower()
    return found


@pytest.mark.parametrize("group", GROUPS)
def test_the_code_makes_what_the_files_say(group: str) -> None:
    """If this fails on purpose: `python -m tests.conformance.make_vectors`, and read the diff."""
    assert rendered(group) == (DIRECTORY / f"{group}.json").read_text()


def test_there_is_no_file_that_nothing_makes() -> None:
    assert {path.stem for path in DIRECTORY.glob("*.json")} == set(GROUPS)


def test_no_two_vectors_share_a_name() -> None:
    for group in GROUPS:
        names = [vector["name"] for vector in load(group)]
        assert len(names) == len(set(names)) > 0


# ---- evidence against eth-account


@pytest.mark.parametrize("vector", load("evidence")[1:], ids=lambda vector: str(vector["name"]))
def test_evidence_is_what_eth_account_hashes_and_recovers(vector: dict[str, Any]) -> None:
    name, _, inside = vector["type"][:-1].partition("(")
    members = [
        dict(zip(("type", "name"), part.split(" "), strict=True)) for part in inside.split(",")
    ]
    values = list(vector["fields"].values())
    message = {
        member["name"]: int(value) if member["type"].startswith("uint") else value
        for member, value in zip(members, values, strict=True)
    }
    domain = vector["domain"]
    whole = {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            name: members,
        },
        "primaryType": name,
        "domain": domain,
        "message": message,
    }
    signable = encode_typed_data(full_message=whole)
    assert "0x" + signable.body.hex() == vector["struct_hash"]
    assert "0x" + _hash_eip191_message(signable).hex() == vector["digest"]
    assert signer_of(vector) == vector["signer"]
    record = decode(EVIDENCE[name], raw(vector["bytes"]), limit_bytes=8192)
    assert shown(record) == vector["fields"]
    assert shown(record.struct_hash()) == vector["struct_hash"]


# ---- records: SHA-256 over domain, zero byte and canonical bytes


RECORDS = [
    *load("datasets")[2:],
    *load("records"),
    *load("payments"),
    *load("changesets")[:2],
    *load("ledger"),
]


@pytest.mark.parametrize("vector", RECORDS, ids=lambda vector: str(vector["name"]))
def test_a_record_is_signed_over_its_domain_and_bytes(vector: dict[str, Any]) -> None:
    assert shown(tagged(vector["domain"], raw(vector["bytes"]))) == vector["digest"]
    assert signer_of(vector) == vector["signer"]


def test_ids_of_datasets_and_rows() -> None:
    dataset, subject = load("datasets")[:2]
    assert raw(dataset["id"]) == tagged(
        "mfdb.dataset.v1", raw(dataset["owner"]), raw(dataset["nonce"])
    )
    assert raw(subject["subject"]) == tagged(
        "mfdb.subject.v1", raw(subject["dataset"]), raw(subject["salt"])
    )
    free = named("changesets", "row id of a free dataset, format 1")
    assert raw(free["id"]) == tagged(
        "mfdb.row.free.v1",
        raw(free["dataset"]), raw(free["signer"]), raw(free["nonce"]), bytes([0, 0, 0, 7]),
    )  # fmt: skip
    keyed = named("changesets", "row id of an ordered dataset")
    assert raw(keyed["id"]) == tagged(
        "mfdb.row.keyed.v1", raw(keyed["dataset"]), raw(keyed["keyed_hash"])
    )
    network = named("evidence", "network")
    assert raw(network["id"]) == tagged(
        "mfdb.network.v1",
        network["chain_id"].to_bytes(32, "big"),
        bytes(12),
        raw(network["deposits"]),
    )


# ---- changesets: opened with the values in the file alone


CHANGESETS = [vector for vector in load("changesets") if "changeset_bytes" in vector]


@pytest.mark.parametrize("vector", CHANGESETS, ids=lambda vector: str(vector["name"]))
def test_a_changeset_opens_with_the_read_key(vector: dict[str, Any]) -> None:
    changeset = open_changeset(raw(vector["changeset_bytes"]))
    check_changeset(
        changeset,
        network=changeset.header.network,
        dataset=changeset.header.dataset,
    )
    check_free_rows(changeset)
    assert raw(vector["id"]) == tagged(
        "mfdb.changeset-id.v1", raw(vector["digest"]), raw(vector["signature"])
    )
    entry = decode(KeyLogEntry, raw(vector["key_log_bytes"]), limit_bytes=8192)
    check_entry(without_deletes(entry, vector), changeset)
    private = PrivateKey(raw(vector["read_private_key"]))
    data_key = SealedBox(private).decrypt(raw(vector["key_log_entry"]["envelope"]))
    assert shown(data_key) == vector["data_key"]
    assert open_envelope(entry, changeset, private) == data_key
    assert tagged("mfdb.data-key.v1", data_key) == changeset.header.key_commitment


def without_deletes(entry: KeyLogEntry, vector: dict[str, Any]) -> KeyLogEntry:
    """A delete has no salt; the entry of the vector marks its row as one without."""
    deletes = {at for at, made in enumerate(vector["operations"]) if made["kind"] == 2}
    return entry.without(deletes)


@pytest.mark.parametrize("vector", CHANGESETS, ids=lambda vector: str(vector["name"]))
def test_every_row_opens_by_hand(vector: dict[str, Any]) -> None:
    data_key, context = raw(vector["data_key"]), raw(vector["seal_context"])
    opened = 0
    for at, operation in enumerate(vector["operations"]):
        assert raw(vector["versions"][at]) == tagged(
            "mfdb.version.v1", raw(vector["id"]), at.to_bytes(4, "big")
        )
        if operation["kind"] == 2:
            continue
        salt = raw(vector["key_log_entry"]["salts"][at])
        is_old = vector["fields"]["format"] == 1
        key = key_1(data_key, salt) if is_old else key_2(data_key, salt)
        plaintext = crypto_aead_xchacha20poly1305_ietf_decrypt(
            raw(operation["sealed"]), context + raw(operation["row"]), bytes(24), key
        )
        if is_old:
            assert raw(operation["commitment"]) == tagged("mfdb.row.v1", key, plaintext)
            assert raw(operation["salt_commitment"]) == tagged("mfdb.row-salt.v1", salt)
        else:
            assert plaintext[:32] == bytes(32)
            assert raw(operation["salt_commitment"]) == blake("mfdb.row-salt.v2", salt)
        opened += 1
    assert opened >= 1


def key_1(data_key: bytes, salt: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt, b"mfdb.row-key.v1").derive(data_key)


def key_2(data_key: bytes, salt: bytes) -> bytes:
    keyed = hashlib.blake2b(b"mfdb.row-key.v2\x00" + salt, key=data_key, digest_size=32)
    return keyed.digest()


def blake(domain: str, data: bytes) -> bytes:
    return hashlib.blake2b(domain.encode() + b"\x00" + data, digest_size=32).digest()


def test_a_body_is_hashed_in_one_go() -> None:
    for vector in CHANGESETS:
        if vector["fields"]["format"] == 2:
            assert raw(vector["operations_root"]) == blake("mfdb.body.v2", raw(vector["body"]))


def test_the_rows_of_a_changeset_are_named_by_one_hash() -> None:
    vector = named("changesets", "row ids of a free dataset")
    header = vector["header"]
    stem = tagged(
        "mfdb.row.free.v2", raw(header["dataset"]), raw(header["signer"]), raw(header["nonce"])
    )
    for at, id_ in enumerate(vector["ids"]):
        assert raw(id_) == stem[:5] + at.to_bytes(2, "big") + stem[5:30]


def test_what_a_sealed_sender_signs() -> None:
    vector = named("changesets", "what a sealed sender signs")
    assert raw(vector["digest"]) == tagged(
        "mfdb.author.v1",
        raw(vector["context"]),
        raw(vector["author"]),
        encode((raw(vector["values"][0]), 5, None)),
    )


# ---- trees, segments, draws


def blake2b(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=32).digest()


def fold(leaf: bytes, path: list[str], index: int) -> bytes:
    for height, sibling in enumerate(path):
        pair = raw(sibling) + leaf if index >> height & 1 else leaf + raw(sibling)
        leaf = hashlib.sha256(b"\x01" + pair).digest()
    return leaf


def rise(leaf: bytes, path: list[bytes], index: int) -> bytes:
    """Put the leaf among the next three hashes, level by level."""
    while path:
        four, path = path[:3], path[3:]
        four.insert(index & 3, leaf)
        leaf, index = blake2b(b"".join(four)), index >> 2
    assert index == 0
    return leaf


@pytest.mark.parametrize("vector", load("merkle"), ids=lambda vector: str(vector["name"]))
def test_every_path_leads_to_the_root(vector: dict[str, Any]) -> None:
    data = raw(vector["data"])
    for at, path in enumerate(vector["paths"]):
        unit = data[512 * at : 512 * (at + 1)].ljust(512, b"\x00")
        leaf = blake2b(unit)
        assert shown(leaf) == vector["leaves"][at]
        assert shown(rise(leaf, [raw(one) for one in path], at)) == vector["root"]


@pytest.mark.parametrize("vector", load("receipts"), ids=lambda vector: str(vector["name"]))
def test_a_receipts_leaf_leads_to_the_signed_root(vector: dict[str, Any]) -> None:
    fields = vector["fields"]
    leaf = hashlib.sha256(b"\x00" + raw(vector["leaf_words"])).digest()
    assert shown(leaf) == vector["leaf"]
    assert len(raw(vector["leaf_words"])) == 7 * 32
    root = fold(leaf, fields["path"], fields["index"])
    assert shown(root) == fields["batch"]["root"]
    assert signer_of(vector) == vector["signer"]


def test_log_heads_follow_from_each_other() -> None:
    head = bytes(32)
    for at in range(3):
        ack = named("receipts", f"write receipt {at} of 3")["fields"]["ack"]
        number = ack["log_number"].to_bytes(8, "big")
        head = tagged("mfdb.log.v1", head, number, raw(ack["changeset"]))
        assert shown(head) == ack["log_head"]


def test_a_segment_by_hand() -> None:
    vector = named("segments", "segment of six changesets, 4 of 6")
    expected = b"\x02" + (7).to_bytes(8, "big") + (6).to_bytes(4, "big")
    for one in vector["changesets"]:
        expected += raw(one["id"]) + len(raw(one["data"])).to_bytes(4, "big") + raw(one["data"])
    assert expected == raw(vector["bytes"])
    shards = {at: raw(shard) for at, shard in enumerate(vector["shards"])}
    assert b"".join(shards[at] for at in range(4))[: len(expected)] == expected
    for lost in ((0, 1), (0, 5), (2, 3), (4, 5)):
        left = {at: shard for at, shard in shards.items() if at not in lost}
        assert Codec(4, 6).decode(left, len(expected)) == expected


def test_stripes_of_64_kib_pieces() -> None:
    vector = named("segments", "shards of a whole stripe and a bit, 4 of 6")
    data = token(vector["seed"], vector["length_bytes"])
    shards = Codec(4, 6).encode(data)
    assert [len(shard) for shard in shards] == vector["shard_lengths"] == [65_538] * 6
    assert shards[1] == data[65_536 : 2 * 65_536] + data[4 * 65_536 + 2 : 4 * 65_536 + 4]
    assert shards[3] == data[3 * 65_536 : 4 * 65_536] + bytes(2)


def test_draws_by_hand() -> None:
    vector = named("segments", "draws of an audit")
    start = raw(vector["beacon"]) + raw(vector["agreement"]) + raw(vector["segment"])
    for count, units in vector["units"]:
        for draw, unit in enumerate(units):
            drawn = hashlib.sha256(start + draw.to_bytes(32, "big")).digest()
            assert int.from_bytes(drawn, "big") % count == unit


# ---- keys and wire


def test_the_account_is_the_one_every_wallet_derives() -> None:
    vector = load("keys")[0]
    EthAccount.enable_unaudited_hdwallet_features()
    for name, path in (
        ("address", "m/44'/60'/0'/0/0"),
        ("signer", "m/44'/60'/0'/0/1"),
        ("recovery", "m/44'/60'/1'/0/0"),
    ):
        wallet = EthAccount.from_mnemonic(WORDS, account_path=path)
        assert wallet.address.lower() == vector[name]


def test_other_keys_are_hkdf_of_the_seed() -> None:
    vector = load("keys")[0]
    seed = hashlib.pbkdf2_hmac("sha512", WORDS.encode(), b"mnemonic", 2048)
    dataset = vector["mailbox_dataset"].removeprefix("0x")
    for name, info in (
        ("transport_seed", "mfdb.ed25519.v1"),
        ("seal_key_epoch_0", "mfdb.x25519.v1/0"),
        ("seal_key_epoch_1", "mfdb.x25519.v1/1"),
        ("read_key_epoch_2", f"mfdb.read-key.v1/{dataset}/2"),
        ("row_id_key", f"mfdb.row-id.v1/{dataset}"),
        ("home_nonce", "mfdb.dataset.v1/home"),
    ):
        derived = HKDF(hashes.SHA256(), 32, None, info.encode()).derive(seed)
        assert shown(derived) == vector[name], name


def test_the_handshake_proves_the_key() -> None:
    vector = named("wire", "handshake")
    hello, proof, server = raw(vector["hello"]), raw(vector["proof"]), raw(vector["server_key"])
    assert hello == b"mfdb" + b"\x00\x01" + raw(vector["nonce"])
    assert read_hello(hello) == raw(vector["nonce"])
    signed = b"mfdb/transport/1: the dialler holds this key\x00" + server
    VerifyKey(proof[:32]).verify(signed + raw(vector["nonce"]) + proof[:32], proof[32:])
    assert check_proof(proof, server, raw(vector["nonce"])) == proof[:32]  # type: ignore[arg-type]  # raw bytes from a file


def test_frames_and_messages_are_read_back() -> None:
    for vector in load("wire")[1:]:
        data = raw(vector["bytes"])
        if vector["name"].startswith("frame"):
            body = data[13:]
            assert (
                data
                == (len(body) + 9).to_bytes(4, "big")
                + bytes([vector["kind"]])
                + (258).to_bytes(8, "big")
                + body
            )
            assert FrameReader().feed(data) == [(vector["kind"], 258, body)]
        else:
            kind: Any = (
                Request if vector["name"].split(" ")[1] not in ("Done", "Signed") else Answer
            )
            message = decode(kind, data, limit_bytes=FRAME_BYTES)
            assert shown(message) == vector["fields"]
            assert type(message).__struct_config__.tag == vector["tag"]


def test_a_ledger_vector_holds_by_hashlib_alone() -> None:
    (vector,) = load("ledger")
    slots, leaves = list(map(raw, vector["slots"])), list(map(raw, vector["leaves"]))
    assert [hashlib.sha256(slot).digest() for slot in slots] == leaves
    assert [gone[1:33] for gone in map(raw, vector["destroyed"])] == leaves
    assert tagged("mfdb.ledger-root.v1", *leaves) == raw(vector["fields"]["root"])
    named_by = tagged("mfdb.ledger-id.v1", raw(vector["digest"]), raw(vector["signature"]))
    assert named_by == raw(vector["id"])
