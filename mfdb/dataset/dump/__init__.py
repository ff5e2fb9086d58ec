"""Dumps: what one identity's machine keeps, in a file that anybody can verify without any key.

    taking    -> parts of what is kept (signed rules and rows, keys, receipts, placement)
    file_form -> parts <-> frames of a file: packed, with checksums, the whole signed at its end
    chain     -> files that follow each other: each has what its forerunner has not
    judging   -> every signature, hash and count of a chain, offline
    restoring -> a chain into an empty replica

A dump carries no private key: ciphertext stays sealed, and whoever restores needs the seed words.
Rows of datasets that never leave a machine are not sealed there, and so not in their dump either.
"""
