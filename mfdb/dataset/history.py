"""The graph of row versions: judging changesets as they come, in whatever order they come.

add(changeset) -> judge -> Accepted: versions and heads kept, whoever waited is judged again
                        -> Parked:   kept, waits for what is missing
                        -> raises:   refused, nothing kept but what a revocation leaves out
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from mfdb.dataset.acceptance import (
    Accepted,
    Knowledge,
    Parked,
    VersionMeta,
    admit,
    is_left_out,
    judge,
)
from mfdb.dataset.key_merge import merge_entries
from mfdb.dataset.layout import (
    Envelope,
    Verdict,
    envelope_key,
    former_version_key,
    of_dataset,
    parked_key,
    version_key,
)
from mfdb.dataset.salts import destroy_salt, load_entry, save_entry
from mfdb.dataset.states import States, all_versions
from mfdb.dataset.working import Working, load, parse, save
from mfdb.kernel.errors import (
    AccessDenied,
    BadProof,
    OperationalError,
    ProtocolViolation,
    SchemaViolation,
)
from mfdb.kernel.ids import ZERO_HASH, ChangesetId, Hash, RowId, VersionId
from mfdb.rules.changeset import Changeset, Header, version_ids
from mfdb.rules.key_log import KeyLogEntry, check_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mfdb.dataset.catalogue import Known

PARKED_LIMIT = 10_000
"""Changesets of a dataset that wait at most; beyond, an attacker only fills disks."""


class Admitted(NamedTuple):
    """A changeset of our own that the rules of a state of the catalogue allow."""

    known: Known
    accepted: Accepted


class History:
    """The versions of one dataset while a batch of changesets is taken in."""

    def __init__(
        self,
        working: Working,
        known: Known,
        *,
        now_s: float,
        opens: Callable[[KeyLogEntry, Changeset], bool],
    ) -> None:
        self._working = working
        self.states = States(working, known.manifest.dataset)
        """The states of rows; whoever has finished flushes them."""
        self._known = known
        self._now_s = now_s
        self._opens = opens
        self._dataset = known.manifest.dataset
        self._parked: dict[Hash, dict[ChangesetId, None]] = {}
        for key, _ in working.scan(of_dataset(b"p", self._dataset)):
            self._parked.setdefault(Hash(key[33:65]), {})[ChangesetId(key[65:])] = None
        self.touched: dict[RowId, None] = {}
        """Rows whose heads or keys changed, in the order in which they did."""
        self.shredded: list[tuple[ChangesetId, int]] = []
        """Salts that were destroyed here and should be destroyed everywhere."""
        self.applied: list[ChangesetId] = []

    def add(self, changeset: Changeset, entry: KeyLogEntry | None) -> Verdict:
        """Take in a changeset; doing it twice changes nothing.

        Raises:
            ProtocolViolation, AccessDenied, SchemaViolation: it is not valid.
            OperationalError: too many changesets wait already.
        """
        stored = self._envelope(changeset.id)
        if stored is not None and stored.verdict is not Verdict.PARKED:
            self._merge(stored.changeset, entry)
            return stored.verdict
        try:
            verdict = self._judge(changeset)
        except AccessDenied:
            if is_left_out(changeset.id, changeset.header, self._knowledge()):
                # Replicas keep it, and it stands in their logs: we have seen it, and need no more.
                self._keep(changeset, Verdict.DENIED)
            raise
        self._merge(changeset, entry)
        for news in self._news(changeset, verdict):
            self.wake(news)
        return verdict

    def add_own(
        self,
        changeset: Changeset,
        data: bytes,
        entry: KeyLogEntry,
        admitted: Admitted | None = None,
        *,
        show: Callable[[], bool] = lambda: False,
    ) -> None:
        """Take in a changeset that was composed here just now, with its bytes.

        `show` may show its rows in one go: then none of them is touched.

        Signature and commitments are not computed a second time; the rules are asked as ever,
        unless `check` asked the same ones.

        Raises:
            AccessDenied, SchemaViolation, BadProof: the rules do not allow it.
        """
        judged: Accepted | Parked
        if admitted is not None and admitted.known is self._known:
            judged = admitted.accepted
        else:
            judged = admit(changeset, self._knowledge())
        if isinstance(judged, Parked):
            raise BadProof("a changeset of our own names what is not known here")
        own = changeset.id
        if not show():
            self._install(judged)
        # The record `Envelope(changeset, APPLIED)`, without encoding the changeset again.
        self._working.put(
            envelope_key(self._dataset, own), b"\x92" + data + bytes([Verdict.APPLIED])
        )
        self.applied.append(own)
        save_entry(self._working, entry)
        if self._parked:
            for news in self._news(changeset, Verdict.APPLIED):
                self.wake(news)

    def knows(self, changeset: ChangesetId) -> bool:
        """Return whether a changeset is kept here, whatever its verdict."""
        return self._working.get(envelope_key(self._dataset, changeset)) is not None

    def wake(self, missing: Hash) -> None:
        """Judge again whatever waits for something that is known now."""
        queue = deque(self._waiting(missing))
        while queue:
            changeset = queue.popleft()
            try:
                verdict = self._judge(changeset)
            except (ProtocolViolation, AccessDenied, SchemaViolation):
                self._keep(changeset, Verdict.DENIED)
                continue
            for known_now in self._news(changeset, verdict):
                queue.extend(self._waiting(known_now))

    def wake_future(self) -> None:
        """Judge again what was from the future and is not any more."""
        if any(self._is_due(changeset) for changeset in self._parked.get(ZERO_HASH, {})):
            self.wake(ZERO_HASH)

    def _is_due(self, changeset: ChangesetId) -> bool:
        at = self._working.get(parked_key(self._dataset, ZERO_HASH, changeset))
        return at is not None and int.from_bytes(at, "big") <= self._now_s

    def rejudge(self) -> None:
        """Judge every changeset anew, because a manifest revoked somebody's rights."""
        for meta in list(all_versions(self._flushed(), self._dataset)):
            self._working.delete(version_key(self._dataset, meta.version))
            save(self._working, former_version_key(self._dataset, meta.version), meta)
        for row, state in self.states.all():
            self.states.set(row, msgspec.structs.replace(state, versions=(), past=()))
            self.touched[row] = None
        for changeset in self._by_stamp():
            self._keep(changeset, Verdict.PARKED)
            self._wait(changeset.id, ZERO_HASH, 0)
        self.wake(ZERO_HASH)

    def touch_hidden(self) -> None:
        """Look again at every row that is not shown, because a key for it may be here now."""
        for row, state in self.states.all():
            if not state.shown:
                self.touched[row] = None

    def _flushed(self) -> Working:
        self.states.flush()
        return self._working

    def _by_stamp(self) -> Iterator[Changeset]:
        """Yield what was not refused, in the order in which it was written."""
        kept = []
        for key, value in self._working.scan(of_dataset(b"c", self._dataset)):
            envelope = parse(Envelope, value)
            if envelope.verdict is not Verdict.DENIED:
                kept.append((envelope.changeset.header.hlc, ChangesetId(key[33:])))
        for _, changeset in sorted(kept):
            again = self._envelope(changeset)
            if again is not None:
                yield again.changeset

    # ---- judging

    def _judge(self, changeset: Changeset) -> Verdict:
        network = self._known.manifest.network
        judged = judge(changeset, self._knowledge(), network=network, now_s=self._now_s)
        if isinstance(judged, Parked):
            self._park(changeset, judged)
            return Verdict.PARKED
        self._install(judged)
        self._keep(changeset, Verdict.APPLIED)
        self.applied.append(changeset.id)
        return Verdict.APPLIED

    def _knowledge(self) -> Knowledge:
        return _knowledge(self._known, self._working, self.states)

    def _news(self, changeset: Changeset, verdict: Verdict) -> Iterator[Hash]:
        """Yield what is known now and was not before."""
        own = changeset.id
        yield Hash(own)
        if verdict is Verdict.APPLIED and self._parked:
            for version in version_ids(own, changeset.count):
                yield Hash(version)

    def _waiting(self, missing: Hash) -> list[Changeset]:
        """Take out what waits for something (if that is time: for a time that has come)."""
        waiting = self._parked.pop(missing, {})
        found = []
        for changeset in waiting:
            if missing == ZERO_HASH and not self._is_due(changeset):
                self._parked.setdefault(missing, {})[changeset] = None
                continue
            self._working.delete(parked_key(self._dataset, missing, changeset))
            envelope = self._envelope(changeset)
            if envelope is not None and envelope.verdict is Verdict.PARKED:
                found.append(envelope.changeset)
        return found

    def _park(self, changeset: Changeset, parked: Parked) -> None:
        waiting = sum(map(len, self._parked.values()))
        if waiting + len(parked.missing) > PARKED_LIMIT:
            raise OperationalError(
                f"more than {PARKED_LIMIT} changesets of {self._known.manifest.name} wait",
                hint="synchronise with a provider that has what they wait for",
            )
        at = int(parked.not_before_s) + 1 if parked.not_before_s else 0
        for missing in parked.missing or (ZERO_HASH,):
            self._wait(changeset.id, missing, at)
        self._keep(changeset, Verdict.PARKED)

    def _wait(self, changeset: ChangesetId, missing: Hash, at: int) -> None:
        self._parked.setdefault(missing, {})[changeset] = None
        self._working.put(parked_key(self._dataset, missing, changeset), at.to_bytes(8, "big"))

    def _install(self, accepted: Accepted) -> None:
        for version in accepted.versions:
            self.states.install(version)
            self.touched[version.row] = None
            if version.is_tombstone:
                self._shred(version)

    # ---- what opens them

    def _merge(self, changeset: Changeset, entry: KeyLogEntry | None) -> None:
        if entry is None:
            return
        try:
            check_entry(entry, changeset)
        except BadProof:
            return
        stored = load_entry(self._working, self._dataset, changeset.id)
        merged = merge_entries(stored, entry, opens=lambda one: self._opens(one, changeset))
        merged = merged.without(self._shredded_indexes(changeset))
        if merged == stored:
            return
        save_entry(self._working, merged)
        for operation in changeset.operations:
            self.touched[operation.row] = None

    def _shredded_indexes(self, changeset: Changeset) -> set[int]:
        shredded = set()
        for index, version in enumerate(version_ids(changeset.id, changeset.count)):
            state = self.states.get(changeset.operations[index].row)
            if state is not None and any(
                version == buried.version
                for head in state.versions
                for buried in self._buried_by(head)
            ):
                shredded.add(index)
        return shredded

    def _buried_by(self, head: VersionMeta) -> Iterator[VersionMeta]:
        """Yield the versions that a tombstone deletes: all its ancestors."""
        if not head.is_tombstone:
            return
        meta: VersionMeta | None = head
        while meta is not None and meta.parent:
            meta = self.states.version(head.row, VersionId(meta.parent))
            if meta is not None:
                yield meta

    def _shred(self, tombstone: VersionMeta) -> None:
        """Destroy the salts of all versions that a tombstone deletes."""
        for buried in self._buried_by(tombstone):
            self.shredded.append((buried.changeset, buried.index))
            destroy_salt(self._working, self._dataset, buried.changeset, buried.index)

    # ---- what is kept

    def _envelope(self, changeset: ChangesetId) -> Envelope | None:
        return load(self._working, Envelope, envelope_key(self._dataset, changeset))

    def _keep(self, changeset: Changeset, verdict: Verdict) -> None:
        key = envelope_key(self._dataset, changeset.id)
        save(self._working, key, Envelope(changeset, verdict))


def check_own(
    changeset: Changeset, known: Known, working: Working, states: States
) -> Admitted | None:
    """Return how a changeset composed here is accepted, None if that cannot be told here.

    Raises:
        ProtocolViolation, AccessDenied, SchemaViolation: nobody would accept it.
    """
    judged = admit(changeset, _knowledge(known, working, states))
    return Admitted(known, judged) if isinstance(judged, Accepted) else None


def _knowledge(known: Known, working: Working, states: States) -> Knowledge:
    def header_of(changeset: ChangesetId) -> Header | None:
        key = envelope_key(known.manifest.dataset, changeset)
        envelope = load(working, Envelope, key)
        return None if envelope is None else envelope.changeset.header

    return Knowledge(
        manifests=known.manifests,
        by_hash=known.by_hash,
        version_of=lambda _: None,
        header_of=header_of,
        version_in=states.version,
    )
