"""The relational route: joins, grouping, windows, CTEs and set operations, on DuckDB in process.

DuckDB never sees the text of a user: it receives SQL emitted from the bound tree, over relations
that hold only the rows this identity may read.

1. `bind_query.py` resolves names and types over scopes (`scope.py`) into a tree (`tree.py`);
2. `emit*.py` turn the tree into DuckDB's SQL, with our semantics spelled out;
3. `engine.py` owns the locked-down connection; `run.py` hands rows over and answers back.
"""
