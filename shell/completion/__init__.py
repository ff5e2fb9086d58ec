"""What may come next at the cursor: words that the grammar accepts there, and names we know.

`mfdb.sql.places` tells from the parser's tables which words are legal and what a name would be, so
a new statement completes without a change here. Names come from a snapshot of the local catalogue:
nothing is asked over a network, or of the disk, while somebody types.
"""

from __future__ import annotations

from shell.completion.catalogue import Catalogue, Dataset
from shell.completion.suggest import Suggestion, suggestions

__all__ = ["Catalogue", "Dataset", "Suggestion", "suggestions"]
