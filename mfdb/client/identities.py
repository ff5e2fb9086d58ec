"""The identities that a session can name: those of its keystore, by petname, and any address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mfdb.kernel.ids import Address, parse_address

if TYPE_CHECKING:
    from collections.abc import Sequence


class IdentityEntry(Protocol):
    """What may be shown of an identity."""

    @property
    def name(self) -> str:
        """Its petname."""
        ...

    @property
    def address(self) -> Address:
        """Its address."""
        ...

    @property
    def protected(self) -> bool:
        """Whether a passphrase seals its seed words."""
        ...


class Identities(Protocol):
    """Where identities are kept (`mfdb.node.keystore.Keystore`)."""

    def list(self) -> Sequence[IdentityEntry]:
        """Return all identities by name."""
        ...

    def find(self, name_or_address: str) -> IdentityEntry:
        """Return one identity.

        Raises:
            UnknownIdentity: there is none of that name or address.
        """
        ...

    def create(self, name: str) -> IdentityEntry:
        """Make an identity.

        Raises:
            DuplicateObject: the name is taken.
        """
        ...


def address_of(name: str, identities: Identities) -> Address:
    """Return the address that a name or address text means.

    Raises:
        UnknownIdentity: no identity has that petname.
    """
    if name.lower().startswith("0x") and len(name) == 42:
        return parse_address(name)
    return identities.find(name).address
