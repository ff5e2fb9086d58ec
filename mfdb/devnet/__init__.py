"""A whole network on this machine: chain, contracts, providers as processes on loopback."""
