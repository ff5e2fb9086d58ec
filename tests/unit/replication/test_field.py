from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import reedsolo

from replication.field import (
    GENERATOR,
    PRIMITIVE,
    PRODUCTS,
    generator_matrix,
    inverse,
    invert,
    matrix_product,
    multiply,
    rs_code,
    transform,
)


def test_products_are_those_of_reedsolo() -> None:
    reedsolo.init_tables(prim=PRIMITIVE, generator=GENERATOR)
    due = [[reedsolo.gf_mul(a, b) for b in range(256)] for a in range(256)]
    assert PRODUCTS.tolist() == due


def test_every_element_but_zero_has_an_inverse() -> None:
    assert all(multiply(element, inverse(element)) == 1 for element in range(1, 256))
    with pytest.raises(ZeroDivisionError):
        inverse(0)


@pytest.mark.parametrize(("k", "n"), [(1, 3), (4, 6), (10, 14)])
def test_generator_makes_code_words_of_reedsolo(k: int, n: int) -> None:
    matrix = generator_matrix(k, n)
    assert matrix[:k].tolist() == np.eye(k, dtype=np.uint8).tolist()
    message = bytes(range(7, 7 + k))
    column = np.frombuffer(message, np.uint8)[:, None]
    assert matrix_product(matrix, column)[:, 0].tobytes() == bytes(rs_code(k, n).encode(message))


def test_any_k_rows_of_4_of_6_are_independent() -> None:
    matrix = generator_matrix(4, 6)
    for rows in combinations(range(6), 4):
        part = matrix[list(rows)]
        assert matrix_product(part, invert(part)).tolist() == np.eye(4, dtype=np.uint8).tolist()


def test_transform_from_data_shards_is_the_parity_matrix() -> None:
    made = transform(4, 6, (0, 1, 2, 3), (4, 5))
    assert made.tolist() == generator_matrix(4, 6)[4:].tolist()


def test_a_singular_matrix_is_our_bug() -> None:
    with pytest.raises(AssertionError, match="singular"):
        invert(np.ones((2, 2), dtype=np.uint8))
