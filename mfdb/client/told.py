"""What SHOW tells, as relations of schema `mf` that any query may read and join.

`mf.columns`, `mf.grants` and `mf.definitions` tell of every dataset at once and name it first.
What only the network knows (`mf.peers` ...) is asked for before the query runs (`keep`).
`information_schema` has the two relations that tools look at, in PostgreSQL's words.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mfdb.client import show
from mfdb.client.listening import show_channels
from mfdb.client.names import SCHEMAS
from mfdb.client.results import Column, Result
from mfdb.client.show_create import show_create, show_policies
from mfdb.client.upkeep import show_indexes
from mfdb.client.verifying import show_proofs
from mfdb.kernel.digest import tagged_hash
from mfdb.kernel.errors import NetworkError, UnknownDataset
from mfdb.kernel.ids import DatasetId, RowId
from mfdb.kernel.ids import show as show_id
from mfdb.rules.evidence import EMBEDDED
from mfdb.rules.given_up import is_given_up
from mfdb.rules.manifest import Kind
from mfdb.sql.catalogue import ColumnSchema, TableSchema
from mfdb.sql.convert import to_stored
from mfdb.sql.show_expression import show_expression
from mfdb.sql.tables import FullScan, StoredRow
from mfdb.sql.types import parse_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mfdb.client.state import SessionState
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.reading import Reading
    from mfdb.sql import statement as st
    from mfdb.sql.tables import Access, ColumnScan, Tables

SCHEMA, INFORMATION = SCHEMAS


def asked_of_network(name: st.TableName) -> str | None:
    """Return the word of SHOW for a relation that only the network can tell, or None."""
    word = name.name.replace("_", " ")
    return word if name.owner == SCHEMA and word in show.OF_NETWORK else None


class Told:
    """The relations of one session."""

    def __init__(self, state: SessionState) -> None:
        self._state = state
        self._kept: dict[str, Result] = {}

    def keep(self, word: str, result: Result) -> None:
        """Keep what the network told, for the query that is about to read it."""
        self._kept[word] = result

    @contextmanager
    def keeping(self, word: str, result: Result) -> Iterator[None]:
        """Let the relation of a word tell this and nothing else inside `with`."""
        before = self._kept.pop(word, None)
        self._kept[word] = result
        try:
            yield
        finally:
            del self._kept[word]
            if before is not None:
                self._kept[word] = before

    def tell(self, word: str, reading: Reading) -> Result | None:
        """Return what a relation of schema `mf` tells, None if the session tells no such thing."""
        teller = _TELLERS.get((SCHEMA, word))
        return None if teller is None else teller(self._state, reading)

    def relation(self, name: st.TableName, reading: Reading) -> ToldRelation:
        """Return what a name of these schemas tells now.

        Raises:
            UnknownDataset: there is no such relation.
            NetworkError: only the network knows, and none is open.
        """
        kept = self._kept.get(name.name.replace("_", " ")) if name.owner == SCHEMA else None
        if kept is not None:
            return ToldRelation(name, kept, self._state)
        if asked_of_network(name) is not None:
            raise NetworkError(
                f"{name} asks the network, and none is open",
                hint="connect with network=...",
                position=name.position,
            )
        found = _TELLERS.get((name.owner or "", name.name))
        if found is None:
            raise UnknownDataset(
                f"there is no relation {name.owner}.{name.name}",
                hint=f"{name.owner} has: {', '.join(names_of(name.owner or ''))}",
                position=name.position,
            )
        return ToldRelation(name, found(self._state, reading), self._state)


def names_of(schema: str) -> list[str]:
    """Return the names of a schema's relations."""
    own = [name for owner, name in _TELLERS if owner == schema]
    asked = [word.replace(" ", "_") for word in show.OF_NETWORK] if schema == SCHEMA else []
    return own + asked


class ToldRelation:
    """One answer of SHOW, as a dataset that can be read only."""

    def __init__(self, name: st.TableName, result: Result, state: SessionState) -> None:
        text = f"{name.owner}.{name.name}"
        self._result = result
        self.schema = TableSchema(
            name=name.name,
            owner=state.me,
            dataset=DatasetId(tagged_hash("mfdb.told", text.encode())),
            columns=tuple(
                ColumnSchema(name=column.name, type=parse_type(column.type))
                for column in result.columns
            ),
            owner_ordered=False,
            told=True,
        )

    def rows(self) -> Iterator[StoredRow]:
        """Yield the rows as statements read them."""
        kinds = [column.type for column in self.schema.columns]
        for number, row in enumerate(self._result.rows):
            values = tuple(to_stored(value, kind) for value, kind in zip(row, kinds, strict=True))
            yield StoredRow(RowId(number.to_bytes(8, "big")), values, None, 0)


class ToldTables:
    """`mfdb.sql.tables.Tables` of datasets, and of the relations that a statement names."""

    def __init__(self, tables: Tables, told: dict[DatasetId, ToldRelation]) -> None:
        self._tables = tables
        self._told = told

    def columns(self, table: TableSchema) -> ColumnScan | None:
        """Return the rows by column, if the relation is a dataset that has them so."""
        return None if table.told else self._tables.columns(table)

    def greatest(self, table: TableSchema, place: int) -> int | None:
        """Return the greatest integer that a column of a dataset holds."""
        return self._tables.greatest(table, place)

    def scan(self, table: TableSchema, access: Access) -> Iterator[StoredRow]:
        """Yield the rows that an access describes."""
        if not table.told:
            return self._tables.scan(table, access)
        assert isinstance(access, FullScan), "these relations have neither keys nor indexes"
        return self._told[table.dataset].rows()


# ---- who tells what


def _datasets(reading: Reading) -> Iterable[Known]:
    return (known for known in reading.datasets() if not is_given_up(known.manifest))


def _of_each(tell: Callable[[Known], Result]) -> Callable[[SessionState, Reading], Result]:
    """Return what tells of all datasets what SHOW tells of one, with their names in front."""

    def told(_state: SessionState, reading: Reading) -> Result:
        columns: tuple[Column, ...] = ()
        rows: list[tuple[object, ...]] = []
        for known in _datasets(reading):
            one = tell(known)
            columns = one.columns
            whose = (known.manifest.name, show_id(known.manifest.owner))
            rows += [(*whose, *row) for row in one.rows]
        first = (Column("dataset", "TEXT"), Column("owner", "IDENTITY"))
        every = (*first, *(columns or _EMPTY[tell]))
        return Result(f"SHOW {len(rows)}", every, rows, len(rows))

    return told


_EMPTY: dict[Any, tuple[Column, ...]] = {
    show.show_columns: (
        Column("name", "TEXT"),
        Column("type", "TEXT"),
        Column("nullable", "BOOLEAN"),
        Column("key", "TEXT"),
        Column("default_value", "TEXT"),
        Column("clear", "BOOLEAN"),
    ),
    show.show_grants: (
        Column("action", "TEXT"),
        Column("grantee", "TEXT"),
        Column("columns", "TEXT"),
        Column("condition", "TEXT"),
        Column("until", "TIMESTAMPTZ"),
    ),
}
"""The columns where there is no dataset to tell of."""


def _definitions(_state: SessionState, reading: Reading) -> Result:
    columns = (
        Column("dataset", "TEXT"),
        Column("owner", "IDENTITY"),
        Column("statement", "TEXT"),
    )
    rows: list[tuple[object, ...]] = [
        (known.manifest.name, show_id(known.manifest.owner), *row)
        for known in _datasets(reading)
        for row in show_create(reading, known).rows
    ]
    return Result(f"SHOW {len(rows)}", columns, rows, len(rows))


def _owned(state: SessionState, reading: Reading) -> Result:
    mine = [known for known in _datasets(reading) if known.manifest.owner == state.me]
    return show.show_conflicts(reading, mine, state.me)


def _tables(_state: SessionState, reading: Reading) -> Result:
    columns = tuple(
        Column(name, "TEXT")
        for name in ("table_catalog", "table_schema", "table_name", "table_type")
    )
    rows: list[tuple[object, ...]] = [
        (
            "mfdb",
            show_id(known.manifest.owner),
            known.manifest.name,
            "VIEW" if known.manifest.kind is Kind.VIEW else "BASE TABLE",
        )
        for known in _datasets(reading)
    ]
    rows += [("mfdb", schema, name, "VIEW") for schema in SCHEMAS for name in names_of(schema)]
    return Result(f"SHOW {len(rows)}", columns, rows, len(rows))


def _columns(_state: SessionState, reading: Reading) -> Result:
    names = {
        "table_catalog": "TEXT",
        "table_schema": "TEXT",
        "table_name": "TEXT",
        "column_name": "TEXT",
        "ordinal_position": "INTEGER",
        "column_default": "TEXT",
        "is_nullable": "TEXT",
        "data_type": "TEXT",
    }
    rows: list[tuple[object, ...]] = []
    for known in _datasets(reading):
        manifest = known.manifest
        for number, column in enumerate(manifest.columns, 1):
            default = None if column.default is None else show_expression(column.default)
            null = "NO" if column.not_null or column.key else "YES"
            about = (column.name, number, default, null, column.type)
            rows.append(("mfdb", show_id(manifest.owner), manifest.name, *about))
    columns = tuple(Column(name, kind) for name, kind in names.items())
    return Result(f"SHOW {len(rows)}", columns, rows, len(rows))


_TELLERS: dict[tuple[str, str], Callable[[Any, Reading], Result]] = {
    (SCHEMA, "datasets"): lambda state, reading: show.show_datasets(reading, state.me, EMBEDDED),
    (SCHEMA, "columns"): _of_each(show.show_columns),
    (SCHEMA, "grants"): _of_each(show.show_grants),
    (SCHEMA, "definitions"): _definitions,
    (SCHEMA, "policies"): lambda _, reading: show_policies(list(_datasets(reading))),
    (SCHEMA, "indexes"): lambda _, reading: show_indexes(reading, list(_datasets(reading))),
    (SCHEMA, "identities"): lambda state, _: show.show_identities(state.identities, state.me),
    (SCHEMA, "settings"): lambda state, _: show.show_settings(state.settings),
    (SCHEMA, "conflicts"): _owned,
    (SCHEMA, "subscriptions"): lambda state, _: state.subscriptions.show(),
    (SCHEMA, "channels"): lambda state, _: show_channels(state),
    (SCHEMA, "proofs"): lambda state, _: show_proofs(state),
    (INFORMATION, "tables"): _tables,
    (INFORMATION, "columns"): _columns,
}
