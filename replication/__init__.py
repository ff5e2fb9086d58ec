"""Copies and shards: coding, placement, quorum, sealing, repair, audit draws - all pure."""
