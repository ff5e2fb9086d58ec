"""Rows of older manifests in the columns of today: a column keeps its number, not its name.

What a manifest calls a column, and where it stands, may change from version to version. Signed rows
never do, so they are read in the order of the manifest that their header names and put into today's
order by number; a column that came later has what its ALTER said it would have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mfdb.rules.manifest import Manifest

Values = tuple[Any, ...]


def is_moved(then: Manifest, now: Manifest) -> bool:
    """Return whether rows stand in other columns, or are found by another key, than before."""
    if then.layout.numbers != now.layout.numbers:
        return True
    keys = [[column.key for column in manifest.columns] for manifest in (then, now)]
    alone = [[column.unique for column in manifest.columns] for manifest in (then, now)]
    return keys[0] != keys[1] or alone[0] != alone[1]


def carrier(then: Manifest, now: Manifest) -> Callable[[Sequence[Any]], Values] | None:
    """Return what puts values of one manifest into the order of another, None if it is the same."""
    before, after = then.layout, now.layout
    if before.numbers == after.numbers:
        return None
    places = {number: at for at, number in enumerate(before.numbers)}
    sources = [
        (places.get(number, -1), missing)
        for number, missing in zip(after.numbers, after.missing, strict=True)
    ]

    def carry(values: Sequence[Any]) -> Values:
        return tuple(values[at] if 0 <= at < len(values) else other for at, other in sources)

    return carry


def renamer(then: Manifest, now: Manifest) -> Callable[[Mapping[str, Any]], dict[str, Any]] | None:
    """Return what `carrier` does for values by name, None if the names are the same too."""
    names = tuple(column.name for column in then.columns)
    today = tuple(column.name for column in now.columns)
    carry = carrier(then, now)
    if carry is None and names == today:
        return None

    def rename(values: Mapping[str, Any]) -> dict[str, Any]:
        ordered: Sequence[Any] = tuple(values.get(name) for name in names)
        return dict(zip(today, ordered if carry is None else carry(ordered), strict=True))

    return rename
