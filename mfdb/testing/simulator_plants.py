"""Bugs to plant, so that the checkers are seen to catch them. Never used but by `--plant`.

Each stands for a mistake that a hurried change could make in one place.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from mfdb.dataset import acceptance
from mfdb.kernel.errors import ProgrammingError
from mfdb.node.client.writing import Push
from mfdb.node.provider import bundles, healing, shelf, taking_over
from mfdb.node.provider.auditing import Auditing
from mfdb.node.provider.healing import Healing
from mfdb.rules.changeset import open_changeset
from mfdb.rules.operations import OperationKind
from mfdb.rules.placement import Assignment, PlacementEntry, Role
from replication.reconcile import respond
from replication.seal import Release

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Set
    from contextlib import AbstractContextManager

    from mfdb.kernel.ids import ChangesetId, DatasetId
    from mfdb.node.commit import Transaction
    from replication.reconcile import Items, Message, Step
    from replication.segment import SealedSegment


def _release_without_all_shards(
    receipted: Set[ChangesetId], sealed: SealedSegment, _stored: Set[int]
) -> Release:
    unlisted = frozenset(receipted) - frozenset(sealed.changesets)
    return Release(
        changesets=frozenset(sealed.changesets), unlisted=unlisted, shards_missing=frozenset()
    )


async def _do_nothing(*_: Any) -> None:
    """What a forgotten call does."""


def _respond_but_the_last(items: Items, message: Message) -> Step:
    """Leave out the last one of what either side lacks, however often it is asked."""
    step = respond(items, message)
    return replace(step, have=step.have[:-1], need=step.need[:-1])


class _One:
    """An attribute that is one, whatever it is set to."""

    def __get__(self, *_: object) -> int:
        return 1

    def __set__(self, *_: object) -> None:
        """Stay what it is."""


_reconcile = Healing._pull  # noqa: SLF001,RUF100 - the very method that the plant replaces


async def _collect_tombstones_first(self: Healing, dataset: DatasetId, replica: Any) -> None:
    """Collect deletions at once, not after every replica has seen them."""
    await self._context.committer.submit(lambda transaction: _collect(transaction, dataset))
    await _reconcile(self, dataset, replica)


def _collect(transaction: Transaction, dataset: DatasetId) -> None:
    for id_ in shelf.unsealed(transaction, dataset):
        changeset = open_changeset(shelf.changeset_data(transaction, dataset, id_) or b"")
        if all(one.kind is OperationKind.DELETE for one in changeset.operations):
            shelf.release(transaction, dataset, id_)


def _place_beside(**fields: Any) -> PlacementEntry:
    """Take the neighbour's slot over as well, so that one provider holds two shards."""
    taken: tuple[Assignment, ...] = fields["assignments"]
    if fields["case"] and taken:
        slot = (taken[0].slot + 1) % 6
        beside = Assignment(role=Role.SHARD, slot=slot, provider=taken[0].provider)
        fields["assignments"] = tuple(sorted((*taken, beside), key=lambda one: one.slot))
    return PlacementEntry(**fields)


PLANTS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "w-counting": lambda: patch.object(Push, "_need", _One(), create=True),
    "sealing-release": lambda: patch.object(bundles, "may_release", _release_without_all_shards),
    "reconciliation": lambda: patch.object(healing, "respond", _respond_but_the_last),
    "tombstone-grace": lambda: patch.object(Healing, "_pull", _collect_tombstones_first),
    "hlc-bound": lambda: patch.object(acceptance, "HLC_AHEAD_S", 10.0**9),
    "repair-placement": lambda: patch.object(taking_over, "PlacementEntry", _place_beside),
    "never-reconcile": lambda: patch.object(Healing, "_pull", _do_nothing),
    "never-audit": lambda: patch.object(Auditing, "look", _do_nothing),
}
"""By what they break; one of each place that DESIGN 8 and 13 stand on, and two forgotten calls."""


@contextmanager
def planted(name: str | None) -> Iterator[None]:
    """Plant a bug while the context lasts.

    Raises:
        ProgrammingError: there is none of that name.
    """
    if name is None:
        yield
        return
    if name not in PLANTS:
        raise ProgrammingError(f"there is no bug {name}", hint="known: " + ", ".join(PLANTS))
    with PLANTS[name]():
        yield
