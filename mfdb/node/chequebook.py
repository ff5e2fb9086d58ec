"""A node's chequebook on chain: made once, by the factory, and found again after a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.chain.port import CreateChequebook
from mfdb.kernel.errors import ChainError
from mfdb.kernel.ids import Address, show

if TYPE_CHECKING:
    from mfdb.kernel.ids import Wei
    from mfdb.kernel.seed import IdentityKeys
    from mfdb.node.commit import Committer
    from mfdb.node.ports import Ports

_KEY = b"Kchequebook"


async def open_chequebook(
    keys: IdentityKeys, ports: Ports, committer: Committer, amount: Wei
) -> Address:
    """Return the identity's chequebook: kept here, else found on chain, else made and funded."""
    with ports.store.snapshot() as view:
        known = view.get(_KEY)
    if known is not None:
        return Address(known)
    made = await ports.chain.chequebook_of(keys.address)
    if made is None:
        made = await _create(keys, ports, amount)
    await committer.submit(lambda transaction: transaction.put(_KEY, made))
    return made


async def _create(keys: IdentityKeys, ports: Ports, amount: Wei) -> Address:
    try:
        mined = await ports.chain.send(CreateChequebook(amount=amount), keys.account)
    except ChainError as error:
        if not error.retryable:
            error.hint = f"it needs MFT, and coin for gas: `mfdb devnet fund {show(keys.address)}`"
        raise
    assert mined.created is not None, "the factory names the chequebook that it made"
    return mined.created
