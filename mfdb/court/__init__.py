"""Audits and cases: who must prove what, by when, and what silence means."""
