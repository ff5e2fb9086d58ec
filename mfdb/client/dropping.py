"""DROP: what is built on a dataset goes first, by CASCADE, or keeps it from going."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.client import definitions
from mfdb.client.results import Result
from mfdb.kernel.errors import DependentObjects, UnknownDataset, WrongObject
from mfdb.rules.clauses import ForeignKey, plain
from mfdb.rules.manifest import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.client.defining import Defining
    from mfdb.client.ground import Ground
    from mfdb.dataset.catalogue import Known
    from mfdb.sql import statement as st


def drop(ground: Ground, defining: Defining, node: st.DropDataset) -> Result:
    """Give up the datasets or views that a statement names.

    Raises:
        UnknownDataset: there is none of that name, and IF EXISTS was not said.
        WrongObject: DROP VIEW of a dataset, or the other way round; DROP MAILBOX of what is none.
        DependentObjects: others refer to it or read it, and CASCADE was not said.
    """
    tag = "DROP VIEW" if node.view else "DROP MAILBOX" if node.mailbox else "DROP DATASET"
    found: list[Known] = []
    for name in node.tables:
        try:
            known = defining.own(name)
        except UnknownDataset:
            if node.if_exists:
                continue
            raise
        check_kind(known.manifest.kind, name, node)
        found.append(known)
    _Dropper(ground, defining, found).run(node)
    return Result(tag=tag)


def drop_views(ground: Ground, known: Known) -> None:
    """Drop the views that read a dataset, and those that read them."""
    replica = ground.state.replica
    with replica.reading() as reading:
        views = reading.viewing(known.manifest.dataset)
    for view in views:
        drop_views(ground, view)
        if replica.find(view.manifest.owner, view.manifest.name) is not None:
            replica.forget(view.manifest.dataset, reason="dropped")


def check_kind(kind: Kind, name: st.TableName, node: st.DropDataset) -> None:
    """Return quietly if a statement calls what it drops by what it is: a mailbox is a dataset too.

    Raises:
        WrongObject: it does not.
    """
    is_view = kind is Kind.VIEW
    if is_view == node.view and (kind is Kind.MAILBOX or not node.mailbox):
        return
    said = "a view" if is_view else "no view" if node.view else "no mailbox"
    raise WrongObject(
        f"{name} is {said}",
        hint=f"DROP {'VIEW' if is_view else 'TABLE'} {name}",
        position=name.position,
    )


class _Dropper:
    """Drops datasets and, with CASCADE, what is built on them."""

    def __init__(self, ground: Ground, defining: Defining, found: Sequence[Known]) -> None:
        self._ground = ground
        self._defining = defining
        self._found = list(found)

    def run(self, node: st.DropDataset) -> None:
        if not node.cascade:
            self._refuse(node)
        for known in self._found:
            self._forget(known)

    def _refuse(self, node: st.DropDataset) -> None:
        going = {known.manifest.dataset for known in self._found}
        with self._ground.state.replica.reading() as reading:
            for known in self._found:
                dataset = known.manifest.dataset
                built = [*reading.referring(dataset), *reading.viewing(dataset)]
                left = [one for one in built if one.manifest.dataset not in going]
                if left:
                    other = left[0].manifest
                    what = "view" if other.kind is Kind.VIEW else "dataset"
                    raise DependentObjects(
                        f"{what} {other.name} is built on {known.manifest.name}",
                        hint="DROP ... CASCADE, or drop that first",
                        position=node.table.position,
                    )

    def _forget(self, known: Known) -> None:
        """What is built on it goes first, so that nothing ever names what is not there."""
        replica, dataset = self._ground.state.replica, known.manifest.dataset
        with replica.reading() as reading:
            children = [one for one in reading.referring(dataset) if one is not known]
        for child in children:
            if child.manifest.dataset != dataset:
                self._release(child, dataset)
        drop_views(self._ground, known)
        if replica.find(known.manifest.owner, known.manifest.name) is not None:
            replica.forget(dataset, reason="dropped")

    def _release(self, child: Known, dataset: bytes) -> None:
        """Take the foreign keys away that refer to a dataset."""
        kept = [
            clause
            for clause in child.manifest.parsed_clauses
            if not (isinstance(clause, ForeignKey) and clause.dataset == dataset)
        ]
        after = definitions.successor(
            child.manifest, clauses=tuple(map(plain, kept)), revocations=()
        )
        self._ground.state.replica.add_manifests([self._defining.definer.sign(after)])
