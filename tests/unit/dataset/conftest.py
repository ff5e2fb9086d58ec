from __future__ import annotations

import pytest

from tests.fixtures.datasets import Person, person


@pytest.fixture
def alice() -> Person:
    return person("alice")


@pytest.fixture
def bob() -> Person:
    return person("bob")
