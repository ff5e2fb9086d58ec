"""SHOW HEALTH: what this session knows itself, beside what the network tells of each dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.client.results import Column, Result
from mfdb.kernel.clock import hlc_seconds
from mfdb.kernel.errors import AccessDenied, MfdbError
from mfdb.rules.evidence import EMBEDDED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.client.remote import Remote
    from mfdb.client.state import SessionState
    from mfdb.dataset.catalogue import Known

OUTBOX_AGE_S = 60.0
"""A write that waits longer has found no quorum for several of its retries."""
FEED_LAG_S = 60.0
COLUMNS = ("dataset", "reading", "state", "value", "threshold", "hint")

Row = tuple[object, ...]


async def show_health(state: SessionState, remote: Remote, known: Sequence[Known]) -> Result:
    """Return the readings of some datasets; those on this machine only have none."""
    rows: list[Row] = []
    for one in known:
        if one.manifest.network != EMBEDDED:
            rows.append(_outbox(state, one))
            rows.append(await _feed(state, remote, one))
            rows += await _network(remote, one)
    columns = tuple(Column(name, "TEXT") for name in COLUMNS)
    return Result(tag=f"SHOW {len(rows)}", columns=columns, rows=rows, count=len(rows))


def _outbox(state: SessionState, known: Known) -> Row:
    waiting = state.replica.outgoing(known.manifest.dataset)
    stamps = [hlc_seconds(one.changeset.header.stamp) for one in waiting]
    age_s = max(0.0, state.clock.now_s() - min(stamps)) if stamps else 0.0
    hint = f"{len(waiting)} writes wait; the next statement tries again" if waiting else ""
    return _row(known, "outbox age", age_s, OUTBOX_AGE_S, hint)


async def _feed(state: SessionState, remote: Remote, known: Known) -> Row:
    try:
        lag_s = await remote.lag_s(known.manifest.dataset, state.replica)
    except AccessDenied:
        return (known.manifest.name, "feed lag", "ok", "-", "-", "not readable by this identity")
    except MfdbError as error:
        return (known.manifest.name, "feed lag", "ALARM", "-", f"{FEED_LAG_S:.0f} s", str(error))
    return _row(known, "feed lag", lag_s, FEED_LAG_S, "a SELECT brings what is lacking")


async def _network(remote: Remote, known: Known) -> list[Row]:
    try:
        _, rows = await remote.status("health", known.manifest.dataset)
    except MfdbError as error:
        return [(known.manifest.name, "providers", "ALARM", "-", "-", str(error))]
    return [(known.manifest.name, *row) for row in rows]


def _row(known: Known, check: str, value_s: float, limit_s: float, hint: str) -> Row:
    alarms = value_s > limit_s
    state = "ALARM" if alarms else "ok"
    said = hint if value_s else ""
    return (known.manifest.name, check, state, f"{value_s:.0f} s", f"{limit_s:.0f} s", said)
