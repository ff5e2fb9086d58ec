"""Writing a ledger: a batch's changes become operations, a signed header, rows and index entries.

Everything is done run by run (inserts, updates or deletes that follow each other), column by
column where that is quicker: a batch of a thousand rows is one signature, and its rows, entries
and slots go to the store as sorted lists.

    pending -> rows and entries put and removed -> operations -> slots, root -> header, signed
            -> of deleted rows: every earlier operation destroyed
"""

from __future__ import annotations

from hashlib import sha256
from itertools import groupby
from typing import TYPE_CHECKING

import msgspec

from mfdb.dataset.indexes import check_unique
from mfdb.dataset.layout import (
    StoredRow,
    chain_key,
    slots_key,
    unique_prefix,
)
from mfdb.dataset.ledger.allowed import check_allowed
from mfdb.dataset.ledger.format import (
    INSERTS,
    LIVE,
    SALT_BYTES,
    Kind,
    LedgerHead,
    before_values,
    row_before_values,
    sign_next,
)
from mfdb.dataset.ledger.journal import Journal
from mfdb.dataset.ledger.shredder import Shredder
from mfdb.dataset.pending import came_since, changed_since
from mfdb.dataset.rows import place_handle, sequence_and_place
from mfdb.dataset.working import save
from mfdb.kernel.clock import Hlc
from mfdb.kernel.codec import encode
from mfdb.kernel.errors import DuplicateRow, ValueTooLarge
from mfdb.kernel.ids import ChangesetId, RowId
from mfdb.kernel.limits import OPERATIONS, ROW_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mfdb.dataset.blocks.tail import Tail
    from mfdb.dataset.ledger.form import Form
    from mfdb.dataset.pending import Before, Pending, Values
    from mfdb.dataset.working import Working
    from mfdb.kernel.account import Account
    from mfdb.kernel.clock import HlcClock
    from mfdb.kernel.entropy import Entropy

CHUNK_BYTES = 3_900
"""Slots kept under one key: with their framing they fill one page of the store."""
_FRAMING_BYTES = 3
RECENT_ROWS = 1_024
"""Deleted rows whose values stay at hand for live subscribers."""
DELETES = int(Kind.DELETE)
_Run = list[tuple[RowId, "Values | None"]]


class Hand(msgspec.Struct, frozen=True):
    """Who writes: the signing account, its clock and where its salts come from."""

    account: Account
    clock: HlcClock
    entropy: Entropy


class Book:
    """Takes one batch into the ledger of one dataset."""

    def __init__(self, working: Working, form: Form, hand: Hand, tail: Tail) -> None:
        """`tail` is told of every row that is shown or hidden."""
        self._working = working
        self._form = form
        self._manifest = form.manifest
        self._dataset = form.dataset
        self._account = hand.account
        self._clock = hand.clock
        self._entropy = hand.entropy
        self.tail = tail
        self._shredder: Shredder | None = None
        self._fresh: list[StoredRow] = []
        self._hlc = 0
        self.gone: dict[int, Before] = {}
        """The rows that were removed, by the sequence of the change."""
        self.head: LedgerHead | None = None
        """Where the ledger stands now."""
        self.done: list[ChangesetId] = []
        """The ids of the changesets that were written."""

    def add(self, pending: Pending, *, now_s: float, head: LedgerHead | None = None) -> None:
        """Make a batch's changes part of the ledger.

        `head` is where the ledger stands, if that is known.

        Raises:
            AccessDenied: the dataset's rules forbid one.
            StaleWrite, DuplicateRow: a row changed, or came, since the changes were planned.
            ValueTooLarge: a row is too long.
        """
        head = head or Journal(self._working, self._dataset).head
        if not self._form.is_free or self._account.address != self._manifest.owner:
            check_allowed(self._manifest, pending, self._account.address, now_s)
        if head.sequence != pending.seen:
            self._check_current(pending)
        self._clock.saw(Hlc(head.hlc))
        self._write(pending, head, self._clock.tick())
        self._check_unique(moved=head.sequence != pending.seen)

    def take_over(self, pending: Pending, hlc: int) -> None:
        """Make rows part of the ledger that were accepted before, with the stamp of that time."""
        self._write(pending, Journal(self._working, self._dataset).head, hlc)

    def _write(self, pending: Pending, head: LedgerHead, hlc: int) -> None:
        self._hlc = hlc
        operations: list[bytes] = []
        for kind, run in _runs(pending):
            first = head.sequence + len(operations) + 1
            operations += self._run(kind, run, pending, first)
        if self._shredder is not None:
            self._shredder.finish()
        self._sign(head, operations, hlc)

    def _run(self, kind: Kind, run: _Run, pending: Pending, first: int) -> list[bytes]:
        handles = [handle for handle, _ in run]
        if kind is Kind.DELETE:
            return self._deletes(handles, [pending.before[one] for one in handles], first)
        values: list[Values] = [after for _, after in run if after is not None]
        bodies = list(map(encode, values))
        if max(map(len, bodies)) > ROW_BYTES:
            raise ValueTooLarge(f"a row is over {ROW_BYTES} bytes")
        if kind is Kind.INSERT:
            return self._inserts(handles, values, bodies, first)
        before = [pending.before[one] for one in handles]
        return self._updates(handles, values, bodies, before, first)

    # ---- what rows and indexes become

    def _inserts(
        self, handles: list[RowId], values: list[Values], bodies: list[bytes], first: int
    ) -> list[bytes]:
        numbers = range(first, first + len(values))
        if not self._form.keyed:
            handles = list(map(place_handle, numbers))
        prefix, hlc = self._form.rows, encode(self._hlc)
        self._working.put_all(
            (prefix + handle, b"\x94" + number + number + hlc + body)
            for handle, number, body in zip(handles, map(encode, numbers), bodies, strict=True)
        )
        self.enter(handles, values)
        self.tail.touch_all(handles)
        return [INSERTS + body for body in bodies]

    def _updates(
        self,
        handles: list[RowId],
        values: list[Values],
        bodies: list[bytes],
        before: list[Before],
        first: int,
    ) -> list[bytes]:
        versions = [sequence_and_place(old.version) for old in before]
        self._working.put_all(
            (self._form.rows + handle, row_before_values(sequence, place, self._hlc) + body)
            for sequence, (handle, (_, place), body) in enumerate(
                zip(handles, versions, bodies, strict=True), first
            )
        )
        self._re_enter(handles, [old.values for old in before], values)
        self.tail.touch_all(handles)
        return [
            before_values(Kind.UPDATE, parent, place) + body
            for (parent, place), body in zip(versions, bodies, strict=True)
        ]

    def _deletes(self, handles: list[RowId], before: list[Before], first: int) -> list[bytes]:
        self._working.delete_all([self._form.rows + handle for handle in handles])
        self._leave(handles, [old.values for old in before])
        self.tail.touch_all(handles)
        recent = max(0, len(before) - RECENT_ROWS)
        self.gone.update(enumerate(before[recent:], first + recent))
        versions = [sequence_and_place(old.version) for old in before]
        if self._shredder is None:
            self._shredder = Shredder(self._working, self._dataset)
        self._shredder.destroy(parent for parent, _ in versions)
        kept = self._form.keep([old.values for old in before])
        return [
            encode((DELETES, parent, place, values))
            for (parent, place), values in zip(versions, kept, strict=True)
        ]

    def enter(self, handles: Sequence[RowId], values: Sequence[Values]) -> None:
        """Put the index entries of rows."""
        for index in self._form.indexes:
            self._working.put_all(zip(index.entries(values, handles), handles, strict=True))
        for key in self._unique_keys(handles, values):
            self._working.put(key, b"")
        if self._form.asks or self._form.unique:
            self._note_fresh(handles, values)

    def _re_enter(
        self, handles: Sequence[RowId], old: Sequence[Values], new: Sequence[Values]
    ) -> None:
        for index in self._form.indexes:
            left, entered = index.entries(old, handles), index.entries(new, handles)
            moved = [at for at, key in enumerate(entered) if key != left[at]]
            self._working.delete_all([left[at] for at in moved])
            self._working.put_all((entered[at], handles[at]) for at in moved)
        if self._form.unique:
            self._working.delete_all(list(self._unique_keys(handles, old)))
            self._working.put_all((key, b"") for key in self._unique_keys(handles, new))
        if self._form.asks or self._form.unique:
            self._note_fresh(handles, new)

    def _leave(self, handles: Sequence[RowId], values: Sequence[Values]) -> None:
        for index in self._form.indexes:
            self._working.delete_all(index.entries(values, handles))
        if self._form.unique:
            self._working.delete_all(list(self._unique_keys(handles, values)))

    def _unique_keys(self, handles: Sequence[RowId], values: Sequence[Values]) -> Iterator[bytes]:
        for at in self._form.unique:
            for handle, row in zip(handles, values, strict=True):
                if row[at] is not None:
                    yield unique_prefix(self._dataset, at, row[at]) + handle

    def _note_fresh(self, handles: Iterable[RowId], values: Iterable[Values]) -> None:
        self._fresh += [
            StoredRow(handle, handle, b"", 0, row)  # no version is asked
            for handle, row in zip(handles, values, strict=True)
        ]

    # ---- what may not be

    def _check_current(self, pending: Pending) -> None:
        for handle in pending.after:
            data = self._working.get(self._form.rows + handle)
            before = pending.before.get(handle)
            if before is None:
                if data is not None:
                    raise came_since(self._manifest)
            elif data is None or self._form.read(handle, data).version != before.version:
                raise changed_since(self._manifest)

    def _check_unique(self, *, moved: bool) -> None:
        for index in self._form.asks:
            check_unique(self._working.under, self._working, self._manifest, index, self._fresh)
        if not moved:
            return  # the statement that planned this has looked itself
        for at in self._form.unique:
            for row in self._fresh:
                if row.values[at] is None:
                    continue
                prefix = unique_prefix(self._dataset, at, row.values[at])
                if sum(1 for _ in self._working.scan(prefix)) > 1:
                    name = self._manifest.columns[at].name
                    raise DuplicateRow(f"{self._manifest.name} has a row with that {name} already")

    # ---- what is signed

    def _sign(self, head: LedgerHead, operations: list[bytes], hlc: int) -> None:
        for at in range(0, len(operations), OPERATIONS):
            part = operations[at : at + OPERATIONS]
            slots = self._slots(part, head.sequence + 1)
            entry, key, head = sign_next(
                self._form,
                head,
                self._account,
                hlc=hlc,
                leaves=[sha256(slot).digest() for slot in slots],
            )
            self._working.put(key, entry)
            self.done.append(ChangesetId(head.previous))
        save(self._working, chain_key(self._dataset), head)
        self.head = head

    def _slots(self, operations: list[bytes], first: int) -> list[bytes]:
        """Salt operations and put them under their keys, some in each."""
        salts = self._entropy.token(SALT_BYTES * len(operations))
        slots = [
            LIVE + salts[at * SALT_BYTES : (at + 1) * SALT_BYTES] + operation
            for at, operation in enumerate(operations)
        ]
        dataset, start, size = self._dataset, 0, 0
        for at, slot in enumerate(slots):
            size += len(slot) + _FRAMING_BYTES
            if size > CHUNK_BYTES and at > start:
                self._working.put(slots_key(dataset, first + start), encode(slots[start:at]))
                start, size = at, len(slot) + _FRAMING_BYTES
        self._working.put(slots_key(dataset, first + start), encode(slots[start:]))
        return slots


def _runs(pending: Pending) -> Iterator[tuple[Kind, _Run]]:
    """Yield what a batch does, in order, as runs of one kind."""
    if not pending.before:
        yield Kind.INSERT, list(pending.after.items())
        return
    before = pending.before
    if len(before) == len(pending.after):  # every row was there: the usual cases in one go
        gone = list(pending.after.values()).count(None)
        if gone in (0, len(before)):
            yield Kind.DELETE if gone else Kind.UPDATE, list(pending.after.items())
            return

    def kind(item: tuple[RowId, Values | None]) -> Kind:
        if item[1] is None:
            return Kind.DELETE
        return Kind.UPDATE if item[0] in before else Kind.INSERT

    for found, run in groupby(pending.after.items(), kind):
        yield found, list(run)
