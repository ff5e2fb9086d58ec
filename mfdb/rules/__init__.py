"""What everybody must judge alike: manifest, operation, authorisation, receipts, evidence, proofs."""
