"""A store with its log, against a dictionary: commits of all sizes, snapshots, crashes."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mfdb.store import commit_log
from mfdb.store.lmdb_store import LmdbStore
from mfdb.store.port import OWN_KEY

if TYPE_CHECKING:
    from mfdb.store.lmdb_snapshot import LmdbSnapshot

KEYS = st.binary(min_size=1, max_size=2).filter(lambda key: key != OWN_KEY)
VALUES = st.none() | st.binary(max_size=3) | st.integers(0, 400).map(bytes)
BATCHES = st.lists(st.tuples(KEYS, VALUES), max_size=6)
State = dict[bytes, bytes]


class LogAndLmdb(RuleBasedStateMachine):
    """A log so small that it is full after a few commits."""

    def __init__(self) -> None:
        super().__init__()
        self._was = commit_log.LOG_BYTES
        commit_log.LOG_BYTES = 4096 + 3_000
        self.top = Path(tempfile.mkdtemp(prefix="mfdb-test-"))
        self.generation = 0
        self.store = self._open()
        self.now: State = {}
        self.held: list[tuple[LmdbSnapshot, State]] = []

    def _open(self) -> LmdbStore:
        return LmdbStore(self.top / str(self.generation), log_after=0)

    def _let_go(self) -> None:
        for snapshot, _ in self.held:
            snapshot.__exit__(None, None, None)
        self.held.clear()

    @rule(batch=BATCHES)
    def commit(self, batch: list[tuple[bytes, bytes | None]]) -> None:
        self.store.write(batch)
        for key, value in batch:
            self.now.pop(key, None)
            if value is not None:
                self.now[key] = value

    @rule(key=KEYS)
    def commit_much(self, key: bytes) -> None:
        value = bytes(commit_log.LARGEST_BYTES)
        self.store.write([(key, value)])
        self.now[key] = value

    @rule()
    def hold(self) -> None:
        if len(self.held) < 3:
            self.held.append((self.store.snapshot(), dict(self.now)))

    @precondition(lambda self: self.held)
    @rule()
    def let_go(self) -> None:
        snapshot, _ = self.held.pop(0)
        snapshot.__exit__(None, None, None)

    @rule()
    def reopen(self) -> None:
        self._let_go()
        self.store.close()
        self.store = self._open()

    @rule()
    def crash(self) -> None:
        self._let_go()
        before = self.top / str(self.generation)
        self.generation += 1
        shutil.copytree(before, self.top / str(self.generation))
        self.store.close()
        shutil.rmtree(before)
        self.store = self._open()

    @rule()
    def compact(self) -> None:
        self._let_go()
        self.store.compact()

    @invariant()
    def every_state_is_as_it_was(self) -> None:
        with self.store.snapshot() as snapshot:
            self._compare(snapshot, self.now)
        for held, state in self.held:
            self._compare(held, state)
        for prefix in (b"\x00", b"a", b"\xff"):
            first = min((key for key in self.now if key.startswith(prefix)), default=None)
            assert self.store.first(prefix) == (None if first is None else self.now[first])

    def _compare(self, snapshot: LmdbSnapshot, state: State) -> None:
        pairs = sorted(state.items())
        assert list(snapshot.scan(b"")) == pairs
        assert list(snapshot.scan(b"", reverse=True)) == pairs[::-1]
        inside = [pair for pair in pairs if b"\x10" <= pair[0] < b"\xc0\x00"]
        assert list(snapshot.scan(b"\x10", b"\xc0\x00")) == inside
        assert snapshot.last(b"\x10", b"\xc0\x00") == (inside[-1] if inside else None)
        assert [snapshot.get(key) for key in state] == list(state.values())
        followed = [state.get(b"a" + value) for _, value in inside]
        assert list(snapshot.follow(b"\x10", b"\xc0\x00", b"a")) == followed

    def teardown(self) -> None:
        self._let_go()
        self.store.close()
        commit_log.LOG_BYTES = self._was
        shutil.rmtree(self.top)


TestLogAndLmdb = LogAndLmdb.TestCase
TestLogAndLmdb.settings = settings(max_examples=12, stateful_step_count=25, deadline=None)
