"""Every error that mfdb raises on purpose, as one tree with DB-API 2.0 names (PEP 249).

    MfdbError
    |- InterfaceError          the Python API was misused
    |- DatabaseError
    |  |- ProgrammingError     the statement is wrong
    |  |- DataError            a value is wrong
    |  |- IntegrityError       a rule of the dataset forbids it
    |  |- OperationalError     the world is in the way (disk, peers, money, chain)
    |  |- InternalError        a record is damaged or an invariant broke
    |  `- NotSupportedError
    `- ProtocolViolation       a peer sent what no honest peer sends; scores the peer

A leaf is a fact, not an "...Error". It carries `sqlstate`, `retryable`, a `hint` for the person
who reads it and, where a text is to blame, `position` (0-based offset into that text).
"""

from __future__ import annotations

from mfdb.kernel.error import MfdbError as MfdbError


class InterfaceError(MfdbError):
    """The Python API was misused (closed connection, fetch before execute)."""

    sqlstate = "08P01"


class DatabaseError(MfdbError):
    """Anything that went wrong inside the database."""


# ---- the statement is wrong


class ProgrammingError(DatabaseError):
    """The statement cannot mean anything."""

    sqlstate = "42000"


class SqlSyntax(ProgrammingError):
    """The text is not a statement; `position` points at the offending word."""

    sqlstate = "42601"


class UnknownDataset(ProgrammingError):
    """No dataset of that name is known here."""

    sqlstate = "42P01"


class UnknownColumn(ProgrammingError):
    """The dataset has no such column."""

    sqlstate = "42703"


class AmbiguousColumn(ProgrammingError):
    """A name could be a column of several sources."""

    sqlstate = "42702"


class UnknownFunction(ProgrammingError):
    """No function or operator of that name takes such operands."""

    sqlstate = "42883"


class UnknownObject(ProgrammingError):
    """No column type, index, constraint or policy has that name."""

    sqlstate = "42704"


class DuplicateColumn(ProgrammingError):
    """A column is named twice."""

    sqlstate = "42701"


class UnknownConstraint(ProgrammingError):
    """ON CONFLICT names a key that the dataset does not have."""

    sqlstate = "42P10"


class UngroupedColumn(ProgrammingError):
    """A column stands beside an aggregate, or an aggregate where none may stand."""

    sqlstate = "42803"


class InvalidWindow(ProgrammingError):
    """A window cannot be made of the window that it goes on from."""

    sqlstate = "42P20"


class InvalidDefinition(ProgrammingError):
    """A definition, option or grant contradicts itself or the rules of its dataset."""

    sqlstate = "42P16"


class WrongObject(ProgrammingError):
    """The statement suits datasets and the name is a view's, or the other way round."""

    sqlstate = "42809"


class InvalidForeignKey(ProgrammingError):
    """A foreign key refers to columns that identify no row, or to other types."""

    sqlstate = "42830"


class DependentObjects(ProgrammingError):
    """Something else is built on what is to go."""

    sqlstate = "2BP01"


class GeneratedColumn(ProgrammingError):
    """A column that always numbers itself is given another value."""

    sqlstate = "428C9"


class WrongParameters(ProgrammingError):
    """Not the parameters that the statement asks for."""

    sqlstate = "07001"


class DuplicateDataset(ProgrammingError):
    """A dataset of that name exists already."""

    sqlstate = "42P07"


class AccessDenied(ProgrammingError):
    """The rules of the dataset do not allow this identity to do that."""

    sqlstate = "42501"


class UnknownIdentity(ProgrammingError):
    """No identity of that name or address is known."""

    sqlstate = "28000"


class WrongPassphrase(ProgrammingError):
    """The keystore does not open with that passphrase, or is damaged."""

    sqlstate = "28P01"


class DuplicateObject(ProgrammingError):
    """An identity, constraint or policy of that name or address exists already."""

    sqlstate = "42710"


class BatchFailed(ProgrammingError):
    """A statement of the open batch failed: nothing but ROLLBACK [TO] goes on from there."""

    sqlstate = "25P02"


class NoBatch(ProgrammingError):
    """A savepoint, or the end of a batch that opens the next, and no batch is open."""

    sqlstate = "25P01"


class UnknownSavepoint(ProgrammingError):
    """The open batch has no savepoint of that name."""

    sqlstate = "3B001"


class UnknownStatement(ProgrammingError):
    """No statement is prepared under that name."""

    sqlstate = "26000"


class DuplicateStatement(ProgrammingError):
    """A statement is prepared under that name already."""

    sqlstate = "42P05"


# ---- a value is wrong


class DataError(DatabaseError):
    """A value does not fit."""

    sqlstate = "22000"


class BadType(DataError):
    """A value is not of the column's type."""

    sqlstate = "42804"


class InvalidText(DataError):
    """A text does not spell a value of the type."""

    sqlstate = "22P02"


class ValueTooLarge(DataError):
    """A value or message is over its limit."""

    sqlstate = "22001"


class DivisionByZero(DataError):
    """A division by zero."""

    sqlstate = "22012"


class NumberOutOfRange(DataError):
    """A number does not fit the range of its type."""

    sqlstate = "22003"


class InvalidLogarithm(DataError):
    """A logarithm of zero or of a negative number."""

    sqlstate = "2201E"


class InvalidPower(DataError):
    """A power or root that is no real number."""

    sqlstate = "2201F"


class InvalidPattern(DataError):
    """A regular expression that cannot be read."""

    sqlstate = "2201B"


class InvalidSubstring(DataError):
    """A part of a text or of bytes with a negative length."""

    sqlstate = "22011"


class InvalidHistogram(DataError):
    """Bounds or a count between which no number has a place."""

    sqlstate = "2201G"


class NoSuchMoment(InvalidText):
    """A date or time that is written well and does not exist."""

    sqlstate = "22008"


class InvalidParameter(DataError):
    """A function cannot take this value of an argument."""

    sqlstate = "22023"


class TooManyRows(DataError):
    """A query that stands for one value gave several rows, or a row would change twice."""

    sqlstate = "21000"


class BadSeedWords(InvalidParameter):
    """These are not the seed words of an identity: a word is unknown or the checksum fails."""

    sqlstate = "22023"


class BadCopyData(DataError):
    """What COPY reads is not written in the form that was named."""

    sqlstate = "22P06"


class BadDump(DataError):
    """A file is no dump, not a whole one, or not one that may be restored."""

    sqlstate = "22P07"


class NotAnMbox(DataError):
    """A file given as a mailbox does not hold one."""

    sqlstate = "22P04"


# ---- a rule forbids it


class IntegrityError(DatabaseError):
    """A rule of the dataset forbids it."""

    sqlstate = "23000"


class DuplicateRow(IntegrityError):
    """A row with that key exists already."""

    sqlstate = "23505"


class ForeignKeyViolation(IntegrityError):
    """A row refers to a row that is not there, or one that is referred to would go."""

    sqlstate = "23503"


class SchemaViolation(IntegrityError):
    """NOT NULL, CHECK or another rule of the schema does not hold."""

    sqlstate = "23514"


class NotNullViolation(SchemaViolation):
    """A column that needs a value has none."""

    sqlstate = "23502"


class StaleWrite(IntegrityError):
    """The row changed since it was read: read again and retry."""

    sqlstate = "40001"
    retryable = True


# ---- the world is in the way


class OperationalError(DatabaseError):
    """The world is in the way: disk, peers, money, chain."""

    sqlstate = "58000"


class StoreFull(OperationalError):
    """The disk is full; nothing of this write was kept."""

    sqlstate = "53100"
    retryable = True


class CapacityExceeded(OperationalError):
    """The agreement with a provider covers no more bytes."""

    sqlstate = "53200"


class OutOfMemory(OperationalError):
    """A query needs more memory than one may use."""

    sqlstate = "53201"


class StatementCancelled(OperationalError):
    """The statement was cancelled on request, or by its time limit."""

    sqlstate = "57014"


class NotificationsLost(OperationalError):
    """More notifications came than may wait for a connection that does not look."""

    sqlstate = "54000"


class CursorLost(OperationalError):
    """A subscription cannot go on after this cursor: what followed it is not here."""

    sqlstate = "24000"


class StoreLocked(OperationalError):
    """Another process works on this directory."""

    sqlstate = "55006"


class WrongVersion(OperationalError):
    """A directory, record or peer speaks another format version."""

    sqlstate = "58002"


class NetworkError(OperationalError):
    """Peers are in the way."""

    sqlstate = "08000"


class PeerUnreachable(NetworkError):
    """No connection to the peer, or it was lost before the answer."""

    sqlstate = "08006"
    retryable = True


class PeerBusy(NetworkError):
    """The peer takes no more of our requests at once, or none yet: it is starting."""

    sqlstate = "53400"
    retryable = True


class DeadlineExceeded(NetworkError):
    """The time allowed for it is over; it may or may not have happened."""

    sqlstate = "HYT00"
    retryable = True


class QuorumNotReached(NetworkError):
    """Fewer providers than needed answered; a write may still spread (indeterminate)."""

    sqlstate = "08007"
    retryable = True


class ReplicaBehind(NetworkError):
    """The replica does not know yet what the write builds on."""

    sqlstate = "55000"
    retryable = True


class StripeLost(NetworkError):
    """Fewer than k intact shards are left."""

    sqlstate = "58030"


class ShardMissing(OperationalError):
    """The provider does not hold the shard that it is asked for."""

    sqlstate = "58031"


class NoProviders(NetworkError):
    """Not enough providers satisfy the dataset's profile."""

    sqlstate = "53000"


class PortTaken(NetworkError):
    """Another process listens on that port."""

    sqlstate = "08004"


class DevnetFailed(OperationalError):
    """The network on this machine could not be started, stopped or found."""

    sqlstate = "58001"


class PaymentError(OperationalError):
    """Money is in the way."""

    sqlstate = "MF100"


class DebtLimitExceeded(PaymentError):
    """The peer serves no more until a cheque covers the debt."""

    sqlstate = "MF101"
    retryable = True


class ChequeBounced(PaymentError):
    """The chequebook does not cover the cheque."""

    sqlstate = "MF102"


class DepositTooSmall(PaymentError):
    """The free deposit of the provider does not cover the agreement."""

    sqlstate = "MF103"


class BalanceTooSmall(PaymentError):
    """An account or chequebook holds less than a payment takes."""

    sqlstate = "MF104"


class ChainError(OperationalError):
    """The chain is in the way."""

    sqlstate = "MF200"


class ChainUnavailable(ChainError):
    """The chain's endpoint does not answer."""

    sqlstate = "MF201"
    retryable = True


class TransactionReverted(ChainError):
    """A contract refused the transaction; the message gives its reason."""

    sqlstate = "MF202"


class WrongChain(ChainError):
    """The endpoint serves another chain or network than the one configured."""

    sqlstate = "MF203"


# ---- damage and limits of this release


class InternalError(DatabaseError):
    """A record is damaged or an invariant broke; the store is not served further."""

    sqlstate = "XX000"


class CorruptRecord(InternalError):
    """A stored record does not decode or match its hash."""

    sqlstate = "XX001"


class NotSupportedError(DatabaseError):
    """This release does not do that."""

    sqlstate = "0A000"


# ---- a peer misbehaves


class ProtocolViolation(MfdbError):
    """A peer sent what no honest peer sends; never reaches an application."""

    sqlstate = "MF300"


class MalformedMessage(ProtocolViolation):
    """The bytes are not a canonical message of the named kind."""

    sqlstate = "MF301"


class BadSignature(ProtocolViolation):
    """A signature does not verify, is not canonical, or is another party's."""

    sqlstate = "MF302"


class BadProof(ProtocolViolation):
    """A hash, Merkle path or commitment does not match."""

    sqlstate = "MF303"


class StaleCheque(ProtocolViolation):
    """A cheque does not exceed the last one, or is not for us."""

    sqlstate = "MF304"


class WrongNetwork(ProtocolViolation):
    """A record or message belongs to another network, chain or dataset."""

    sqlstate = "MF305"
