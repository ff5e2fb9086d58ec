"""Foreign keys: what a change does to the rows that refer, and which changes they forbid.

    mutation -> rows that refer to keys that go -> CASCADE, SET NULL, SET DEFAULT: more mutations
             -> at the end: every row refers to one that is there, nobody to one that is gone

NO ACTION is judged when the whole statement is done, RESTRICT at once (PostgreSQL's rules). A NULL
among the columns refers to nothing (MATCH SIMPLE).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mfdb.kernel.errors import ForeignKeyViolation
from mfdb.sql.convert import to_text
from mfdb.sql.dml import check_row, check_unique, default_of, updates
from mfdb.sql.tables import (
    FullScan,
    IndexRange,
    KeyLookup,
    Mutation,
    RowDelete,
    RowInsert,
    StoredRow,
    ValueLookup,
)
from mfdb.sql.types import from_storage

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from mfdb.kernel.ids import DatasetId
    from mfdb.sql.catalogue import ForeignSchema, TableSchema
    from mfdb.sql.compile import Environment
    from mfdb.sql.tables import Change, Key, Tables, Values

_QUIET = ("NO ACTION", "RESTRICT")


class Relations(Protocol):
    """Which datasets refer to which."""

    def by_id(self, dataset: DatasetId) -> TableSchema:
        """Return a dataset that is known."""
        ...

    def referring(self, dataset: DatasetId) -> Sequence[tuple[TableSchema, ForeignSchema]]:
        """Return the foreign keys that refer to a dataset, with their datasets."""
        ...


class ForeignKeys:
    """Enforces the foreign keys that one statement's changes touch.

    `note` makes a mutation visible to what `tables` reads afterwards; `watch` is told of datasets
    whose rows something was judged by.
    """

    def __init__(
        self,
        relations: Relations,
        tables: Tables,
        note: Callable[[Mutation], None],
        watch: Callable[[DatasetId], None],
        about: Environment,
    ) -> None:
        self._relations = relations
        self._tables = tables
        self._note = note
        self._watch = watch
        self._about = about
        self._left: list[tuple[TableSchema, ForeignSchema, TableSchema, set[Key]]] = []

    def enforce(self, mutations: Sequence[Mutation]) -> None:
        """Carry out what follows from changes that were noted already.

        Raises:
            ForeignKeyViolation: they are forbidden.
            NotNullViolation, SchemaViolation, DuplicateRow: what follows from them is.
        """
        queue, done = list(mutations), list(mutations)
        while queue:
            mutation = queue.pop(0)
            for child, key in self._relations.referring(mutation.table.dataset):
                extra = self._follow(mutation, child, key)
                if extra is not None:
                    self._note(extra)
                    queue.append(extra)
                    done.append(extra)
        for mutation in done:
            for key in mutation.table.foreign_keys:
                self._demand_parents(mutation, key)
        for child, key, parent, keys in self._left:
            self._refuse_orphans(child, key, parent, keys)

    # ---- rows that refer

    def _follow(
        self, mutation: Mutation, child: TableSchema, key: ForeignSchema
    ) -> Mutation | None:
        parent = mutation.table
        places = _places(parent, key.references)
        deleted, moved = _changed(mutation, places)
        if deleted or moved:
            self._watch(child.dataset)
            self._watch(parent.dataset)
        changes: list[Change] = []
        pairs: list[tuple[Values, StoredRow]] = []
        for action, keys in ((key.on_delete, deleted), (key.on_update, set(moved))):
            if not keys:
                continue
            if action in _QUIET:
                if action == "RESTRICT":
                    self._refuse_orphans(child, key, parent, keys)
                self._left.append((child, key, parent, keys))
                continue
            for row in find(child, key.places, keys, self._tables):
                if action == "CASCADE" and keys is deleted:
                    changes.append(RowDelete(row.row_id, row))
                else:
                    to = moved.get(_key(row.values, key.places)) if action == "CASCADE" else None
                    pairs.append((self._changed_row(child, key, row, action, to), row))
        if pairs:
            check_unique(child, [new for new, _ in pairs], [old for _, old in pairs], self._tables)
            changes += updates(child, pairs)
        if not changes:
            return None
        kept = tuple((old.values, new) for new, old in pairs)
        return Mutation(child, tuple(changes), len(changes), (), (), moved=kept)

    def _changed_row(
        self, child: TableSchema, key: ForeignSchema, row: StoredRow, action: str, to: Key | None
    ) -> Values:
        values = list(row.values)
        for at, place in enumerate(key.places):
            if to is not None:
                values[place] = to[at]
            elif action == "SET DEFAULT":
                values[place] = default_of(child.columns[place], self._about)
            else:
                values[place] = None
        return check_row(child, tuple(values), self._about)

    def _refuse_orphans(
        self, child: TableSchema, key: ForeignSchema, parent: TableSchema, keys: Collection[Key]
    ) -> None:
        places = _places(parent, key.references)
        there = {_key(row.values, places) for row in find(parent, places, keys, self._tables)}
        gone = {one for one in keys if one not in there}
        for row in find(child, key.places, gone, self._tables) if gone else ():
            shown = _shown(child, key.places, row.values)
            raise ForeignKeyViolation(
                f"rows of {child.name} refer to a row of {parent.name} that would go: "
                f"({', '.join(key.references)}) = ({shown}), by {key.name}",
                hint=f"change the rows of {child.name} first, or declare {key.name} ON DELETE ...",
            )

    # ---- rows that are referred to

    def _demand_parents(self, mutation: Mutation, key: ForeignSchema) -> None:
        wanted = {
            _key(new, key.places): new
            for old, new in pairs_of(mutation)
            if new is not None and (old is None or _key(old, key.places) != _key(new, key.places))
        }
        wanted = {found: row for found, row in wanted.items() if None not in found}
        if not wanted:
            return
        parent = self._relations.by_id(key.dataset)
        self._watch(parent.dataset)
        places = _places(parent, key.references)
        there = {_key(row.values, places) for row in find(parent, places, wanted, self._tables)}
        for found, row in wanted.items():
            if found not in there and self._is_kept(mutation.table, key, found):
                raise _no_parent(mutation.table, key, parent, row)

    def _is_kept(self, table: TableSchema, key: ForeignSchema, found: Key) -> bool:
        """A row that this statement made may be gone again by what followed."""
        return any(True for _ in find(table, key.places, (found,), self._tables))


def demand_rows(
    table: TableSchema,
    key: ForeignSchema,
    rows: Sequence[Values],
    relations: Relations,
    tables: Tables,
) -> None:
    """Return quietly if rows that are there refer to rows that are there too.

    Raises:
        ForeignKeyViolation: one does not.
    """
    wanted = {_key(values, key.places): values for values in rows}
    wanted = {found: values for found, values in wanted.items() if None not in found}
    parent = relations.by_id(key.dataset)
    places = _places(parent, key.references)
    there = {_key(row.values, places) for row in find(parent, places, wanted, tables)}
    for found, values in wanted.items():
        if found not in there:
            raise _no_parent(table, key, parent, values)


def _no_parent(
    table: TableSchema, key: ForeignSchema, parent: TableSchema, values: Values
) -> ForeignKeyViolation:
    shown = _shown(table, key.places, values)
    names = ", ".join(table.columns[place].name for place in key.places)
    return ForeignKeyViolation(
        f"dataset {parent.name} has no row with ({', '.join(key.references)}) = "
        f"({shown}), to which ({names}) of {table.name} refers by {key.name}",
        hint=f"insert that row into {parent.name} first",
    )


def pairs_of(mutation: Mutation) -> Iterator[tuple[Values | None, Values | None]]:
    """Yield the values of each row before and after; None where there is none."""
    yield from mutation.moved
    told = {id(values) for pair in mutation.moved for values in pair}
    for change in mutation.changes:
        old = None if isinstance(change, RowInsert) else change.old.values
        new = None if isinstance(change, RowDelete) else change.values
        if id(old) not in told and id(new) not in told:
            yield old, new


def _changed(mutation: Mutation, places: tuple[int, ...]) -> tuple[set[Key], dict[Key, Key]]:
    """Return the keys of rows that go, and those that change with what they become."""
    deleted: set[Key] = set()
    moved: dict[Key, Key] = {}
    for old, new in pairs_of(mutation):
        before = None if old is None else _key(old, places)
        if before is None or None in before:
            continue
        if new is None:
            deleted.add(before)
        elif (after := _key(new, places)) != before:
            moved[before] = after
    return deleted, moved


def find(
    table: TableSchema, places: tuple[int, ...], keys: Collection[Key], tables: Tables
) -> Iterator[StoredRow]:
    """Yield the rows with one of these values in these columns, by the best index there is."""
    wanted = set(keys)
    for row in tables.scan(table, _access(table, places, tuple(wanted))):
        if _key(row.values, places) in wanted:
            yield row


def _access(
    table: TableSchema, places: tuple[int, ...], keys: tuple[Key, ...]
) -> KeyLookup | IndexRange | ValueLookup | FullScan:
    if set(table.key) == set(places):
        order = [places.index(place) for place in table.key]
        return KeyLookup(tuple(tuple(key[at] for at in order) for key in keys))
    if len(places) == 1 and table.columns[places[0]].unique:
        return ValueLookup(places[0], tuple(key[0] for key in keys))
    for index in table.indexes:
        first = tuple(place for place, _ in index.places[: len(places)])
        if set(first) == set(places):
            order = [places.index(place) for place in first]
            prefixes = tuple(tuple(key[at] for at in order) for key in keys)
            return IndexRange(index=index, prefixes=prefixes)
    if len(places) == 1:
        return ValueLookup(places[0], tuple(key[0] for key in keys))
    return FullScan()


def _places(table: TableSchema, names: Sequence[str]) -> tuple[int, ...]:
    found = [table.place(name) for name in names]
    return tuple(place for place in found if place is not None)


def _key(values: Values, places: tuple[int, ...]) -> Key:
    return tuple(values[place] for place in places)


def _shown(table: TableSchema, places: tuple[int, ...], values: Values) -> str:
    kinds = [table.columns[place].type for place in places]
    texts = [
        to_text(from_storage(values[place], kind), kind)
        for place, kind in zip(places, kinds, strict=True)
    ]
    text = ", ".join(texts)
    return text if len(text) <= 80 else text[:77] + "..."
