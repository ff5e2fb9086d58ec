"""Every rule is tested on the contracts and on their twin; what only contracts have, on an EVM."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fixtures.court_scene import EvmGround, Scene, ground

if TYPE_CHECKING:
    from tests.fixtures.evm import Evm


@pytest.fixture(params=["contracts", "twin"])
def scene(request: pytest.FixtureRequest) -> Scene:
    """Return a stage on the contracts, then one on the twin."""
    return Scene(request.param)


@pytest.fixture
def evm() -> Evm:
    """Return an EVM with the contracts deployed and every spender allowed."""
    found = ground("contracts")
    assert isinstance(found, EvmGround)
    return found.evm
