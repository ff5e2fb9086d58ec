"""The catalogue for completion, asked of the open database after each definition."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from mfdb.client.show import OF_NETWORK
from mfdb.kernel.errors import MfdbError
from shell.completion.catalogue import Catalogue, Dataset, built_in
from shell.literals import quoted_name

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from shell.database import Connection, Result
    from shell.session import Session

DATASETS = 200
"""So many datasets have their columns completed; of more only the names."""


async def catalogue_of(session: Session, used: Counter[str]) -> Catalogue:
    """Return the names there are now.

    Raises:
        MfdbError: the datasets cannot be listed.
    """
    connection = session.connection
    listed = records(await connection.execute("SHOW DATASETS"))
    told = await _all_columns(connection)
    datasets = {}
    for number, one in enumerate(listed):
        name = str(one["name"])
        columns = told.get(name, {})
        if not columns and number < DATASETS:
            columns = await _columns(connection, quoted_name(name))
        datasets[name] = Dataset(
            columns=columns,
            owner=str(one.get("owner", "")),
            kind=str(one.get("kind", "dataset")),
        )
    built_in = _built_in()
    return replace(
        built_in,
        datasets=datasets,
        told=await _told(connection, built_in, on_network=session.target.network is not None),
        identities=tuple(str(one["name"]) for one in await _identities(connection)),
        aliases=tuple(sorted(session.aliases)),
        variables=tuple(sorted(session.variables)),
        used=used,
    )


async def who_is(session: Session) -> str:
    """Return what the connection's identity is called here, else its address."""
    address = session.connection.identity
    for one in await _identities(session.connection):
        if str(one.get("address")) == address:
            return str(one["name"])
    return address


@cache
def _built_in() -> Catalogue:
    return built_in()


_KNOWN: dict[str, Dataset] = {}
"""The columns of what is told, which never change."""


async def _told(
    connection: Connection, built_in: Catalogue, *, on_network: bool
) -> dict[str, Dataset]:
    for schema, names in built_in.schemas.items():
        for name in names:
            whole = f"{schema}.{name}"
            is_here = on_network or name.replace("_", " ") not in OF_NETWORK
            if whole not in _KNOWN and is_here and (columns := await _columns(connection, whole)):
                _KNOWN[whole] = Dataset(columns=columns, kind="told")
    return dict(_KNOWN)


async def _all_columns(connection: Connection) -> dict[str, dict[str, str]]:
    """Return the columns of every dataset by one query, where the database answers it."""
    try:
        result = await connection.execute("SELECT dataset, name, type FROM mf.columns")
    except MfdbError:
        return {}  # each is described by itself then
    found: dict[str, dict[str, str]] = {}
    for dataset, name, kind in result.rows:
        found.setdefault(str(dataset), {})[str(name)] = str(kind)
    return found


async def _columns(connection: Connection, name: str) -> dict[str, str]:
    try:
        described = records(await connection.execute(f"DESCRIBE {name}"))
    except MfdbError:
        return {}  # dropped meanwhile, or not ours to describe: its name is completed all the same
    return {str(one["name"]): str(one.get("type", "")) for one in described}


async def _identities(connection: Connection) -> Sequence[dict[str, object]]:
    try:
        return records(await connection.execute("SHOW IDENTITIES"))
    except MfdbError:
        return ()  # a database without a keystore; addresses do


def records(result: Result) -> list[dict[str, object]]:
    """Return rows by the names of their columns."""
    names = [column.name for column in result.columns]
    return [dict(zip(names, row, strict=True)) for row in result.rows]
