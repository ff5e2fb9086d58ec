"""Rotten bytes are told from sound ones, however often the sound ones were seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.codec import encode
from mfdb.kernel.ids import ChangesetId
from mfdb.node.provider import soundness
from mfdb.node.provider.soundness import Soundness
from mfdb.rules.changeset import is_changeset
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
