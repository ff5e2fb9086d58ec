"""Who multiplies matrices with columns of bytes: ISA-L (the system's, or a wheel's), else numpy.

Both give the same bytes. Each is tested when it is loaded, against plain table look-ups; one that
fails is not used, and the log says why. Bench: `python -m bench.codec` (reference/data-path 1).
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
import logging
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from replication.field import PRODUCTS

if TYPE_CHECKING:
    from replication.field import Matrix

log = logging.getLogger(__name__)

Column = npt.NDArray[np.uint8]
"""One shard's bytes: one-dimensional and contiguous."""

Columns = Sequence[Column] | npt.NDArray[np.uint8]
"""Columns one by one, or as the rows of a matrix (which then need no look at each)."""

_BLOCK = 32 * 1024
_ROWS_AT_ONCE = 8
_CACHE_LINE_BYTES = 64
_WORTH_TWO_CORES_BYTES = 4 * 2**20
"""Below, handing half of a stripe to another thread costs more than it saves."""
_SONAMES = ("libisal.so.2", "libisal.so")
_WHEEL = "pyeclib"
"""Brings a copy of ISA-L beside it. The path is private to the wheel, so its version is pinned."""


Program = Callable[[Columns, Columns], None]
"""Fills target columns from source columns of equal length."""


class Backend(Protocol):
    """Multiplies a matrix with columns of bytes over GF(256)."""

    @property
    def name(self) -> str:
        """Name for logs and benchmarks."""
        ...

    def __hash__(self) -> int:
        """Back ends are keys of the cache of programs."""
        ...

    def prepare(self, matrix: Matrix) -> Program:
        """Return a program that fills target columns from source columns of equal length."""
        ...


class NumpyBackend:
    """Packed tables: one look-up per source byte yields its products for up to 8 target rows."""

    name = "numpy"

    def prepare(self, matrix: Matrix) -> Program:
        """Return a program that fills target columns from source columns of equal length."""
        starts = range(0, len(matrix), _ROWS_AT_ONCE)
        groups = [(at, _packed(matrix[at : at + _ROWS_AT_ONCE])) for at in starts]

        def run(sources: Columns, targets: Columns) -> None:
            for start, tables in groups:
                _run_group(tables, sources, targets[start : start + _ROWS_AT_ONCE])

        return run


def _packed(rows: Matrix) -> list[npt.NDArray[np.unsignedinteger]]:
    """Return a table per source: entry b holds the products of b for every row, side by side."""
    width = 1 << (len(rows) - 1).bit_length()
    tables = []
    for source in range(rows.shape[1]):
        table = np.zeros((256, width), dtype=np.uint8)
        table[:, : len(rows)] = PRODUCTS[rows[:, source]].T
        tables.append(table.view(f"u{width}").reshape(256))
    return tables


def _run_group(
    tables: list[npt.NDArray[np.unsignedinteger]],
    sources: Columns,
    targets: Columns,
) -> None:
    length = len(sources[0])
    total = np.empty(min(_BLOCK, length), dtype=tables[0].dtype)
    product = np.empty_like(total)
    for start in range(0, length, _BLOCK):
        size = min(_BLOCK, length - start)
        np.take(tables[0], sources[0][start : start + size], out=total[:size], mode="clip")
        for table, source in zip(tables[1:], sources[1:], strict=True):
            np.take(table, source[start : start + size], out=product[:size], mode="clip")
            np.bitwise_xor(total[:size], product[:size], out=total[:size])
        lanes = total[:size].view(np.uint8).reshape(size, -1)
        for row, target in enumerate(targets):
            target[start : start + size] = lanes[:, row]


class IsalBackend:
    """Intel's ISA-L through ctypes, which lets other threads run meanwhile."""

    name = "isal"

    def __init__(self, library: ctypes.CDLL) -> None:
        self._init = library.ec_init_tables
        self._encode = library.ec_encode_data
        self._init.restype = self._encode.restype = None
        self._init.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p]
        self._encode.argtypes = [
            *(ctypes.c_int,) * 3,
            ctypes.c_char_p,
            *(ctypes.POINTER(ctypes.c_void_p),) * 2,
        ]

    def prepare(self, matrix: Matrix) -> Program:
        """Return a program that fills target columns from source columns of equal length."""
        rows, width = matrix.shape
        tables = ctypes.create_string_buffer(32 * rows * width)
        self._init(width, rows, matrix.tobytes(), tables)

        def run(sources: Columns, targets: Columns) -> None:
            length = len(sources[0])
            givers = _addresses(sources, width, length)
            takers = _addresses(targets, rows, length)

            def part(start: int, stop: int) -> None:
                data, made = _pointers(givers, start), _pointers(takers, start)
                self._encode(stop - start, width, rows, tables, data, made)

            if length * width < _WORTH_TWO_CORES_BYTES:
                part(0, length)
            else:
                half = length // 2 & -_CACHE_LINE_BYTES
                other = _second_core().submit(part, 0, half)
                part(half, length)
                other.result()

        return run


@lru_cache(maxsize=1)
def _second_core() -> ThreadPoolExecutor:
    """Return who does half of a long stripe while the caller does the other half."""
    return ThreadPoolExecutor(1, thread_name_prefix="mfdb-erasure")


def _addresses(columns: Columns, count: int, length: int) -> list[int]:
    """Return where columns begin. Guards the C call, which would read and write anywhere."""
    assert len(columns) == count, "one column per matrix row or column"
    if isinstance(columns, np.ndarray):
        assert columns.shape[1] == length, "equal"
        assert columns.strides[1] == 1, "contiguous"
        first: int = columns.__array_interface__["data"][0]
        return [first + at * columns.strides[0] for at in range(count)]
    assert all(len(c) == length and c.flags.c_contiguous for c in columns), "equal, contiguous"
    return [column.__array_interface__["data"][0] for column in columns]


def _pointers(addresses: Sequence[int], start: int) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(addresses))(*(address + start for address in addresses))


def _system_copies() -> Sequence[str]:
    """Return the system's libisal; on Linux by its name, since find_library starts processes."""
    is_linux: bool = sys.platform.startswith("linux")
    found = None if is_linux else ctypes.util.find_library("isal")
    return _SONAMES if is_linux else (found,) if found else ()


def _wheel_copies() -> Sequence[str]:
    """Return the libisal that a wheel brings, where that wheel is installed."""
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        return ()
    beside = Path(spec.origin).parent.with_suffix(".libs")
    return sorted(str(copy) for copy in beside.glob("libisal*"))


def _find_isal() -> ctypes.CDLL | None:
    """Return the system's libisal, or else the copy of the wheel."""
    for name in (*_system_copies(), *_wheel_copies()):
        try:
            return ctypes.CDLL(name)
        except OSError as error:
            log.debug("erasure library not loaded name=%s reason=%s", name, error)
    return None


def load_isal() -> Backend | None:
    """Return the ISA-L back end, or None where there is no libisal that fits."""
    library = _find_isal()
    if library is None:
        return None
    try:
        return IsalBackend(library)
    except AttributeError as error:
        log.warning("erasure back end not used name=isal reason=%s", error)
        return None


def passes_self_test(backend: Backend) -> bool:
    """Return whether a back end gives the bytes of the plain tables; logs the case it fails."""
    for rows, width, length in ((2, 4, 1), (1, 1, 63), (3, 17, 4_099), (11, 5, 65), (8, 3, 33_000)):
        ramp = np.arange(max(rows * width, width * length) * 7, dtype=np.uint32)
        noise = (ramp * np.uint32(2_654_435_761) >> np.uint32(13)).astype(np.uint8)
        matrix = noise[: rows * width].reshape(rows, width).copy()
        sources = [noise[at * length : (at + 1) * length].copy() for at in range(width)]
        targets = [np.zeros(length, dtype=np.uint8) for _ in range(rows)]
        backend.prepare(matrix)(sources, targets)
        if any(
            not np.array_equal(target, reference(row, sources))
            for row, target in zip(matrix, targets, strict=True)
        ):
            case = f"{rows}x{width} length {length}"
            log.warning(
                "erasure back end not used name=%s reason=wrong bytes %s", backend.name, case
            )
            return False
    return True


def reference(row: Column, sources: Sequence[Column]) -> Column:
    """Return one target column by plain table look-ups: slow, and the oracle for the others."""
    total = np.zeros(len(sources[0]), dtype=np.uint8)
    for factor, source in zip(row, sources, strict=True):
        total ^= PRODUCTS[factor][source]
    return total


@lru_cache(maxsize=1)
def backends() -> tuple[Backend, ...]:
    """Return the back ends that work here and passed their self-test, the fastest first."""
    found = [backend for backend in (load_isal(), NumpyBackend()) if backend is not None]
    working = tuple(backend for backend in found if passes_self_test(backend))
    assert working, "the numpy back end failed its self-test"
    log.debug("erasure back ends ready names=%s", ",".join(backend.name for backend in working))
    return working
