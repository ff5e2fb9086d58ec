"""Valid big objects with fixed keys: a test changes the one field that it is about.

Everything is deterministic, so that the conformance vectors are made of the same objects.
"""

from __future__ import annotations

import hashlib
from typing import Any

from nacl.hash import blake2b
from nacl.public import Box, PrivateKey, PublicKey

from mfdb.kernel.account import Account
from mfdb.kernel.codec import encode
from mfdb.kernel.ids import (
    ZERO_HASH,
    Address,
    AgreementId,
    CaseId,
    DatasetId,
    Hash,
    RowId,
    SegmentId,
    TransportKey,
    Wei,
)
from mfdb.rules.changeset import FORMAT, FORMAT_1, Changeset, Header, due_row_ids
from mfdb.rules.clauses import Check, ForeignKey, Layout, Policy, Unique, plain
from mfdb.rules.columns import (
    SealedRow,
    author_digest,
    key_commitment,
    row_key,
    row_key_1,
    salt_commitment_1,
    salt_commitments,
    seal_row,
    seal_row_1,
)
from mfdb.rules.evidence import (
    Agreement,
    Cheque,
    Network,
    RepairMandate,
    SealCertificate,
    StoreReceipt,
)
from mfdb.rules.key_log import KeyLogEntry
from mfdb.rules.manifest import (
    ALL_ACTIONS,
    Action,
    Column,
    Grant,
    Grantee,
    Kind,
    Manifest,
    Ordering,
    Profile,
    ReadKey,
    SignedManifest,
    dataset_id,
)
from mfdb.rules.operations import Body, Operation, OperationKind, operations_root
from mfdb.rules.placement import (
    Assignment,
    PlacementEntry,
    Role,
    SignedAgreement,
    SignedMandate,
    SignedPlacement,
)
from mfdb.rules.records import (
    PROVIDER,
    HomeRecord,
    NodeRecord,
    SignedHomeRecord,
    SignedNodeRecord,
)
from mfdb.rules.signing import sign


def token(name: str, size: int = 32) -> bytes:
    """Return bytes that follow from a name."""
    return hashlib.shake_256(name.encode()).digest(size)


def hash_of(name: str) -> Hash:
    return Hash(token(name))


def account(name: str) -> Account:
    return Account(token(f"account/{name}"))


def private_key(name: str) -> PrivateKey:
    return PrivateKey(token(f"x25519/{name}"))


OWNER = account("owner")
AUTHOR = account("author")
STRANGER = account("stranger")
PROVIDERS = tuple(account(f"provider {at}") for at in range(7))
NETWORK = Network(chain_id=31337, deposits=Address(token("deposits", 20)))
READ_KEY = private_key("read key")
NONCE = hash_of("dataset nonce")
DATASET = dataset_id(OWNER.address, NONCE)
DATA_KEY = token("data key")


# ---- evidence


def agreement(provider: Account = PROVIDERS[0], /, **changes: Any) -> Agreement:
    values: dict[str, Any] = {
        "subject": manifest().subject,
        "client": OWNER.address,
        "provider": provider.address,
        "capacity_bytes": 2**30,
        "fee_per_epoch": Wei(10**15),
        "epoch_s": 3600,
        "start": 1_800_000_000,
        "end": 1_810_000_000,
        "tail_s": 86_400,
        "deposit": Wei(25 * 10**18),
        "answer_window_s": 3600,
        "mandate": ZERO_HASH,
        "nonce": hash_of(f"agreement {provider.address.hex()}"),
    }
    return Agreement(**(values | changes))


def mandate(**changes: Any) -> RepairMandate:
    values: dict[str, Any] = {
        "subject": manifest().subject,
        "owner": OWNER.address,
        "fee_cap_per_epoch": Wei(2 * 10**15),
        "repair_fee": Wei(10**17),
        "budget": Wei(10**19),
        "min_deposit": Wei(20 * 10**18),
        "capacity_bytes": 2**30,
        "expiry": 1_810_000_000,
        "nonce": hash_of("mandate"),
    }
    return RepairMandate(**(values | changes))


def store_receipt(**changes: Any) -> StoreReceipt:
    values: dict[str, Any] = {
        "agreement": AgreementId(token("agreement id")),
        "segment": SegmentId(token("segment id")),
        "shard": 3,
        "root": hash_of("shard root"),
        "units": 129,
        "expiry": 1_810_000_000,
    }
    return StoreReceipt(**(values | changes))


def certificate(**changes: Any) -> SealCertificate:
    values: dict[str, Any] = {
        "subject": hash_of("subject"),
        "number": 7,
        "changesets": hash_of("changesets"),
        "count": 12,
        "length_bytes": 262_144,
        "k": 4,
        "n": 6,
        "shards": hash_of("shards"),
    }
    return SealCertificate(**(values | changes))


def cheque(**changes: Any) -> Cheque:
    values: dict[str, Any] = {
        "chequebook": Address(token("chequebook", 20)),
        "beneficiary": PROVIDERS[0].address,
        "cumulative_payout": Wei(123 * 10**18 + 456),
        "serial": 17,
        "valid_from": 1_800_000_000,
        "valid_until": 1_802_592_000,
    }
    return Cheque(**(values | changes))


# ---- the dataset


def column(name: str, type_: str = "TEXT", **changes: Any) -> Column:
    values = {"clear": False, "not_null": False, "key": 0, "default": None, "unique": False}
    return Column(name=name, type=type_, **(values | changes))


def grant(
    grantee: Grantee, actions: int = ALL_ACTIONS, identity: bytes = b"", **changes: Any
) -> Grant:
    values: dict[str, Any] = {"columns": (), "condition": None, "until": 0}
    return Grant(grantee=grantee, identity=identity, actions=actions, **(values | changes))


def manifest(**changes: Any) -> Manifest:
    """Return the first manifest of a mailbox with one sealed and one clear column."""
    values: dict[str, Any] = {
        "format": 1,
        "network": NETWORK.id,
        "dataset": DATASET,
        "owner": OWNER.address,
        "nonce": NONCE,
        "number": 0,
        "previous": ZERO_HASH,
        "name": "mailbox",
        "kind": Kind.MAILBOX,
        "ordering": Ordering.FREE,
        "columns": (
            column("body", "BYTEA", not_null=True),
            column("stars", "INTEGER", clear=True, default=["value", 0]),
        ),
        "clauses": (["<=", ["column", "stars"], ["value", 5]],),
        "grants": (
            grant(Grantee.OWNER),
            grant(
                Grantee.PUBLIC,
                int(Action.INSERT),
                condition=["=", ["author"], ["caller"]],
                until=1_900_000_000,
            ),
        ),
        "acl_epoch": 0,
        "revocations": (),
        "read_keys": (ReadKey(0, bytes(READ_KEY.public_key)),),
        "wrapped_keys": (),
        "profile": Profile(),
        "salt": hash_of("salt"),
        "price_ceiling": Wei(10**16),
        "retention_s": 31_536_000,
        "options": (("seal_after", "1048576"),),
    }
    return Manifest(**(values | changes))


FORMAT_2: dict[str, Any] = {
    "format": 2,
    "ordering": Ordering.OWNER,
    "kind": Kind.DATASET,
    "clauses": tuple(
        plain(clause)
        for clause in (
            Check("rated", ["<=", ["column", "stars"], ["value", 5]]),
            Unique("once", ("body", "stars")),
            ForeignKey("of", ("stars",), DATASET, ("stars",), "CASCADE", "NO ACTION"),
            Layout(3, (0, 2), (None, 1)),
            Policy("own", True, 7, ((int(Grantee.PUBLIC), b""),), ["value", True], None),  # noqa: FBT003 - the record's order
        )
    ),
}
"""What makes a manifest one of format 2, with a clause of each kind but a view's."""


def signed_manifest(signer: Account = OWNER, /, **changes: Any) -> SignedManifest:
    made = manifest(**changes)
    return SignedManifest(manifest=made, signature=sign(made, signer))


def header(signer: Account = AUTHOR, /, **changes: Any) -> Header:
    """Return a header as it stands before the operations are known."""
    values: dict[str, Any] = {
        "format": FORMAT,
        "network": NETWORK.id,
        "dataset": DATASET,
        "manifest": manifest().hash,
        "acl_epoch": 0,
        "key_epoch": 0,
        "signer": signer.address,
        "identity": signer.address,
        "run": token("run", 16),
        "number": 4,
        "previous": hash_of("previous changeset"),
        "hlc": 1_800_000_000_000 << 16 | 5,
        "nonce": token("changeset nonce", 16),
        "key_commitment": key_commitment(DATA_KEY),
        "operation_count": 0,
        "operations_root": ZERO_HASH,
    }
    return Header(**(values | changes))


def salt(index: int) -> bytes:
    return token(f"row salt {index}")


def insert(bare: Header, index: int, *values: Any, clear: tuple[Any, ...] = (0,)) -> Operation:
    """Return the insert of one sealed row into a free dataset."""
    return _sealed(bare, index, SealedRow(values), clear=clear)


def sealed_sender_insert(bare: Header, index: int, author: Account, *values: Any) -> Operation:
    """Return the insert of one row whose author shows only inside the ciphertext."""
    digest = author_digest(bare.seal_context, values, author.address)
    row = SealedRow(values, author.address, author.sign(digest))
    return _sealed(bare, index, row, clear=(0,))


def _sealed(bare: Header, index: int, row: SealedRow, *, clear: tuple[Any, ...]) -> Operation:
    row_id, context = due_row_ids(bare, index + 1)[index], bare.seal_context
    if bare.format == FORMAT_1:
        key = row_key_1(DATA_KEY, salt(index))
        sealed, commitment = seal_row_1(row, key, context=context, row_id=row_id)
        to_salt = salt_commitment_1(salt(index))
    else:
        key, commitment = row_key(DATA_KEY, salt(index)), ZERO_HASH
        sealed = seal_row(row, key, context=context, row_id=row_id)
        to_salt = Hash(salt_commitments([salt(index)])[0])
    return Operation(
        kind=OperationKind.INSERT,
        row=row_id,
        parent=b"",
        sealed=sealed,
        clear=clear,
        salt_commitment=to_salt,
        commitment=commitment,
    )


def delete(row: RowId, parent: bytes) -> Operation:
    return Operation(
        kind=OperationKind.DELETE,
        row=row,
        parent=parent,
        sealed=b"",
        clear=(),
        salt_commitment=ZERO_HASH,
        commitment=ZERO_HASH,
    )


def changeset(
    *operations: Operation,
    bare: Header | None = None,
    signer: Account = AUTHOR,
    body: bytes | None = None,
    **changes: Any,
) -> Changeset:
    """Return a signed changeset; without operations it inserts two rows."""
    import msgspec

    first = header(signer) if bare is None else bare
    made = operations or (insert(first, 0, b"hello"), insert(first, 1, b"world", clear=(3,)))
    held = body or (made if first.format == FORMAT_1 else body_of(*made))
    full = msgspec.structs.replace(
        first, operation_count=len(made), operations_root=operations_root(held)
    )
    full = msgspec.structs.replace(full, **changes)
    return Changeset(header=full, signature=sign(full, signer), body=held)


def body_of(*operations: Operation, **changes: Any) -> bytes:
    """Return the body of operations; it says the row of each, and more only where it has to."""
    kinds = bytes(operation.kind for operation in operations)
    clear = tuple(operation.clear for operation in operations)
    columns: dict[str, Any] = {
        "kinds": kinds if any(kinds) else b"",
        "rows": b"".join(one.row for one in operations),
        "parents": b"".join(one.parent for one in operations),
        "sealed": tuple(one.sealed for one in operations),
        "clear": clear if any(clear) else (),
        "salt_commitments": b"".join(one.salt_commitment for one in operations),
    }
    return encode(Body(**(columns | changes)))


def envelope(data_key: bytes, public: PublicKey, ephemeral: PrivateKey) -> bytes:
    """Return a sealed box made with a fixed ephemeral key; libsodium opens it like any other."""
    from nacl.encoding import RawEncoder

    own = bytes(ephemeral.public_key)
    nonce = blake2b(own + bytes(public), digest_size=24, encoder=RawEncoder)
    return own + Box(ephemeral, public).encrypt(data_key, nonce).ciphertext


def key_entry(of: Changeset, **changes: Any) -> KeyLogEntry:
    values: dict[str, Any] = {
        "dataset": of.header.dataset,
        "changeset": of.id,
        "key_epoch": 0,
        "envelope": envelope(DATA_KEY, READ_KEY.public_key, private_key("ephemeral")),
        "salts": tuple(salt(index) for index in range(of.header.operation_count)),
    }
    return KeyLogEntry(**(values | changes))


# ---- placement and records


def signed_agreement(provider: Account = PROVIDERS[0], /, **changes: Any) -> SignedAgreement:
    made = agreement(provider, **changes)
    digest = NETWORK.digest(made)
    by_client = b"" if made.mandate != ZERO_HASH else OWNER.sign(digest)
    return SignedAgreement(
        agreement=made, client_signature=by_client, provider_signature=provider.sign(digest)
    )


def signed_mandate(signer: Account = OWNER, /, **changes: Any) -> SignedMandate:
    made = mandate(**changes)
    return SignedMandate(mandate=made, signature=signer.sign(NETWORK.digest(made)))


def placement(signer: Account = OWNER, /, **changes: Any) -> SignedPlacement:
    """Return the first entry: three replicas, six shards, six agreements, a mandate."""
    replicas = tuple(
        Assignment(Role.REPLICA, slot, provider.address)
        for slot, provider in enumerate(PROVIDERS[:3])
    )
    shards = tuple(
        Assignment(Role.SHARD, slot, provider.address)
        for slot, provider in enumerate(PROVIDERS[:6])
    )
    values: dict[str, Any] = {
        "network": NETWORK.id,
        "dataset": DATASET,
        "number": 0,
        "previous": ZERO_HASH,
        "assignments": replicas + shards,
        "agreements": tuple(signed_agreement(provider) for provider in PROVIDERS[:6]),
        "mandate": signed_mandate(),
        "case": b"",
    }
    entry = PlacementEntry(**(values | changes))
    return SignedPlacement(entry=entry, signature=sign(entry, signer))


def takeover(previous: Hash, by: Account = PROVIDERS[6], **changes: Any) -> SignedPlacement:
    """Return the entry by which a spare provider takes over shard 2 under the mandate."""
    made = {"mandate": mandate().struct_hash(), "nonce": hash_of("takeover")}
    values: dict[str, Any] = {
        "number": 1,
        "previous": previous,
        "assignments": (Assignment(Role.SHARD, 2, by.address),),
        "agreements": (signed_agreement(by, **made),),
        "mandate": None,
        "case": CaseId(token("case")),
    }
    return placement(by, **(values | changes))


def node_record(**changes: Any) -> NodeRecord:
    values: dict[str, Any] = {
        "network": NETWORK.id,
        "identity": PROVIDERS[0].address,
        "signer": account("hot key").address,
        "transport_key": TransportKey(token("transport key")),
        "seal_key": bytes(private_key("seal key").public_key),
        "underlays": ("127.0.0.1:4001", "[::1]:4001"),
        "chequebook": Address(token("chequebook", 20)),
        "roles": PROVIDER,
        "time_s": 1_800_000_000,
    }
    return NodeRecord(**(values | changes))


def signed_node_record(signer: Account = PROVIDERS[0], /, **changes: Any) -> SignedNodeRecord:
    made = node_record(**changes)
    return SignedNodeRecord(record=made, signature=sign(made, signer))


def home_record(**changes: Any) -> HomeRecord:
    values: dict[str, Any] = {
        "network": NETWORK.id,
        "identity": OWNER.address,
        "seal_key": bytes(READ_KEY.public_key),
        "key_epoch": 0,
        "mailbox_providers": tuple(provider.address for provider in PROVIDERS[:3]),
        "home_providers": tuple(provider.address for provider in PROVIDERS[3:6]),
        "time_s": 1_800_000_000,
    }
    return HomeRecord(**(values | changes))


def signed_home_record(signer: Account = OWNER, /, **changes: Any) -> SignedHomeRecord:
    made = home_record(**changes)
    return SignedHomeRecord(record=made, signature=sign(made, signer))


# ---- hostile bytes


def flips(data: bytes, *, every: int = 1) -> list[bytes]:
    """Return copies of some bytes in which one byte (each `every`-th, all bits or one) differs."""
    return [
        data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]
        for at in range(0, len(data), every)
        for mask in (0xFF, 1 << at % 8)
    ]


def other_sizes(data: bytes) -> list[bytes]:
    """Return some bytes cut short, made longer, and doubled."""
    return [data[:-1], data + b"\x00", b"\x00" + data, data + data, b"", data[: len(data) // 2]]


def encoded(record: object) -> bytes:
    return encode(record)


def dataset_of(owner: Account, name: str) -> DatasetId:
    return dataset_id(owner.address, token(name))
