"""The chain port, its web3 adapter, the contracts and the development chain."""
