"""What the `mfdb` command tells the shell that started it."""

from __future__ import annotations

OK = 0
FAILED = 1
"""A statement failed."""
USAGE = 2
"""The command line is wrong, or the database could not be opened."""
STOPPED = 3
"""A script stopped at a statement that failed."""
INTERRUPTED = 130
"""Ctrl-C."""
