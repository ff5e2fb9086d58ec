"""Bugs to plant, so that the checkers are seen to catch them. Never used but by `--plant`.

Each stands for a mistake that a hurried change could make in one place.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import PropertyMock, patch

from mfdb.kernel.errors import ProgrammingError
from mfdb.node.client.writing import Push
from mfdb.node.provider import sealing
from mfdb.node.provider.auditing import Auditing
from mfdb.node.provider.healing import Healing
from replication.seal import Release

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Set
    from contextlib import AbstractContextManager

    from mfdb.kernel.ids import ChangesetId
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


PLANTS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "acknowledge-before-quorum": lambda: patch.object(
        Push, "_need", new_callable=PropertyMock, return_value=1
    ),
    "release-without-all-shards": lambda: patch.object(
        sealing, "may_release", _release_without_all_shards
    ),
    "never-reconcile": lambda: patch.object(Healing, "_pull", _do_nothing),
    "never-audit": lambda: patch.object(Auditing, "look", _do_nothing),
}


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
