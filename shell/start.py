"""Opens the database and runs the session that the command line asks for."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from typing import TYPE_CHECKING

from mfdb.kernel.errors import InvalidDefinition, MfdbError
from mfdb.kernel.nearest import nearest_hint
from mfdb.node.system import SystemClock
from shell import exit_codes, report
from shell.batch import run_commands, run_file, run_script
from shell.config import default_path, load
from shell.database import open_database
from shell.interrupts import Interrupted, interruptible
from shell.passphrase import PassphraseSource
from shell.paths import typed_path
from shell.session import Session, Surroundings
from shell.settings import Display, Expanded, Format, Target, default_data, wants_colour

if TYPE_CHECKING:
    import argparse

    from shell.config import Config
    from shell.database import Connection, Opener
    from shell.options import Options

_FLAGS = ("data", "identity", "network", "format", "timing", "null")


def run(args: argparse.Namespace, opener: Opener = open_database) -> int:
    """Run a session to its end and return the exit code.

    Raises:
        KeyboardInterrupt: Ctrl-C while no prompt was there to take it.
    """
    try:
        config = configured(args)
        target = _target(args, config)
    except MfdbError as error:
        return _refused(error, args)
    return asyncio.run(_session(args, config, target, opener))


def configured(args: argparse.Namespace) -> Config:
    """Return the configuration of a command line.

    Raises:
        MfdbError: the configuration file or an option is wrong.
    """
    flags: dict[str, object] = {}
    for pair in args.options:
        name, equals, value = pair.partition("=")
        name = name.strip().replace("-", "_")
        _need_option(name, equals)
        flags[name] = value
    given = {name: getattr(args, name) for name in _FLAGS}
    flags |= {name: str(value) for name, value in given.items() if value is not None}
    path = None if args.no_config else args.config or default_path(os.environ)
    return load(flags, os.environ, path, must_be=args.config is not None)


def _need_option(name: str, equals: str) -> None:
    from shell.options import NAMES

    if name not in NAMES or not equals:
        raise InvalidDefinition(
            f"-P takes NAME=VALUE, and there is no option {name[:40]!r}"
            if equals
            else "-P takes NAME=VALUE",
            hint=nearest_hint(name, NAMES, "`mfdb config` lists the options"),
        )


def _refused(error: MfdbError, args: argparse.Namespace) -> int:
    sys.stderr.write(report.error_json(error) if args.json else report.error_text(error))
    return exit_codes.USAGE


def _target(args: argparse.Namespace, config: Config) -> Target:
    options = config.options
    here = Target(
        data=options.data or default_data(),
        identity=options.identity or None,
        network=options.network,
    )
    if not args.dsn:
        return here
    from shell.dsn import target_of

    named = target_of(args.dsn, config.aliases)
    return Target(
        data=named.data,
        identity=args.identity or named.identity,
        network=args.network or named.network,
    )


async def _session(args: argparse.Namespace, config: Config, target: Target, opener: Opener) -> int:
    terminal = sys.stdin.isatty()
    passphrase = PassphraseSource(os.environ, terminal=terminal)
    try:
        connection = await opener(target, passphrase)
    except MfdbError as error:
        return _refused(error, args)
    finally:
        gc.enable()  # all that stays has been loaded
    interactive = terminal and not args.work
    around = Surroundings(
        options=config.options,
        target=target,
        aliases=config.aliases,
        opener=opener,
        passphrase=passphrase,
        interactive=interactive,
        json_errors=args.json,
        asks=interactive and sys.stdout.isatty() and not args.yes,
    )
    session = _build(args, connection, around)
    try:
        return await _served(args, session)
    except MfdbError as error:  # outside any statement: a script that cannot be read
        session.show_error(error)
        return exit_codes.USAGE
    finally:
        await session.close()


async def _served(args: argparse.Namespace, session: Session) -> int:
    _prepare(args, session)
    if session.interactive:
        from shell.prompt.repl import Repl

        return await Repl(session).run()
    session.show_notices()
    try:
        return await interruptible(_batch(args, session), session, SystemClock().monotonic_s)
    except Interrupted:
        return exit_codes.INTERRUPTED


def _build(args: argparse.Namespace, connection: Connection, around: Surroundings) -> Session:
    options: Options = around.options
    screen = sys.stdout.isatty()
    is_default = args.json and args.format is None
    display = Display(
        format=Format.JSON if is_default else Format(options.format),
        expanded=Expanded(options.expanded),
        null=options.null,
        column_width=options.column_width if screen else 0,
        tuples_only=args.tuples_only,
        quiet=args.quiet,
        timing=options.timing if screen else bool(args.timing),
        colour=wants_colour(os.environ, terminal=screen, wish=options.colour),
    )
    return Session(connection, display, clock=SystemClock(), around=around)


def _prepare(args: argparse.Namespace, session: Session) -> None:
    """Set the variables and the output that the command line names.

    Raises:
        MfdbError: a variable has no name, or the file cannot be written.
    """
    if args.variables:
        from shell.variables import is_variable

        for pair in args.variables:
            name, equals, value = pair.partition("=")
            if not equals or not is_variable(name):
                raise InvalidDefinition(f"-v {pair[:60]} is not NAME=VALUE", hint="-v who=alice")
            session.variables[name] = value
    if args.output:
        from shell.sink import open_sink

        session.redirect(open_sink(args.output))


async def _batch(args: argparse.Namespace, session: Session) -> int:
    if not args.single_transaction:
        return await _work(args, session)
    await session.ask("BEGIN")
    code = await _work(args, session)
    if session.batch_state:
        await session.ask("COMMIT" if code == exit_codes.OK else "ROLLBACK")
    return code


async def _work(args: argparse.Namespace, session: Session) -> int:
    """Run what -c and -f name, in order, or standard input; returns the exit code."""
    keep_going: bool = args.keep_going
    if not args.work:
        return await _stdin(session, keep_going=keep_going)
    code = exit_codes.OK
    for is_file, text in args.work:
        if not is_file:
            found = await run_commands(session, [text], keep_going=keep_going)
        elif text == "-":
            found = await _stdin(session, keep_going=keep_going)
        else:
            found = await run_file(session, typed_path(text), keep_going=keep_going)
        code = code or found
        if session.leaving or (code and not keep_going):
            break
    return code


async def _stdin(session: Session, *, keep_going: bool) -> int:
    return await run_script(session, sys.stdin.buffer, name="stdin", keep_going=keep_going)
