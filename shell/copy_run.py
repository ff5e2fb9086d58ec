r"""Carries COPY and `\copy` out: opens the streams, shows how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shell.copying import Progress, ResultStream, copy_of, opened, size_of
from shell.variables import expanded

if TYPE_CHECKING:
    from shell.copying import ClientCopy
    from shell.database import Result
    from shell.session import Session


async def copied(session: Session, text: str) -> Result:
    """Return the result of a COPY; rows of STDIN come from the script or from the person.

    Raises:
        MfdbError: it failed; nothing of a load was kept.
    """
    copy = copy_of(text)
    if copy is None or copy.path is not None:
        size = size_of(copy.path) if copy is not None and copy.is_load else None
        return await _run(session, text, None, size)
    if copy.is_load:
        with await session.rows_in() as rows:
            return await _run(session, text, rows, None)
    session.is_streamed = True
    return await _run(session, text, ResultStream(session.sink), None)


async def _run(session: Session, text: str, stream: Any, size: int | None) -> Result:
    progress = Progress(size)
    with session.progress(lambda: progress.fraction):
        return await session.connection.copy(text, stream, progress=progress)


async def copy_file(session: Session, copy: ClientCopy) -> None:
    r"""Carry out a `\copy` and say how many rows there were.

    Raises:
        MfdbError: it failed; nothing of a load was kept.
    """
    if copy.path is None:
        await session.run(copy.statement)
        return
    statement = expanded(copy.statement, session.variables)
    size = size_of(copy.path) if copy.is_load else None
    with opened(copy.path, is_load=copy.is_load) as file:
        result = await _run(session, statement, file, size)
    session.inform(f"{result.tag}\n")
