"""Rows from and to files on this side, and datasets as SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.errors import ProgrammingError, UnknownDataset
from shell.commands.describe import name_of
from shell.commands.registry import command
from shell.copy_run import copy_file
from shell.copying import USAGE, client_copy, header_of, load_statement
from shell.literals import insert_into, quoted_name
from shell.settings import Look

if TYPE_CHECKING:
    from shell.commands.registry import Call
    from shell.session import Session

_GROUP = "Files"


@command(
    "\\copy",
    "copy rows between a dataset or query and a file on this side",
    group=_GROUP,
    argument="NAME from|to FILE [OPTIONS]",
    completes="copy",
)
async def copy(session: Session, call: Call) -> None:
    """Carry out COPY with the file opened here.

    Raises:
        SqlSyntax: the argument is of another form.
        MfdbError: it failed; nothing of a load was kept.
    """
    if not call.argument:
        raise ProgrammingError("what to copy is missing", hint=f"usage: {USAGE}")
    await copy_file(session, client_copy(call.argument))


@command(
    ".import",
    "load a csv file; makes the dataset from its first line if there is none",
    group=_GROUP,
    argument="FILE NAME",
    completes="file",
)
async def import_file(session: Session, call: Call) -> None:
    """Load a file, in the words of SQLite.

    Raises:
        MfdbError: it failed; nothing of the load was kept.
    """
    path, name = call.words(2, 2, ".import FILE NAME")
    dataset = name_of(name)
    first = header_of(path)
    try:
        columns = await session.connection.execute(f"DESCRIBE {dataset}")
    except UnknownDataset:
        listed = ", ".join(f"{quoted_name(column)} TEXT" for column in first)
        await session.run(f"CREATE TABLE {dataset} ({listed})")
        has_header = True
    else:
        has_header = [one.lower() for one in first] == [str(row[0]) for row in columns.rows]
    await session.run(load_statement(dataset, path, has_header=has_header))


@command(
    ".dump",
    "write a dataset, or all, as SQL",
    group=_GROUP,
    argument="[NAME]",
    completes="dataset",
)
async def dump(session: Session, call: Call) -> None:
    """Write CREATE and INSERT statements.

    Raises:
        MfdbError: a dataset cannot be read.
    """
    names = [call.argument] if call.argument else await _own_datasets(session)
    for name in names:
        dataset = name_of(name)
        created = await session.connection.execute(f"SHOW CREATE DATASET {dataset}")
        session.write(f"{str(created.rows[0][-1]).rstrip(';')};\n")
        result = await session.connection.execute(f"SELECT * FROM {dataset}")
        heads = [column.name for column in result.columns]
        for piece in insert_into(heads, result.rows, Look(dataset=dataset)):
            session.write(piece)


async def _own_datasets(session: Session) -> list[str]:
    me = session.connection.identity
    result = await session.connection.execute("SHOW DATASETS")
    heads = [column.name for column in result.columns]
    owner = heads.index("owner") if "owner" in heads else None
    mine = [row for row in result.rows if owner is None or str(row[owner]) == me]
    return [quoted_name(str(row[0])) for row in mine]
