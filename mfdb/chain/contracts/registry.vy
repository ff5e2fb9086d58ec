# pragma version 0.4.3
"""
@title Identities, their current signing keys, and the records they publish
@notice An identity is named by its first address for ever. One that never registered signs for
        itself. A registered one changes its key only by the recovery key whose hash it committed
        to; the recovery key's address stays unknown until it is used, once.
"""

struct Stamp:
    digest: bytes32
    number: uint256

event KeyChanged:
    identity: indexed(address)
    key: indexed(address)
    epoch: uint256

event RecordPublished:
    identity: indexed(address)
    kind: indexed(uint256)
    record: Bytes[8192]

keys: HashMap[address, HashMap[uint256, address]]
epoch: public(HashMap[address, uint256])  # 0: never registered
recovery: public(HashMap[address, bytes32])
records: HashMap[address, HashMap[uint256, Stamp]]


@internal
@view
def _key_at(identity: address, epoch: uint256) -> address:
    key: address = self.keys[identity][epoch]
    return identity if epoch == 0 else key


@external
@view
def key_at(identity: address, epoch: uint256) -> address:
    """@notice The signing key of an identity's key epoch; zero if it has not come yet."""
    return self._key_at(identity, epoch)


@external
@view
def signing_key(identity: address) -> address:
    """@notice The identity's signing key now."""
    return self._key_at(identity, self.epoch[identity])


@external
@view
def record_at(identity: address, kind: uint256) -> (bytes32, uint256):
    """@notice keccak-256 of the newest record and the block whose event holds it; or zeros."""
    stamp: Stamp = self.records[identity][kind]
    return stamp.digest, stamp.number


@internal
def _change(identity: address, key: address, commitment: bytes32):
    assert key != empty(address), "mfdb: no key"
    assert commitment != empty(bytes32), "mfdb: no recovery commitment"
    epoch: uint256 = self.epoch[identity] + 1
    self.epoch[identity] = epoch
    self.keys[identity][epoch] = key
    self.recovery[identity] = commitment
    log KeyChanged(identity=identity, key=key, epoch=epoch)


@external
def register(signingKey: address, recoveryCommitment: bytes32):
    """
    @notice Name the sender's signing key.
    @param recoveryCommitment keccak-256 of the recovery key's address as a 32-byte word
    """
    assert self.epoch[msg.sender] == 0, "mfdb: already registered"
    self._change(msg.sender, signingKey, recoveryCommitment)


@external
def rotate(identity: address, signingKey: address, recoveryCommitment: bytes32):
    """@notice Change an identity's signing key; only its recovery key may, and only once."""
    assert self.epoch[identity] > 0, "mfdb: not registered"
    assert keccak256(abi_encode(msg.sender)) == self.recovery[identity], "mfdb: not the recovery key"
    assert recoveryCommitment != self.recovery[identity], "mfdb: recovery key used"
    self._change(identity, signingKey, recoveryCommitment)


@external
def set_record(identity: address, kind: uint256, record: Bytes[8192]):
    """@notice Publish an identity's record of a kind; it replaces the one before."""
    key: address = self._key_at(identity, self.epoch[identity])
    assert msg.sender == key, "mfdb: not the signing key"
    assert kind < 256, "mfdb: unknown kind"
    assert len(record) <= 4096, "mfdb: record too long"
    self.records[identity][kind] = Stamp(digest=keccak256(record), number=block.number)
    log RecordPublished(identity=identity, kind=kind, record=record)
