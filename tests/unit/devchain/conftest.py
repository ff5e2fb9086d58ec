"""What the development chain's tests stand on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fixtures.dev_engine import DevEngine
from tests.fixtures.devchain import devchain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["devchain"]


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[DevEngine]:
    """An engine with the token on it."""
    made = DevEngine(tmp_path / "chain")
    made.deploy_token()
    yield made
    made.close()
