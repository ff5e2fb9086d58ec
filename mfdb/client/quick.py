"""The short way for reads that one index answers exactly: no reading, no environment, no closures.

A SELECT qualifies when it takes plain columns of one dataset, every row of which this identity may
see, and when its whole WHERE is a range or one value of the primary key or of an index's first
column, in parameters of just the column's type. Whatever differs goes the general way, which gives
the same answer (both are tested against each other).

    bound SELECT -> `shortcut` -> Shortcut, kept by text for one state of the catalogue
    parameters   -> bounds of the index -> stored values -> rows
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.client.rows import documents
from mfdb.dataset.indexes import Span
from mfdb.dataset.layout import of_dataset
from mfdb.dataset.rows import stored_values
from mfdb.dataset.visibility import unconditional
from mfdb.kernel.errors import BadType
from mfdb.rules.manifest import Action
from mfdb.sql.bound import BoundSelect, Field, Lazy, Slot, Strict
from mfdb.sql.types import RANGES
from mfdb.store.ordered import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mfdb.client.results import Column
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.indexes import Index
    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.rules.manifest import Manifest
    from mfdb.sql.bound import Bound
    from mfdb.sql.parameters import Given

LONGEST_BYTES = 200
"""Parameters that pack to more go the general way, because indexes shorten long values."""
_EXACT = {"integer": int, "float": float, "text": str, "bytes": bytes}
_PLAIN = frozenset({"integer", "float", "text", "boolean", "bytes"})
_TURNED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_WIDEST = range(-(2**63), 2**63)
_Condition = tuple[str, Field, Slot]


class Bounds(msgspec.Struct, frozen=True):
    """Which parameters bound a column, by sign; `kind` is the only type that they may have."""

    low: int | None
    low_open: bool
    high: int | None
    high_open: bool
    kind: type
    within: range
    count: int

    def of(self, given: Given) -> Span | None:
        """Return the range that parameters describe, or None if they need the general way."""
        if type(given) not in (tuple, list) or len(given) != self.count:
            return None
        low = None if self.low is None else given[self.low]  # type: ignore[index] # a sequence
        high = None if self.high is None else given[self.high]  # type: ignore[index]
        if (self.low is not None and type(low) is not self.kind) or (
            self.high is not None and type(high) is not self.kind
        ):
            return None
        if self.kind is int and not all(one is None or one in self.within for one in (low, high)):
            return None  # the general way says what is wrong with it
        try:
            first = None if self.low is None else pack(low)  # type: ignore[arg-type]
            last = None if self.high is None else pack(high)  # type: ignore[arg-type]
        except BadType:
            return None
        if len(first or b"") > LONGEST_BYTES or len(last or b"") > LONGEST_BYTES:
            return None
        return Span(first, self.low_open, last, self.high_open)


class Shortcut(msgspec.Struct, frozen=True):
    """A query that one index answers: `state` is the catalogue's state for which that holds."""

    state: int
    manifest: Manifest
    values_of: Callable[[bytes], tuple[Any, ...]]
    is_point: bool
    point: int
    kind: type
    within: range
    count: int
    prefix: bytes
    bounds: Bounds | None
    index: Index | None
    pick: Callable[[tuple[Any, ...]], tuple[Any, ...]]
    columns: tuple[Column, ...]
    documents: tuple[int, ...]

    @property
    def dataset(self) -> DatasetId:
        """Whose rows it reads."""
        return self.manifest.dataset

    def key(self, given: Given) -> bytes | None:
        """Return the beginning of the one key that is asked for, or None for the general way."""
        if type(given) not in (tuple, list) or len(given) != self.count:
            return None
        value = given[self.point]  # type: ignore[index] # a sequence
        if type(value) is not self.kind:
            return None
        if self.kind is int and value not in self.within:
            return None
        try:
            packed = pack(value)  # type: ignore[arg-type] # of the kind just compared
        except BadType:
            return None
        return self.prefix + packed if len(packed) <= LONGEST_BYTES else None


def shortcut(
    bound: BoundSelect,
    known: Known,
    indexes: Sequence[Index],
    columns: tuple[Column, ...],
    me: Address,
    *,
    state: int,
) -> Shortcut | None:
    """Return the short way of a query, or None if it has none."""
    manifest = known.manifest
    pick = _pick(bound)
    if pick is None or not unconditional(manifest, Action.SELECT, me):
        return None
    said = _conditions(bound)
    if said is None or bound.parameters.style == ":":
        return None
    field = said[0][1]
    kind = _EXACT.get(field.type.family)
    bounds = _bounds(said, bound, kind) if kind is not None else None
    if kind is None or bounds is None or field.type.name == "REAL":
        return None
    source = bound.source
    assert source is not None, "a query with conditions has a source"
    by_key = source.table.owner_ordered and source.table.key == (field.index,)
    index = None if by_key else _index_for(indexes, field.index)
    if not by_key and index is None:
        return None
    is_point = by_key and said[0][0] == "="
    return Shortcut(
        state=state,
        manifest=manifest,
        values_of=stored_values(manifest),
        is_point=is_point,
        point=bounds.low or 0,
        kind=kind,
        within=bounds.within,
        count=bound.parameters.count,
        prefix=of_dataset(b"d", manifest.dataset) if index is None else index.prefix,
        bounds=bounds,
        index=index,
        pick=pick,
        columns=columns,
        documents=documents(columns),
    )


def _index_for(indexes: Sequence[Index], place: int) -> Index | None:
    ready = (index for index in indexes if index.info.is_ready)
    return next((index for index in ready if index.places[0][0] == place), None)


def _pick(bound: BoundSelect) -> Callable[[tuple[Any, ...]], tuple[Any, ...]] | None:
    if bound.aggregates or bound.order_by or bound.limit or bound.offset or bound.condition:
        return None
    if bound.source is None or getattr(bound, "distinct", None):
        return None
    places = []
    for item in bound.items:
        if type(item) is not Field or item.type.family not in _PLAIN:
            return None
        places.append(item.index)
    if places == list(range(len(bound.source.table.columns))):
        return tuple
    if len(places) == 1:
        only = places[0]
        return lambda values: (values[only],)
    return itemgetter(*places)


def _conditions(bound: BoundSelect) -> list[_Condition] | None:
    """Return the comparisons of one column with parameters that WHERE consists of."""
    assert bound.source is not None
    if bound.source.where is None:
        return None
    said: list[_Condition] = []
    for part in _conjuncts(bound.source.where):
        if type(part) is not Strict or part.operator not in _TURNED:
            return None
        left, right = part.operands
        if isinstance(left, Field) and isinstance(right, Slot):
            said.append((part.operator, left, right))
        elif isinstance(left, Slot) and isinstance(right, Field):
            said.append((_TURNED[part.operator], right, left))
        else:
            return None
    same = {field.index for _, field, _ in said} == {said[0][1].index}
    return said if same else None


def _conjuncts(where: Bound) -> Iterator[Bound]:
    if isinstance(where, Lazy) and where.operator == "and":
        for operand in where.operands:
            yield from _conjuncts(operand)
    else:
        yield where


def _bounds(said: list[_Condition], bound: BoundSelect, kind: type) -> Bounds | None:
    within = _WIDEST
    lows: list[tuple[int, bool]] = []
    highs: list[tuple[int, bool]] = []
    for sign, field, slot in said:
        key, slot_type, _ = bound.parameters.slots[slot.index]
        if slot_type.family != field.type.family or not isinstance(key, int):
            return None
        limits = RANGES.get(slot_type.name, _WIDEST)
        within = range(max(within.start, limits.start), min(within.stop, limits.stop))
        if sign in ("=", ">", ">="):
            lows.append((key, sign == ">"))
        if sign in ("=", "<", "<="):
            highs.append((key, sign == "<"))
    if len(lows) > 1 or len(highs) > 1:
        return None
    low, high = next(iter(lows), None), next(iter(highs), None)
    return Bounds(
        None if low is None else low[0],
        low is not None and low[1],
        None if high is None else high[0],
        high is not None and high[1],
        kind,
        within,
        bound.parameters.count,
    )
