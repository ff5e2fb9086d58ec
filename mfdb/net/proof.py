"""How the dialler proves its key inside the channel. Pure; three messages of fixed size.

    server -> client  HELLO   "mfdb", u16 version, 32-byte nonce
    client -> server  PROOF   32-byte key, Ed25519 signature of (domain, server key, nonce, key)
    server -> client  one byte, a Verdict

The server's key is proven by TLS before the first of them and is part of what is signed, so that
a server cannot use a proof that it was given to pass for the client at another server.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from mfdb.kernel.errors import BadSignature, MalformedMessage, WrongVersion
from mfdb.kernel.ids import TransportKey

if TYPE_CHECKING:
    from mfdb.kernel.entropy import Entropy

VERSION = 1
_DOMAIN = b"mfdb/transport/1: the dialler holds this key\x00"
_HELLO = struct.Struct(">4sH32s")
_PROOF = struct.Struct(">32s64s")
_MAGIC = b"mfdb"

NONCE_BYTES = 32
HELLO_BYTES = _HELLO.size
PROOF_BYTES = _PROOF.size


def transport_key(seed: bytes) -> TransportKey:
    """Return the public key of an Ed25519 seed of 32 bytes."""
    return TransportKey(bytes(SigningKey(seed).verify_key))


def make_hello(entropy: Entropy) -> tuple[bytes, bytes]:
    """Return the HELLO message and its nonce."""
    nonce = entropy.token(NONCE_BYTES)
    return _HELLO.pack(_MAGIC, VERSION, nonce), nonce


def read_hello(message: bytes) -> bytes:
    """Return the nonce of a HELLO.

    Raises:
        MalformedMessage: it is none.
        WrongVersion: the server speaks another version.
    """
    magic, version, nonce = _HELLO.unpack(message)
    if magic != _MAGIC:
        raise MalformedMessage("not the greeting of a node")
    if version != VERSION:
        raise WrongVersion(f"the peer speaks transport version {version}, this release {VERSION}")
    return bytes(nonce)


def make_proof(seed: bytes, server: TransportKey, nonce: bytes) -> bytes:
    """Return the PROOF message that answers a HELLO."""
    signer = SigningKey(seed)
    key = TransportKey(bytes(signer.verify_key))
    return key + signer.sign(_signed(server, nonce, key)).signature


def check_proof(message: bytes, server: TransportKey, nonce: bytes) -> TransportKey:
    """Return the key that a PROOF proves.

    Raises:
        BadSignature: it proves none.
    """
    key, signature = _PROOF.unpack(message)
    try:
        VerifyKey(key).verify(_signed(server, nonce, key), signature)
    except (BadSignatureError, ValueError) as error:
        raise BadSignature("the dialler does not hold the key it names") from error
    return TransportKey(key)


def _signed(server: TransportKey, nonce: bytes, key: bytes) -> bytes:
    return _DOMAIN + server + nonce + key
