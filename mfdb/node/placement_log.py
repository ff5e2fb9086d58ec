"""Handing the placement log of a dataset over, however long it has become.

It grows with every move, for ever. Its last page goes first: whoever has what stands before it
needs no more. Whoever does not is told page by page; where its own log parts from that one, all
that follows goes in one frame, for `merged` compares whole branches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.codec import encode
from mfdb.kernel.errors import BadProof
from mfdb.node.answers import SEGMENTS_BYTES, History, PlacementLog
from mfdb.node.requests import GetHistory, PutPlacement
from mfdb.node.whereabouts import is_full
from mfdb.rules.placement import common
from mfdb.rules.signing import digest_of

if TYPE_CHECKING:
    from mfdb.kernel.ids import DatasetId
    from mfdb.node.directory import Correspondent
    from mfdb.rules.placement import SignedPlacement

Log = tuple["SignedPlacement", ...]
_NO_MANIFESTS = 2**31


async def hand_over(correspondent: Correspondent, dataset: DatasetId, log: Log) -> Log:
    """Return the log that stands at a provider once it was told of this one.

    Nothing of what it tells is verified.

    Raises:
        NetworkError: it does not answer.
        MfdbError: it refuses.
    """
    ends = _page_ends(log)
    last = ends[-2] if len(ends) > 1 else 0
    try:
        stands = await _tell(correspondent, dataset, log, last)
    except BadProof:
        if last == 0:
            raise
    else:
        if stands is not None:
            return stands
    return await _tell_all(correspondent, dataset, log, ends)


async def _tell_all(
    correspondent: Correspondent, dataset: DatasetId, log: Log, ends: list[int]
) -> Log:
    start, stands = 0, Log()
    for end in ends:
        told = await _tell(correspondent, dataset, log[:end], start)
        if told is None:
            raise BadProof("a provider tells a placement log that does not hang together")
        stands, at = told, common(told, log)
        if at < end:
            whole = await _tell(correspondent, dataset, log, at)
            return told if whole is None else whole
        start = end
    return stands


async def _tell(
    correspondent: Correspondent, dataset: DatasetId, log: Log, start: int
) -> Log | None:
    """Return the log that stands there; None if it parts from ours before what was told of it."""
    request = PutPlacement(dataset=dataset, entries=log[start:])
    page = (await correspondent.read(request, PlacementLog)).entries
    entries = list(page)
    while is_full(page):
        more = GetHistory(dataset=dataset, manifests=_NO_MANIFESTS, placements=start + len(entries))
        page = (await correspondent.read(more, History)).placements
        entries += page
    if start and (not entries or entries[0].entry.previous != digest_of(log[start - 1].entry)):
        return None
    return (*log[:start], *entries)


def _page_ends(log: Log) -> list[int]:
    """Return behind which entries the pages of a log end."""
    ends, size = [], 0
    for at, signed in enumerate(log, 1):
        size += len(encode(signed))
        if size >= SEGMENTS_BYTES:
            ends.append(at)
            size = 0
    return ends if ends and ends[-1] == len(log) else [*ends, len(log)]
