"""Compiled statements by their text, each good for one state of the rules of its dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from mfdb.dataset.catalogue import Known

MOST = 256
"""Statements remembered of each kind; the oldest goes first."""
_T = TypeVar("_T")


class Plans:
    """What was compiled for a text, while the rules of its dataset stand."""

    def __init__(self) -> None:
        self._plans: dict[str, tuple[Known, Any]] = {}

    def find(self, text: str, known: Known | None) -> Any:
        """Return what was compiled for a text under these very rules, or None."""
        if known is None:
            return None
        plan = self._plans.get(text)
        if plan is None or plan[0] is not known:
            return None
        return plan[1]

    def remember(self, text: str, known: Known | None, compiled: _T) -> _T:
        """Keep what was compiled for a text, and return it."""
        if known is not None:
            make_room(self._plans)
            self._plans[text] = (known, compiled)
        return compiled


def make_room(kept: dict[Any, Any]) -> None:
    """Drop the oldest entry of a full dictionary."""
    if len(kept) >= MOST:
        del kept[next(iter(kept))]
