r"""Meta commands: `\name`, many with a dot name too, for what concerns the shell and not the data.

`registry` finds them; each other file holds a group. To add one, write a function under `@command`:
help and completion follow.
"""

from __future__ import annotations

from shell.commands.registry import Call, Command, every_command, find, run_command

__all__ = ["Call", "Command", "every_command", "find", "run_command"]
