"""CREATE VIEW, CREATE TABLE AS and TRUNCATE: definitions and changes made of queries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.client.results import Result
from mfdb.client.state import Batch
from mfdb.kernel.errors import (
    DependentObjects,
    DuplicateColumn,
    InvalidDefinition,
    MfdbError,
    NotSupportedError,
    WrongObject,
)
from mfdb.rules.clauses import QUERY_CHARACTERS, View
from mfdb.rules.evidence import EMBEDDED
from mfdb.rules.manifest import Kind
from mfdb.sql import query as qu
from mfdb.sql import statement as st
from mfdb.sql.bound import BoundCreate
from mfdb.sql.names import table_of
from mfdb.sql.relational.bind_query import bind_relational
from mfdb.sql.scanner import tokenise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.client.changes import Changes
    from mfdb.client.defining import Defining
    from mfdb.client.ground import Ground
    from mfdb.client.names import LocalCatalogue
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.reading import Reading
    from mfdb.kernel.ids import DatasetId
    from mfdb.sql.bound import Output
    from mfdb.sql.parameters import Given


class Deriving:
    """Carries out what makes datasets and views of queries."""

    def __init__(self, ground: Ground, defining: Defining, changes: Changes) -> None:
        self._ground = ground
        self._defining = defining
        self._changes = changes

    # ---- views

    def view(self, node: st.CreateView, text: str) -> Result:
        """Make a view, or replace it.

        Raises:
            DuplicateDataset: the name is taken, and OR REPLACE was not said.
            InvalidDefinition: it reads itself, takes parameters, or its columns would change.
        """
        self._defining.refuse_in_batch()
        state, definer = self._ground.state, self._defining.definer
        if state.settings.owner:
            raise NotSupportedError(
                "a view keeps the names of its query as they are written",
                hint="USE DEFAULT, and write the owners of datasets in the query",
            )
        before = state.replica.find(state.me, node.table.name) if node.replace else None
        if before is None and not definer.is_free(node.table, if_not_exists=node.if_not_exists):
            return Result(tag="CREATE VIEW")
        if before is not None and before.manifest.kind is not Kind.VIEW:
            raise WrongObject(f"{node.table} is no view", position=node.table.position)
        with state.replica.reading() as reading:
            catalogue = self._ground.catalogue(reading)
            columns, reads = _bound_view(node, catalogue, before)
            if before is not None:
                _refuse_other_columns(node, columns, before, reading)
        written = query_text(text, node.query.position)
        view = View(written, tuple(dict.fromkeys(reads)))
        manifest = before.manifest if before is not None else None
        state.replica.add_manifests([definer.view(node.table, columns, view, manifest)])
        return Result(tag="CREATE VIEW")

    # ---- datasets

    def table_as(self, node: st.CreateAs, params: Given) -> Result:
        """Make a dataset that holds what a query gives; the result counts its rows.

        Raises:
            DuplicateDataset: the name is taken.
            MfdbError: the query fails; there is no dataset then.
        """
        self._defining.refuse_in_batch()
        state, definer = self._ground.state, self._defining.definer
        if not definer.is_free(node.table, if_not_exists=node.if_not_exists):
            return Result(tag="CREATE TABLE AS")
        with state.replica.reading() as reading:
            bound = bind_relational(node.query, self._ground.catalogue(reading))
        columns = named_columns(bound.outputs, node.columns, node.query.position)
        empty = _create(node, columns)
        signed = definer.create(empty, self._defining.options(empty), EMBEDDED)
        assert signed is not None, "the name was free"
        state.replica.add_manifests([signed])
        insert = st.Insert(
            position=node.position,
            table=node.table,
            columns=None,
            rows=(),
            query=qu.as_query(node.query),
        )
        try:
            done = self._changes.run_many(insert, [params], "")
        except MfdbError:
            state.replica.forget(signed.manifest.dataset, reason="its query failed")
            raise
        return Result(tag=f"SELECT {done.count}", count=done.count)

    # ---- rows

    def truncate(self, node: st.Truncate) -> Result:
        """Delete all rows of datasets, all or none.

        Raises:
            NotSupportedError: another dataset refers to one of them.
        """
        with self._ground.state.replica.reading() as reading:
            catalogue = self._ground.catalogue(reading)
            tables = [table_of(name, catalogue) for name in node.tables]
            listed = {table.dataset for table in tables}
            order = dict(zip((table.dataset for table in tables), node.tables, strict=True))
            for name, table in zip(node.tables, tables, strict=True):
                for child, key in catalogue.referring(table.dataset):
                    if child.dataset not in listed:
                        raise NotSupportedError(
                            f"{child.name} refers to {table.name} by {key.name}",
                            hint=f"TRUNCATE {table.name}, {child.name}",
                            position=name.position,
                        )
        open_batch = self._ground.state.batch
        batch = open_batch if open_batch is not None else Batch()
        for dataset in self._children_first(list(listed)):
            name = order[dataset]
            delete = st.Delete(position=name.position, table=name)
            self._changes.plan(delete, [()], f"DELETE FROM {name}", batch)
        if open_batch is None:
            self._changes.commit(batch)
        return Result(tag="TRUNCATE TABLE")

    def _children_first(self, datasets: list[DatasetId]) -> list[DatasetId]:
        """Return datasets so that one that refers comes before what it refers to."""
        with self._ground.state.replica.reading() as reading:
            catalogue = self._ground.catalogue(reading)
            referring = {
                one: {child.dataset for child, _ in catalogue.referring(one)} for one in datasets
            }
        done: list[DatasetId] = []

        def place(dataset: DatasetId, above: tuple[DatasetId, ...]) -> None:
            if dataset in done or dataset in above:
                return
            for child in sorted(referring[dataset]):
                place(child, (*above, dataset))
            done.append(dataset)

        for dataset in datasets:
            place(dataset, ())
        return done


def query_text(text: str, position: int) -> str:
    """Return the text of the query that ends a statement, without what follows it.

    Raises:
        InvalidDefinition: it is too long to be kept.
    """
    words = [token for token in tokenise(text)[:-1] if token.kind != ";"]
    written = text[position : words[-1].position + len(words[-1].text)]
    if len(written) > QUERY_CHARACTERS:
        raise InvalidDefinition(
            f"the query of a view has at most {QUERY_CHARACTERS} characters", position=position
        )
    return written


def named_columns(
    outputs: Sequence[Output], names: Sequence[st.Name], position: int
) -> list[tuple[str, str]]:
    """Return the columns of a query, called as a definition says, with their types.

    Raises:
        InvalidDefinition, DuplicateColumn: there are fewer, or two of one name.
    """
    if len(names) > len(outputs):
        raise InvalidDefinition(
            f"the query gives {len(outputs)} columns, {len(names)} are named",
            position=names[len(outputs)].position,
        )
    called = [name.text for name in names] + [one.name for one in outputs[len(names) :]]
    for at, name in enumerate(called):
        if name in called[:at]:
            raise DuplicateColumn(
                f"two columns of the query are called {name}",
                hint="name them apart: SELECT ... AS ...",
                position=position,
            )
    kinds = [str(one.type) if one.type.family != "unknown" else "TEXT" for one in outputs]
    return list(zip(called, kinds, strict=True))


def _bound_view(
    node: st.CreateView, catalogue: LocalCatalogue, before: Known | None
) -> tuple[list[tuple[str, str]], list[bytes]]:
    bound = bind_relational(node.query, catalogue)
    if bound.parameters.style:
        raise NotSupportedError(
            "a view takes no parameters", hint="write the value", position=node.query.position
        )
    reads = [table_of(name, catalogue).dataset for name in qu.tables_named(node.query)]
    own = before.manifest.dataset if before is not None else None
    if own is not None and own in _all_read(reads, catalogue):
        raise InvalidDefinition(
            f"view {node.table} would read itself", position=node.table.position
        )
    columns = named_columns(bound.outputs, node.columns, node.query.position)
    return columns, [bytes(one) for one in reads]


def _all_read(reads: Sequence[DatasetId], catalogue: LocalCatalogue) -> set[bytes]:
    """Return the datasets and views that views read, also by other views."""
    found: set[bytes] = set()
    left = list(reads)
    while left:
        dataset = left.pop()
        if dataset not in found:
            found.add(dataset)
            left += catalogue.reads(dataset)
    return found


def _refuse_other_columns(
    node: st.CreateView, columns: list[tuple[str, str]], before: Known, reading: Reading
) -> None:
    """Views that read this one know its columns; without any, it may change as it likes."""
    kept = [(column.name, column.type) for column in before.manifest.columns]
    if columns[: len(kept)] != kept and reading.viewing(before.manifest.dataset):
        raise DependentObjects(
            f"other views read the columns of {node.table}, which would change",
            hint="keep its columns and add new ones behind them, or drop those views",
            position=node.table.position,
        )


def _create(node: st.CreateAs, columns: list[tuple[str, str]]) -> BoundCreate:
    from mfdb.client.definitions import plain_columns

    create = st.CreateDataset(
        position=node.position,
        table=node.table,
        elements=(),
        if_not_exists=node.if_not_exists,
        options=(),
    )
    return BoundCreate(statement=create, columns=plain_columns(columns), clauses=())
