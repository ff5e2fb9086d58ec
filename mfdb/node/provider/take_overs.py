"""The take-overs of a provider: begun, finished, and those of others that no longer stand.

t case               a take-over that was begun and is not finished
w case               one that was finished, as long as its agreement runs
v dataset provider   whose take-over stood in a placement log and no longer does, until it is told
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.codec import Record
from mfdb.kernel.ids import Address, DatasetId, Hash
from mfdb.node.provider import records
from mfdb.node.requests import TakeOver
from mfdb.rules.placement import SignedAgreement

if TYPE_CHECKING:
    from mfdb.kernel.ids import CaseId
    from mfdb.node.commit import Transaction
    from mfdb.node.provider.records import View


class TakeOverJob(Record, frozen=True):
    """A take-over that was begun, and the agreement it is done under."""

    request: TakeOver
    agreement: SignedAgreement

    @property
    def dataset(self) -> DatasetId:
        """The dataset that it takes shards of."""
        return self.request.state.manifests[0].manifest.dataset


def begun(view: View, case: CaseId) -> TakeOverJob | None:
    """Return what was begun to answer a conviction and is not finished, or None."""
    return records.get(view, b"t" + case, TakeOverJob)


def all_begun(view: View) -> tuple[TakeOverJob, ...]:
    """Return every take-over that was begun and not finished."""
    return tuple(records.every(view, b"t", TakeOverJob))


def all_finished(view: View) -> tuple[TakeOverJob, ...]:
    """Return every take-over that was finished, as long as its agreement runs."""
    return tuple(records.every(view, b"w", TakeOverJob))


def of_case(view: View, case: CaseId) -> TakeOverJob | None:
    """Return the take-over, begun or finished, that answers a conviction, or None."""
    finished = records.get(view, b"w" + case, TakeOverJob)
    return records.get(view, b"t" + case, TakeOverJob) or finished


def of_subject(view: View, subject: Hash) -> tuple[TakeOverJob, ...]:
    """Return the take-overs, begun or finished, of the dataset that has this name on chain."""
    known = all_begun(view) + all_finished(view)
    return tuple(job for job in known if job.agreement.agreement.subject == subject)


def put_begun(transaction: Transaction, job: TakeOverJob) -> None:
    """Keep a take-over until it is finished."""
    records.put(transaction, b"t" + job.request.case, job)


def finish(transaction: Transaction, job: TakeOverJob) -> None:
    """Keep a take-over as finished: should its entry be outranked, it is to be written again."""
    transaction.delete(b"t" + job.request.case)
    records.put(transaction, b"w" + job.request.case, job)


def drop(transaction: Transaction, case: CaseId) -> None:
    """Forget a take-over that cannot be finished, or whose agreement has ended."""
    transaction.delete(b"t" + case)
    transaction.delete(b"w" + case)


def drop_of(transaction: Transaction, dataset: DatasetId) -> None:
    """Forget every take-over of a dataset."""
    for job in (*all_begun(transaction), *all_finished(transaction)):
        if job.dataset == dataset:
            drop(transaction, job.request.case)


# ---- those of others


def put_outranked(transaction: Transaction, dataset: DatasetId, provider: Address) -> None:
    """Remember whose take-over stood in a placement log and no longer does, until it is told."""
    transaction.put(b"v" + dataset + provider, b"")


def outranked(view: View) -> tuple[tuple[DatasetId, Address], ...]:
    """Return whose take-overs no longer stand, and who has not been told so."""
    keys = (key for key, _ in view.scan(b"v"))
    return tuple((DatasetId(Hash(key[1:33])), Address(key[33:])) for key in keys)


def drop_outranked(transaction: Transaction, dataset: DatasetId, provider: Address) -> None:
    """Take note that a provider was told."""
    transaction.delete(b"v" + dataset + provider)
