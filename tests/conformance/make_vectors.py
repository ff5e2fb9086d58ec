"""Write the JSON vectors that pin the formats: `python -m tests.conformance.make_vectors`.

Fixed keys and inputs give exact bytes, digests, ids and signatures. A change in a file under
`vectors/` is a change of format: `docs/format.md` and its version numbers must tell of it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.dataset.ledger.format import Kind as LocalKind
from mfdb.dataset.ledger.format import (
    LedgerEntry,
    LocalHeader,
    LocalOperation,
    destroyed,
    leaf_of,
    root_of,
)
from mfdb.kernel.codec import encode
from mfdb.kernel.ids import (
    ZERO_HASH,
    AgreementId,
    CaseId,
    ChangesetId,
    Hash,
    RowId,
    SegmentId,
    VersionId,
    Wei,
)
from mfdb.kernel.seed import HOME_LABEL, MAILBOX_NONCE, Seed
from mfdb.kernel.typed_data import word
from mfdb.net.frames import Kind, encode_credit, encode_frame
from mfdb.net.proof import make_hello, make_proof, transport_key
from mfdb.node import answers, dues, requests
from mfdb.pay.balance import BalanceState, Invoice, Waiver
from mfdb.rules.changeset import (
    FORMAT,
    FORMAT_1,
    Changeset,
    due_row_ids,
    free_row_id,
    keyed_row_id,
    version_id,
)
from mfdb.rules.columns import author_digest, row_key, row_key_1
from mfdb.rules.evidence import EMBEDDED, AckBatch, subject_of
from mfdb.rules.manifest import dataset_id
from mfdb.rules.merkle import leaf_hash
from mfdb.rules.operations import operations_root
from mfdb.rules.receipt import FIRST_LOG_HEAD, Promised, acknowledge, log_head, sign_batch
from mfdb.rules.row_tree import grow, prove, row_leaf
from mfdb.rules.signing import digest_of, sign
from mfdb.rules.units import UnitTree, unit_hash, unit_of
from replication.audit import unit_of_draw
from replication.codec import Codec
from replication.reconcile import ItemSet, open_message, respond
from replication.segment import build_segment, certify, ids_root, shards_root
from tests import factories as made

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mfdb.kernel.account import Account
    from mfdb.rules.operations import Operation
    from mfdb.rules.row_tree import RowLeaf
    from mfdb.rules.signing import Signable

DIRECTORY = Path(__file__).parent / "vectors"
WORDS = "legal winner thank year wave sausage worth useful legal winner thank yellow"
Vector = dict[str, Any]


def shown(value: Any) -> Any:
    """Return a value as JSON: bytes and amounts as text, records as objects by field name."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, Wei):
        return str(int(value))
    if isinstance(value, msgspec.Struct):
        return {name: shown(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, list | tuple):
        return [shown(part) for part in value]
    return value


def signed(name: str, record: Signable, signer: Account) -> Vector:
    """Return the vector of an off-chain record: bytes, digest and signature."""
    return shown_all(
        name=name,
        kind=type(record).__name__,
        domain=record.DOMAIN,
        fields=record,
        bytes=encode(record),
        digest=digest_of(record),
        signer=signer.address,
        signature=sign(record, signer),
    )


def shown_all(**values: Any) -> Vector:
    return {key: shown(value) for key, value in values.items()}


def typed(name: str, record: Any, signer: Account) -> Vector:
    """Return the vector of a piece of evidence: struct hash, digest and signature."""
    is_cheque = type(record).__name__ == "Cheque"
    network = made.NETWORK
    digest = record.digest(network.chain_id) if is_cheque else network.digest(record)
    return shown_all(
        name=name,
        type=record.TYPE,
        domain={
            "name": "mfdb chequebook" if is_cheque else "mfdb",
            "version": "1",
            "chainId": network.chain_id,
            "verifyingContract": shown(record.chequebook if is_cheque else network.deposits),
        },
        fields=record,
        bytes=encode(record),
        struct_hash=record.struct_hash(),
        digest=digest,
        signer=signer.address,
        signature=signer.sign(digest),
    )


def keys() -> list[Vector]:
    identity = Seed.from_words(WORDS).keys()
    dataset = dataset_id(identity.address, MAILBOX_NONCE)
    return [
        shown_all(
            name="identity of twelve words",
            words=WORDS,
            account=identity.account.secret(),
            address=identity.address,
            signer=identity.signer.address,
            recovery=identity.recovery.address,
            transport_seed=identity.transport_seed,
            transport_key=identity.transport_key,
            seal_key_epoch_0=bytes(identity.seal_key(0)),
            seal_key_epoch_1=bytes(identity.seal_key(1)),
            mailbox_dataset=dataset,
            read_key_epoch_2=bytes(identity.read_key(dataset, 2)),
            row_id_key=identity.row_id_key(dataset),
            home_nonce=identity.dataset_nonce(HOME_LABEL),
            home_dataset=dataset_id(identity.address, identity.dataset_nonce(HOME_LABEL)),
        )
    ]


def evidence() -> list[Vector]:
    under_mandate = made.agreement(made.PROVIDERS[6], mandate=made.mandate().struct_hash())
    batch = AckBatch(
        provider=made.PROVIDERS[0].address, number=9, root=made.hash_of("ack root"), count=3
    )
    return [
        shown_all(
            name="network",
            chain_id=made.NETWORK.chain_id,
            deposits=made.NETWORK.deposits,
            id=made.NETWORK.id,
        ),
        typed("agreement", made.agreement(), made.OWNER),
        typed("agreement under a mandate", under_mandate, made.PROVIDERS[6]),
        typed("repair mandate", made.mandate(), made.OWNER),
        typed("store receipt", made.store_receipt(), made.PROVIDERS[0]),
        typed("ack batch", batch, made.PROVIDERS[0]),
        typed("seal certificate", made.certificate(), made.PROVIDERS[1]),
        typed("cheque", made.cheque(), made.OWNER),
        typed("largest cheque", made.cheque(cumulative_payout=Wei(2**256 - 1)), made.OWNER),
    ]


def receipts() -> list[Vector]:
    found, head, acks = [], FIRST_LOG_HEAD, []
    datas = [made.token(f"changeset {at}", 700 * at) for at in range(3)]
    for number, data in enumerate(datas):
        changeset = ChangesetId(made.token(f"changeset id {number}"))
        head = log_head(head, number, changeset)
        acks.append(
            acknowledge(
                AgreementId(made.token("agreement id")),
                changeset,
                Promised.of(data),
                place=(number, head),
                expiry=1_810_000_000,
            )
        )
    for count in (1, 3):
        made_of = sign_batch(
            acks[:count],
            provider=made.PROVIDERS[0].address,
            number=count,
            signer=made.PROVIDERS[0],
            network=made.NETWORK,
        )
        for receipt, data in zip(made_of, datas, strict=False):
            found.append(
                shown_all(
                    name=f"write receipt {receipt.index} of {count}",
                    data=data,
                    leaf_words=receipt.ack.words(),
                    leaf=leaf_hash(receipt.ack.words()),
                    fields=receipt,
                    bytes=encode(receipt),
                    digest=made.NETWORK.digest(receipt.batch),
                    signer=made.PROVIDERS[0].address,
                    signature=receipt.signature,
                )
            )
    return found


def datasets() -> list[Vector]:
    first = made.signed_manifest().manifest
    second = made.manifest(number=1, previous=first.hash, acl_epoch=1)
    entry = made.placement().entry
    return [
        shown_all(name="dataset id", owner=made.OWNER.address, nonce=made.NONCE, id=made.DATASET),
        shown_all(
            name="subject",
            dataset=made.DATASET,
            salt=first.salt,
            subject=subject_of(made.DATASET, first.salt),
        ),
        signed("first manifest of a mailbox", first, made.OWNER),
        signed("second manifest", second, made.OWNER),
        signed("manifest of format 2", made.manifest(**made.FORMAT_2), made.OWNER),
        signed("first placement entry", entry, made.OWNER),
        signed("takeover", made.takeover(digest_of(entry)).entry, made.PROVIDERS[6]),
    ]


def changesets() -> list[Vector]:
    return [
        *_changesets(FORMAT_1, "of format 1"),
        *_changesets(FORMAT, "of format 2"),
        _changeset("new rows", _new_rows()),
        *_rows(),
    ]


def _changesets(format_: int, which: str) -> list[Vector]:
    bare = made.header(format=format_)
    operations = (
        made.insert(bare, 0, b"hello"),
        made.insert(bare, 1, "text", 5, None, 1.5, True, clear=(None,)),
        made.delete(RowId(made.token("old row")), made.token("old version")),
    )
    owned = made.changeset(*operations, bare=bare)
    one_time = made.account("one-time key")
    blind = made.header(one_time, format=format_, identity=b"", number=0, previous=ZERO_HASH)
    secret = made.sealed_sender_insert(blind, 0, made.AUTHOR, b"hello")
    hidden = made.changeset(secret, bare=blind, signer=one_time)
    return [_changeset(f"changeset {which}", owned), _changeset(f"sealed sender {which}", hidden)]


def _bytes_of(body: bytes | tuple[Operation, ...]) -> bytes | list[bytes]:
    return body if isinstance(body, bytes) else [encode(operation) for operation in body]


def _new_rows() -> Changeset:
    bare = made.header()
    operations = [made.insert(bare, at, b"hello", at, clear=()) for at in range(2)]
    return made.changeset(*operations, bare=bare, body=made.body_of(*operations, rows=b""))


def _changeset(name: str, changeset: Changeset) -> Vector:
    entry = made.key_entry(changeset)
    header = changeset.header
    count = len(changeset.operations)
    key_of = row_key_1 if header.format == FORMAT_1 else row_key
    return signed(
        name, header, made.AUTHOR if header.identity else made.account("one-time key")
    ) | (
        shown_all(
            changeset_bytes=encode(changeset),
            id=changeset.id,
            seal_context=header.seal_context,
            operations=changeset.operations,
            body=_bytes_of(changeset.body),
            operations_root=operations_root(changeset.body),
            versions=[version_id(changeset.id, index) for index in range(count)],
            data_key=made.DATA_KEY,
            row_keys=[key_of(made.DATA_KEY, made.salt(index)) for index in range(count)],
            read_private_key=bytes(made.READ_KEY),
            key_log_entry=entry,
            key_log_bytes=encode(entry),
        )
    )


def _rows() -> list[Vector]:
    return [
        shown_all(
            name="row ids of a free dataset",
            header=made.header(),
            ids=due_row_ids(made.header(), 3),
        ),
        shown_all(
            name="row id of a free dataset, format 1",
            dataset=made.DATASET,
            signer=made.AUTHOR.address,
            nonce=made.token("changeset nonce", 16),
            index=7,
            id=free_row_id(made.DATASET, made.AUTHOR.address, made.token("changeset nonce", 16), 7),
        ),
        shown_all(
            name="row id of an ordered dataset",
            dataset=made.DATASET,
            keyed_hash=made.token("keyed hash"),
            id=keyed_row_id(made.DATASET, made.token("keyed hash")),
        ),
        shown_all(
            name="what a sealed sender signs",
            context=made.hash_of("context"),
            values=[b"hello", 5, None],
            author=made.AUTHOR.address,
            digest=author_digest(made.hash_of("context"), (b"hello", 5, None), made.AUTHOR.address),
        ),
    ]


def ledger() -> list[Vector]:
    """A changeset of a dataset that lives on one machine: an insert, an update, a delete."""
    operations = (
        LocalOperation(LocalKind.INSERT, 0, 0, (3, "hello", None)),
        LocalOperation(LocalKind.UPDATE, 1, 1, (1, "newer", 1.5)),
        LocalOperation(LocalKind.DELETE, 2, 2, (2, None, None)),
    )
    slots = [
        b"\x00" + made.token(f"ledger salt {at}", 16) + encode(operation)
        for at, operation in enumerate(operations)
    ]
    header = LocalHeader(
        format=1,
        network=EMBEDDED,
        dataset=made.DATASET,
        manifest=made.hash_of("manifest"),
        acl_epoch=0,
        signer=made.OWNER.address,
        number=1,
        previous=made.hash_of("previous entry"),
        hlc=117964800000262144,
        first=3,
        count=3,
        root=root_of(map(leaf_of, slots)),
    )
    entry = LedgerEntry(header, sign(header, made.OWNER))
    return [
        signed("local changeset", header, made.OWNER)
        | shown_all(
            slots=slots,
            leaves=[leaf_of(slot) for slot in slots],
            destroyed=[destroyed(slot)[0] for slot in slots],
            id=entry.id,
            versions=[version_id(entry.id, index) for index in range(3)],
        )
    ]


def records() -> list[Vector]:
    return [
        signed("node record", made.node_record(), made.PROVIDERS[0]),
        signed("home record", made.home_record(), made.OWNER),
    ]


def payments() -> list[Vector]:
    low, high = sorted((made.OWNER, made.AUTHOR), key=lambda one: one.address)
    network = made.NETWORK.id
    balance = BalanceState(
        network=network,
        first=low.address,
        second=high.address,
        number=3,
        first_served=word(2**70),
        second_served=word(5),
        first_paid=word(0),
        second_paid=word(2**70 - 1),
        hlc=1_800_000_000_000 << 16,
    )
    invoice = Invoice(
        network=network,
        creditor=low.address,
        debtor=high.address,
        number=1,
        balance_number=3,
        amount=word(2**70),
        due_by=1_800_000_600,
    )
    waiver = Waiver(
        network=network,
        chequebook=made.cheque().chequebook,
        beneficiary=low.address,
        serial=17,
        amount=word(1000),
    )
    return [
        signed("balance, first signature", balance, low),
        signed("balance, second signature", balance, high),
        signed("invoice", invoice, low),
        signed("waiver", waiver, low),
    ]


def merkle() -> list[Vector]:
    found = []
    for count in (1, 2, 4, 5, 17):
        data = made.token(f"units {count}", 512 * count - 100)
        tree = UnitTree(data)
        found.append(
            shown_all(
                name=f"{count} units",
                length_bytes=len(data),
                data=data,
                leaves=[unit_hash(unit_of(data, at)) for at in range(count)],
                root=tree.root,
                paths=[tree.path(at) for at in range(count)],
            )
        )
    return found


def segments() -> list[Vector]:
    entries = sorted(
        (ChangesetId(made.token(f"changeset id {at}")), made.token(f"changeset {at}", 97 * at))
        for at in range(6)
    )
    ids = [changeset for changeset, _ in entries]
    data = build_segment(7, entries)
    certificate, shards, roots = certify(made.hash_of("subject"), 7, ids, data, k=4, n=6)
    wide = made.token("data of one whole stripe and a bit", 4 * 65_536 + 5)
    beacon = made.hash_of("beacon")
    agreement, segment = AgreementId(made.token("a")), SegmentId(made.token("s"))
    return [
        shown_all(
            name="segment of six changesets, 4 of 6",
            number=7,
            changesets=[{"id": shown(id_), "data": shown(content)} for id_, content in entries],
            bytes=data,
            ids_root=ids_root(ids),
            shards=shards,
            shard_roots=roots,
            shards_root=shards_root(roots),
            certificate=certificate,
            segment_id=certificate.segment,
        ),
        shown_all(
            name="shards of a whole stripe and a bit, 4 of 6",
            seed="data of one whole stripe and a bit",
            length_bytes=len(wide),
            shard_lengths=[len(shard) for shard in Codec(4, 6).encode(wide)],
            shard_roots=[UnitTree(shard).root for shard in Codec(4, 6).encode(wide)],
        ),
        shown_all(
            name="draws of an audit",
            beacon=beacon,
            agreement=agreement,
            segment=segment,
            units=[
                [count, [unit_of_draw(beacon, agreement, segment, at, count) for at in range(30)]]
                for count in (1, 7, 129, 2**20)
            ],
        ),
        shown_all(
            name="first message of a reconciliation",
            items=[[at, shown(made.hash_of(f"item {at}"))] for at in range(40)],
            bytes=encode(open_message(_items(40))),
        ),
        shown_all(
            name="answer of whoever lacks the last of these items",
            items=[[at, shown(made.hash_of(f"item {at}"))] for at in range(39)],
            bytes=encode(respond(_items(39), open_message(_items(40))).reply),
        ),
    ]


def _items(count: int) -> ItemSet:
    return ItemSet((at, ChangesetId(made.token(f"item {at}"))) for at in range(count))


def rows() -> list[Vector]:
    leaves = [
        row_leaf(made.token(f"row {at}"), [VersionId(made.hash_of(f"version {at}"))])
        for at in range(40)
    ]
    leaves.sort(key=lambda leaf: leaf.place)

    def scan(first: bytes, last: bytes) -> Iterator[RowLeaf]:
        return (leaf for leaf in leaves if first <= leaf.place <= last)

    tree, place = grow(scan), leaves[7].place
    return [
        shown_all(
            name="a tree of rows",
            leaves=[[shown(leaf.place), [shown(head) for head in leaf.heads]] for leaf in leaves],
            root=tree.hash,
            span=[shown(place), shown(place)],
            bytes=encode(prove(tree, [(place, place)], scan)),
        )
    ]


class _Fixed:
    """Entropy of a vector."""

    def token(self, size: int) -> bytes:
        return made.token("handshake nonce", size)


def wire() -> list[Vector]:
    hello, nonce = make_hello(_Fixed())
    client, server = made.token("client seed"), transport_key(made.token("server seed"))
    key_entry = made.key_entry(made.changeset())
    asked: list[msgspec.Struct] = [
        requests.Hello(version=requests.VERSION, record=made.signed_node_record()),
        requests.GetDataset(dataset=made.DATASET),
        requests.PutChangeset(data=encode(made.changeset()), entry=key_entry),
        requests.ReadLog(dataset=made.DATASET, after=-1, limit_bytes=65_536),
        requests.GetRows(
            dataset=made.DATASET,
            spans=((bytes(16), b"\xff" * 16),),
            nonce=made.hash_of("nonce"),
        ),
        requests.Shred(dataset=made.DATASET, salts=((made.changeset().id, 1),)),
        requests.Audit(receipt=made.store_receipt(), beacon=made.hash_of("beacon")),
        dues.PayCheque(
            cheque=made.cheque(),
            signature=made.OWNER.sign(made.cheque().digest(made.NETWORK.chain_id)),
        ),
        requests.TakeOver(
            case=CaseId(made.token("case")),
            agreement=AgreementId(made.token("agreement id")),
            segment=SegmentId(made.token("segment id")),
            state=answers.DatasetState(manifests=(), placements=(), segments=()),
        ),
        answers.Done(),
        answers.Signed(signature=made.OWNER.sign(Hash(made.token("x")))),
    ]
    return [
        shown_all(
            name="handshake",
            server_key=server,
            client_seed=client,
            nonce=nonce,
            hello=hello,
            proof=make_proof(client, server, nonce),
        ),
        *(
            shown_all(name=f"frame {kind.name}", kind=int(kind), number=258, bytes=frame)
            for kind in Kind
            for body in [encode_credit(65_536) if kind is Kind.CREDIT else b"ab"]
            for frame in [encode_frame(kind, 258, body)]
        ),
        *(
            shown_all(
                name=f"message {type(one).__name__}",
                tag=one.__struct_config__.tag,
                fields=one,
                bytes=encode(one),
            )
            for one in asked
        ),
    ]


GROUPS: dict[str, Callable[[], list[Vector]]] = {
    "keys": keys,
    "evidence": evidence,
    "receipts": receipts,
    "datasets": datasets,
    "changesets": changesets,
    "ledger": ledger,
    "records": records,
    "payments": payments,
    "merkle": merkle,
    "segments": segments,
    "rows": rows,
    "wire": wire,
}


def rendered(group: str) -> str:
    """Return the text of one vector file."""
    return json.dumps(GROUPS[group](), indent=1) + "\n"


if __name__ == "__main__":
    DIRECTORY.mkdir(exist_ok=True)
    for name in GROUPS:
        (DIRECTORY / f"{name}.json").write_text(rendered(name))
