from __future__ import annotations

import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfdb.kernel.errors import MalformedMessage, MfdbError, ValueTooLarge
from mfdb.kernel.limits import FRAME_BYTES
from mfdb.net.frames import (
    Frame,
    FrameReader,
    Kind,
    decode_credit,
    encode_credit,
    encode_frame,
    frame_kind,
    frame_number,
    renumber,
)

FRAMES = st.lists(
    st.tuples(st.sampled_from(Kind), st.integers(0, 2**64 - 1), st.binary(max_size=300)),
    max_size=20,
)


@given(FRAMES, st.lists(st.integers(1, 200)))
def test_frames_survive_any_cutting_of_the_stream(
    frames: list[tuple[Kind, int, bytes]], cuts: list[int]
) -> None:
    stream = b"".join(encode_frame(*frame) for frame in frames)
    reader = FrameReader()
    found: list[Frame] = []
    for cut in cuts:
        found += reader.feed(stream[:cut])
        stream = stream[cut:]
    found += reader.feed(stream)
    assert found == frames
    assert reader.waiting_bytes == 0


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_waits_for_more(data: bytes) -> None:
    reader = FrameReader(limit_bytes=100)
    try:
        frames = reader.feed(data)
    except MfdbError:
        return
    assert (
        b"".join(encode_frame(*frame) for frame in frames)
        == data[: len(data) - reader.waiting_bytes]
    )


@pytest.mark.parametrize("length", [FRAME_BYTES + 1, 2**30, 2**32 - 1])
def test_a_length_over_the_limit_is_refused_before_anything_is_kept(length: int) -> None:
    tracemalloc.start()
    with pytest.raises(ValueTooLarge):
        FrameReader().feed(struct.pack(">I", length))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000


@pytest.mark.parametrize("length", [0, 1, 8])
def test_a_length_without_room_for_a_head_is_refused(length: int) -> None:
    with pytest.raises(MalformedMessage):
        FrameReader().feed(struct.pack(">I", length) + bytes(20))


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(MalformedMessage):
        FrameReader().feed(struct.pack(">IBQ", 9, 99, 1))


def test_an_encoded_frame_can_be_renumbered() -> None:
    frame = renumber(encode_frame(Kind.REQUEST, 5, b"body"), 2**63)
    assert (frame_kind(frame), frame_number(frame)) == (Kind.REQUEST, 2**63)
    assert FrameReader().feed(frame) == [(Kind.REQUEST, 2**63, b"body")]


@pytest.mark.parametrize("body", [b"", b"\x00" * 4, b"\xff" * 4, b"\x00" * 5])
def test_a_credit_that_no_reader_grants_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_credit(body)
    assert decode_credit(encode_credit(1)) == 1
