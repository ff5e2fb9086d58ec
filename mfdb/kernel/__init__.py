"""Words everybody shares: ids, errors, encodings, hashes, keys, the clock and entropy ports.

This room decides what an id, an amount and an error are. It imports nothing of mfdb, keeps no
state and does no input or output.
"""
