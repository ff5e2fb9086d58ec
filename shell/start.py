"""Opens the database and runs the session that the command line asks for."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

from mfdb.kernel.errors import MfdbError
from mfdb.node.system import SystemClock
from shell import exit_codes, report
from shell.batch import run_commands, run_file, run_script
from shell.database import open_database
from shell.passphrase import PassphraseSource
from shell.session import Session
from shell.settings import Display, Format, Target, wants_colour

if TYPE_CHECKING:
    import argparse

    from shell.database import Connection, Opener

_GREETING = "mfdb: \\? shows the commands of the shell, SQL ends in a semicolon, Ctrl-D leaves.\n"


def run(args: argparse.Namespace, opener: Opener = open_database) -> int:
    """Run a session to its end and return the exit code.

    Raises:
        KeyboardInterrupt: Ctrl-C while no prompt was there to take it.
    """
    return asyncio.run(_session(args, opener))


async def _session(args: argparse.Namespace, opener: Opener) -> int:
    terminal = sys.stdin.isatty()
    target = Target(data=args.data, identity=args.identity, network=args.network)
    passphrase = PassphraseSource(os.environ, terminal=terminal)
    try:
        connection = await opener(target, passphrase)
    except MfdbError as error:
        sys.stderr.write(report.error_json(error) if args.json else report.error_text(error))
        return exit_codes.USAGE
    interactive = terminal and not args.commands and args.script is None
    session = _build(args, connection, interactive=interactive)
    try:
        session.show_notices()
        return await _work(args, session)
    except MfdbError as error:  # outside any statement: a script that cannot be read
        session.show_error(error)
        return exit_codes.USAGE
    finally:
        await session.close()


def _build(args: argparse.Namespace, connection: Connection, *, interactive: bool) -> Session:
    chosen = args.format or (Format.JSON if args.json else Format.TABLE)
    screen = sys.stdout.isatty()
    display = Display(format=chosen, colour=wants_colour(os.environ, terminal=screen))
    return Session(
        connection, display, clock=SystemClock(), interactive=interactive, json_errors=args.json
    )


async def _work(args: argparse.Namespace, session: Session) -> int:
    keep_going: bool = args.keep_going
    if session.interactive:
        from shell.repl import Repl

        session.write(_GREETING)
        return await Repl(session, args.data / "history").run()
    if not args.commands and args.script is None:
        return await run_script(session, sys.stdin.buffer, name="stdin", keep_going=keep_going)
    code = await run_commands(session, args.commands, keep_going=keep_going)
    if args.script is not None and (keep_going or code == exit_codes.OK):
        code = await run_file(session, args.script, keep_going=keep_going) or code
    return code
