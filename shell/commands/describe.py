"""What there is: every command here is a SHOW or DESCRIBE, which drivers and scripts have too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shell.commands.registry import command
from shell.literals import quoted_name, quoted_text

if TYPE_CHECKING:
    from shell.commands.registry import Call
    from shell.session import Session

_GROUP = "Datasets"


@command(
    "\\d",
    "list the datasets, or describe one; + shows more",
    group=_GROUP,
    alias=".schema",
    argument="[NAME]",
    completes="dataset",
)
async def describe(session: Session, call: Call) -> None:
    """Run DESCRIBE or SHOW DATASETS.

    Raises:
        MfdbError: there is no such dataset.
    """
    if not call.argument or "*" in call.argument:
        await list_datasets(session, call)
        return
    name = name_of(call.argument)
    await session.run(f"DESCRIBE {name}")
    if call.plus:
        await session.run(f"SHOW GRANTS ON {name}")
        await session.run(f"SHOW CREATE DATASET {name}")


@command(
    "\\dt",
    "list the datasets; a PATTERN may hold *",
    group=_GROUP,
    alias=".tables",
    argument="[PATTERN]",
    completes="dataset",
)
async def list_datasets(session: Session, call: Call) -> None:
    """Run SHOW DATASETS."""
    await session.run(f"SHOW DATASETS{_like(call.argument)}")


def name_of(text: str) -> str:
    """Return a name as SQL takes it: what is quoted stays, `owner.name` keeps its dot."""
    if '"' in text:
        return text
    return ".".join(quoted_name(part) for part in text.split("."))


def _like(pattern: str) -> str:
    if not pattern:
        return ""
    return f" LIKE {quoted_text(pattern.replace('*', '%').replace('?', '_'))}"
