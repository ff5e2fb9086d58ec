"""Rows of one dataset on one machine: writing, verifying, opening, materialising, indexing."""
