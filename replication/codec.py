"""Reed-Solomon k of n over bytes: n shards of equal length, any k of which give the data back.

Layout (docs/format.md): the data is cut into stripes of k pieces of 65,536 bytes; the rest makes
one last stripe of k pieces of ceil(rest / k) bytes, filled up with zeros. Shard i < k is piece i
of every stripe, one after the other; shard i >= k is the parity of the same columns. A shard is
therefore `(length // (65,536 k)) * 65,536 + ceil(rest / k)` bytes long, and empty data makes empty
shards. The data's length travels in the seal certificate.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import reedsolo

from mfdb.kernel.errors import BadProof, StripeLost
from replication.backend import Backend, Column, Program, backends
from replication.field import MAX_SHARDS, Matrix, rs_code, transform

if TYPE_CHECKING:
    from collections.abc import Mapping

PIECE_BYTES = 64 * 1024
_SAMPLE_COLUMNS = 16
_KEPT_BYTES = 8 * 2**20
"""Memory that a thread keeps for the next segment at most."""


def shard_length(length_bytes: int, k: int) -> int:
    """Return how long each shard of so much data is, in bytes.

    >>> [shard_length(n, 4) for n in (0, 1, 5, 4 * 65_536, 4 * 65_536 + 1)]
    [0, 1, 2, 65536, 65537]
    """
    whole, rest = divmod(length_bytes, k * PIECE_BYTES)
    return whole * PIECE_BYTES + -(-rest // k)


@lru_cache(maxsize=256)
def _program(
    backend: Backend, k: int, n: int, basis: tuple[int, ...], targets: tuple[int, ...]
) -> Program:
    return backend.prepare(transform(k, n, basis, targets))


class Codec:
    """The code k of n. Holds no state but its parameters, so threads may share it."""

    __slots__ = ("_backend", "k", "n")

    def __init__(self, k: int, n: int, *, backend: Backend | None = None) -> None:
        if not 1 <= k < n <= MAX_SHARDS:
            raise ValueError(f"a code is k of n with 1 <= k < n <= {MAX_SHARDS}, not {k} of {n}")
        self.k = k
        self.n = n
        self._backend = backend or backends()[0]

    def encode(self, data: bytes) -> tuple[bytes, ...]:
        """Return the n shards of the data."""
        made = _scratch(self.n - self.k, shard_length(len(data), self.k))
        return (*self.data_shards(data), *(row.tobytes() for row in self.parity(data, made)))

    def parity(self, data: bytes, made: Matrix | None = None) -> Matrix:
        """Return the parity shards of the data, one in each row; the data itself is not copied.

        They are written into `made`, where that is given: n - k rows as long as a shard. Memory
        that is fresh for each segment costs more than the code (reference/data-path 1).
        """
        length = shard_length(len(data), self.k)
        if made is None:
            made = np.empty((self.n - self.k, length), np.uint8)
        assert made.shape == (self.n - self.k, length), "a row for each parity shard"
        if length:
            whole = len(data) // (self.k * PIECE_BYTES)
            stripes = np.frombuffer(data, np.uint8)
            run = _program(
                self._backend, self.k, self.n, tuple(range(self.k)), tuple(range(self.k, self.n))
            )
            for stripe in range(whole + 1):
                at = stripe * PIECE_BYTES
                if at < length:
                    run(self._pieces(stripes, stripe), made[:, at : at + PIECE_BYTES])
        return made

    def _pieces(self, data: Column, stripe: int) -> Matrix:
        """Return the k pieces of a stripe; only those of the last are copied, to fill them up."""
        start, size = stripe * self.k * PIECE_BYTES, self.k * PIECE_BYTES
        whole = data[start : start + size]
        if len(whole) < size:
            last = -(-len(whole) // self.k)
            whole = np.concatenate((whole, np.zeros(last * self.k - len(whole), np.uint8)))
        return whole.reshape(self.k, -1)

    def decode(self, shards: Mapping[int, bytes], length_bytes: int) -> bytes:
        """Return the data of that length from any k of its shards.

        The shards are believed: check their hashes first (or ask `find_liars`).

        Raises:
            StripeLost: there are fewer than k shards.
            BadProof: an index or a shard's length does not fit the code or the data's length.
        """
        self._check(shards)
        if any(len(shard) != shard_length(length_bytes, self.k) for shard in shards.values()):
            raise BadProof(f"the shards are not those of {length_bytes} bytes")
        lost = tuple(index for index in range(self.k) if index not in shards)
        rows = {index: memoryview(shard) for index, shard in shards.items()}
        rows |= {
            index: made.data for index, made in zip(lost, self._derive(shards, lost), strict=True)
        }
        return self._join([rows[index] for index in range(self.k)], length_bytes)

    def rebuild(self, shards: Mapping[int, bytes], index: int) -> bytes:
        """Return shard `index` from any k of the others (or itself, where it is among them).

        Raises:
            StripeLost: there are fewer than k shards.
            BadProof: an index does not fit the code, or the shards differ in length.
        """
        self._check(shards)
        if not 0 <= index < self.n:
            raise BadProof(f"there is no shard {index} of {self.n}")
        if index in shards:
            return shards[index]
        rebuilt: bytes = self._derive(shards, (index,))[0].tobytes()
        return rebuilt

    def find_liars(self, shards: Mapping[int, bytes]) -> set[int]:
        """Return which shards contradict the others, without any hash.

        With m = n - k and l shards missing, up to floor((m - l) / 2) liars are found. More than
        that may look like another code word: check what you rebuild against a hash.

        Raises:
            StripeLost: too few shards to tell, or more lie than can be told.
            BadProof: an index does not fit the code, or the shards differ in length.
        """
        self._check(shards)
        liars: set[int] = set()
        while True:
            trusted = {index: shards[index] for index in shards if index not in liars}
            columns = self._contradictions(trusted)
            if not columns:
                return liars
            found = set().union(*(self._liars_at(shards, column) for column in columns))
            if 2 * len(liars | found) > len(shards) - self.k or found <= liars:
                raise _too_many_liars(len(shards), self.k)
            liars |= found

    def _contradictions(self, shards: Mapping[int, bytes]) -> list[int]:
        """Return the first columns in which shards beyond k are not what the first k make."""
        basis = self._basis(shards)
        rest = tuple(sorted(set(shards) - set(basis)))
        if not rest:
            return []
        wrong: set[int] = set()
        for index, due in zip(rest, self._derive(shards, rest), strict=True):
            differs = np.frombuffer(shards[index], np.uint8) != due
            wrong.update(np.flatnonzero(differs)[:_SAMPLE_COLUMNS].tolist())
        return sorted(wrong)[:_SAMPLE_COLUMNS]

    def _liars_at(self, shards: Mapping[int, bytes], column: int) -> set[int]:
        word = bytes(shards[at][column] if at in shards else 0 for at in range(self.n))
        missing = [index for index in range(self.n) if index not in shards]
        try:
            _, fixed, _ = rs_code(self.k, self.n).decode(word, erase_pos=missing)
        except reedsolo.ReedSolomonError as error:
            raise _too_many_liars(len(shards), self.k) from error
        return {index for index in shards if fixed[index] != word[index]}

    def _check(self, shards: Mapping[int, bytes]) -> None:
        if any(not 0 <= index < self.n for index in shards):
            raise BadProof(f"a shard's index is outside 0..{self.n - 1}")
        if len(shards) < self.k:
            raise StripeLost(
                f"{self.k} shards are needed, {len(shards)} are left",
                hint="wait until more of the providers are back",
            )
        if len({len(shard) for shard in shards.values()}) != 1:
            raise BadProof("the shards of a segment have equal lengths")

    def _basis(self, shards: Mapping[int, bytes]) -> tuple[int, ...]:
        return tuple(sorted(shards)[: self.k])

    def _derive(self, shards: Mapping[int, bytes], targets: tuple[int, ...]) -> Matrix:
        """Return the target shards, made of the k first of those at hand, until the next call."""
        basis = self._basis(shards)
        length = len(shards[basis[0]])
        sources = [np.frombuffer(shards[index], np.uint8) for index in basis]
        made = _scratch(len(targets), length)
        if made.size:
            _program(self._backend, self.k, self.n, basis, targets)(sources, made)
        return made

    def data_shards(self, data: bytes) -> list[bytes]:
        """Return the first k shards: each is copied once, straight out of the data."""
        view = memoryview(data)
        stripe = self.k * PIECE_BYTES
        whole = len(data) // stripe * stripe
        last = -(-(len(data) - whole) // self.k)
        shards = []
        for index in range(self.k):
            at = index * PIECE_BYTES
            pieces = [view[s + at : s + at + PIECE_BYTES] for s in range(0, whole, stripe)]
            rest = view[whole + index * last : whole + (index + 1) * last]
            shards.append(b"".join((*pieces, rest, bytes(last - len(rest)))))
        return shards

    def _join(self, shards: list[memoryview], length_bytes: int) -> bytes:
        """Return the data that data shards hold: piece by piece, stripe by stripe."""
        pieces, left = [], length_bytes
        for start in range(0, len(shards[0]), PIECE_BYTES):
            for view in shards:
                pieces.append(view[start : start + PIECE_BYTES][:left])
                left -= len(pieces[-1])
        return b"".join(pieces)


_memory = threading.local()


def _scratch(rows: int, length: int) -> Matrix:
    """Return rows to write into; the next call in this thread gives the same memory again."""
    kept: Column | None = getattr(_memory, "kept", None)
    if kept is None or len(kept) < rows * length:
        kept = np.empty(rows * length, np.uint8)
        _memory.kept = kept if len(kept) <= _KEPT_BYTES else None
    return kept[: rows * length].reshape(rows, length)


def _too_many_liars(have: int, k: int) -> StripeLost:
    return StripeLost(
        f"the {have} shards contradict each other and more than {(have - k) // 2} lie",
        hint="fetch more shards, or check them against the hashes in the seal certificate",
    )
