"""Who is on the other side of a connection, proven by a node record that names its key."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from mfdb.kernel.codec import encode
from mfdb.kernel.errors import AccessDenied, BadProof, WrongVersion
from mfdb.node.requests import VERSION
from mfdb.rules.records import NodeRecord, SignedNodeRecord, open_record

if TYPE_CHECKING:
    from mfdb.kernel.ids import Hash
    from mfdb.net.port import Peer


class Sessions:
    """The identities of the open connections.

    Each connection introduces itself: the end of an old one says nothing about the one that
    replaced it.
    """

    def __init__(self, network: Hash) -> None:
        self._network = network
        self._records: WeakKeyDictionary[Peer, NodeRecord] = WeakKeyDictionary()

    def admit(self, peer: Peer, version: int, signed: SignedNodeRecord) -> NodeRecord:
        """Return the record that a peer introduced itself by, once it is verified.

        Raises:
            WrongVersion, WrongNetwork, BadSignature, BadProof: it is not acceptable.
        """
        if version != VERSION:
            raise WrongVersion(f"the peer speaks protocol {version}, we speak {VERSION}")
        record = open_record(SignedNodeRecord, encode(signed), network=self._network).record
        if record.transport_key != peer.key:
            raise BadProof("the node record names another transport key than the connection's")
        self._records[peer] = record
        return record

    def of(self, peer: Peer) -> NodeRecord:
        """Return the record of a peer.

        Raises:
            AccessDenied: the peer has not introduced itself.
        """
        record = self._records.get(peer)
        if record is None:
            raise AccessDenied("say hello first", hint="the first request is Hello")
        return record

    def forget(self, peer: Peer) -> None:
        """Drop a peer whose connection is gone."""
        self._records.pop(peer, None)
