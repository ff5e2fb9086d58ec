"""ALTER: the next manifest of a dataset, and what its rows must satisfy from then on.

    statement -> draft of columns, clauses and grants, change by change
              -> rows that are there are judged by what is new -> signed manifest

Rows stay as they were signed: a column keeps its number through all manifests, so that a row of an
older manifest is shown in the columns of today. Nothing is written but the manifest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.client import definitions
from mfdb.client.dropping import drop_views
from mfdb.client.results import Result
from mfdb.client.tables import LocalTables
from mfdb.dataset.layouts import carrier
from mfdb.kernel.errors import DependentObjects, UnknownDataset, WrongObject
from mfdb.rules.manifest import Kind
from mfdb.sql import statement as st
from mfdb.sql.bind_alter import Draft
from mfdb.sql.bound import Parameters
from mfdb.sql.catalogue import schema_of
from mfdb.sql.dml import check_row, default_of, duplicate, key_of
from mfdb.sql.foreign import demand_rows
from mfdb.sql.parameters import environment

if TYPE_CHECKING:
    from mfdb.client.defining import Defining
    from mfdb.client.ground import Ground
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.reading import Reading
    from mfdb.rules.manifest import Manifest, SignedManifest
    from mfdb.sql.catalogue import TableSchema
    from mfdb.sql.compile import Environment


class Altering:
    """Carries ALTER out."""

    def __init__(self, ground: Ground, defining: Defining) -> None:
        self._ground = ground
        self._defining = defining

    def run(self, node: st.Alter) -> Result:
        """Change a dataset's definition, all of it or nothing.

        Raises:
            ProgrammingError, NotSupportedError: it cannot be changed so.
            IntegrityError: rows that are there do not satisfy what is new.
        """
        self._defining.refuse_in_batch()
        tag = "ALTER VIEW" if node.view else "ALTER DATASET"
        try:
            known = self._defining.own(node.table)
        except UnknownDataset:
            if node.if_exists:
                return Result(tag=tag)
            raise
        signed, draft = self.altered(node, known)
        if draft.cascades:
            drop_views(self._ground, known)
        self._ground.state.replica.add_manifests([signed])
        return Result(tag=tag)

    def altered(self, node: st.Alter, known: Known) -> tuple[SignedManifest, Draft]:
        """Return the next manifest, signed, and what was drafted.

        Raises:
            ProgrammingError, NotSupportedError, IntegrityError: see `run`.
        """
        manifest = known.manifest
        about = environment(Parameters("", 0, ()), (), self._ground.context())
        _check_kind(node, manifest)
        with self._ground.state.replica.reading() as reading:
            catalogue = self._ground.catalogue(reading)
            draft = Draft(manifest, catalogue, lambda column: default_of(column, about))
            for change in node.changes:
                draft.change(change)
            self._check_name(node, draft, manifest)
            self._check_uses(draft, known, reading)
            after = definitions.successor(manifest, **draft.fields())
            if draft.judges:
                _Judge(reading, known, after, about, catalogue).run()
        return self._defining.definer.sign(after), draft

    def _check_name(self, node: st.Alter, draft: Draft, manifest: Manifest) -> None:
        if draft.name != manifest.name:
            name = st.TableName(position=node.table.position, name=draft.name)
            self._defining.definer.is_free(name, if_not_exists=False)

    def _check_uses(self, draft: Draft, known: Known, reading: Reading) -> None:
        """What others name must stay what it is."""
        manifest = known.manifest
        dataset = manifest.dataset
        views = reading.viewing(dataset)
        for name in draft.uses:
            if views and not draft.cascades:
                raise DependentObjects(
                    f"view {views[0].manifest.name} reads {manifest.name}",
                    hint=f"DROP VIEW {views[0].manifest.name} first",
                    position=name.position,
                )
            for child in reading.referring(dataset):
                own = child.manifest.dataset == dataset
                keys = [
                    key
                    for key in schema_of(child.manifest).foreign_keys
                    if key.dataset == dataset and name.text in key.references and not own
                ]
                if keys:
                    raise DependentObjects(
                        f"{child.manifest.name} refers to it by {keys[0].name}",
                        hint=f"ALTER TABLE {child.manifest.name} DROP CONSTRAINT {keys[0].name}",
                        position=name.position,
                    )


def _check_kind(node: st.Alter, manifest: Manifest) -> None:
    plain = all(isinstance(change, st.RenameTo) for change in node.changes)
    if manifest.kind is Kind.VIEW and not plain:
        raise WrongObject(
            f"{node.table} is a view",
            hint="CREATE OR REPLACE VIEW",
            position=node.table.position,
        )


class _Judge:
    """Judges the rows that are there by the next manifest."""

    def __init__(
        self, reading: Reading, known: Known, after: Manifest, about: Environment, catalogue: Any
    ) -> None:
        self._reading = reading
        self._known = known
        self._table: TableSchema = schema_of(after)
        self._carry = carrier(known.manifest, after)
        self._about = about
        self._catalogue = catalogue

    def run(self) -> None:
        """Return quietly if every row satisfies what the next manifest asks.

        Raises:
            NotNullViolation, SchemaViolation, DuplicateRow, ForeignKeyViolation: one does not.
        """
        table, seen = self._table, set()
        rows = []
        for row in self._reading.rows(self._known):
            values = row.values if self._carry is None else self._carry(row.values)
            check_row(table, values, self._about)
            if table.key:
                key = key_of(table, values)
                if key in seen:
                    raise duplicate(table, table.key, values)
                seen.add(key)
            if table.foreign_keys:
                rows.append(values)
        tables = LocalTables(self._reading, {})
        for foreign in table.foreign_keys:
            demand_rows(table, foreign, rows, self._catalogue, tables)
