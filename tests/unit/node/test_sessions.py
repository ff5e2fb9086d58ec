"""Who is on the other side: proven by a node record that names the connection's key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from mfdb.kernel.errors import AccessDenied, BadProof, BadSignature, WrongNetwork, WrongVersion
from mfdb.kernel.ids import TransportKey
from mfdb.node.requests import VERSION
from mfdb.node.sessions import Sessions
from tests.factories import NETWORK, hash_of, node_record, signed_node_record, token


def connection(key: str = "transport key") -> Any:
    """Return as much of a peer as a session looks at, a new one each time."""
    return Connection(TransportKey(token(key)))


@dataclass(eq=False)
class Connection:
    key: TransportKey


def test_a_peer_is_who_its_record_says() -> None:
    sessions, peer = Sessions(NETWORK.id), connection()
    with pytest.raises(AccessDenied):
        sessions.of(peer)
    assert sessions.admit(peer, VERSION, signed_node_record()) == node_record()
    assert sessions.of(peer) == node_record()
    sessions.forget(peer)
    with pytest.raises(AccessDenied):
        sessions.of(peer)


def test_somebody_elses_record_admits_nobody() -> None:
    sessions, peer = Sessions(NETWORK.id), connection("other key")
    with pytest.raises(BadProof):
        sessions.admit(peer, VERSION, signed_node_record())
    with pytest.raises(AccessDenied):
        sessions.of(peer)


def test_other_networks_versions_and_signatures_are_refused() -> None:
    sessions, peer = Sessions(NETWORK.id), connection()
    with pytest.raises(WrongVersion):
        sessions.admit(peer, VERSION + 1, signed_node_record())
    with pytest.raises(WrongNetwork):
        sessions.admit(peer, VERSION, signed_node_record(network=hash_of("elsewhere")))
    forged = msgspec.structs.replace(signed_node_record(), record=node_record(roles=0))
    with pytest.raises(BadSignature):
        sessions.admit(peer, VERSION, forged)


def test_the_end_of_an_old_connection_does_not_end_the_new_one() -> None:
    sessions, old, new = Sessions(NETWORK.id), connection(), connection()
    sessions.admit(old, VERSION, signed_node_record())
    sessions.admit(new, VERSION, signed_node_record())
    sessions.forget(old)
    assert sessions.of(new) == node_record()


def test_a_new_connection_must_introduce_itself_anew() -> None:
    sessions, old, new = Sessions(NETWORK.id), connection(), connection()
    sessions.admit(old, VERSION, signed_node_record())
    with pytest.raises(AccessDenied):
        sessions.of(new)
