"""The store port and its LMDB adapter: where a node keeps what it acknowledged."""
