"""The file by which a process finds its network: the chain, the contracts, the parameters.

Development networks set parameters here: the windows and epochs that a person would not wait for
are shortened, never skipped. An unknown parameter is an error, so that a misspelt one is not
silently the default.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from mfdb.chain.deploy import Deployment
from mfdb.kernel.errors import CorruptRecord, DevnetFailed, WrongVersion
from mfdb.kernel.ids import Wei
from mfdb.node.settings import ClientSettings, NodeSettings, ProviderSettings

FORMAT = 1
FILE_BYTES = 2**18

S = TypeVar("S", NodeSettings, ProviderSettings, ClientSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFile:
    """Where a network is, and the settings that its nodes start with."""

    deployment: Deployment
    node: NodeSettings = field(default_factory=NodeSettings)
    provider: ProviderSettings = field(default_factory=ProviderSettings)
    client: ClientSettings = field(default_factory=ClientSettings)

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        fresh = path.with_suffix(".new")
        document = {
            "format": FORMAT,
            "deployment": json.loads(self.deployment.to_json()),
            "node": asdict(self.node),
            "provider": asdict(self.provider),
            "client": asdict(self.client),
        }
        fresh.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
        fresh.replace(path)

    @classmethod
    def load(cls, path: Path | str) -> NetworkFile:
        """Return the network that a file describes.

        Raises:
            DevnetFailed: there is no such file.
            WrongVersion: it is of another format.
            CorruptRecord: it does not describe a network.
        """
        path = Path(path)
        try:
            text = path.read_bytes()[: FILE_BYTES + 1].decode()
        except FileNotFoundError as error:
            raise DevnetFailed(
                f"there is no network file {path}", hint="`mfdb devnet up` makes one"
            ) from error
        try:
            document = json.loads(text)
            if document["format"] != FORMAT:
                raise WrongVersion(
                    f"{path} is of format {document['format']!r}, this release reads {FORMAT}",
                    hint="`mfdb devnet reset` starts anew",
                )
            return cls(
                deployment=Deployment.from_json(json.dumps(document["deployment"])),
                node=_settings(NodeSettings, document["node"]),
                provider=_settings(ProviderSettings, document["provider"]),
                client=_settings(ClientSettings, document["client"]),
            )
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise CorruptRecord(
                f"{path} describes no network: {str(error)[:100]}",
                hint="`mfdb devnet reset` starts anew",
            ) from error


def _settings(kind: type[S], found: dict[str, Any]) -> S:
    known = {one.name: one.type for one in fields(kind)}
    unknown = sorted(set(found) - set(known))
    if unknown:
        raise ValueError(f"unknown parameters: {', '.join(unknown)}")
    values = {name: Wei(value) if known[name] == "Wei" else value for name, value in found.items()}
    return kind(**values)
