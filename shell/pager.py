"""Long results through the person's pager, short ones straight to the terminal."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def pager_command(text: str) -> list[str]:
    """Return the words of the pager's command; none (no pager) if it is empty or not to be read."""
    try:
        return shlex.split(text)
    except ValueError:
        return []


def page(
    pieces: Iterable[str],
    *,
    height: int,
    command: list[str],
    write: Callable[[str], object],
    owns: Callable[[bool], object] = lambda _owns: None,
) -> None:
    """Write the pieces, or give them to the pager once they do not fit into `height` lines.

    `owns` is told when the pager has the screen, and when it no longer has.
    """
    source = iter(pieces)
    held: list[str] = []
    lines = 0
    for piece in source:
        held.append(piece)
        lines += piece.count("\n")
        if lines >= height and command:
            break
    else:
        write("".join(held))
        return
    if not _paged(held, source, command, owns):
        write("".join(held))
        for piece in source:
            write(piece)


def _paged(
    held: Iterable[str],
    rest: Iterable[str],
    command: list[str],
    owns: Callable[[bool], object],
) -> bool:
    """Return False if the pager could not be started; leaving it early is no failure."""
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, encoding="utf-8")
    except OSError:
        return False
    assert process.stdin is not None
    owns(True)  # noqa: FBT003 - what is told
    try:
        with process.stdin as pipe:
            pipe.writelines(held)
            pipe.writelines(rest)
    except BrokenPipeError:
        pass  # the reader has seen enough
    finally:
        process.wait()
        owns(False)  # noqa: FBT003 - what is told
    return True
