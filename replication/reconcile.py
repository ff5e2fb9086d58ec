"""Range-based set reconciliation: two replicas find what each lacks in a few small messages.

Both order their items by (HLC, id). A message covers the whole order with ranges; a range carries
nothing (settled), a fingerprint of the sender's items in it, or - below 32 items - their ids. A
fingerprint that differs is answered with 16 finer ones; an id list settles its range at once,
since its receiver then knows what to push and what to pull. A replica that was away differs in
one stretch of time, so the order by HLC makes that cheap.

The fingerprint is an additive sum: it finds differences, it proves nothing. Whoever crafts ids to
collide hides his own changesets from anti-entropy, nobody else's from the court.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Protocol

from mfdb.kernel.codec import Record, decode
from mfdb.kernel.errors import MalformedMessage
from mfdb.kernel.ids import ChangesetId

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

RECONCILE_FORMAT = 1
BUCKETS = 16
LIST_ITEMS = 32
"""Below so many items a range is settled by its ids; not less than `BUCKETS`, for none is empty."""
MESSAGE_LIMIT_BYTES = 64 * 2**10
_REPLY_BYTES = 48 * 2**10
_RANGE_BYTES = 48
_FINGERPRINT_BYTES = 16
_ID_BYTES = 32

Item = tuple[int, ChangesetId]
"""HLC and id."""
Bound = tuple[int, bytes]
"""HLC and the shortest prefix of an id that divides; items below it belong to the range."""

_END: Bound = (2**64, b"")


class Range(Record, frozen=True):
    """What the sender says of its items from the last range's end up to this bound.

    `hlc` is relative to the HLC of the last range's bound; `prefix` None is the end of the order.
    `body` None settles the range, 16 bytes are a fingerprint, multiples of 32 a list of ids.
    """

    hlc: int
    prefix: bytes | None
    body: bytes | None


class Message(Record, frozen=True):
    """One step of a reconciliation; ranges ascend and what follows the last one is settled."""

    format: int
    ranges: tuple[Range, ...]


class Items(Protocol):
    """A replica's items in order."""

    def __len__(self) -> int: ...

    def __getitem__(self, at: int) -> Item: ...

    def position(self, bound: Bound) -> int:
        """Return how many items are below a bound."""
        ...

    def ids(self, start: int, stop: int) -> list[ChangesetId]:
        """Return the ids from position `start` up to `stop`, in order."""
        ...

    def fingerprint(self, start: int, stop: int) -> bytes:
        """Return the fingerprint of the items from position `start` up to `stop`."""
        ...


def fingerprint(total: int, count: int) -> bytes:
    """Return 16 bytes: truncated SHA-256 of the sum of ids modulo 2^256 and their count."""
    counted = (total % 2**256).to_bytes(32, "big") + count.to_bytes(8, "big")
    return sha256(counted).digest()[:_FINGERPRINT_BYTES]


class ItemSet:
    """A replica's items, sorted, with running sums: fingerprints of ranges cost two look-ups."""

    __slots__ = ("_items", "_sums")

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = sorted(set(items))
        ids = (int.from_bytes(changeset, "big") for _, changeset in self._items)
        self._sums = list(accumulate(ids, initial=0))

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, at: int) -> Item:
        return self._items[at]

    def position(self, bound: Bound) -> int:
        """Return how many items are below a bound."""
        return bisect_left(self._items, bound)

    def ids(self, start: int, stop: int) -> list[ChangesetId]:
        """Return the ids from position `start` up to `stop`, in order."""
        return [changeset for _, changeset in self._items[start:stop]]

    def below(self, at: int) -> int:
        """Return the sum of the ids below a position."""
        return self._sums[at]

    def fingerprint(self, start: int, stop: int) -> bytes:
        """Return the fingerprint of the items from position `start` up to `stop`."""
        return fingerprint(self._sums[stop] - self._sums[start], stop - start)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a message leads to: an answer (None: settled), ids to push and ids to pull."""

    reply: Message | None
    have: tuple[ChangesetId, ...]
    need: tuple[ChangesetId, ...]


def open_message(items: Items) -> Message:
    """Return the first message of a reconciliation: one fingerprint of everything, or few ids."""
    ranges, count = _Ranges(), len(items)
    is_short = count < LIST_ITEMS
    ranges.add(_END, b"".join(items.ids(0, count)) if is_short else items.fingerprint(0, count))
    message = ranges.message()
    assert message is not None, "a fingerprint or list of everything is never settled"
    return message


def read_message(data: bytes) -> Message:
    """Return the message that these bytes encode.

    Raises:
        ValueTooLarge, MalformedMessage: they encode none.
    """
    message = decode(Message, data, limit_bytes=MESSAGE_LIMIT_BYTES)
    for _ in _bounds(message):
        pass
    return message


def respond(items: Items, message: Message) -> Step:
    """Return the answer to a message, what the peer lacks and what we lack.

    Work and answer are bounded by the message's size, whatever it says; what does not fit into
    the answer is left to later rounds. `have` may be all of our items, if the peer says that it
    has none: push them at your own pace.

    Raises:
        MalformedMessage: ranges do not ascend, or a body is neither fingerprint nor list.
    """
    ranges = _Ranges()
    have: list[ChangesetId] = []
    need: list[ChangesetId] = []
    start = 0
    for upper, body in _bounds(message):
        stop = items.position(upper)
        if body is None:
            ranges.add(upper, None)
        elif len(body) == _FINGERPRINT_BYTES:
            _answer_fingerprint(ranges, items, (start, stop, upper), body)
        else:
            theirs, mine = _ids(body), items.ids(start, stop)
            have += sorted(set(mine) - theirs)
            need += sorted(theirs - set(mine))
            ranges.add(upper, None)
        start = stop
        if ranges.size_bytes > _REPLY_BYTES and upper != _END:
            ranges.add(_END, items.fingerprint(start, len(items)))
            break
    return Step(reply=ranges.message(), have=tuple(have), need=tuple(need))


def _answer_fingerprint(
    ranges: _Ranges, items: Items, place: tuple[int, int, Bound], theirs: bytes
) -> None:
    start, stop, upper = place
    if items.fingerprint(start, stop) == theirs:
        ranges.add(upper, None)
        return
    for bound, body in _split(items, start, stop, upper):
        ranges.add(bound, body)


def _split(items: Items, start: int, stop: int, upper: Bound) -> Iterator[tuple[Bound, bytes]]:
    """Yield a range's ids, if it has few, else the fingerprints of 16 parts of equal count."""
    if stop - start < LIST_ITEMS:
        yield upper, b"".join(items.ids(start, stop))
        return
    edges = [start + (stop - start) * part // BUCKETS for part in range(BUCKETS + 1)]
    for first, last in pairwise(edges):
        bound = upper if last == stop else _between(items[last - 1], items[last])
        yield bound, items.fingerprint(first, last)


def _between(before: Item, after: Item) -> Bound:
    """Return the shortest bound above one item and not above the next."""
    if before[0] != after[0]:
        return after[0], b""
    same = 0
    while before[1][same] == after[1][same]:
        same += 1
    return after[0], after[1][: same + 1]


def _bounds(message: Message) -> Iterator[tuple[Bound, bytes | None]]:
    if message.format != RECONCILE_FORMAT:
        raise MalformedMessage(f"reconciliation of format {message.format} is not known")
    last: Bound = (0, b"")
    for said in message.ranges:
        upper = _END if said.prefix is None else (last[0] + said.hlc, said.prefix)
        if said.hlc < 0 or upper <= last or upper > _END or len(upper[1]) > _ID_BYTES:
            raise MalformedMessage("the ranges of a reconciliation must ascend")
        _check_body(said.body)
        yield upper, said.body
        last = upper


def _check_body(body: bytes | None) -> None:
    if body is None or len(body) == _FINGERPRINT_BYTES:
        return
    if len(body) % _ID_BYTES or len(body) >= LIST_ITEMS * _ID_BYTES:
        raise MalformedMessage("a range carries a fingerprint or fewer than 32 ids")


def _ids(body: bytes) -> set[ChangesetId]:
    return {ChangesetId(body[at : at + _ID_BYTES]) for at in range(0, len(body), _ID_BYTES)}


class _Ranges:
    """Collects the ranges of a message; settled neighbours become one."""

    def __init__(self) -> None:
        self._ranges: list[tuple[Bound, bytes | None]] = []
        self.size_bytes = 0

    def add(self, upper: Bound, body: bytes | None) -> None:
        """Add the range up to a bound."""
        if body is None and self._ranges and self._ranges[-1][1] is None:
            self._ranges[-1] = (upper, None)
            return
        self._ranges.append((upper, body))
        self.size_bytes += _RANGE_BYTES + len(body or b"")

    def message(self) -> Message | None:
        """Return the message, or None if everything is settled."""
        if self._ranges and self._ranges[-1][1] is None:
            self._ranges.pop()
        if not self._ranges:
            return None
        return Message(format=RECONCILE_FORMAT, ranges=tuple(_encoded(self._ranges)))


def _encoded(ranges: Sequence[tuple[Bound, bytes | None]]) -> Iterator[Range]:
    last = 0
    for (hlc, prefix), body in ranges:
        if (hlc, prefix) == _END:
            yield Range(hlc=0, prefix=None, body=body)
        else:
            yield Range(hlc=hlc - last, prefix=prefix, body=body)
            last = hlc
