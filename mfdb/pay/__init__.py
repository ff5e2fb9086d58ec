"""SWAP accounting: who owes whom for which service, and the cheques that settle it."""
