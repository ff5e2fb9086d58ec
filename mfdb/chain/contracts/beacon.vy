# pragma version 0.4.3
"""
@title One unpredictable value per audit epoch
@notice The beacon of an epoch is the hash of the block in which someone first asked for it after
        the epoch began: whoever asks cannot know it. It is recorded from a later block, within
        256 of them; if nobody did, a new block is fixed.
"""

event BeaconFixed:
    epoch: indexed(uint256)
    target: uint256

event BeaconRecorded:
    epoch: indexed(uint256)
    beacon: bytes32

SECONDS: immutable(uint256)
beacon: public(HashMap[uint256, bytes32])
target: public(HashMap[uint256, uint256])


@deploy
def __init__(epoch_s: uint256):
    assert epoch_s > 0, "mfdb: no epoch"
    SECONDS = epoch_s


@external
@view
def epoch_s() -> uint256:
    """@notice Length of an epoch in seconds of block time; epoch 0 began in 1970."""
    return SECONDS


@external
def record(epoch: uint256):
    """@notice Take the next step towards an epoch's beacon; does nothing if none is due."""
    assert epoch <= block.timestamp // SECONDS, "mfdb: epoch not begun"
    if self.beacon[epoch] != empty(bytes32):
        return
    target: uint256 = self.target[epoch]
    if target == 0 or block.number > target + 256:
        self.target[epoch] = block.number
        log BeaconFixed(epoch=epoch, target=block.number)
    elif block.number > target:
        self.beacon[epoch] = blockhash(target)
        log BeaconRecorded(epoch=epoch, beacon=self.beacon[epoch])
