"""Which database this is, and who one is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.kernel.errors import ProgrammingError
from shell.commands.registry import command
from shell.dsn import target_of
from shell.prompt.names import who_is
from shell.settings import Target
from shell.values import safe
from shell.version import version

if TYPE_CHECKING:
    from shell.commands.registry import Call
    from shell.session import Session

_GROUP = "Database"


@command("\\conninfo", "where and who you are", group=_GROUP)
async def show_connection(session: Session, _call: Call) -> None:
    """Write directory, identity, network and batch of the connection."""
    target, connection = session.target, session.connection
    session.write(f"directory   {safe(str(target.data))}\n")
    session.write(f"identity    {safe(session.who)} {safe(connection.identity)}\n")
    if connection.owner:
        session.write(f"using       {safe(connection.owner)}\n")
    session.write(f"network     {safe(str(target.network)) if target.network else 'none'}\n")
    session.write(f"batch       {session.batch_state or 'none'}\n")
    session.write(f"version     mfdb {version()}\n")


@command(
    "\\c",
    "open another database: a directory, mfdb:///... or alias; - NAME is somebody else",
    group=_GROUP,
    alias=".open",
    argument="[DATABASE] [IDENTITY]",
    completes="database",
)
async def change_database(session: Session, call: Call) -> None:
    """Open another database or identity in place of this one.

    Raises:
        ProgrammingError: a batch is open.
        MfdbError: it cannot be opened; the old one stays.
    """
    words = call.words(0, 2, "\\c DATABASE [IDENTITY]")
    if not words:
        await show_connection(session, call)
        return
    if session.batch_state:
        raise ProgrammingError("a batch is open", hint="COMMIT or ROLLBACK it first")
    now = session.target
    named = now if words[0] == "-" else target_of(words[0], session.aliases, now=now)
    identity = words[1] if len(words) > 1 else named.identity
    wanted = Target(data=named.data, identity=identity, network=named.network)
    await session.reconnect(wanted)
    session.who = await who_is(session)
    session.inform(f"You are {safe(session.who)} in {safe(str(wanted.data))}.\n")


@command("\\l", "list the databases that have a name here", group=_GROUP, alias=".databases")
async def list_databases(session: Session, _call: Call) -> None:
    """Write the database that is open and the aliases of the configuration."""
    session.write(f"* {safe(str(session.target.data))}\n")
    for name, meant in sorted(session.aliases.items()):
        session.write(f"  {safe(name):<16} {safe(meant)}\n")
    if not session.aliases:
        session.inform(
            "A directory is a database: \\c ./NAME opens or makes one. "
            "[aliases] in the configuration gives them names.\n"
        )


@command("\\du", "list the identities of this machine", group=_GROUP)
async def list_identities(session: Session, _call: Call) -> None:
    """Run SHOW IDENTITIES."""
    await session.run("SHOW IDENTITIES")


@command("\\identity", "show who you are here", group=_GROUP, alias=".identity")
async def show_identity(session: Session, _call: Call) -> None:
    """Write the identity of the connection."""
    session.write(f"{session.connection.identity}\n")


@command(
    "\\notifications", "show the changes that were held back", group=_GROUP, alias=".notifications"
)
async def show_notifications(session: Session, _call: Call) -> None:
    """Write the held changes and forget them."""
    lines = session.feed.take() or ["No changes were held back."]
    await session.show(line + "\n" for line in lines)
