"""Options of the whole test run."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    import pytest
    from xdist.remote import Producer

# How long an example takes says something of the machine only. The default run draws the same
# examples every time, so that a red one is the fault of the change and not of the dice;
# `pytest tests/property tests/unit --hypothesis-profile=explore` throws them.
_TIMELESS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("mfdb", _TIMELESS, derandomize=True)
settings.register_profile("explore", _TIMELESS, print_blob=True)
settings.load_profile("mfdb")

LIVE = "tests/e2e/live/"
FIRST = ("e2e/live", "e2e", "sim")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write what golden scripts print now"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no worker is left alone with it at the end."""
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    starts = (item.nodeid.startswith(f"tests/{name}") for name in FIRST)
    return next((place for place, starts in enumerate(starts) if starts), len(FIRST))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Return what deals out tests to the workers."""
    return WholeFiles(config, log)


class WholeFiles(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Deals out a file at once, for its fixtures' sake; those that share a network as one."""

    def _split_scope(self, nodeid: str) -> str:
        return LIVE if nodeid.startswith(LIVE) else nodeid.split("::", 1)[0]


def pytest_configure() -> None:
    """Let Ctrl-C work in our children also where the runner was started in the background.

    A shell starts background jobs with SIGINT ignored, and children inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
