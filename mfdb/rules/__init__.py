"""What everybody must judge alike: manifest, operation, authorisation, evidence, proofs."""
