"""What the dump commands say, and how far they are."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mfdb.node.system import SystemClock
from shell.progress import Progress
from shell.values import json_text

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator


@contextmanager
def progressing(args: argparse.Namespace) -> Iterator[Callable[[float], object]]:
    """Yield what is told how much is done; a person at a terminal sees it after a second."""
    done = [0.0]

    def tell(fraction: float) -> None:
        done[0] = fraction

    if args.json or not sys.stderr.isatty():
        yield tell
        return
    with Progress(SystemClock().monotonic_s, fraction=lambda: done[0]):
        yield tell


def told_size(size_bytes: int) -> str:
    """Return a size as a person reads it.

    >>> told_size(900), told_size(123_456)
    ('900 bytes', '120.6 KiB')
    """
    if size_bytes < 1024:
        return f"{size_bytes} bytes"
    power = min((size_bytes.bit_length() - 1) // 10, 4)
    return f"{size_bytes / 1024**power:.1f} {' KMGT'[power]}iB"


def write_json(value: object) -> None:
    """Print one JSON object on a line."""
    sys.stdout.write(json_text(value) + "\n")
