"""The client API as the shell uses it, and the one place that opens it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from shell.settings import Target


class Column(Protocol):
    """A column of a result."""

    @property
    def name(self) -> str:
        """Its name."""
        ...


class Result(Protocol):
    """What one statement gave."""

    @property
    def columns(self) -> Sequence[Column]:
        """Its columns; none if the statement gives no rows."""
        ...

    @property
    def rows(self) -> Sequence[tuple[object, ...]]:
        """Its rows."""
        ...

    @property
    def tag(self) -> str:
        """What happened, like `INSERT 3`."""
        ...


class Change(Protocol):
    """One change that a subscription delivers."""

    @property
    def op(self) -> str:
        """Return insert, update or delete."""
        ...

    @property
    def old(self) -> Mapping[str, object] | None:
        """The row before."""
        ...

    @property
    def new(self) -> Mapping[str, object] | None:
        """The row after."""
        ...

    @property
    def author(self) -> str:
        """Who made the change."""
        ...

    @property
    def cursor(self) -> str:
        """Where to go on after this change."""
        ...

    @property
    def key(self) -> str:
        """Equal for the same change at every replica, so that a repeat can be told."""
        ...

    @property
    def subscription(self) -> str | None:
        """The name that SUBSCRIBE gave the subscription, None if it gave none."""
        ...


class Notification(Protocol):
    """One text on a channel that the connection listens to."""

    @property
    def channel(self) -> str:
        """The channel."""
        ...

    @property
    def payload(self) -> str:
        """The text."""
        ...

    @property
    def sender(self) -> int:
        """The number of the connection that sent it."""
        ...


class Connection(Protocol):
    """An open database."""

    @property
    def doing(self) -> str:
        """What a long statement is at just now, or empty."""
        ...

    @property
    def identity(self) -> str:
        """Who we are here."""
        ...

    @property
    def owner(self) -> str:
        """Whose datasets names without an owner mean; empty: our own."""
        ...

    @property
    def notices(self) -> list[str]:
        """What the person should be told; the shell empties it."""
        ...

    @property
    def in_batch(self) -> bool:
        """Whether a BEGIN waits for its COMMIT."""
        ...

    @property
    def batch_failed(self) -> bool:
        """Whether a statement of the open batch has failed."""
        ...

    def interrupt(self) -> None:
        """Stop the statement that this machine computes now; from any thread or signal handler."""
        ...

    async def execute(self, text: str, params: Sequence[object] = ()) -> Result:
        """Run one statement."""
        ...

    async def copy(
        self,
        text: str,
        stream: Any = None,
        params: Sequence[object] = (),
        *,
        progress: Callable[[int, int], object] | None = None,
    ) -> Result:
        """Run a COPY; its STDIN and STDOUT are `stream`, a file of bytes."""
        ...

    def subscribe(self, text: str) -> AsyncIterator[Change]:
        """Yield the changes of a SUBSCRIBE statement."""
        ...

    def notifies(self, *, timeout_s: float | None = None) -> AsyncIterator[Notification]:
        """Yield the notifications that LISTEN asked for; with 0, those that are there."""
        ...

    async def close(self) -> None:
        """Give everything back."""
        ...


class Opener(Protocol):
    """Opens a connection; the tests give another one."""

    async def __call__(self, target: Target, passphrase: Callable[[], str]) -> Connection:
        """Return an open connection."""
        ...


async def open_database(target: Target, passphrase: Callable[[], str]) -> Connection:
    """Return a connection to the target.

    Raises:
        MfdbError: the directory, identity or network is not there or not ours.
    """
    import mfdb.aio

    return await mfdb.aio.connect(
        target.data, identity=target.identity, network=target.network, passphrase=passphrase
    )
