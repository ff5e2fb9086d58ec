"""A client's node: places datasets, writes to quorums, syncs and follows, pays with cheques."""
