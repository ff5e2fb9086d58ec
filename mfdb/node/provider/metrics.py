"""The figures of a provider for Prometheus, on an address of this machine only.

    /metrics -> text exposition format of https://prometheus.io/docs/instrumenting/exposition_formats

Imported only where an operator asks for it.
"""

from __future__ import annotations

import ipaddress
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily

from mfdb.kernel.errors import InterfaceError, PortTaken
from mfdb.net.address import parse_host_port, show_host_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from prometheus_client import Metric

    from mfdb.node.provider.figures import Figures

EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


class ProviderCollector:
    """`prometheus_client`'s view of a provider."""

    def __init__(self, read: Callable[[], Figures]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Yield every metric with its value of now."""
        now = self._read()
        yield _gauge("datasets", "Datasets kept here", now.datasets)
        yield _gauge("stored_bytes", "Unsealed changesets and shards", now.stored_bytes)
        yield _counter("commits", "Durable group commits", now.commits)
        yield _counter("committed_changes", "Changes in them", now.committed_changes)
        yield from _requests(now)
        yield _gauge("under_replicated_segments", "Some shards missing", now.under_replicated)
        yield _gauge("reconciled_age_seconds", "Since reconciliation", now.reconciled_age_s)
        yield _gauge("repairs_due", "Convictions not settled", now.repairs_due)
        yield _gauge("repair_lag_seconds", "How long the oldest waits", now.repair_lag_s)
        yield _gauge("damaged_records", "Damaged on the disk and not mended", now.damaged)
        repairs = SummaryMetricFamily(
            "mfdb_provider_time_to_repair_seconds", "From conviction to settlement"
        )
        repairs.add_metric([], count_value=now.repaired, sum_value=now.repair_s)
        yield repairs


def _gauge(name: str, help_: str, value: float) -> Metric:
    return GaugeMetricFamily(f"mfdb_provider_{name}", help_, value=value)


def _counter(name: str, help_: str, value: float) -> Metric:
    return CounterMetricFamily(f"mfdb_provider_{name}", help_, value=value)


def _requests(now: Figures) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "mfdb_provider_requests", "Requests by kind", labels=["kind", "outcome"]
    )
    for outcome, counted in (("answered", now.answered), ("refused", now.refused)):
        for kind, count in sorted(counted.items()):
            requests.add_metric([kind, outcome], count)
    yield requests


@asynccontextmanager
async def serving_metrics(address: str, read: Callable[[], Figures]) -> AsyncIterator[str]:
    """Serve the metrics on "127.0.0.1:port" while the context lasts; yield the address bound.

    Raises:
        InterfaceError: the address is not one of this machine alone.
        PortTaken: another process listens there.
    """
    host, port = parse_host_port(address)
    if host != "localhost" and not _is_loopback(host):
        raise InterfaceError(
            f"metrics are served on a loopback address only, not on {host}",
            hint="for example --metrics 127.0.0.1:9109; a proxy may stand before it",
        )
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ProviderCollector(read))

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": EXPOSITION})

    application = web.Application()
    application.router.add_get("/metrics", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await _listen(web.TCPSite(runner, host, port), address)
        yield show_host_port(host, runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def _listen(site: web.TCPSite, address: str) -> None:
    try:
        await site.start()
    except OSError as error:
        raise PortTaken(
            f"metrics cannot be served on {address}: {error.strerror}", hint="choose another port"
        ) from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
