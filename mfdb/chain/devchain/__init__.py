"""A development chain that needs pip only: a JSON-RPC process on py-evm and LMDB (DESIGN 11).

Decides what a block holds (one transaction, or nothing) and when it is mined; never what a
contract means. One request: `server` reads it, `methods` looks it up, `engine` executes it by
`execution` on the state in `storage`, and `subscriptions` tells who listens.

Started as `python -m mfdb.chain.devchain --dir DIR --port N`. For local networks only: it serves
127.0.0.1 and funds accounts whose keys everybody knows.
"""
