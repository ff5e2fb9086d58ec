"""Rotten bytes are told from sound ones, however often the sound ones were seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.codec import encode
from mfdb.kernel.ids import ChangesetId
from mfdb.node.provider import soundness
from mfdb.node.provider.soundness import Soundness
from mfdb.rules.changeset import is_changeset
from mfdb.rules.units import UnitTree
from replication.segment import ALIGNED_FROM_BYTES
from tests.fixtures.node_town import Town, in_town, mailbox_town

if TYPE_CHECKING:
    import pytest


@in_town
async def test_one_turned_bit_is_seen_after_the_whole_was_seen_often(town: Town) -> None:
    bob, dataset = await mailbox_town(town)
    draft = bob.write(dataset, "hello")
    id_, data = draft.entry.changeset, encode(draft.changeset)
    sound = Soundness()
    assert [sound.is_sound(id_, data) for _ in range(3)] == [True] * 3
    for at in range(0, len(data), 7):
        rotten = bytearray(data)
        rotten[at] ^= 0x10
        assert not sound.is_sound(id_, bytes(rotten))
    assert not sound.is_sound(ChangesetId(bytes(32)), data), "sound bytes of another changeset"


@in_town
async def test_what_is_sound_is_judged_once_and_remembered_within_bounds(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob, dataset = await mailbox_town(town)
    drafts = [bob.write(dataset, f"hello {at}") for at in range(5)]
    judged = []

    def counted(id_: ChangesetId, data: bytes) -> bool:
        judged.append(id_)
        return is_changeset(id_, data)

    monkeypatch.setattr(soundness, "is_changeset", counted)
    sound = Soundness()
    for _ in range(3):
        for draft in drafts:
            assert sound.is_sound(draft.entry.changeset, encode(draft.changeset))
    assert len(judged) == len(drafts)
    monkeypatch.setattr(soundness, "REMEMBERED", 2)
    small = Soundness()
    for draft in (*drafts, drafts[0]):
        assert small.is_sound(draft.entry.changeset, encode(draft.changeset))
    assert len(judged) == len(drafts) + 6, "the first was forgotten meanwhile"


def test_nodes_are_remembered_of_the_very_bytes_and_within_bounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sound, id_ = Soundness(), ChangesetId(bytes(32))
    whole = [bytes([at]) * ALIGNED_FROM_BYTES for at in range(3)]
    tree = UnitTree(whole[0])
    monkeypatch.setattr(soundness, "NODES_BYTES", 2 * len(tree.groups))
    for data in whole:
        sound.note(id_, data, UnitTree(data))
        sound.note(id_, data, UnitTree(data))
    assert [sound.nodes(id_, data) for data in whole] == [b"", *map(_groups, whole[1:])]
    assert sound.nodes(id_, whole[2][:-1] + b"\x07") == b"", "a bit was turned"
    short = whole[0][1:]
    sound.note(id_, short, UnitTree(short))
    assert sound.nodes(id_, short) == b"", "it does not stand where nodes do"


def _groups(data: bytes) -> bytes:
    return UnitTree(data).groups
