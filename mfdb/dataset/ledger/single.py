"""One new row: what `Book` makes of it, in one go.

Most commits of most programs are one INSERT, and of its time Python takes more than the disk. Where
nothing has to be asked (`Form.is_free`, no UNIQUE, the plan is of the newest state), what goes to
the store follows from the form, the head and the values alone. Both ways write the same bytes.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from mfdb.dataset.ledger.format import INSERTS, LIVE, SALT_BYTES, sign_next
from mfdb.dataset.rows import place_handle
from mfdb.kernel.clock import Hlc
from mfdb.kernel.codec import encode
from mfdb.kernel.errors import ValueTooLarge
from mfdb.kernel.limits import ROW_BYTES

if TYPE_CHECKING:
    from mfdb.dataset.ledger.book import Hand
    from mfdb.dataset.ledger.form import Form
    from mfdb.dataset.ledger.format import LedgerHead
    from mfdb.dataset.pending import Pending, Values
    from mfdb.kernel.ids import Address, RowId
    from mfdb.store.port import Write


def fresh_row(pending: Pending, form: Form, head: LedgerHead, owner: Address) -> RowId | None:
    """Return the handle of a batch's one new row, or None: `Book` has to see to the batch."""
    after = pending.after
    if len(after) != 1 or pending.before or pending.watched:
        return None
    if head.sequence != pending.seen or form.manifest.number != pending.rules:
        return None
    if not form.is_free or form.unique or form.asks or owner != form.manifest.owner:
        return None
    return next(iter(after)) if form.keyed else place_handle(head.sequence + 1)


def written(
    handle: RowId, values: Values, form: Form, head: LedgerHead, hand: Hand
) -> tuple[list[Write], LedgerHead]:
    """Return what goes to the store for a new row, and where the ledger stands then.

    Raises:
        ValueTooLarge: the row is too long.
    """
    body = encode(values)
    if len(body) > ROW_BYTES:
        raise ValueTooLarge(f"a row is over {ROW_BYTES} bytes")
    clock, sequence = hand.clock, head.sequence + 1
    clock.saw(Hlc(head.hlc))
    hlc, number = clock.tick(), encode(sequence)
    slot = LIVE + hand.entropy.token(SALT_BYTES) + INSERTS + body
    leaves = [sha256(slot).digest()]
    entry, key, head = sign_next(form, head, hand.account, hlc=hlc, leaves=leaves)
    writes: list[Write] = [
        (form.rows + handle, b"\x94" + number + number + encode(hlc) + body),
        (form.slots + sequence.to_bytes(8, "big"), encode([slot])),
        (key, entry),
        (form.chain, encode(head)),
    ]
    writes += [(index.entry_of(values, handle), handle) for index in form.indexes]
    return writes, head
