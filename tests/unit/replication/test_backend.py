from __future__ import annotations

import ctypes
import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from replication import backend as module
from replication.backend import (
    Backend,
    Columns,
    IsalBackend,
    NumpyBackend,
    Program,
    backends,
    load_isal,
    passes_self_test,
    reference,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from replication.field import Matrix


class _Function:
    """A C function of the fake library: callable, with the attributes that ctypes lets us set."""

    restype: object = None
    argtypes: Sequence[object] = ()

    def __init__(self, body: Callable[..., None]) -> None:
        self._body = body

    def __call__(self, *arguments: Any) -> None:
        self._body(*arguments)


class FakeIsal:
    """Behaves like libisal, through the same raw pointers, on machines that have none."""

    def __init__(self) -> None:
        self.ec_init_tables = _Function(self._init)
        self.ec_encode_data = _Function(self._encode)

    def _init(self, width: int, rows: int, matrix: bytes, tables: Any) -> None:
        tables[: width * rows] = matrix

    def _encode(
        self, length: int, width: int, rows: int, tables: Any, data: Any, coding: Any
    ) -> None:
        sources = [
            np.frombuffer(ctypes.string_at(data[at], length), np.uint8) for at in range(width)
        ]
        for row in range(rows):
            factors = np.frombuffer(tables[row * width : (row + 1) * width], np.uint8)
            ctypes.memmove(coding[row], reference(factors, sources).tobytes(), length)


class WrongBytes:
    """A back end with one wrong bit in long columns."""

    name = "wrong"

    def prepare(self, matrix: Matrix) -> Program:
        run = NumpyBackend().prepare(matrix)

        def spoilt(sources: Columns, targets: Columns) -> None:
            run(sources, targets)
            if len(targets[0]) > 4_000:
                targets[0][-1] ^= 1

        return spoilt


def test_the_back_ends_at_hand_are_tested_and_end_with_numpy() -> None:
    assert backends()[-1].name == "numpy"
    assert all(passes_self_test(backend) for backend in backends())


def test_isal_is_driven_through_pointers() -> None:
    assert passes_self_test(IsalBackend(FakeIsal()))  # type: ignore[arg-type]  # a fake CDLL


def test_the_real_isal_agrees_where_it_is_present() -> None:
    found = load_isal()
    if found is None:
        pytest.skip("this system has no libisal")
    assert passes_self_test(found)


def test_wrong_bytes_are_found_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    wrong: Backend = WrongBytes()
    with caplog.at_level(logging.WARNING):
        assert not passes_self_test(wrong)
    assert "name=wrong" in caplog.text
    assert "3x17 length 4099" in caplog.text


def test_a_library_without_the_functions_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_find_isal", lambda: ctypes.CDLL(None))
    with caplog.at_level(logging.WARNING):
        assert load_isal() is None
    assert "name=isal" in caplog.text


def test_isal_refuses_columns_it_would_overrun() -> None:
    run = IsalBackend(FakeIsal()).prepare(np.ones((1, 2), dtype=np.uint8))  # type: ignore[arg-type]  # a fake CDLL
    column = np.zeros(8, dtype=np.uint8)
    with pytest.raises(AssertionError):
        run([column, column], [column[:4]])
    with pytest.raises(AssertionError):
        run([column], [column])
    with pytest.raises(AssertionError):
        run([column, np.zeros(16, dtype=np.uint8)[::2]], [column])


def test_a_copy_that_a_wheel_brings_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = tmp_path / "someeclib"
    package.mkdir()
    (package / "__init__.py").touch()
    copy = tmp_path / "someeclib.libs" / "libisal-some.so.2"
    copy.parent.mkdir()
    copy.touch()
    monkeypatch.setattr(module, "_WHEEL", "someeclib")
    monkeypatch.syspath_prepend(tmp_path)
    assert module._wheel_copies() == [str(copy)]
    monkeypatch.setattr(module, "_WHEEL", "no_such_wheel")
    assert module._wheel_copies() == ()


@pytest.mark.parametrize("length", [1, 63, 2**20 + 77])
def test_long_stripes_are_halved_between_two_cores(length: int) -> None:
    isal = IsalBackend(FakeIsal())  # type: ignore[arg-type] # behaves like the library
    matrix = np.array([[1, 7, 9, 200], [3, 5, 8, 255]], dtype=np.uint8)
    sources = np.arange(4 * length, dtype=np.uint32).astype(np.uint8).reshape(4, length)
    targets = np.zeros((2, length), dtype=np.uint8)
    isal.prepare(matrix)(sources, targets)
    for row, target in zip(matrix, targets, strict=True):
        assert np.array_equal(target, reference(row, list(sources)))
