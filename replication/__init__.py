"""How rows survive their providers: codes, segments, quorums, seals, audits and repairs.

This room decides what is coded how, who shall hold it, when a write counts as kept, when a
segment is sealed, which unit an audit asks for and who repairs what. It never sends, stores, asks
the clock or throws dice: every function is pure and every protocol is a `step` over frozen states.

One changeset's path: (1) `quorum` pushes it to N replicas and says when W hold it; (2)
`reconcile` finds what a replica still lacks; (3) `seal` says when the hot log is due, `segment`
lays the changesets out, (4) `codec` makes n shards of them, `shard` hashes those; (5) `placement`
ranks who may hold a shard; (6) W replicas sign the certificate, n holders their receipts, and
`seal` says which hot copies may go; (7) `audit` draws the units to show; (8) `repair` plans
what to rebuild when a holder is gone.
"""
