"""Who multiplies matrices with columns of bytes: ISA-L where the system has it, else numpy.

Both give the same bytes. Each is tested when it is loaded, against plain table look-ups; one that
fails is not used, and the log says why. Bench: `python -m bench.codec` (reference/data-path 1).
"""

from __future__ import annotations

import ctypes
import ctypes.util
import logging
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from replication.field import PRODUCTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from replication.field import Matrix

log = logging.getLogger(__name__)

Column = npt.NDArray[np.uint8]
"""One shard's bytes: one-dimensional and contiguous."""

_BLOCK = 32 * 1024
_ROWS_AT_ONCE = 8
_SONAMES = ("libisal.so.2", "libisal.so")


class Backend(Protocol):
    """Multiplies a matrix with columns of bytes over GF(256)."""

    @property
    def name(self) -> str:
        """Name for logs and benchmarks."""
        ...

    def __hash__(self) -> int:
        """Back ends are keys of the cache of programs."""
        ...

    def prepare(self, matrix: Matrix) -> Callable[[Sequence[Column], Sequence[Column]], None]:
        """Return a program that fills target columns from source columns of equal length."""
        ...


class NumpyBackend:
    """Packed tables: one look-up per source byte yields its products for up to 8 target rows."""

    name = "numpy"

    def prepare(self, matrix: Matrix) -> Callable[[Sequence[Column], Sequence[Column]], None]:
        """Return a program that fills target columns from source columns of equal length."""
        starts = range(0, len(matrix), _ROWS_AT_ONCE)
        groups = [(at, _packed(matrix[at : at + _ROWS_AT_ONCE])) for at in starts]

        def run(sources: Sequence[Column], targets: Sequence[Column]) -> None:
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
    sources: Sequence[Column],
    targets: Sequence[Column],
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

    def prepare(self, matrix: Matrix) -> Callable[[Sequence[Column], Sequence[Column]], None]:
        """Return a program that fills target columns from source columns of equal length."""
        rows, width = matrix.shape
        tables = ctypes.create_string_buffer(32 * rows * width)
        self._init(width, rows, matrix.tobytes(), tables)

        def run(sources: Sequence[Column], targets: Sequence[Column]) -> None:
            length = len(sources[0])
            _check_columns(sources, width, length)
            _check_columns(targets, rows, length)
            self._encode(length, width, rows, tables, _pointers(sources), _pointers(targets))

        return run


def _check_columns(columns: Sequence[Column], count: int, length: int) -> None:
    """Guard the C call: a wrong count, length or stride would read or write elsewhere."""
    assert len(columns) == count, "one column per matrix row or column"
    assert all(len(c) == length and c.flags.c_contiguous for c in columns), "equal, contiguous"


def _pointers(columns: Sequence[Column]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(columns))(*(column.ctypes.data for column in columns))


def _find_isal() -> ctypes.CDLL | None:
    """Return the system's libisal; on Linux by its name, since find_library starts processes."""
    if sys.platform.startswith("linux"):
        names: Sequence[str] = _SONAMES
    else:
        found = ctypes.util.find_library("isal")
        names = (found,) if found else ()
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError as error:
            log.debug("erasure library not loaded name=%s reason=%s", name, error)
    return None


def load_isal() -> Backend | None:
    """Return the ISA-L back end, or None where the system has no libisal that fits."""
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
