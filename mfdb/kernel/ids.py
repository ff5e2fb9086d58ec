"""Distinct types for ids, addresses and amounts, so that a checker tells them apart.

All ids are raw bytes; text forms are lower-case hex with a `0x` prefix. Amounts are integers in
the smallest unit of MFT (18 decimals, "wei"). Their sizes are part of the types, so that decoding
a record refuses an id of another size: ids are joined to hashes and keys without their lengths.
"""

from __future__ import annotations

import re
from typing import Annotated, NewType

from msgspec import Meta

from mfdb.kernel.errors import BadType, InvalidText, NumberOutOfRange

_Bytes20 = Annotated[bytes, Meta(min_length=20, max_length=20)]
_Bytes32 = Annotated[bytes, Meta(min_length=32, max_length=32)]

Address = NewType("Address", _Bytes20)
"""20 bytes: an identity, an account or a contract."""
TransportKey = NewType("TransportKey", _Bytes32)
"""32 bytes: Ed25519 public key of a node's transport."""
DatasetId = NewType("DatasetId", _Bytes32)
ChangesetId = NewType("ChangesetId", _Bytes32)
VersionId = NewType("VersionId", _Bytes32)
RowId = NewType("RowId", _Bytes32)
SegmentId = NewType("SegmentId", _Bytes32)
AgreementId = NewType("AgreementId", _Bytes32)
CaseId = NewType("CaseId", _Bytes32)
Hash = NewType("Hash", _Bytes32)
"""32 bytes."""


class Wei(int):
    """An amount of MFT in its smallest unit; up to 2^256 - 1 in records and contracts.

    A class rather than a `NewType`, because records encode it as a 32-byte word: MessagePack
    integers end at 64 bits, which is 18.4 MFT.
    """

    __slots__ = ()


ZERO_HASH = Hash(bytes(32))
ZERO_ADDRESS = Address(bytes(20))
MFT = 10**18

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}\Z")
_AMOUNT = re.compile(r"(\d{0,60})(?:\.(\d{0,60}))?\Z", re.ASCII)
_DECIMALS = 18


def parse_address(text: str) -> Address:
    """Return the 20 bytes of an address written as 0x and 40 hex digits.

    Raises:
        BadType: the text is no address.
    """
    if not _ADDRESS.match(text):
        raise BadType(f"not an address: {text[:60]!r}", hint="write 0x and 40 hex digits")
    return Address(bytes.fromhex(text[2:]))


def show(raw: bytes) -> str:
    r"""Return the text form of an id or address: 0x and lower-case hex.

    >>> show(b"\\x01\\xff")
    '0x01ff'
    """
    return "0x" + raw.hex()


def show_mft(amount: int) -> str:
    """Return an amount in MFT as an exact decimal without trailing zeros.

    >>> show_mft(1_500_000_000_000_000_000)
    '1.5'
    """
    whole, rest = divmod(abs(amount), MFT)
    sign = "-" if amount < 0 else ""
    fraction = f"{rest:018d}".rstrip("0")
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"


def parse_mft(text: str) -> Wei:
    """Return an amount of MFT, written as a decimal without sign and unit.

    >>> parse_mft("1.5")
    1500000000000000000

    Raises:
        InvalidText: it is no such number, or finer than a wei.
        NumberOutOfRange: no contract can hold that much.
    """
    match = _AMOUNT.match(text)
    if match is None or not (match[1] or match[2]):
        raise InvalidText(f"not an amount of MFT: {text[:60]!r}", hint="write 12.5")
    fraction = (match[2] or "").rstrip("0")
    if len(fraction) > _DECIMALS:
        raise InvalidText(
            f"{text} MFT is finer than the token's smallest unit",
            hint=f"at most {_DECIMALS} digits after the point",
        )
    wei = int(match[1] or 0) * MFT + int(fraction.ljust(_DECIMALS, "0"))
    if wei >= 2**256:
        raise NumberOutOfRange(f"{text} MFT is more than there can be")
    return Wei(wei)
