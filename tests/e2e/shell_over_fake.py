"""The real shell over the behaving fake database, as a process; SIGUSR1 makes a change arrive."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING

from shell import __main__ as command
from shell import start
from tests.unit.shell.fake_database import FakeConnection, FakeOpener

if TYPE_CHECKING:
    from collections.abc import Callable

    from shell.settings import Target


class PublishingOpener(FakeOpener):
    """Publishes a row whenever the process gets SIGUSR1."""

    async def __call__(self, target: Target, passphrase: Callable[[], str]) -> FakeConnection:
        connection = await super().__call__(target, passphrase)
        connection.identity = "alice"
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(
            signal.SIGUSR1, lambda: connection.publish({"body": "you have mail"})
        )
        self.watcher = asyncio.ensure_future(_announce_slow(connection))
        return connection


async def _announce_slow(connection: FakeConnection) -> None:
    await connection.slow.wait()
    sys.stdout.write("[slow runs]\n")
    sys.stdout.flush()


if __name__ == "__main__":
    run = start.run  # the command has no option to work on a fake, and should not
    start.run = lambda args: run(args, PublishingOpener())  # type: ignore[assignment, misc]
    sys.exit(command.main())
