"""Composing, splitting and opening changesets; which stored values fit which columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import msgspec
import pytest

from mfdb.dataset.opener import SHREDDED, Opened, Unreadable, open_changeset_rows
from mfdb.dataset.row_changes import FreshRows, RowDelete, RowInsert, split, together
from mfdb.dataset.schema import fits, misfit
from mfdb.dataset.writer import ChangesetWriter, Draft
from mfdb.kernel.clock import HlcClock
from mfdb.kernel.errors import ValueTooLarge
from mfdb.kernel.ids import RowId, VersionId
from mfdb.kernel.limits import CHANGESET_BYTES, OPERATIONS, ROW_BYTES
from mfdb.rules.changeset import check_changeset, check_free_rows, open_changeset
from mfdb.rules.key_log import check_entry
from tests.fixtures.datasets import NETWORK, Counter, column, keys_of, mailbox_of

if TYPE_CHECKING:
    from mfdb.kernel.account import Account

BOB = keys_of("bob")
MAILBOX = mailbox_of(BOB, column("a"), column("b", "INTEGER", clear=True), column("c", "BYTEA"))
VALUES = {"a": "text", "b": 7, "c": b"\x00"}


def composed(*changes: RowInsert | RowDelete, sealed_sender: bool = False) -> Draft:
    world = Counter("alice")
    writer = ChangesetWriter(keys_of("alice").account, HlcClock(world), world)
    chain = writer.new_chain()
    return writer.compose(MAILBOX, changes, chain, sealed_sender=sealed_sender)


def opened(draft: Draft, **changes: object) -> tuple[Opened | Unreadable | None, ...]:
    entry = msgspec.structs.replace(draft.entry, **changes)
    return open_changeset_rows(draft.changeset, entry, MAILBOX, BOB.seal_key)


@pytest.mark.parametrize("sealed_sender", [False, True])
def test_what_is_composed_is_good_and_opens_to_the_same_values(sealed_sender: bool) -> None:  # noqa: FBT001 - pytest gives it by name
    draft = composed(
        RowInsert(values=VALUES), RowInsert(values=VALUES), sealed_sender=sealed_sender
    )
    check_changeset(draft.changeset, network=NETWORK, dataset=MAILBOX.dataset)
    check_free_rows(draft.changeset)
    check_entry(draft.entry, draft.changeset)
    expected = Opened(values=VALUES, author=keys_of("alice").address)
    assert opened(draft) == (expected, expected)
    first, second = draft.changeset.operations
    assert first.sealed != second.sealed, "every row has a key of its own"
    assert first.clear == (7,)


NAMES = tuple(VALUES)
ROWS = [("text", 7, b"\x00"), ("", None, bytes(300)), ("\u20ac", -(2**31), None)]


@pytest.mark.parametrize("ids", [(), tuple(RowId(bytes([at]) * 32) for at in range(3))])
@pytest.mark.parametrize("names", [NAMES, tuple(reversed(NAMES))])
@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("sealed_sender", [False, True])
def test_rows_in_tuples_become_what_the_same_rows_one_by_one_do(
    *, ids: tuple[RowId, ...], names: tuple[str, ...], plain: bool, sealed_sender: bool
) -> None:
    manifest = (
        mailbox_of(BOB, column("a"), column("b", "INTEGER"), column("c")) if plain else MAILBOX
    )
    rows = [tuple(row[NAMES.index(name)] for name in names) for row in ROWS]
    fresh = FreshRows(names, rows, ids)
    assert tuple(one.row for one in fresh if one.row is not None) == ids
    assert [tuple(one.values[name] for name in NAMES) for one in fresh] == ROWS
    made = []
    for changes in (fresh, list(fresh)):
        world = Counter("alice")
        writer = ChangesetWriter(keys_of("alice").account, HlcClock(world), world)
        draft = writer.compose(manifest, changes, writer.new_chain(), sealed_sender=sealed_sender)
        made.append((draft.data, draft.entry.salts, draft.values))
        decoded = open_changeset(draft.data)
        assert list(decoded.rows) == list(draft.changeset.rows)
        assert decoded.operations == draft.changeset.operations
    assert made[0] == made[1]


def test_rows_in_tuples_are_split_and_put_together_as_rows_one_by_one_are() -> None:
    big = FreshRows(NAMES, [("a", 1, bytes(5 * 2**20))] * 7)
    parts = list(split(big))
    assert [list(part) for part in parts] == [list(part) for part in split(list(big))]
    assert all(isinstance(part, FreshRows) for part in parts)
    assert list(together(parts)) == list(big)
    assert isinstance(together(parts), FreshRows)
    named = FreshRows(NAMES, ROWS, [RowId(bytes(32))] * 3)
    assert list(together([big[:1], named])) == [*big[:1], *named]
    assert list(split(FreshRows(NAMES, []))) == []


class Impostor:
    """An account that claims another address than that of its key."""

    def __init__(self) -> None:
        self.address = BOB.address
        self.sign = keys_of("alice").account.sign


def test_a_forged_inner_author_proves_nothing() -> None:
    world = Counter("alice")
    impostor = cast("Account", Impostor())
    writer = ChangesetWriter(impostor, HlcClock(world), world)
    changes = [RowInsert(values=VALUES)]
    draft = writer.compose(MAILBOX, changes, writer.new_chain(), sealed_sender=True)
    assert opened(draft) == (Opened(values=VALUES, author=b""),)


def test_without_salt_key_or_entry_a_row_says_why_it_is_unreadable() -> None:
    draft = composed(RowInsert(values=VALUES), RowInsert(values=VALUES))
    first, second = opened(draft, salts=(b"", draft.entry.salts[1]))
    assert first == SHREDDED
    assert isinstance(second, Opened)
    assert all(isinstance(row, Unreadable) for row in opened(draft, envelope=bytes(80)))
    nobody = open_changeset_rows(draft.changeset, draft.entry, MAILBOX, lambda _: None)
    assert all(isinstance(row, Unreadable) for row in nobody)
    missing = open_changeset_rows(draft.changeset, None, MAILBOX, BOB.seal_key)
    assert all(isinstance(row, Unreadable) for row in missing)


def test_a_delete_carries_nothing() -> None:
    draft = composed(RowDelete(row=RowId(bytes(32)), parent=VersionId(bytes(32))))
    (operation,) = draft.changeset.operations
    assert (operation.sealed, operation.clear, draft.entry.salts) == (b"", (), (b"",))
    assert opened(draft) == (None,)


def test_what_is_too_large_is_split_or_refused() -> None:
    many = [RowInsert(values=VALUES)] * (OPERATIONS + 1)
    assert [len(part) for part in split(many)] == [OPERATIONS, 1]
    big = RowInsert(values={**VALUES, "c": bytes(5 * 2**20)})
    parts = list(split([big] * 7))
    assert [len(part) for part in parts] == [3, 3, 1]
    assert CHANGESET_BYTES > 3 * 5 * 2**20
    with pytest.raises(ValueTooLarge, match="row"):
        composed(RowInsert(values={**VALUES, "c": bytes(ROW_BYTES)}))
    with pytest.raises(ValueTooLarge, match="operations"):
        composed()


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("BOOLEAN", True, 1),
        ("INTEGER", -(2**31), 2**31),
        ("INTEGER", 5, True),
        ("SMALLINT", 2**15 - 1, 2**15),
        ("BIGINT", 2**63 - 1, 1.0),
        ("REAL", 1.5, 1),
        ("DOUBLE PRECISION", float("nan"), "1"),
        ("DECIMAL(10,2)", "-12.50", "1e5"),
        ("DECIMAL", "9" * 1000, "NaN"),
        ("MFT", "0.000000000000000001", 1),
        ("TEXT", "", b""),
        ("VARCHAR(3)", "abc", 3),
        ("JSON", "{}", {}),
        ("BYTEA", b"", ""),
        ("DATE", 0, 2**40),
        ("TIMESTAMPTZ", -1, 2**62),
        ("UUID", bytes(16), bytes(15)),
        ("IDENTITY", bytes(20), "0x"),
    ],
)
def test_stored_values_fit_their_columns_or_do_not(kind: str, good: object, bad: object) -> None:
    one = column("x", kind)
    assert fits(one, good)
    assert not fits(one, bad)
    assert not fits(column("x", "NOSUCHTYPE"), good)
    manifest = mailbox_of(BOB, one)
    assert misfit(manifest, {"x": good}) == ""
    assert "x" in misfit(manifest, {"x": bad})
    assert misfit(manifest, {"x": None}) == ""
    assert "NULL" in misfit(mailbox_of(BOB, column("x", kind, not_null=True)), {"x": None})
