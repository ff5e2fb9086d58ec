"""The form of a dump's file: frames of parts, each with a checksum, the whole signed at its end.

    file  = "mfdbdump" || u8 format (1) || frame ... || frame with the end
    frame = u32 stored length || u32 length || u32 CRC-32 of what is stored || u8 packing || stored

Packing is 0 (as it is) or 1 (zlib). A frame holds an array of parts. Every error names the byte at
which the frame begins that it is about.
"""

from __future__ import annotations

import struct
import zlib
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from mfdb.dataset.dump.parts import (
    DumpEnd,
    DumpHead,
    DumpSummary,
    InventoryPart,
    Kept,
    Part,
)
from mfdb.kernel.codec import decode, encode
from mfdb.kernel.errors import BadDump, MfdbError, WrongVersion
from mfdb.kernel.ids import Hash
from mfdb.rules.signing import check_signature, digest_of, sign

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from mfdb.kernel.account import Account

MAGIC = b"mfdbdump"
FORMAT = 1
FRAME_BYTES = 64 * 2**20
"""Of a frame's content: a changeset of 16 MiB fits, nothing is ever allocated beyond."""
_GATHER_BYTES = 256 * 2**10
_FRAME = struct.Struct(">IIIB")
_PLAIN, _ZLIB = 0, 1
_LEVEL = 1
"""Rows shrink to about a third at 100 MB/s; more effort gains a few per cent at a third of that."""
_Parts = tuple[Part, ...]


class DumpWriter:
    """Writes the parts of one dump to a file that nobody sees yet."""

    def __init__(self, stream: BinaryIO, head: DumpHead) -> None:
        self._stream = stream
        self._head = head
        self._content = sha256()
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self.parts = 0
        self.length_bytes = 0
        self._write(MAGIC + bytes([FORMAT]))
        self.put(head)

    def put(self, part: DumpHead | Kept | InventoryPart) -> None:
        """Add a part.

        Raises:
            OSError: the file cannot be written.
        """
        self.put_encoded(encode(part))

    def put_encoded(self, data: bytes) -> None:
        """Add a part that is encoded already."""
        self.parts += 1
        self._gathered.append(data)
        self._gathered_bytes += len(data)
        if self._gathered_bytes >= _GATHER_BYTES:
            self._flush()

    def end(self, account: Account) -> Hash:
        """Sign the dump and return its id; the caller still has to sync the file."""
        self._flush()
        head = self._head
        summary = DumpSummary(
            format=FORMAT,
            identity=head.identity,
            number=head.number,
            previous=head.previous,
            time_s=head.time_s,
            parts=self.parts,
            length_bytes=self.length_bytes,
            content=Hash(self._content.digest()),
        )
        self._gathered = [encode(DumpEnd(summary, sign(summary, account)))]
        self._flush()
        return digest_of(summary)

    def _flush(self) -> None:
        if not self._gathered:
            return
        content = _array_of(self._gathered)
        self._gathered, self._gathered_bytes = [], 0
        packed = zlib.compress(content, _LEVEL)
        packing, stored = (_ZLIB, packed) if len(packed) < len(content) else (_PLAIN, content)
        checksum = zlib.crc32(stored)
        self._write(_FRAME.pack(len(stored), len(content), checksum, packing) + stored)

    def _write(self, data: bytes) -> None:
        self._stream.write(data)
        self._content.update(data)
        self.length_bytes += len(data)


def _array_of(encoded: list[bytes]) -> bytes:
    """Return the encoding of an array of things that are encoded already."""
    count = len(encoded)
    if count < 16:
        start = bytes([0x90 | count])
    elif count < 2**16:
        start = b"\xdc" + count.to_bytes(2, "big")
    else:
        start = b"\xdd" + count.to_bytes(4, "big")
    return start + b"".join(encoded)


class Placed(NamedTuple):
    """A part and the byte at which its frame begins."""

    at: int
    part: Part


class DumpReader:
    """Reads one dump: what it yields is checked for form and checksum, at the end for signature."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._content = sha256()
        self.at = 0
        """How many bytes are read."""
        self.end: DumpEnd | None = None
        """The end of the dump, once all was read."""

    def __iter__(self) -> Iterator[Placed]:
        """Yield the parts before the end.

        Raises:
            BadDump: this is no whole dump, or its bytes are not those that were signed.
            WrongVersion: another release wrote it.
            OSError: the file cannot be read.
        """
        self._open()
        parts = 0
        head: DumpHead | None = None
        while self.end is None:
            at, before = self.at, self._content.copy()
            for part in self._frame():
                if head is None and not isinstance(part, DumpHead):
                    raise BadDump(f"at byte {at}: a dump begins with its head")
                if isinstance(part, DumpEnd):
                    assert head is not None, "it was read first"
                    self._close(part, head, Hash(before.digest()), (parts, at))
                    break
                if isinstance(part, DumpHead):
                    if head is not None:
                        raise BadDump(f"at byte {at}: a dump has one head")
                    head = part
                parts += 1
                yield Placed(at, part)

    def _open(self) -> None:
        magic = self._read(len(MAGIC) + 1, at=0)
        if magic[:-1] != MAGIC:
            raise BadDump("at byte 0: this is no dump", hint="`mfdb dump FILE` writes one")
        if magic[-1] != FORMAT:
            raise WrongVersion(
                f"the dump has format {magic[-1]}, this release reads {FORMAT}",
                hint="use the release that wrote it",
            )

    def _frame(self) -> _Parts:
        at = self.at
        length, content_length, checksum, packing = _FRAME.unpack(self._read(_FRAME.size, at=at))
        if max(length, content_length) > FRAME_BYTES or packing > _ZLIB:
            raise BadDump(f"at byte {at}: no frame begins here")
        stored = self._read(length, at=at)
        if zlib.crc32(stored) != checksum:
            raise BadDump(
                f"at byte {at}: the {length} bytes of this frame are damaged",
                hint="take it from another copy of the file",
            )
        content = stored if packing == _PLAIN else _unpacked(stored, content_length, at)
        if len(content) != content_length:
            raise BadDump(f"at byte {at}: the frame has another length than it says")
        try:
            return decode(_Parts, content, limit_bytes=FRAME_BYTES)
        except MfdbError as error:
            raise BadDump(f"at byte {at}: {error.message}") from error

    def _close(self, end: DumpEnd, head: DumpHead, content: Hash, size: tuple[int, int]) -> None:
        summary = end.summary
        said = (summary.format, summary.identity, summary.number, summary.previous, summary.time_s)
        if said != (head.format, head.identity, head.number, head.previous, head.time_s):
            raise BadDump(f"at byte {size[1]}: the end is that of another dump")
        if (summary.parts, summary.length_bytes) != size or summary.content != content:
            raise BadDump(f"at byte {size[1]}: the dump is not the one that was signed")
        try:
            check_signature(summary, end.signature, summary.identity)
        except MfdbError as error:
            raise BadDump(f"at byte {size[1]}: {error.message}") from error
        if self._stream.read(1):
            raise BadDump(f"at byte {self.at}: there are bytes beyond the end of the dump")
        self.end = end

    def _read(self, length: int, *, at: int) -> bytes:
        data = self._stream.read(length)
        if len(data) != length:
            raise BadDump(
                f"at byte {at}: the file ends at byte {self.at + len(data)}, amid the dump",
                hint="it was cut off: take it from another copy, or dump again",
            )
        self.at += length
        self._content.update(data)
        return data


def _unpacked(stored: bytes, length: int, at: int) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(stored, length + 1)
    except zlib.error as error:
        raise BadDump(f"at byte {at}: the frame does not unpack: {error}") from error
    if not unpacker.eof or unpacker.unused_data:
        raise BadDump(f"at byte {at}: the frame has another length than it says")
    return content
