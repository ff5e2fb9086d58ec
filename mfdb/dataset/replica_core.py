"""What every part of a replica works with: the store, one writer at a time, and the directory.

Readers hold snapshots and block nobody. A directory of an earlier format is brought up to date when
it is opened, and everything that was made of a log can be made anew.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from itertools import islice, repeat
from threading import RLock
from typing import TYPE_CHECKING

import msgspec

from mfdb.dataset import catalogue
from mfdb.dataset.blocks.keeper import Blocks
from mfdb.dataset.blocks.tail import drop_blocks
from mfdb.dataset.keyring import Keyring
from mfdb.dataset.layout import FORMAT, FORMAT_KEY, DirectoryInfo, of_dataset
from mfdb.dataset.ledger.format import has_ledger
from mfdb.dataset.reading import CatalogueCache
from mfdb.dataset.salts import save_entry
from mfdb.dataset.shown_store import ShownStore
from mfdb.dataset.working import Working, load, parse, save
from mfdb.kernel.clock import HlcClock
from mfdb.kernel.errors import WrongVersion
from mfdb.rules.key_log import KeyLogEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.dump.installing import Installer
    from mfdb.dataset.history import Admitted
    from mfdb.dataset.ledger.book import Book, Hand
    from mfdb.dataset.ledger.form import Form
    from mfdb.dataset.outcome import Applied, Written
    from mfdb.dataset.pending import Before
    from mfdb.dataset.sealed_batch import SealedBatch
    from mfdb.dataset.writer import Chain, ChangesetWriter
    from mfdb.kernel.clock import Clock
    from mfdb.kernel.entropy import Entropy
    from mfdb.kernel.ids import Address, ChangesetId, DatasetId, Hash
    from mfdb.kernel.seed import IdentityKeys
    from mfdb.store.port import Store, Write

    Listener = Callable[[DatasetId], None]

_SINGLE_RECORDS = 1
"""The format in which each version, change and key log entry was a record of its own."""
_ALL_SEALED = 2
"""The format in which datasets that live on one machine only were sealed like all others."""
_BY_ROW = 3
"""The format in which every row of a sealed dataset had a state of its own."""
_BY_ENTRY = 4
"""The format in which every row named its version by its id, and had an entry in the changelog."""
_FEED_BYTES = 8
_RECENT_ROWS = 1024
"""Deleted or replaced rows whose old values stay at hand for live subscribers."""


class ReplicaCore:
    """The store of one identity's datasets, and how it is written."""

    def __init__(
        self,
        store: Store,
        keys: IdentityKeys,
        *,
        clock: Clock,
        entropy: Entropy,
        networks: Collection[Hash],
    ) -> None:
        """`networks` are the ids whose manifests may stand here.

        Raises:
            WrongVersion: another release wrote this directory.
        """
        self._below = store
        self._store = ShownStore(store, self.show)
        """What everybody reads: own writes that were acknowledged are shown first."""
        self._clock = clock
        self._entropy = entropy
        self._lock = RLock()
        self._listeners: list[Listener] = []
        self._recent: dict[tuple[DatasetId, int], Before] = {}
        self._chains: dict[DatasetId, Chain] = {}
        """Where the writing runs of this process stand."""
        self._admitted: dict[ChangesetId, Admitted] = {}
        """How changesets are accepted that were composed here and are under way."""
        self._unshown: dict[DatasetId, list[Written]] = {}
        """Own changesets that a quorum acknowledged; in the outbox until they are shown."""
        self._catalogue_state = 0
        self._writes = 0  # odd while one is being made
        self._catalogue: CatalogueCache = CatalogueCache()
        self.blocks = Blocks(self._store, self._lock, self._writing)
        self.keyring = Keyring(keys)
        self.networks = frozenset(networks)
        self._keys = keys
        self._hlc = HlcClock(clock)
        self._info = self._open_directory()

    @cached_property
    def _writer(self) -> ChangesetWriter:
        """Made for the first write: nothing else needs the signing key."""
        from mfdb.dataset.writer import ChangesetWriter

        return ChangesetWriter(self._keys.account, self._hlc, self._entropy)

    @cached_property
    def _hand(self) -> Hand:
        from mfdb.dataset.ledger.book import Hand

        return Hand(self._keys.account, self._hlc, self._entropy)

    @property
    def identity(self) -> Address:
        """Whose replica this is."""
        return self.keyring.address

    @property
    def catalogue_state(self) -> int:
        """Grows whenever a manifest or index changes; odd while one is changing."""
        return self._catalogue_state

    @property
    def feed_id(self) -> bytes:
        """Names this replica's changelogs; another replica's sequence numbers mean nothing here."""
        return self._info.feed

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(dataset)` after each durable change; return what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    # ---- the directory

    def _open_directory(self) -> DirectoryInfo:
        """Return what the directory is, brought up to date step by step.

        Each step is one durable batch after which the directory is whole, so that whoever is
        killed on the way finds the rest of the steps to do.
        """
        with self._writing() as working:
            info = load(working, DirectoryInfo, FORMAT_KEY)
            if info is None:
                return self._now_is(working, FORMAT)
            if info.format == _SINGLE_RECORDS:
                info = self._modernise(working)
        if info.format == _ALL_SEALED:
            info = self._open_ledgers()
        if info.format in (_BY_ROW, _BY_ENTRY):  # what is there is read on
            with self._writing() as working:
                info = msgspec.structs.replace(info, format=FORMAT)
                save(working, FORMAT_KEY, info)
        if info.format != FORMAT:
            raise WrongVersion(
                f"the directory has format {info.format}, this release reads {FORMAT}",
                hint="use the release that wrote it",
            )
        return info

    def _now_is(self, working: Working, format_: int) -> DirectoryInfo:
        info = DirectoryInfo(format_, self._entropy.token(_FEED_BYTES))
        save(working, FORMAT_KEY, info)
        return info

    def _modernise(self, working: Working) -> DirectoryInfo:
        """Bring a directory of format 1 to format 2; everything but the log is made anew."""
        for key, value in list(working.scan(b"k")):
            working.delete(key)
            save_entry(working, parse(KeyLogEntry, value))
        for dataset in catalogue.all_datasets(working):
            self._show_sealed(working, catalogue.known_dataset(working, dataset))
        return self._now_is(working, _ALL_SEALED)

    def _open_ledgers(self) -> DirectoryInfo:
        """Bring a directory of format 2 up to date: local datasets get ledgers, one by one."""
        from mfdb.dataset.ledger.upgrade import is_sealed, to_ledger

        with self._store.snapshot() as snapshot:
            datasets = catalogue.all_datasets(snapshot)
        for dataset in datasets:
            with self._writing() as working:
                known = catalogue.known_dataset(working, dataset)
                if has_ledger(known.manifest) and is_sealed(working, known):
                    to_ledger(working, known, self._book)
        with self._writing() as working:
            return self._now_is(working, FORMAT)

    # ---- made anew

    def rebuild(self, dataset: DatasetId) -> None:
        """Make rows, indexes and changelog anew from the signed changesets and their keys.

        The changelog gets a new name, so that subscriptions begin anew instead of missing changes.
        """
        with self._redefining() as working:
            self._rebuild(working, dataset)
            self._info = DirectoryInfo(FORMAT, self._entropy.token(_FEED_BYTES))
            save(working, FORMAT_KEY, self._info)
        self._notify(dataset)

    def _rebuild(self, working: Working, dataset: DatasetId) -> None:
        known = catalogue.known_dataset(working, dataset)
        drop_blocks(working, dataset)
        if has_ledger(known.manifest):
            from mfdb.dataset.ledger.upgrade import show_again

            show_again(working, known, self._book)
            return
        self._show_sealed(working, known)

    def _show_sealed(self, working: Working, known: Known) -> None:
        drop_blocks(working, known.manifest.dataset)
        for table in b"vwhdujf":
            for key, _ in list(working.scan(of_dataset(bytes([table]), known.manifest.dataset))):
                working.delete(key)
        batch = self._batch(working, known)
        batch.history.rejudge()
        self._finish(known.manifest.dataset, batch)

    def installer(self) -> Installer:
        """Return what puts a restored log in its place, part by part (`mfdb.dataset.dump`)."""
        from mfdb.dataset.dump.installing import Installer

        return Installer(self._writing, self._book)

    def show(self) -> None:
        """Show own writes that were acknowledged: they wait for each other, not for readers."""
        raise NotImplementedError

    # ---- the one writer

    @contextmanager
    def _writing(self) -> Iterator[Working]:
        """One writer: what is written inside becomes one durable batch, or nothing."""
        with self._lock:
            if self._store.is_behind:
                self.show()
            with self._below.snapshot() as snapshot:
                working = Working(snapshot)
                yield working
            if not working.is_empty:
                self._catalogue.heads.clear()  # whoever knows where a ledger stands then says so
                self._catalogue.highs.clear()
                self._put(working.writes())

    def _put(self, writes: Sequence[Write]) -> None:
        """Write a batch; who reads meanwhile is told that no name fits the state (`reading`)."""
        self._writes += 1
        try:
            self._store.write(writes)
        finally:
            self._writes += 1

    @contextmanager
    def _redefining(self) -> Iterator[Working]:
        """A write after which nothing that is remembered of the catalogue holds any more."""
        with self._lock:
            self._catalogue_state += 1
            try:
                with self._writing() as working:
                    yield working
            finally:
                self._catalogue = CatalogueCache()
                self._catalogue_state += 1

    # ---- batches

    def _batch(self, working: Working, known: Known) -> SealedBatch:
        from mfdb.dataset.sealed_batch import SealedBatch  # with the first dataset of a network

        tail = self.blocks.tail(working, known.manifest.dataset)
        return SealedBatch(working, known, self.keyring, tail, now_s=self._clock.now_s())

    def _book(self, working: Working, known: Known) -> Book:
        # With the first write, not before: reading needs none of it.
        from mfdb.dataset.ledger.book import Book

        tail = self.blocks.tail(working, known.manifest.dataset)
        return Book(working, self._form(working, known), self._hand, tail)

    def _form(self, working: Working, known: Known) -> Form:
        """Return what is remembered of a dataset's columns and indexes while they are the same."""
        from mfdb.dataset.ledger.form import Form

        if self._catalogue_state & 1:
            return Form(working, known)
        forms = self._catalogue.forms
        form = forms.get(known.manifest.dataset)
        if form is None or form.known is not known:
            form = forms[known.manifest.dataset] = Form(working, known)
        return form

    def _known(self, working: Working, dataset: DatasetId) -> Known:
        """Return what is known of a dataset, as this state of the catalogue remembers it.

        Raises:
            UnknownDataset: nothing is.
        """
        if self._catalogue_state & 1:
            return catalogue.known_dataset(working, dataset)
        known = self._catalogue.by_id.get(dataset)
        if known is None:
            known = self._catalogue.by_id[dataset] = catalogue.known_dataset(working, dataset)
        return known

    def _finish(self, dataset: DatasetId, batch: SealedBatch, *, is_own: bool = False) -> Applied:
        done = batch.finish(is_own=is_own)
        self.blocks.note(dataset, batch.tail.touched)
        self._remember(dataset, batch.gone)
        return done

    def _remember(self, dataset: DatasetId, gone: Mapping[int, Before]) -> None:
        """Keep some of what was replaced or removed at hand for live subscribers."""
        if not gone:
            return
        recent = self._recent
        recent.update(zip(zip(repeat(dataset), gone, strict=False), gone.values(), strict=True))
        for key in list(islice(recent, max(0, len(recent) - _RECENT_ROWS))):
            del recent[key]

    def _notify(self, dataset: DatasetId) -> None:
        for listener in tuple(self._listeners):
            listener(dataset)
