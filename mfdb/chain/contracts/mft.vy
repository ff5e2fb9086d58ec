# pragma version 0.4.3
"""
@title Mainframe Token, ERC-20
@notice Fixed supply, all of it minted to the deployer (the faucet of a development network). An
        allowance of 2**256 - 1 is never used up.
"""

name: public(constant(String[15])) = "Mainframe Token"
symbol: public(constant(String[3])) = "MFT"
decimals: public(constant(uint8)) = 18
SUPPLY: constant(uint256) = 10_000_000_000 * 10**18

event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    amount: uint256

event Approval:
    owner: indexed(address)
    spender: indexed(address)
    amount: uint256

totalSupply: public(uint256)
balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])


@deploy
def __init__():
    self.totalSupply = SUPPLY
    self.balanceOf[msg.sender] = SUPPLY
    log Transfer(sender=empty(address), receiver=msg.sender, amount=SUPPLY)


@internal
def _move(sender: address, receiver: address, amount: uint256):
    assert receiver != empty(address) and receiver != self, "mfdb: bad recipient"
    assert self.balanceOf[sender] >= amount, "mfdb: balance too small"
    self.balanceOf[sender] -= amount
    self.balanceOf[receiver] += amount
    log Transfer(sender=sender, receiver=receiver, amount=amount)


@external
def transfer(receiver: address, amount: uint256) -> bool:
    self._move(msg.sender, receiver, amount)
    return True


@external
def transferFrom(sender: address, receiver: address, amount: uint256) -> bool:
    allowed: uint256 = self.allowance[sender][msg.sender]
    assert allowed >= amount, "mfdb: allowance too small"
    if allowed != max_value(uint256):
        self.allowance[sender][msg.sender] = allowed - amount
    self._move(sender, receiver, amount)
    return True


@external
def approve(spender: address, amount: uint256) -> bool:
    self.allowance[msg.sender][spender] = amount
    log Approval(owner=msg.sender, spender=spender, amount=amount)
    return True


@external
def burn(amount: uint256):
    """@notice Destroy tokens of the sender."""
    assert self.balanceOf[msg.sender] >= amount, "mfdb: balance too small"
    self.balanceOf[msg.sender] -= amount
    self.totalSupply -= amount
    log Transfer(sender=msg.sender, receiver=empty(address), amount=amount)
