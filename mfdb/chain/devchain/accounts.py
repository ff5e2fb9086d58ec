"""The development accounts: their keys are public, so they exist on development chains only."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from mfdb.kernel.errors import WrongChain
from mfdb.kernel.ids import Wei
from mfdb.kernel.seed import Seed

if TYPE_CHECKING:
    from mfdb.kernel.account import Account
    from mfdb.kernel.ids import Address

DEV_CHAIN_IDS = frozenset({31337, 1337})
DEV_WORDS = "test test test test test test test test test test test junk"
"""The seed words that every Ethereum tool knows."""
DEV_ACCOUNTS = 20
DEV_BALANCE = Wei(10**9 * 10**18)
"""A thousand million ether each."""


def dev_accounts(chain_id: int, count: int = DEV_ACCOUNTS) -> tuple[Account, ...]:
    """Return the first accounts of the development seed words, at m/44'/60'/0'/0/i.

    Raises:
        WrongChain: the chain is not a development chain, so there they belong to thieves.
    """
    if chain_id not in DEV_CHAIN_IDS:
        raise WrongChain(
            f"the development accounts may not be used on chain {chain_id}",
            hint=f"development chains have the id {' or '.join(map(str, sorted(DEV_CHAIN_IDS)))}",
        )
    return _derived(count)


def is_dev_account(address: Address) -> bool:
    """Return whether everybody knows this account's key."""
    return any(account.address == address for account in _derived(DEV_ACCOUNTS))


@cache
def _derived(count: int) -> tuple[Account, ...]:
    seed = Seed.from_words(DEV_WORDS)
    return tuple(seed.account(f"m/44'/60'/0'/0/{index}") for index in range(count))
