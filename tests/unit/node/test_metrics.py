"""Figures of a provider, how Prometheus gets them, and what an owner is told by SHOW HEALTH."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mfdb.kernel.errors import InterfaceError, PortTaken
from mfdb.node.log_format import JsonLines
from mfdb.node.provider.figures import Figures
from mfdb.node.provider.metrics import serving_metrics
from mfdb.node.requests import GetDataset
from tests.fixtures.node_town import Town, in_town, sealed_town
from tests.fixtures.repairs import convict, repaired

if TYPE_CHECKING:
    from mfdb.kernel.ids import DatasetId
    from mfdb.node.client.remote import NodeRemote
    from tests.fixtures.node_town import Person

FIGURES = Figures(
    datasets=2,
    stored_bytes=4096,
    commits=7,
    committed_changes=70,
    answered={"PutChangeset": 60},
    refused={"ReadLog": 1},
    under_replicated=1,
    reconciled_age_s=12.5,
    repairs_due=1,
    repair_lag_s=30.0,
    repaired=2,
    repair_s=90.0,
    damaged=3,
)


async def get(address: str, path: str) -> tuple[str, str]:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return head.partition("\r\n")[0], body


def test_prometheus_gets_every_figure() -> None:
    async def main() -> None:
        async with serving_metrics("127.0.0.1:0", lambda: FIGURES) as bound:
            status, text = await get(bound, "/metrics")
            assert status.endswith("200 OK")
            assert (await get(bound, "/"))[0].endswith("404 Not Found")
        samples = {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        assert samples == {
            ("mfdb_provider_datasets",): 2,
            ("mfdb_provider_stored_bytes",): 4096,
            ("mfdb_provider_commits_total",): 7,
            ("mfdb_provider_committed_changes_total",): 70,
            ("mfdb_provider_requests_total", "PutChangeset", "answered"): 60,
            ("mfdb_provider_requests_total", "ReadLog", "refused"): 1,
            ("mfdb_provider_under_replicated_segments",): 1,
            ("mfdb_provider_reconciled_age_seconds",): 12.5,
            ("mfdb_provider_repairs_due",): 1,
            ("mfdb_provider_damaged_records",): 3,
            ("mfdb_provider_repair_lag_seconds",): 30,
            ("mfdb_provider_time_to_repair_seconds_count",): 2,
            ("mfdb_provider_time_to_repair_seconds_sum",): 90,
        }

    asyncio.run(main())


@pytest.mark.parametrize("address", ["0.0.0.0:9109", "192.0.2.1:9109", "example.org:9109"])
def test_metrics_are_for_this_machine_only(address: str) -> None:
    async def main() -> None:
        with pytest.raises(InterfaceError, match="loopback"):
            async with serving_metrics(address, lambda: FIGURES):
                pass

    asyncio.run(main())


def test_a_port_that_is_taken_is_told() -> None:
    async def main() -> None:
        async with serving_metrics("127.0.0.1:0", lambda: FIGURES) as bound:
            with pytest.raises(PortTaken, match="cannot be served"):
                async with serving_metrics(bound, lambda: FIGURES):
                    pass

    asyncio.run(main())


@in_town
async def test_a_provider_counts_what_it_does(town: Town) -> None:
    bob, dataset, segment = await sealed_town(town)
    remote = await bob.remote()
    await remote._context.directory.reach(town.stands[0].me)
    await remote._lookup.look(dataset, [town.stands[0].me])
    figures = town.stands[0].node.figures()
    assert figures.datasets == 1
    assert figures.stored_bytes > 3_000
    assert figures.commits > 5
    assert figures.committed_changes >= figures.commits
    assert figures.answered[GetDataset.__name__] == 1
    await town.stands[0].healing.look()
    assert town.stands[0].node.figures().under_replicated == 0
    assert town.stands[0].node.figures().reconciled_age_s < 1
    await asyncio.sleep(60)
    assert town.stands[0].node.figures().reconciled_age_s >= 60
    await convict(town, dataset, segment)
    assert town.stands[0].node.figures().repairs_due == 0
    await repaired(town)
    done = [stand.node.figures() for stand in town.stands[:5]]
    assert all(one.repaired == 1 and one.repairs_due == 0 for one in done)
    assert all(0 < one.repair_s <= 80 for one in done)


async def health(town: Town, bob: Person, dataset: DatasetId) -> dict[str, tuple[str, str]]:
    remote = town.remotes[0] if town.remotes else await bob.remote()
    await remote._lookup.look(dataset, [stand.me for stand in town.stands[:3]])
    _, rows = await remote.status("health", dataset)
    return {str(check): (str(state), str(value)) for check, state, value, *_ in rows}


async def shards_stored(remote: NodeRemote, dataset: DatasetId) -> list[object]:
    _, rows = await remote.status("segments", dataset)
    return [row[-1] for row in rows]


@in_town
async def test_an_owner_is_told_what_is_wrong(town: Town) -> None:
    bob, dataset, segment = await sealed_town(town)
    assert await health(town, bob, dataset) == {
        "replicas reachable": ("ok", "3 of 3"),
        "under-replicated": ("ok", "0 of 1 segments"),
        "coded": ("ok", "1 of 1 segments in 4/6"),
        "repair lag": ("ok", "0 s"),
    }
    remote = town.remotes[0]
    assert await shards_stored(remote, dataset) == [6]
    await convict(town, dataset, segment)
    assert await shards_stored(remote, dataset) == [5]
    lost = (await health(town, bob, dataset))["under-replicated"]
    assert lost == ("ALARM", "1 of 1 segments")
    _, (row,) = await remote.status("repairs", dataset)
    assert row[3:] == (5, "under way", None)
    await asyncio.sleep(700)
    assert (await health(town, bob, dataset))["repair lag"][0] == "ALARM"
    await repaired(town)
    _, (row,) = await remote.status("repairs", dataset)
    assert row[4] == "repaired"
    assert str(row[5]).startswith("0x")
    assert (await health(town, bob, dataset))["repair lag"] == ("ok", "0 s")
    assert (await health(town, bob, dataset))["under-replicated"][0] == "ok"
    assert await shards_stored(remote, dataset) == [6]
    town.stands[1].vanish()
    await asyncio.sleep(30)
    assert (await health(town, bob, dataset))["replicas reachable"] == ("ALARM", "2 of 3")


def test_a_log_line_is_one_object_with_its_exception() -> None:
    try:
        int("bad")
    except ValueError:
        caught = sys.exc_info()
    record = logging.LogRecord("mfdb.node", logging.ERROR, "file", 1, "a=%d\nb", (1,), caught)
    record.created, record.msecs = 0.25, 250.0
    line = JsonLines().format(record)
    assert "\n" not in line
    said = json.loads(line)
    assert said["time"] == "1970-01-01T00:00:00.250Z"
    assert (said["level"], said["logger"], said["message"]) == ("error", "mfdb.node", "a=1\nb")
    assert "ValueError: invalid literal" in said["exception"]
