"""JSON-RPC's two kinds of hex text: quantities (no leading zeros) and data (whole bytes)."""

from __future__ import annotations

from mfdb.chain.devchain.faults import InvalidParams


def quantity(value: int) -> str:
    """Return an unsigned integer as JSON-RPC writes it."""
    return hex(value)


def data(value: bytes) -> str:
    """Return bytes as JSON-RPC writes them."""
    return "0x" + value.hex()


def read_quantity(value: object, *, bits: int = 256) -> int:
    """Return the unsigned integer of a quantity; plain JSON numbers are taken too.

    Raises:
        InvalidParams: it is none, or does not fit the bits.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and value.startswith("0x") and 2 < len(value) <= 2 + bits // 4:
        number = _hex_number(value)
    else:
        raise InvalidParams("a quantity is 0x and hex digits")
    if not 0 <= number < 1 << bits:
        raise InvalidParams(f"a quantity has at most {bits} bits")
    return number


def _hex_number(value: str) -> int:
    try:
        return int(value, 0)
    except ValueError as error:
        raise InvalidParams("a quantity is 0x and hex digits") from error


def read_data(value: object, *, size: int | None = None, limit: int = 2**20) -> bytes:
    """Return the bytes of a data text, of exactly `size` bytes if given.

    Raises:
        InvalidParams: it is none, has another size, or more bytes than the limit.
    """
    if not isinstance(value, str) or not value.startswith("0x") or len(value) % 2:
        raise InvalidParams("data is 0x and pairs of hex digits")
    if len(value) > 2 + 2 * limit:
        raise InvalidParams(f"data has at most {limit} bytes")
    try:
        raw = bytes.fromhex(value[2:])
    except ValueError as error:
        raise InvalidParams("data is 0x and pairs of hex digits") from error
    if size is not None and len(raw) != size:
        raise InvalidParams(f"expected {size} bytes, found {len(raw)}")
    return raw


def read_address(value: object) -> bytes:
    """Return the 20 bytes of an address in any letter case (EIP-55, EIP-1191 or none)."""
    return read_data(value, size=20)
