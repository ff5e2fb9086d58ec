"""Limits that every node enforces before it allocates or believes anything."""

from __future__ import annotations

UNIT_BYTES = 512
"""Unit of the Merkle trees and of the court (DESIGN 5)."""
CHANGESET_BYTES = 16 * 2**20
OPERATIONS = 10_000
ROW_BYTES = 12 * 2**20
MANIFEST_BYTES = 256 * 2**10
RECORD_BYTES = 8 * 2**10
"""A node record, identity record, receipt or another small signed thing."""
SEGMENT_BYTES = 2**20
"""A segment is sealed once its changesets reach this size."""
SEGMENT_LIMIT_BYTES = 64 * 2**20
SHARD_BYTES = 64 * 2**20
FRAME_BYTES = 20 * 2**20
HLC_AHEAD_S = 30.0
"""A stamp further ahead than this is parked, not judged (protocol B4)."""
MERKLE_DEPTH = 40
