"""Who owes whom: SWAP accounting per peer, and the cheques that settle it.

This room decides what a request costs, whether a peer may have more on credit, when a cheque is
due, and which cheques are good. It never sends, stores or talks to the chain: states are frozen,
every change returns a new state and effects.

One request's path: (1) `price` says what it costs at most; (2) the asker's ledger reserves it, or
says what must be paid first; (3) the server's ledger reserves it too, or refuses; (4) both apply
what it really cost; (5) at half a threshold the asker's ledger asks for a cheque, (6) `cheque`
issues it, the server's `cheque` accepts it and its ledger books it; (7) `cash_policy` says when to
go to the chain with it.
"""
