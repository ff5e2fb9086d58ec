"""Names of datasets in statements, looked up in the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.errors import UnknownDataset, WrongObject
from mfdb.kernel.nearest import nearest_hint

if TYPE_CHECKING:
    from mfdb.sql import statement as st
    from mfdb.sql.catalogue import Catalogue, TableSchema


def table_of(name: st.TableName, catalogue: Catalogue) -> TableSchema:
    """Return the dataset that a name means.

    Raises:
        UnknownDataset: none; the hint names the nearest.
    """
    table = catalogue.table(name)
    if table is not None:
        return table
    hint = nearest_hint(name.name, catalogue.names(), "SHOW DATASETS lists those that are known")
    if str(name) == "dual":
        hint = "leave FROM out: SELECT 1"
    raise UnknownDataset(f"there is no dataset {name}", hint=hint, position=name.position)


def only_told(name: st.TableName) -> WrongObject:
    """Return the error that a statement wants more than the rows of what SHOW tells."""
    return WrongObject(
        f"{name} tells what is there: it can be read, and nothing else",
        hint=f"SELECT * FROM {name}",
        position=name.position,
    )
