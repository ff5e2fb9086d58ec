"""Logs of our contracts, as the endpoint tells them, and as the port's events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mfdb.chain.abi import decode_log, topic
from mfdb.chain.contracts.words import decode_claim
from mfdb.chain.port import (
    AgreementRegistered,
    CaseClosed,
    CaseOpened,
    CaseStatus,
    ChequeCashed,
    CompensationPaid,
    RecordKind,
    RecordPublished,
    Transferred,
)
from mfdb.chain.rpc import read_bytes, read_hash, read_int, read_object
from mfdb.kernel.errors import MalformedMessage
from mfdb.kernel.ids import ZERO_HASH, Address, AgreementId, CaseId, Hash, Wei

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.chain.port import ChainEvent

Fields = dict[str, Any]

SOURCES = ("mft", "registry", "deposits", "escrow", "court", "chequebook_factory")
"""Contracts whose events the port tells, besides the chequebooks."""
CASHED = topic("chequebook", "ChequeCashed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """A log where it stands."""

    address: Address
    topics: tuple[bytes, ...]
    data: bytes
    block: int
    block_hash: Hash
    index: int
    transaction: Hash


def read_log(found: Any) -> Log:
    """Return a log that the endpoint sent.

    Raises:
        ChainUnavailable: it is none.
    """
    log = read_object(found)
    topics = log.get("topics")
    return Log(
        address=Address(read_bytes(log.get("address"))),
        topics=tuple(read_bytes(item) for item in topics) if isinstance(topics, list) else (),
        data=read_bytes(log.get("data")),
        block=read_int(log.get("blockNumber")),
        block_hash=read_hash(log.get("blockHash")),
        index=read_int(log.get("logIndex")),
        transaction=read_hash(log.get("transactionHash")),
    )


def event_of(contract: str, log: Log) -> ChainEvent | None:
    """Return the event that a log of one of our contracts tells, or None if the port has none.

    Raises:
        MalformedMessage: the log does not fit the contract's ABI.
    """
    decoded = decode_log(contract, log.topics, log.data)
    if decoded is None:
        return None
    name, fields = decoded
    read = _READERS.get((contract, name))
    return None if read is None else read(fields, log)


def _transferred(fields: Fields, _log: Log) -> ChainEvent:
    return Transferred(
        sender=Address(fields["sender"]),
        to=Address(fields["receiver"]),
        amount=Wei(fields["amount"]),
    )


def _cashed(fields: Fields, log: Log) -> ChainEvent:
    return ChequeCashed(
        chequebook=log.address,
        beneficiary=Address(fields["beneficiary"]),
        amount=Wei(fields["amount"]),
    )


def _published(fields: Fields, _log: Log) -> ChainEvent | None:
    try:
        kind = RecordKind(fields["kind"])
    except ValueError:
        return None  # a kind of a later release
    return RecordPublished(
        identity=Address(fields["identity"]), kind=kind, record=bytes(fields["record"])
    )


def _registered(fields: Fields, _log: Log) -> ChainEvent:
    case = fields["case"]
    return AgreementRegistered(
        agreement=AgreementId(fields["agreement"]),
        client=Address(fields["client"]),
        provider=Address(fields["provider"]),
        case=None if case == ZERO_HASH else CaseId(case),
    )


def _opened(fields: Fields, _log: Log) -> ChainEvent | None:
    try:
        receipt, _ = decode_claim(bytes(fields["claim"]))
    except MalformedMessage:
        return None  # a kind of trial of a later release
    return CaseOpened(
        case=CaseId(fields["case"]),
        agreement=AgreementId(fields["agreement"]),
        provider=Address(fields["provider"]),
        accuser=Address(fields["accuser"]),
        receipt=receipt,
        unit=fields["unit"],
        deadline=fields["deadline"],
    )


def _closed(fields: Fields, _log: Log) -> ChainEvent:
    return CaseClosed(
        case=CaseId(fields["case"]),
        agreement=AgreementId(fields["agreement"]),
        status=CaseStatus(fields["status"]),
        slashed=Wei(fields["slashed"]),
        compensation=Wei(fields["compensation"]),
    )


def _compensated(fields: Fields, _log: Log) -> ChainEvent:
    return CompensationPaid(
        case=CaseId(fields["case"]),
        owner=Address(fields["owner"]),
        to_owner=Wei(fields["toOwner"]),
        repairer=Address(fields["repairer"]),
        to_repairer=Wei(fields["toRepairer"]),
    )


_READERS: dict[tuple[str, str], Callable[[Fields, Log], ChainEvent | None]] = {
    ("mft", "Transfer"): _transferred,
    ("chequebook", "ChequeCashed"): _cashed,
    ("registry", "RecordPublished"): _published,
    ("deposits", "AgreementRegistered"): _registered,
    ("court", "CaseOpened"): _opened,
    ("court", "CaseClosed"): _closed,
    ("escrow", "CompensationPaid"): _compensated,
}
