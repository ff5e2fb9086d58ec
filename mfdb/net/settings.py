"""What a transport allows its peers: sizes, numbers and deadlines."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NetSettings:
    """Limits of one transport; both sides of a connection should use the same windows."""

    window_bytes: int = 2**20
    """Unread bytes of one stream after which its sender is held back."""
    ping_s: float = 5.0
    """Silence after which the peer is asked for a sign of life."""
    pings_missed: int = 3
    """A peer that was silent for this many intervals is dead."""
    handshake_s: float = 5.0
    """Time from the first byte to the proof of the key, whatever the caller allows."""
    closing_s: float = 2.0
    """Time for what was sent to reach the peer when a connection is closed."""
    strangers: int = 128
    """Connections that have not proven a key yet; more are closed at once."""
    connections: int = 1024
    """Connections with a proven key; more are refused."""
    requests: int = 256
    """Requests and streams of one peer under way at once; more are refused with PeerBusy."""
    requests_bytes: int = 64 * 2**20
    """Bytes of the bodies of these requests."""

    @property
    def dead_after_s(self) -> float:
        """Silence after which a peer is dead."""
        return self.ping_s * self.pings_missed


DEFAULTS = NetSettings()
