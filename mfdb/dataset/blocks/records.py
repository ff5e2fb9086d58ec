"""Where blocks, their directory and the tail stand in the store; see `mfdb.dataset.layout`.

| key                          | value                                                       |
|------------------------------|-------------------------------------------------------------|
| `e` dataset                  | `Coverage`: how far the blocks reach                         |
| `a` dataset highest-locator  | `BlockInfo`: one block, after all rows up to the one before  |
| `b` dataset number place     | an Arrow IPC stream: one column of one block                 |
| `y` dataset locator          | nothing: the tail; what a block says of this row is outdated |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.codec import Record

if TYPE_CHECKING:
    from mfdb.kernel.ids import DatasetId

TABLES = b"abey"
"""The tables of blocks: all of them go when a dataset goes, or is made anew."""
BLOCK_ROWS = 4_096
"""Rows of a full block: larger ones gain nothing (data-path, 4), smaller ones cost each query."""
LEAST_ROWS = 1_024
"""Fewer rows stay without a block."""
BLOCK_BYTES = 4 * 2**20
"""Stored bytes after which a block ends early."""

AUTHOR, HLC, LOCATORS = 0xFFFD, 0xFFFE, 0xFFFF
"""Places of what a block holds beside the dataset's columns."""
BESIDE = (AUTHOR, HLC, LOCATORS)


class Coverage(Record, frozen=True):
    """How far the blocks of a dataset reach; `generation` grows whenever they change.

    `shape` names the columns that the blocks have: where it is not that of the manifest in force,
    the blocks are not used.
    """

    generation: int
    high: bytes
    next_number: int
    shape: bytes


class BlockInfo(Record, frozen=True):
    """One block: its number, which is never given again, its rows and how many columns it has."""

    number: int
    rows: int
    columns: int


def coverage_key(dataset: DatasetId) -> bytes:
    """Return the key of what tells how far blocks reach."""
    return b"e" + dataset


def info_key(dataset: DatasetId, high: bytes) -> bytes:
    """Return the key of the block that ends with a locator."""
    return b"a" + dataset + high


def column_key(dataset: DatasetId, number: int, place: int) -> bytes:
    """Return the key of one column of a block."""
    return b"b" + dataset + number.to_bytes(8, "big") + place.to_bytes(2, "big")


def tail_key(dataset: DatasetId, locator: bytes) -> bytes:
    """Return the key of a mark in the tail."""
    return b"y" + dataset + locator


def after(key: bytes) -> bytes:
    """Return the key that follows a key at once."""
    return key + b"\x00"
