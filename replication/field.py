"""GF(256) and the matrices of the code: reedsolo defines both (prim 0x11d, generator 2, fcr 0).

The parity matrix is taken from reedsolo by encoding unit vectors, so that byte j of all n shards
is always a code word of `RSCodec(n - k, nsize=n)` and reedsolo can find liars in it. Any k rows of
the generator matrix are independent (the code is MDS): any k shards give back the data.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import reedsolo

Matrix = npt.NDArray[np.uint8]
PRIMITIVE = 0x11D
GENERATOR = 2
FIRST_ROOT = 0
MAX_SHARDS = 255


def _tables() -> tuple[list[int], list[int]]:
    power, log, value = [0] * 510, [0] * 256, 1
    for exponent in range(255):
        power[exponent] = power[exponent + 255] = value
        log[value] = exponent
        value <<= 1
        if value & 0x100:
            value ^= PRIMITIVE
    return power, log


_POWER, _LOG = _tables()


def multiply(left: int, right: int) -> int:
    """Return the product of two field elements.

    >>> multiply(0x80, 2)
    29
    """
    if left == 0 or right == 0:
        return 0
    return _POWER[_LOG[left] + _LOG[right]]


def inverse(element: int) -> int:
    """Return the element whose product with `element` is 1; zero has none."""
    if element == 0:
        raise ZeroDivisionError("zero has no inverse in GF(256)")
    return _POWER[255 - _LOG[element]]


PRODUCTS: Matrix = np.array(
    [[multiply(left, right) for right in range(256)] for left in range(256)], dtype=np.uint8
)
"""`PRODUCTS[a][b]` is a times b; row a maps a whole column of bytes at once."""


def rs_code(k: int, n: int) -> reedsolo.RSCodec:
    """Return reedsolo's code of which every byte column over n shards is a word."""
    return reedsolo.RSCodec(
        n - k, nsize=n, fcr=FIRST_ROOT, prim=PRIMITIVE, generator=GENERATOR, c_exp=8
    )


@lru_cache(maxsize=32)
def generator_matrix(k: int, n: int) -> Matrix:
    """Return the n x k matrix that makes n shards of k data pieces; its top is the identity."""
    code = rs_code(k, n)
    columns = [bytes(code.encode(bytes(int(row == at) for row in range(k)))) for at in range(k)]
    matrix = np.array([list(column) for column in columns], dtype=np.uint8).T.copy()
    matrix.flags.writeable = False
    return matrix


def invert(matrix: Matrix) -> Matrix:
    """Return the inverse of a square matrix by Gauss-Jordan elimination.

    A singular one cannot come from k rows of a generator matrix, so it is our own bug.
    """
    size = len(matrix)
    work = np.concatenate([matrix, np.eye(size, dtype=np.uint8)], axis=1)
    for at in range(size):
        pivot = at + int(np.argmax(work[at:, at] != 0))
        assert work[pivot, at] != 0, "a singular matrix: the code would not be MDS"
        work[[at, pivot]] = work[[pivot, at]]
        work[at] = PRODUCTS[inverse(int(work[at, at]))][work[at]]
        for row in range(size):
            if row != at and work[row, at]:
                work[row] ^= PRODUCTS[work[row, at]][work[at]]
    return work[:, size:].copy()


def matrix_product(left: Matrix, right: Matrix) -> Matrix:
    """Return the product of two matrices over the field."""
    result = np.zeros((left.shape[0], right.shape[1]), dtype=np.uint8)
    for at in range(left.shape[1]):
        result ^= PRODUCTS[left[:, at][:, None], right[at][None, :]]
    return result


@lru_cache(maxsize=512)
def transform(k: int, n: int, basis: tuple[int, ...], targets: tuple[int, ...]) -> Matrix:
    """Return the matrix that makes the target shards out of the k basis shards."""
    generator = generator_matrix(k, n)
    return matrix_product(generator[list(targets)], invert(generator[list(basis)]))
