"""Several blocks as one: numpy then asks a hundred thousand rows for the price of a few calls."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mfdb.dataset.blocks.columns import Column
    from mfdb.dataset.blocks.coverage import Block

BLOCKS = 32
"""Blocks of a run: enough that calls cost nothing, few enough that one new block costs little."""


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring blocks; positions count through all of them."""

    blocks: tuple[Block, ...]
    size: int
    outdated: tuple[int, ...]

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of its blocks, which name what they hold for ever."""
        return tuple(block.info.number for block in self.blocks)


def runs_of(blocks: Sequence[Block]) -> Iterator[Run]:
    """Yield the blocks of a dataset in runs."""
    for at in range(0, len(blocks), BLOCKS):
        part = tuple(blocks[at : at + BLOCKS])
        outdated: list[int] = []
        size = 0
        for block in part:
            outdated += [size + position for position in block.outdated]
            size += block.size
        yield Run(part, size, tuple(outdated))


class MergedColumn:
    """One column of a run; its forms are made when they are first wanted, and kept."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self.is_coded = all(column.is_coded for column in columns)
        """Whether values are kept once, in a dictionary."""
        self._codes: tuple[Any, list[Any]] | None = None
        self._numbers: tuple[Any, Any] | None = None

    @property
    def size_bytes(self) -> int:
        """About what its forms occupy, beside the columns that they were made of."""
        return 9 * sum(len(column.arrow) for column in self._columns)

    def codes(self) -> tuple[Any, list[Any]]:
        """Return a code for each row, and the values that codes stand for; None may be one."""
        if not self.is_coded:
            return _uncoded(self._columns)
        if self._codes is None:
            self._codes = _united(self._columns)
        return self._codes

    def numbers(self) -> tuple[Any, Any]:
        """Return the values of a number column and where they are NULL (None: nowhere)."""
        if self._numbers is None:
            self._numbers = _concatenated(self._columns)
        return self._numbers

    def at(self, positions: Any) -> list[Any]:
        """Return the stored values at positions, which are an ascending numpy array."""
        if self.is_coded:
            codes, values = self.codes()
            return [values[code] for code in codes[positions].tolist()]
        if all(column.is_number for column in self._columns):
            return list(self.numbers()[0][positions].tolist())
        import numpy as np

        sizes = [len(column.arrow) for column in self._columns]
        ends = np.cumsum(sizes)
        parts = np.split(positions, np.searchsorted(positions, ends[:-1]))
        starts = [0, *ends[:-1].tolist()]
        return list(
            chain.from_iterable(
                column.at(part - start)
                for column, part, start in zip(self._columns, parts, starts, strict=True)
                if len(part)
            )
        )


def _united(columns: Sequence[Column]) -> tuple[Any, list[Any]]:
    """Return the codes of all columns in one dictionary."""
    import numpy as np

    place: dict[Any, int] = {}
    parts = []
    for column in columns:
        codes, values = column.codes()
        moved = [place.setdefault(value, len(place)) for value in values]
        parts.append(np.array(moved, dtype=np.uint32)[codes])
    return np.concatenate(parts), list(place)


def _uncoded(columns: Sequence[Column]) -> tuple[Any, list[Any]]:
    import numpy as np

    parts: list[Any] = []
    values: list[Any] = []
    for column in columns:
        codes, found = column.codes()
        parts.append(codes + len(values))
        values += found
    return np.concatenate(parts), values


def _concatenated(columns: Sequence[Column]) -> tuple[Any, Any]:
    import numpy as np

    found = [column.numbers() for column in columns]
    values = np.concatenate([one for one, _ in found])
    if all(nulls is None for _, nulls in found):
        return values, None
    gaps = [np.zeros(len(one), dtype=bool) if nulls is None else nulls for one, nulls in found]
    return values, np.concatenate(gaps)
