"""What there is: every command here is a SHOW or DESCRIBE, which drivers and scripts have too."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from shell.commands.registry import command
from shell.literals import quoted_name, quoted_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shell.commands.registry import Call
    from shell.database import Column, Result
    from shell.session import Session

_GROUP = "Datasets"
_IN_SHORT = ("name", "kind", "place", "owner")


class _Part(NamedTuple):
    """Some columns of a result."""

    columns: Sequence[Column]
    rows: Sequence[tuple[object, ...]]
    tag: str


@command(
    "\\d",
    "list the datasets, or describe one; + shows more",
    group=_GROUP,
    alias=".schema",
    argument="[NAME]",
    completes="dataset",
)
async def describe(session: Session, call: Call) -> None:
    """Run DESCRIBE, and show what else there is: indexes, constraints, who refers to it, rights.

    With + all rights are shown, the owner's too, and how it was made.

    Raises:
        MfdbError: there is no such dataset.
    """
    if not call.argument or "*" in call.argument:
        await list_datasets(session, call)
        return
    name = name_of(call.argument)
    await session.run(f"DESCRIBE {name}")
    indexes = await session.connection.execute(f"SHOW INDEXES FROM {name}")
    made = _beside_the_key(indexes)
    if made.rows:
        session.inform("Indexes:\n")
        await session.show_result(made)
    created = await session.connection.execute(f"SHOW CREATE DATASET {name}")
    statement = str(created.rows[0][-1])
    _list(session, "Constraints", _constraints(statement))
    if "." not in name and not (await session.connection.execute("SHOW owner")).rows[0][0]:
        _list(session, "Referenced by", await _references(session, created))
    if call.plus:
        session.inform("Grants:\n")
        await session.run(f"SHOW GRANTS ON {name}")
    else:
        _list(session, "Grants", [line[6:] for line in _rights(created, "GRANT ")])
    _list(session, "Policies", [line[14:] for line in _rights(created, "CREATE POLICY ")])
    if call.plus:
        session.write(f"{statement}\n")


@command(
    "\\dt",
    "list the datasets; a PATTERN may hold *; + shows more",
    group=_GROUP,
    alias=".tables",
    argument="[PATTERN]",
    completes="dataset",
)
async def list_datasets(session: Session, call: Call) -> None:
    """Run SHOW DATASETS; without + only what fits on every screen is shown."""
    result = await session.ask(f"SHOW DATASETS{_like(call.argument)}")
    if not result.rows and not call.argument:
        session.inform("There are no datasets yet; CREATE TABLE makes one.\n")
        return
    await session.show_result(result if call.plus else _in_short(session, result))


@command("\\dv", "list the views", group=_GROUP, argument="[PATTERN]", completes="dataset")
async def list_views(session: Session, call: Call) -> None:
    """Run SHOW DATASETS and show those that are views."""
    result = _in_short(session, await session.ask(f"SHOW DATASETS{_like(call.argument)}"))
    names = [column.name for column in result.columns]
    kind = names.index("kind")
    views = [row for row in result.rows if row[kind] == "view"]
    await session.show_result(_Part(result.columns, views, f"SHOW {len(views)}"))


@command(
    "\\di",
    "list the indexes, of one dataset or all",
    group=_GROUP,
    alias=".indexes",
    argument="[NAME]",
    completes="dataset",
)
async def list_indexes(session: Session, call: Call) -> None:
    """Run SHOW INDEXES."""
    of = f" FROM {name_of(call.argument)}" if call.argument else ""
    await session.run(f"SHOW INDEXES{of}")


@command(
    "\\dp",
    "list who may do what with a dataset",
    group=_GROUP,
    argument="NAME",
    completes="dataset",
)
async def list_grants(session: Session, call: Call) -> None:
    """Run SHOW GRANTS.

    Raises:
        SqlSyntax: no dataset is named.
    """
    (name,) = call.words(1, 1, "\\dp NAME")
    await session.run(f"SHOW GRANTS ON {name_of(name)}")


@command("\\df", "list the functions; a PATTERN may hold *", group=_GROUP, argument="[PATTERN]")
async def list_functions(session: Session, call: Call) -> None:
    """Write every function with what it takes."""
    import fnmatch

    from shell.completion.catalogue import built_in

    pattern = call.argument or "*"
    found = [
        (name, takes)
        for name, takes in sorted(built_in().functions.items())
        if fnmatch.fnmatchcase(name, pattern)
    ]
    heads = (_Head("function"), _Head("takes"))
    await session.show_result(_Part(heads, found, f"SHOW {len(found)}"))


class _Head(NamedTuple):
    name: str


def name_of(text: str) -> str:
    """Return a name as SQL takes it: what is quoted stays, `owner.name` keeps its dot."""
    if '"' in text:
        return text
    return ".".join(quoted_name(part) for part in text.split("."))


def _like(pattern: str) -> str:
    if not pattern:
        return ""
    return f" LIKE {quoted_text(pattern.replace('*', '%').replace('?', '_'))}"


def _list(session: Session, head: str, lines: Sequence[str]) -> None:
    """Write lines under a head, nothing if there are none."""
    if lines:
        session.inform(f"{head}:\n")
        session.write("".join(f"  {line}\n" for line in lines) + "\n")


def _rights(created: Result, verb: str) -> list[str]:
    """Return what SHOW CREATE says of rights beside the owner's own."""
    lines = [str(row[-1]).removesuffix(";") for row in created.rows[1:]]
    return [line for line in lines if line.startswith(verb) and not line.endswith(" TO OWNER")]


async def _references(session: Session, created: Result) -> list[str]:
    """Return the foreign keys of an own dataset's others that refer to it."""
    from mfdb.sql.scanner import tokenise

    named = tokenise(str(created.rows[0][-1]))[2].text  # CREATE kind name
    made = await session.connection.execute(
        "SELECT dataset, statement FROM mf.definitions "
        "WHERE owner = current_identity() AND statement LIKE 'CREATE%REFERENCES%' ORDER BY dataset"
    )
    found = []
    for dataset, statement in made.rows:
        for one in _constraints(str(statement)):
            tokens = tokenise(one)
            kinds = [token.kind for token in tokens]
            if "REFERENCES" in kinds and tokens[kinds.index("REFERENCES") + 1].text == named:
                found.append(f"{dataset}: {one}")
    return found


def _constraints(statement: str) -> list[str]:
    """Return the named constraints of a CREATE, as they stand there."""
    from mfdb.sql.scanner import tokenise

    depth, start, found = 0, 0, []
    for token in tokenise(statement):
        closes = token.kind == ")"
        if depth == 1 and (closes or token.kind == ","):
            part = statement[start : token.position].strip()
            if part.startswith("CONSTRAINT "):
                found.append(part.removeprefix("CONSTRAINT "))
        depth += {"(": 1, ")": -1}.get(token.kind, 0)
        if depth == 1 and token.kind in ("(", ","):
            start = token.position + 1
    return found


def _beside_the_key(indexes: Result) -> Result:
    """Return the indexes that DESCRIBE has not told of already: all but the primary key's."""
    names = [column.name for column in indexes.columns]
    kept = [place for place, name in enumerate(names) if name != "dataset"]
    kind = names.index("kind") if "kind" in names else None
    rows = [
        tuple(row[place] for place in kept)
        for row in indexes.rows
        if kind is None or row[kind] != "primary key"
    ]
    return _Part([indexes.columns[place] for place in kept], rows, f"SHOW {len(rows)}")


def _in_short(session: Session, result: Result) -> Result:
    """Return the columns that matter most; oneself by name."""
    names = [column.name for column in result.columns]
    kept = [names.index(name) for name in _IN_SHORT if name in names]
    me = session.connection.identity
    rows = [
        tuple(session.who if row[place] == me else row[place] for place in kept)
        for row in result.rows
    ]
    return _Part([result.columns[place] for place in kept], rows, result.tag)
