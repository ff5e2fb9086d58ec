"""Retention: what nobody changed for so long is deleted by its dataset's owner.

As DELETE does it: signed, judged by grants and policies, told to subscribers, shredded. So every
replica of a dataset on a network judges it like any other change, and nobody else's clock matters.
A row that others refer to stays as long as they do, unless their foreign keys say ON DELETE.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, NamedTuple

from mfdb.kernel.errors import MfdbError
from mfdb.rules.clauses import ForeignKey
from mfdb.rules.evidence import EMBEDDED
from mfdb.rules.given_up import is_given_up
from mfdb.sql.parse import parse
from mfdb.sql.show_expression import quoted_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfdb.client.changes import Changes
    from mfdb.client.ground import Ground
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.reading import Reading
    from mfdb.kernel.ids import DatasetId
    from mfdb.sql import statement as st

_HELD = ("NO ACTION", "RESTRICT")
_LEAST_S, _MOST_S = 10.0, 3_600.0
"""A dataset is looked at again after a tenth of its retention, within these bounds."""


class Deletion(NamedTuple):
    """The DELETE of what a dataset has kept for long enough."""

    statement: st.Statement
    params: tuple[object, ...]
    text: str


class Expiring:
    """Deletes what was kept for long enough, in the datasets of this session's identity."""

    def __init__(self, ground: Ground, changes: Changes) -> None:
        self._ground = ground
        self._changes = changes

    def run(self) -> int:
        """Delete what is due in every dataset of this machine; return how many rows.

        Raises:
            MfdbError: the rules of one dataset do not let its owner; the others are done all the
                same.
        """
        count, failure = 0, None
        for deletion in self.deletions(on_network=False):
            try:
                count += self._delete(deletion)
            except MfdbError as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return count

    def look(self, dataset: DatasetId) -> float | None:
        """Delete what is due in one dataset of this machine; return when to look again, in s.

        None: never, it keeps everything or is gone.

        Raises:
            MfdbError: its rules do not let its owner.
        """
        for deletion in self.deletions(on_network=False, only=dataset):
            self._delete(deletion)
            keeps_s = self._ground.state.replica.known(dataset).manifest.rows_kept_s
            return min(max(keeps_s / 10, _LEAST_S), _MOST_S)
        return None

    def deletions(self, *, on_network: bool, only: DatasetId | None = None) -> list[Deletion]:
        """Return what would delete the rows that are due, a statement for each dataset."""
        state = self._ground.state
        with state.replica.reading() as reading:
            return [
                self._deletion(known, reading)
                for known in reading.datasets()
                if known.manifest.rows_kept_s
                and known.manifest.owner == state.me
                and (known.manifest.network != EMBEDDED) == on_network
                and only in (None, known.manifest.dataset)
                and not is_given_up(known.manifest)
            ]

    def _delete(self, deletion: Deletion) -> int:
        statement, params, text = deletion
        return self._changes.run_many(statement, [params], text).count

    def _deletion(self, known: Known, reading: Reading) -> Deletion:
        manifest, now_s = known.manifest, self._ground.state.clock.now_s()
        held = "".join(f" AND NOT EXISTS ({query})" for query in _references(known, reading))
        text = (
            f"DELETE FROM {quoted_name(manifest.name)} AS due "
            f"WHERE row_written_at() < CAST(? AS TIMESTAMPTZ){held}"
        )
        at = datetime.datetime.fromtimestamp(now_s - manifest.rows_kept_s, datetime.UTC)
        return Deletion(parse(text), (at,), text)


def _references(known: Known, reading: Reading) -> Iterator[str]:
    """Yield the queries for rows that keep a row from being deleted."""
    dataset = known.manifest.dataset
    for child in reading.referring(dataset):
        if is_given_up(child.manifest):
            continue
        for key in child.manifest.of_kind(ForeignKey):
            if key.dataset == dataset and key.on_delete in _HELD:
                pairs = zip(key.columns, key.references, strict=True)
                same = " AND ".join(
                    f"holder.{quoted_name(mine)} = due.{quoted_name(its)}" for mine, its in pairs
                )
                yield f"SELECT 1 FROM {quoted_name(child.manifest.name)} AS holder WHERE {same}"
