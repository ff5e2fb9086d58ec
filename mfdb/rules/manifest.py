"""The manifest: what a dataset is and who may do what, signed by its owner and hash-chained.

Providers, readers, feeds and exports all judge by it (DESIGN 5). A column is sealed unless it is
`clear`; policies may name only header facts and clear columns.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from mfdb.kernel.codec import Record
from mfdb.kernel.digest import tagged_hash
from mfdb.kernel.errors import (
    BadProof,
    MalformedMessage,
    SchemaViolation,
    UnknownColumn,
    WrongVersion,
)
from mfdb.kernel.ids import ZERO_HASH, Address, DatasetId, Hash, Wei
from mfdb.kernel.once import once
from mfdb.rules import expression
from mfdb.rules.clauses import (
    AnyClause,
    C,
    Check,
    Layout,
    Policy,
    View,
    check_clauses,
    of_kind,
    parse_clauses,
)
from mfdb.rules.evidence import subject_of
from mfdb.rules.signing import check_network, check_signature, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMAT = 2
FORMATS = (1, 2)
"""Format 1 has bare CHECK expressions instead of clauses, and no views."""
NAME_CHARACTERS = 128
DEFAULT_NOW = ["now"]
DEFAULT_UUID = ["uuid"]
DEFAULT_NEXT = ["next"]
DEFAULT_ALWAYS_NEXT = ["always next"]
SPECIAL_DEFAULTS = (DEFAULT_NOW, DEFAULT_UUID, DEFAULT_NEXT, DEFAULT_ALWAYS_NEXT)
"""Defaults that are no expressions: the time of writing, a random UUID, and one more than the
greatest value so far (an identity column; `always` refuses other values)."""


LEAST_DEPOSIT = "deposit"
"""Option of a manifest: wei that each of its providers earmarks for it at least."""
MOST_MESSAGE = "max_message"
"""Option of a manifest: KiB that a row of it takes at most, as it is sent."""
ROWS_KEPT = "retention"
"""Option of a manifest: seconds after which its owner deletes a row that nobody changed."""
ROWS_IN_ORDER = "rows_in_order"
"""Option of a manifest: 1 if the ids of its rows begin as their clear primary keys do."""
_NUMBERS = (LEAST_DEPOSIT, MOST_MESSAGE, ROWS_KEPT, ROWS_IN_ORDER)
_DIGITS = 39


class Action(IntFlag):
    """What a grant allows."""

    SELECT = 1
    INSERT = 2
    UPDATE = 4
    DELETE = 8
    SUBSCRIBE = 16


ALL_ACTIONS = int(Action.SELECT | Action.INSERT | Action.UPDATE | Action.DELETE | Action.SUBSCRIBE)


class Grantee(IntEnum):
    """Whom a grant is for: everybody, the dataset's owner, a row's author, one identity."""

    PUBLIC = 0
    OWNER = 1
    AUTHOR = 2
    IDENTITY = 3


class Ordering(IntEnum):
    """Who orders writes: the owner's node, or nobody (coordination-free)."""

    OWNER = 0
    FREE = 1


class Kind(IntEnum):
    """A dataset, a mailbox (insert-only for strangers, sealed to its owner), or a view."""

    DATASET = 0
    MAILBOX = 1
    VIEW = 2


class Column(Record, frozen=True):
    """A column. `type` is the SQL type's canonical text; `key` its 1-based place in the key."""

    name: str
    type: str
    clear: bool
    not_null: bool
    key: int
    default: Any
    unique: bool


class Grant(Record, frozen=True):
    """Who may do what; `condition` is an expression over header facts and clear columns.

    `columns` limits UPDATE (empty: all). `until` is seconds since 1970, 0 for ever; it is judged
    by the clock of the provider that accepts first.
    """

    grantee: Grantee
    identity: bytes
    actions: int
    columns: tuple[str, ...]
    condition: Any
    until: int

    @property
    def is_for_all_rows(self) -> bool:
        """Whether it holds for every row of the dataset alike."""
        return self.condition is None and self.grantee is not Grantee.AUTHOR


class Revocation(Record, frozen=True):
    """A signer who lost rights, and the heads of its chains that still count."""

    signer: Address
    frontier: tuple[Hash, ...]


class ReadKey(Record, frozen=True):
    """The X25519 public key that envelopes of a key epoch are sealed to."""

    epoch: int
    public: bytes


class WrappedKey(Record, frozen=True):
    """An epoch's private read key, sealed to one reader's own key."""

    epoch: int
    reader: Address
    box: bytes


class Profile(Record, frozen=True):
    """How many copies and shards: N replicas, W and R quorums, any k of n shards suffice."""

    replicas: int = 3
    write_quorum: int = 2
    read_quorum: int = 2
    k: int = 4
    n: int = 6

    def check(self) -> None:
        """Return quietly if the numbers keep the promise of DESIGN 5.

        Raises:
            SchemaViolation: they do not, with the reason.
        """
        if not 1 <= self.write_quorum <= self.replicas <= 32:
            raise SchemaViolation("write_quorum must lie between 1 and replicas (at most 32)")
        if 2 * self.write_quorum <= self.replicas:
            raise SchemaViolation("write_quorum must be more than half of replicas")
        if not 1 <= self.read_quorum <= self.replicas:
            raise SchemaViolation("read_quorum must lie between 1 and replicas")
        if not (1 <= self.k < self.n <= 64 and self.n >= self.replicas):
            raise SchemaViolation("erasure 'k/n' needs 1 <= k < n <= 64 and n >= replicas")


class Manifest(Record, frozen=True, dict=True):
    """One version of a dataset's rules; `previous` is the hash of the version before.

    `price_ceiling` is the most a provider may ask per MiB and epoch, in wei (0: the client's own).
    `clauses` are arrays in the form of `mfdb.rules.clauses` (of format 1: conditions of CHECKs).
    """

    format: int
    network: Hash
    dataset: DatasetId
    owner: Address
    nonce: Hash
    number: int
    previous: Hash
    name: str
    kind: Kind
    ordering: Ordering
    columns: tuple[Column, ...]
    clauses: tuple[Any, ...]
    grants: tuple[Grant, ...]
    acl_epoch: int
    revocations: tuple[Revocation, ...]
    read_keys: tuple[ReadKey, ...]
    wrapped_keys: tuple[WrappedKey, ...]
    profile: Profile
    salt: Hash
    price_ceiling: Wei
    retention_s: int
    options: tuple[tuple[str, str], ...]

    DOMAIN: ClassVar[str] = "mfdb.manifest.v1"

    @once
    def hash(self) -> Hash:
        """The hash that headers and the next version name."""
        return digest_of(self)

    @property
    def subject(self) -> Hash:
        """The dataset's blinded name on chain."""
        return subject_of(self.dataset, self.salt)

    @property
    def read_key(self) -> ReadKey:
        """The read key that new envelopes are sealed to."""
        return self.read_keys[-1]

    @once
    def sealed_columns(self) -> tuple[Column, ...]:
        """The columns that only readers can open, in schema order."""
        return tuple(column for column in self.columns if not column.clear)

    @once
    def clear_columns(self) -> tuple[Column, ...]:
        """The columns that providers can read, in schema order."""
        return tuple(column for column in self.columns if column.clear)

    @property
    def key_columns(self) -> tuple[Column, ...]:
        """The columns of the primary key, in key order."""
        keyed = [column for column in self.columns if column.key]
        return tuple(sorted(keyed, key=lambda column: column.key))

    @property
    def parsed_clauses(self) -> tuple[AnyClause, ...]:
        """The clauses as records; checks of format 1 get the names that they would have now."""
        if self.format == 1:
            return tuple(
                Check(f"{self.name}_check{number or ''}", condition)
                for number, condition in enumerate(self.clauses)
            )
        return parse_clauses(self.clauses)

    def of_kind(self, kind: type[C]) -> tuple[C, ...]:
        """Return the clauses of one kind, in their order."""
        return of_kind(self.parsed_clauses, kind)

    def policies(self, action: Action) -> tuple[Policy, ...]:
        """Return the policies about an action; the usual answer, none, costs next to nothing."""
        if self.format == 1 or not self._has_policies:
            return ()
        return tuple(one for one in self.of_kind(Policy) if one.actions & action)

    @once
    def _has_passing_grants(self) -> bool:
        return any(grant.until for grant in self.grants)

    @once
    def _has_policies(self) -> bool:
        return any(one[0] == "policy" for one in self.clauses)

    @property
    def layout(self) -> Layout:
        """Which column of other versions each column is."""
        found = self.of_kind(Layout) if self.format > 1 else ()
        if found:
            return found[0]
        count = len(self.columns)
        return Layout(count, tuple(range(count)), (None,) * count)

    @property
    def least_deposit(self) -> Wei:
        """What each provider earmarks for the dataset at least; 0: as it offers."""
        return Wei(self._number(LEAST_DEPOSIT))

    @property
    def most_row_bytes(self) -> int:
        """What a row may take as it is sent; 0: no bound of this dataset's own."""
        return self._number(MOST_MESSAGE) * 1024 if self.options else 0

    @property
    def rows_kept_s(self) -> int:
        """For how long a row is kept that nobody changes; 0: for ever."""
        return self._number(ROWS_KEPT) if self.options else 0

    @property
    def has_ordered_rows(self) -> bool:
        """Whether the ids of rows begin as their primary keys do, which providers may read."""
        if not self.options or not self._number(ROWS_IN_ORDER):
            return False
        keyed = self.key_columns
        return bool(keyed) and all(column.clear for column in keyed)

    def _number(self, name: str) -> int:
        return next((int(value) for key, value in self.options if key == name), 0)

    def column(self, name: str) -> Column:
        """Return a column by name.

        Raises:
            UnknownColumn: there is none.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise UnknownColumn(f"dataset {self.name} has no column {name}")

    def at(self, now_s: float) -> Manifest:
        """Return the manifest with only the grants that have not expired at a time.

        It is the very same one if none has.
        """
        if not self._has_passing_grants:
            return self
        live = tuple(grant for grant in self.grants if not grant.until or grant.until > now_s)
        if len(live) == len(self.grants):
            return self
        return msgspec.structs.replace(self, grants=live)


class SignedManifest(Record, frozen=True):
    """A manifest with its owner's signature."""

    manifest: Manifest
    signature: bytes


def dataset_id(owner: Address, nonce: bytes) -> DatasetId:
    """Return the id of a dataset: for ever bound to its owner and nonce."""
    return DatasetId(tagged_hash("mfdb.dataset.v1", owner, nonce))


def check_manifest(signed: SignedManifest, network: Hash) -> None:
    """Return quietly if a manifest may stand on its own: id, signature and numbers are right.

    Raises:
        WrongVersion: another release's format.
        WrongNetwork, BadSignature, BadProof, MalformedMessage, SchemaViolation: it may not stand.
    """
    manifest = signed.manifest
    check_network(manifest.network, network)
    if manifest.format not in FORMATS:
        raise WrongVersion(
            f"a manifest of format {manifest.format}, this release reads 1 to {FORMAT}",
            hint="the dataset's owner runs another release of mfdb",
        )
    if not 0 <= manifest.number < 2**31 or not 0 <= manifest.acl_epoch < 2**63:
        raise MalformedMessage("a manifest's number or access epoch is out of range")
    if manifest.dataset != dataset_id(manifest.owner, manifest.nonce):
        raise BadProof("the dataset id does not follow from owner and nonce")
    if (manifest.number == 0) != (manifest.previous == ZERO_HASH):
        raise BadProof("only the first manifest has no previous one")
    check_signature(manifest, signed.signature, manifest.owner)
    _check_schema(manifest)


def check_successor(current: Manifest, successor: Manifest) -> None:
    """Return quietly if `successor` may follow `current`.

    Raises:
        BadProof: it is of another dataset, skips a number, or does not name `current`.
    """
    if successor.dataset != current.dataset or successor.previous != current.hash:
        raise BadProof("the manifest does not follow the one that is in force")
    if successor.number != current.number + 1 or successor.acl_epoch < current.acl_epoch:
        raise BadProof("manifest numbers grow by one and access epochs never go back")


def certifying_quorum(chain: Iterable[Manifest]) -> int:
    """Return how many replicas must have certified a segment: the least that ever had to.

    A certificate holds for ever: whoever asks for more signatures from now on keeps what he has.
    """
    return min(manifest.profile.write_quorum for manifest in chain)


def _check_schema(manifest: Manifest) -> None:
    names = [column.name for column in manifest.columns]
    if not names or len(names) > 256 or len(set(names)) != len(names):
        raise SchemaViolation("a dataset has 1 to 256 columns with distinct names")
    if any(len(name) > NAME_CHARACTERS for name in (manifest.name, *names)):
        raise SchemaViolation(f"a name has at most {NAME_CHARACTERS} characters")
    if not manifest.read_keys or any(len(key.public) != 32 for key in manifest.read_keys):
        raise SchemaViolation("a dataset has at least one read key of 32 bytes")
    if manifest.kind is Kind.VIEW and manifest.format == 1:
        raise SchemaViolation("a manifest of format 1 describes no view")
    _check_expressions(manifest)
    _check_options(manifest)
    manifest.profile.check()


def _check_options(manifest: Manifest) -> None:
    for name, value in manifest.options:
        is_number = value.isascii() and value.isdigit() and len(value) <= _DIGITS
        if name in _NUMBERS and not is_number:
            raise SchemaViolation(f"option {name} of {manifest.name} is no number")


def _check_expressions(manifest: Manifest) -> None:
    """Else a stranger's manifest would decide how deep and for how long every node evaluates."""
    conditions = [grant.condition for grant in manifest.grants if grant.condition is not None]
    specials = SPECIAL_DEFAULTS if manifest.format > 1 else (DEFAULT_NOW,)
    defaults = [
        column.default
        for column in manifest.columns
        if column.default is not None and column.default not in specials
    ]
    for written in (*conditions, *defaults):
        expression.check(written)
    if manifest.format == 1:
        for written in manifest.clauses:
            expression.check(written)
        return
    check_clauses(manifest.parsed_clauses, [column.name for column in manifest.columns])
    is_view = bool(manifest.of_kind(View))
    if is_view != (manifest.kind is Kind.VIEW):
        raise SchemaViolation("a view has a query, and nothing else has")
