"""Dumps that follow each other: the first is whole, each later one has what was new since."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from mfdb.dataset.dump.file_form import DumpReader, Placed
from mfdb.dataset.dump.parts import DumpEnd, DumpHead, DumpSummary, Inventory, InventoryPart, Stock
from mfdb.kernel.errors import BadDump, WrongVersion
from mfdb.kernel.ids import ZERO_HASH, Address, Hash
from mfdb.rules.signing import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from typing import BinaryIO


class DumpFile(msgspec.Struct, frozen=True):
    """A dump somewhere: what errors call it, how long it is, and how it is opened."""

    name: str
    length_bytes: int
    open: Callable[[], AbstractContextManager[BinaryIO]]

    def parts(self, tell: Callable[[int], object] = lambda _: None) -> Iterator[Placed]:
        """Yield all parts; `tell` hears how many bytes are read.

        Raises:
            BadDump: this is no whole dump; the message names the file and the place in it.
        """
        with named(self.name), self.open() as stream:
            reader = DumpReader(stream)
            for placed in reader:
                tell(reader.at)
                yield placed
            assert reader.end is not None, "the reader ends with it"
            yield Placed(reader.at, reader.end)

    def head(self) -> DumpHead:
        """Return the head, of which nothing is verified yet."""
        with named(self.name), self.open() as stream:
            for placed in DumpReader(stream):
                assert isinstance(placed.part, DumpHead), "the reader begins with it"
                return placed.part
        raise BadDump(f"{self.name}: the dump is empty")


class Former(msgspec.Struct, frozen=True):
    """What an incremental dump must know of the one before it."""

    identity: Address
    number: int
    id: Hash
    inventory: Inventory


def former_of(file: DumpFile) -> Former:
    """Return what a dump lists, once all its bytes are verified.

    Raises:
        BadDump: this is no whole dump.
    """
    inventory: Inventory = {}
    summary: DumpSummary | None = None
    for _, part in file.parts():
        if isinstance(part, InventoryPart):
            inventory.setdefault(part.dataset, Stock()).add(part.ledger, part.items)
        elif isinstance(part, DumpEnd):
            summary = part.summary
    assert summary is not None, "every dump ends with it"
    return Former(summary.identity, summary.number, digest_of(summary), inventory)


def in_order(files: Sequence[DumpFile]) -> list[DumpFile]:
    """Return the files of a chain, oldest first; that they belong together is not checked yet.

    Raises:
        BadDump: a file is no dump.
    """
    return [file for _, file in sorted(((file.head().number, file) for file in files), key=_first)]


def _first(pair: tuple[int, DumpFile]) -> int:
    return pair[0]


class Links:
    """Checks, file by file, that each dump follows the one before."""

    def __init__(self) -> None:
        self._number = -1
        self._identity: Address | None = None
        self.id = ZERO_HASH
        """The id of the dump read last."""

    @property
    def identity(self) -> Address:
        """Whose dumps they are."""
        assert self._identity is not None, "a head was read"
        return self._identity

    def begin(self, file: DumpFile, head: DumpHead) -> None:
        """Take in the head of the next file.

        Raises:
            BadDump: it does not follow.
        """
        if self._identity not in (None, head.identity):
            raise BadDump(f"{file.name}: the dumps are of different identities")
        if head.number == 0 == self._number:
            raise BadDump(f"{file.name}: this is a second full dump", hint="name one chain")
        if head.number != self._number + 1:
            raise BadDump(
                f"{file.name}: dump {head.number} of its chain follows none of number "
                f"{head.number - 1}",
                hint="name all files of the chain, each once, from the full dump on",
            )
        if head.previous != self.id:
            raise BadDump(
                f"{file.name}: it follows another dump than the one given",
                hint="it was made --since another file",
            )
        self._number, self._identity = head.number, head.identity

    def end(self, summary: DumpSummary) -> None:
        """Take in the end of a file."""
        self.id = digest_of(summary)


@contextmanager
def named(name: str) -> Iterator[None]:
    """Let errors say which file they are about."""
    try:
        yield
    except (BadDump, WrongVersion) as error:
        if error.message.startswith(name):
            raise
        raise type(error)(f"{name}: {error.message}", hint=error.hint) from error
    except OSError as error:
        raise BadDump(f"{name}: {error.strerror or error}") from error
