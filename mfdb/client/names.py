"""Names in statements: which dataset of whom they mean, as this machine knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.client.identities import address_of
from mfdb.kernel.errors import UnknownIdentity, WrongObject
from mfdb.kernel.ids import DatasetId
from mfdb.rules.clauses import View
from mfdb.rules.given_up import is_given_up
from mfdb.sql.catalogue import ForeignSchema, IndexSchema, TableSchema, schema_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mfdb.client.identities import Identities
    from mfdb.client.told import Told, ToldRelation
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.reading import Reading
    from mfdb.kernel.ids import Address
    from mfdb.sql.statement import TableName


SCHEMAS = ("mf", "information_schema")
"""Owners whose relations tell what is there (`told`); no petname can mean them."""


def is_told(name: TableName) -> bool:
    """Return whether a name means a relation that tells something."""
    return name.owner in SCHEMAS


def owner_of(name: TableName, me: Address, identities: Identities) -> Address:
    """Return whose dataset a name means.

    Raises:
        WrongObject: it is a schema of relations that tell what is there, and holds nothing else.
        UnknownIdentity: the owner is a petname that nobody here has; position says where.
    """
    if name.owner is None:
        return me
    if is_told(name):
        raise WrongObject(
            f"schema {name.owner} tells what is there, and holds no dataset",
            hint=f"leave {name.owner}. out",
            position=name.position,
        )
    try:
        return address_of(name.owner, identities)
    except UnknownIdentity as error:
        error.position = name.position
        raise


class LocalCatalogue:
    """`mfdb.sql.catalogue.Catalogue` over a reading of the replica."""

    def __init__(
        self,
        reading: Reading,
        me: Address,
        identities: Identities,
        told: Callable[[], Told],
        expires: Callable[[DatasetId], None] | None = None,
    ) -> None:
        """`expires` is told of each dataset that does not keep its rows for ever."""
        self._reading = reading
        self.me = me
        self._identities = identities
        self._told = told
        self._expires = expires
        self.relations: dict[DatasetId, ToldRelation] = {}

    def known(self, name: TableName) -> Known | None:
        """Return what is known of the dataset of that name, or None."""
        if is_told(name):
            return None
        known = self._reading.find(owner_of(name, self.me, self._identities), name.name)
        if known is None or is_given_up(known.manifest):
            return None
        if self._expires is not None and known.manifest.rows_kept_s:
            self._expires(known.manifest.dataset)
        return known

    def table(self, name: TableName) -> TableSchema | None:
        """Return the dataset of that name, or None; what is told is kept for `relations`.

        Raises:
            UnknownDataset, NetworkError: a relation that tells something is not there.
        """
        if is_told(name):
            relation = self._told().relation(name, self._reading)
            self.relations[relation.schema.dataset] = relation
            return relation.schema
        known = self.known(name)
        return None if known is None else self.schema(known)

    def schema(self, known: Known) -> TableSchema:
        """Return a dataset as statements see it, with the indexes that are ready here."""
        ready = (index for index in self._reading.indexes(known) if index.info.is_ready)
        return schema_of(
            known.manifest,
            tuple(
                IndexSchema(name=one.info.name, places=one.places, unique=one.info.unique)
                for one in ready
            ),
        )

    def by_id(self, dataset: DatasetId) -> TableSchema:
        """Return a dataset that is known."""
        return self.schema(self._reading.known(dataset))

    def referring(self, dataset: DatasetId) -> list[tuple[TableSchema, ForeignSchema]]:
        """Return the foreign keys that refer to a dataset, with their datasets."""
        tables = map(self.schema, self._reading.referring(dataset))
        return [
            (table, key) for table in tables for key in table.foreign_keys if key.dataset == dataset
        ]

    def reads(self, dataset: DatasetId) -> list[DatasetId]:
        """Return what a view reads; a dataset reads nothing."""
        views = self._reading.known(dataset).manifest.of_kind(View)
        return [DatasetId(one) for view in views for one in view.reads]

    def names(self) -> Iterable[str]:
        """Return the names of all known datasets."""
        return [known.manifest.name for known in self._reading.datasets()]
