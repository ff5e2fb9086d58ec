from __future__ import annotations

import pytest

from tests.fixtures.fake_network import FakeNetwork
from tests.fixtures.users import User


@pytest.fixture
def local() -> User:
    return User("bob", None)


@pytest.fixture
def world() -> FakeNetwork:
    return FakeNetwork(now_s=1_800_000_500.0)


@pytest.fixture
def alice(world: FakeNetwork) -> User:
    return User("alice", world)


@pytest.fixture
def bob(world: FakeNetwork) -> User:
    return User("bob", world)
