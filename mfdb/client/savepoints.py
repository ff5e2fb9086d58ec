"""Places in a batch to which it can go back: copies of what it had done and said.

Copies share rows and values, which never change; a savepoint costs what the batch has touched.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

if TYPE_CHECKING:
    from mfdb.client.channels import Said
    from mfdb.client.pending_table import PendingTable
    from mfdb.kernel.ids import DatasetId

_T = TypeVar("_T")


class Savepoint(msgspec.Struct, frozen=True):
    """A named state of a batch's changes."""

    name: str
    tables: dict[DatasetId, PendingTable]
    said: Said

    @classmethod
    def of(cls, name: str, tables: dict[DatasetId, PendingTable], said: Said) -> Savepoint:
        """Return a savepoint that later changes leave as it is."""
        return cls(name, copied(tables), said.copy())


def copied(tables: dict[DatasetId, PendingTable]) -> dict[DatasetId, PendingTable]:
    """Return changes that go on independently of these."""
    return {dataset: _twin(table) for dataset, table in tables.items()}


def _twin(part: _T) -> _T:
    """Return a copy of something mutable: of its dictionaries and mutable parts, not of rows."""
    if isinstance(part, dict):
        found: Any = {key: _twin(one) if type(one) is dict else one for key, one in part.items()}
        return found  # type: ignore[no-any-return] # a dictionary like the one given
    if isinstance(part, msgspec.Struct) and not part.__struct_config__.frozen:
        twin = copy(part)
        for name in part.__struct_fields__:
            setattr(twin, name, _twin(getattr(part, name)))
        return twin
    return part
