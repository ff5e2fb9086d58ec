"""Regular expressions as PostgreSQL writes them, matched in bounded work and alike on every node.

`parse` makes a tree of a pattern, `machine` runs it as an automaton that never backtracks, and
`matching` finds where it matches and what its groups hold. Back references and looking around are
refused: nobody can bound their work.
"""
