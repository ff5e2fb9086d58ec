"""TLS contexts: a server certificate that carries nothing but the node's Ed25519 key.

Nobody issues certificates here: the dialler knows the key it wants and compares. TLS 1.3 makes the
server prove that it holds the key; the names and dates in the certificate mean nothing.
"""

from __future__ import annotations

import datetime
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from mfdb.kernel.errors import PeerUnreachable
from mfdb.kernel.ids import TransportKey

if TYPE_CHECKING:
    from mfdb.kernel.entropy import Entropy

PROTOCOL = "mfdb/1"
"""ALPN name: what is spoken inside the channel."""

_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mfdb")])
_NOT_BEFORE = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_NOT_AFTER = datetime.datetime(9999, 12, 31, tzinfo=datetime.UTC)


def server_context(seed: bytes, entropy: Entropy) -> ssl.SSLContext:
    """Return the context in which a node with this Ed25519 seed accepts connections.

    The ssl module reads keys from files only: the key passes through a private temporary
    directory, encrypted with a password that never leaves memory, and is removed at once.
    """
    key = Ed25519PrivateKey.from_private_bytes(seed)
    password = entropy.token(32).hex().encode()
    certificate = _self_signed(key).public_bytes(Encoding.PEM)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0
    with tempfile.TemporaryDirectory(prefix="mfdb-") as directory:
        file = Path(directory) / "node.pem"
        file.touch(mode=0o600)
        file.write_bytes(secret + certificate)
        context.load_cert_chain(file, password=password)
    return context


def client_context() -> ssl.SSLContext:
    """Return the context in which a node dials; the caller compares the key itself."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def certified_key(certificate: bytes | None) -> TransportKey:
    """Return the Ed25519 key of a certificate in DER.

    Raises:
        PeerUnreachable: there is no certificate, or not one with such a key.
    """
    try:
        key = x509.load_der_x509_certificate(certificate or b"").public_key()
    except Exception as error:  # hostile bytes: the parser has many ways to refuse them
        raise PeerUnreachable("who answers there shows no certificate of a node") from error
    if not isinstance(key, Ed25519PublicKey):
        raise PeerUnreachable("who answers there has no Ed25519 key")
    return TransportKey(key.public_bytes_raw())


def _context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols([PROTOCOL])
    return context


def _self_signed(key: Ed25519PrivateKey) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(_NAME)
        .issuer_name(_NAME)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
        .sign(key, None)
    )
