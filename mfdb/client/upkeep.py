"""CREATE INDEX, DROP INDEX, SHOW INDEXES, VACUUM and CHECK DATABASE: what this machine keeps.

Indexes belong to a machine, not to a dataset: nobody signs them, and another replica may do without
them. Their names are unique among the datasets that are known here, as in a schema of PostgreSQL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.client.results import Result, table
from mfdb.kernel.errors import DependentObjects, DuplicateDataset, UnknownObject
from mfdb.kernel.nearest import nearest_hint
from mfdb.rules.clauses import Unique

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.reading import Reading
    from mfdb.dataset.replica import Replica
    from mfdb.rules.manifest import Manifest
    from mfdb.sql import statement as st
    from mfdb.sql.bound import BoundIndex

NAME_CHARACTERS = 128


def create_index(replica: Replica, bound: BoundIndex) -> Result:
    """Make the index of a bound CREATE INDEX, while others write.

    Raises:
        DuplicateDataset: the name is taken.
        DuplicateRow: it is UNIQUE, and two rows have the same values.
    """
    node = bound.statement
    with replica.reading() as reading:
        taken = {name for _, name in _names(reading)}
    if node.name is not None and node.name.text in taken:
        if node.if_not_exists:
            return Result(tag="CREATE INDEX")
        raise DuplicateDataset(
            f"an index {node.name.text} exists already",
            hint="choose another name, or CREATE INDEX IF NOT EXISTS",
            position=node.name.position,
        )
    name = node.name.text if node.name is not None else _free_name(bound, taken)
    replica.create_index(bound.table.dataset, name, bound.columns, unique=node.unique)
    return Result(tag="CREATE INDEX")


def drop_index(replica: Replica, node: st.DropIndex, known: Known | None) -> Result:
    """Remove an index; `known` is the dataset that the statement names, if it names one.

    Raises:
        UnknownObject: there is none of that name; the hint names the nearest.
    """
    with replica.reading() as reading:
        names = list(_names(reading))
    for manifest, name in names:
        right = known is None or known.manifest.dataset == manifest.dataset
        if name == node.name.text and right:
            if any(name == clause.name for clause in manifest.of_kind(Unique)):
                raise DependentObjects(
                    f"constraint {name} of {manifest.name} needs index {name}",
                    hint=f"ALTER TABLE {manifest.name} DROP CONSTRAINT {name}",
                    position=node.name.position,
                )
            replica.drop_index(manifest.dataset, name)
            return Result(tag="DROP INDEX")
    if node.if_exists:
        return Result(tag="DROP INDEX")
    there = [name for _, name in names]
    raise UnknownObject(
        f"there is no index {node.name.text}",
        hint=nearest_hint(node.name.text, there, "SHOW INDEXES lists those of this machine"),
        position=node.name.position,
    )


def show_indexes(reading: Reading, datasets: Sequence[Known]) -> Result:
    """Return the keys and indexes of datasets, in the order in which they are looked up."""
    names = {
        "index": "TEXT",
        "dataset": "TEXT",
        "columns": "TEXT",
        "is_unique": "BOOLEAN",
        "kind": "TEXT",
        "ready": "BOOLEAN",
    }
    rows = [row for known in datasets for row in _rows(reading, known)]
    return table("SHOW", names, rows)


def vacuum(replica: Replica, expired: int) -> Result:
    """Give free room back to the disk and return the bytes before and after.

    `expired` rows had been kept for long enough, and were deleted before.

    Raises:
        OperationalError: somebody reads just now, or the disk is full.
    """
    before, after = replica.vacuum()
    names = {"bytes_before": "BIGINT", "bytes_after": "BIGINT", "expired": "BIGINT"}
    made = table("VACUUM", names, [(before, after, expired)])
    return Result(tag="VACUUM", columns=made.columns, rows=made.rows, count=1)


def check_database(replica: Replica) -> Result:
    """Verify everything that is kept here; return what was looked at and what is wrong."""
    report = replica.check()
    rows: list[tuple[object, ...]] = [
        ("datasets", str(report.datasets)),
        ("changesets", str(report.changesets)),
        ("rows", str(report.rows)),
        ("index entries", str(report.index_entries)),
        ("problems", str(report.wrong)),
    ]
    rows += [("problem", problem) for problem in report.problems]
    made = table("CHECK DATABASE", {"checked": "TEXT", "found": "TEXT"}, rows)
    return Result(tag="CHECK DATABASE", columns=made.columns, rows=rows, count=len(rows))


def _names(reading: Reading) -> Iterator[tuple[Manifest, str]]:
    for known in reading.datasets():
        for index in reading.indexes(known):
            if index.info.is_ready:
                yield known.manifest, index.info.name


def _free_name(bound: BoundIndex, taken: set[str]) -> str:
    """The name that PostgreSQL gives: dataset, columns, idx, and a number if that is taken."""
    columns = "_".join(name for name, _ in bound.columns)
    base = f"{bound.table.name}_{columns}"[: NAME_CHARACTERS - 12] + "_idx"
    name, number = base, 0
    while name in taken:
        number += 1
        name = f"{base}{number}"
    return name


def _rows(reading: Reading, known: Known) -> Iterator[tuple[object, ...]]:
    manifest = known.manifest
    key = ", ".join(column.name for column in manifest.key_columns)
    if key:
        yield f"{manifest.name}_pkey", manifest.name, key, True, "primary key", True
    for column in manifest.columns:
        if column.unique:
            name = f"{manifest.name}_{column.name}_key"
            yield name, manifest.name, column.name, True, "unique", True
    constraints = {clause.name for clause in manifest.of_kind(Unique)}
    for index in sorted(reading.indexes(known), key=lambda one: one.info.name):
        info = index.info
        columns = ", ".join(name + (" DESC" if down else "") for name, down in info.columns)
        kind = "unique" if info.name in constraints else "index"
        yield info.name, manifest.name, columns, info.unique, kind, info.is_ready
