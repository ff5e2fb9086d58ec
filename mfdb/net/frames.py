"""Frames: how messages lie in the byte stream of a connection. Pure; no input or output.

A frame is, big-endian: u32 length of what follows, u8 kind, u64 number, body. The number names the
request or stream that the asker opened; both sides count their own. A length over the limit is
refused when its four bytes are there, before anything is kept for it.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

from mfdb.kernel.errors import MalformedMessage, ValueTooLarge
from mfdb.kernel.limits import FRAME_BYTES


class Kind(IntEnum):
    """What a frame is. The first group goes from asker to answerer, the second back."""

    REQUEST = 1
    OPEN = 2
    CREDIT = 3
    CANCEL = 4

    ANSWER = 16
    REFUSAL = 17
    ITEM = 18
    END = 19

    PING = 32
    PONG = 33


class Frame(NamedTuple):
    """One frame as received."""

    kind: Kind
    number: int
    body: bytes


_HEAD = struct.Struct(">IBQ")
_LENGTH = struct.Struct(">I")
_AFTER_LENGTH = _HEAD.size - _LENGTH.size
_U32 = struct.Struct(">I")
_KINDS = {int(kind): kind for kind in Kind}

HEAD_BYTES = _HEAD.size
BODY_BYTES = FRAME_BYTES - _AFTER_LENGTH
"""Largest body of a request, answer or item."""
CREDIT_LIMIT = 2**30


def encode_frame(kind: Kind, number: int, body: bytes = b"") -> bytes:
    """Return the bytes of one frame."""
    return _HEAD.pack(len(body) + _AFTER_LENGTH, kind, number) + body


def frame_kind(frame: bytes) -> Kind:
    """Return the kind of an encoded frame (for transports that treat kinds differently)."""
    return Kind(frame[_LENGTH.size])


def renumber(frame: bytes, number: int) -> bytes:
    """Return the same encoded frame under another number."""
    length, kind, _ = _HEAD.unpack_from(frame)
    return _HEAD.pack(length, kind, number) + frame[HEAD_BYTES:]


def frame_number(frame: bytes) -> int:
    """Return the number of an encoded frame."""
    number: int = _HEAD.unpack_from(frame)[2]
    return number


def encode_credit(size_bytes: int) -> bytes:
    """Return the body of a CREDIT frame: the sender may send so many bytes more."""
    return _U32.pack(size_bytes)


def decode_credit(body: bytes) -> int:
    """Return the bytes of credit that a CREDIT frame grants.

    Raises:
        MalformedMessage: it grants none, absurdly many, or is not a credit.
    """
    if len(body) != _U32.size:
        raise MalformedMessage("a credit has four bytes")
    (size,) = _U32.unpack(body)
    if not 0 < size <= CREDIT_LIMIT:
        raise MalformedMessage(f"a credit of {size} bytes")
    return int(size)


class FrameReader:
    """Cuts a byte stream into frames.

    After an error it must not be used again: nobody knows where the next frame begins.
    """

    __slots__ = ("_buffer", "_limit_bytes")

    def __init__(self, limit_bytes: int = FRAME_BYTES) -> None:
        self._buffer = bytearray()
        self._limit_bytes = limit_bytes

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that these bytes complete; keep the rest for the next call.

        Raises:
            ValueTooLarge: a frame's length is over the limit.
            MalformedMessage: a frame is shorter than its head or of an unknown kind.
        """
        buffer = self._buffer
        if not buffer and len(data) >= HEAD_BYTES:  # nearly always one whole frame arrives
            length, kind, number = _HEAD.unpack_from(data)
            if length == len(data) - _LENGTH.size <= self._limit_bytes and kind in _KINDS:
                return [Frame(_KINDS[kind], number, data[HEAD_BYTES:])]
        buffer += data
        frames: list[Frame] = []
        position = 0
        available = len(buffer)
        with memoryview(buffer) as view:  # of which a body is copied once
            while available - position >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(view, position)
                self._check(length)
                end = position + _LENGTH.size + length
                if end > available:
                    break
                _, kind, number = _HEAD.unpack_from(view, position)
                if kind not in _KINDS:
                    raise MalformedMessage(f"a frame of unknown kind {kind}")
                frames.append(Frame(_KINDS[kind], number, bytes(view[position + HEAD_BYTES : end])))
                position = end
        del buffer[:position]
        return frames

    @property
    def waiting_bytes(self) -> int:
        """Bytes kept of a frame that is not complete yet."""
        return len(self._buffer)

    def _check(self, length: int) -> None:
        if length > self._limit_bytes:
            raise ValueTooLarge(f"a frame of {length} bytes is over the limit {self._limit_bytes}")
        if length < _AFTER_LENGTH:
            raise MalformedMessage(f"a frame of {length} bytes has no head")
