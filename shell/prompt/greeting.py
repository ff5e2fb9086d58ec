"""The first words: where one is, and three things to try where there is nothing yet."""

from __future__ import annotations

from shell.values import safe

_TO_TRY = """\
Nothing is in it yet. Three things to try, each ended by a semicolon and Enter:
  CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT);
  INSERT INTO notes VALUES (1, 'hello');
  SELECT * FROM notes;
"""


def greeting(version: str, who: str, directory: str, datasets: int) -> str:
    """Return the words of welcome."""
    count = f"{datasets} dataset{'' if datasets == 1 else 's'}"
    head = f"mfdb {version}. You are {safe(who)} in {safe(directory)}"
    what = f"{head}: {count}, \\dt lists them.\n" if datasets else f"{head}.\n{_TO_TRY}"
    return f"{what}\\? is help, \\h lists the statements, Ctrl-D leaves.\n"
