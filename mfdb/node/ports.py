"""The ports that a node is given: the real ones in a process, the twins in a simulation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mfdb.chain.port import Chain
    from mfdb.kernel.clock import Clock
    from mfdb.kernel.entropy import Entropy
    from mfdb.net.port import Handler, Transport
    from mfdb.node.commit import RunBlocking
    from mfdb.store.port import Store


class MakeTransport(Protocol):
    """How a node gets its transport: for a 32-byte Ed25519 seed and a handler."""

    def __call__(self, seed: bytes, handler: Handler) -> Transport:
        """Return a transport that is not listening yet."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Everything of the outside world that a node touches."""

    store: Store
    chain: Chain
    clock: Clock
    entropy: Entropy
    make_transport: MakeTransport
    run_blocking: RunBlocking
    run_briefly: RunBlocking | None = None
    """What small commits are carried out by, where that is not `run_blocking`."""
