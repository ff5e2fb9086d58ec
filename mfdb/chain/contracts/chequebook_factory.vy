# pragma version 0.4.3
"""
@title Makes chequebooks as EIP-1167 clones
@notice `deployed` lets a beneficiary trust the code of a chequebook it has never seen. The salt is
        hashed with the sender, so nobody can take another's address.
"""

from ethereum.ercs import IERC20

interface Chequebook:
    def initialise(issuer: address): nonpayable

event ChequebookCreated:
    issuer: indexed(address)
    chequebook: indexed(address)

TOKEN: immutable(address)
MASTER: immutable(address)
deployed: public(HashMap[address, bool])


@deploy
def __init__(token: address, master: address):
    TOKEN = token
    MASTER = master


@external
@view
def master() -> address:
    return MASTER


@external
def create(salt: bytes32, amount: uint256) -> address:
    """@notice Make the sender's chequebook, and move `amount` of its tokens into it (allowance)."""
    mixed: bytes32 = keccak256(abi_encode(msg.sender, salt))
    chequebook: address = create_minimal_proxy_to(MASTER, salt=mixed)
    self.deployed[chequebook] = True
    log ChequebookCreated(issuer=msg.sender, chequebook=chequebook)
    extcall Chequebook(chequebook).initialise(msg.sender)
    if amount > 0:
        assert extcall IERC20(TOKEN).transferFrom(msg.sender, chequebook, amount)
    return chequebook
