"""Columns of a block: stored values <-> Arrow arrays <-> the bytes of an Arrow IPC stream.

Texts and byte strings that repeat are kept as a dictionary with two-byte codes, which a block's
rows always fit. Values are those of stored rows: DECIMAL is text here, times are integers. A CRC-32
stands before the stream: its reader raises nothing that one could tell from a fault of the program.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any
from zlib import crc32

from mfdb.kernel.codec import encode
from mfdb.kernel.digest import sha256
from mfdb.kernel.errors import CorruptRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.rules.manifest import Manifest

INTEGERS, FLOATS, TEXTS, OCTETS, TRUTHS = "int64", "float64", "utf8", "binary", "bool"
KINDS = {
    "BOOLEAN": TRUTHS,
    "SMALLINT": INTEGERS,
    "INTEGER": INTEGERS,
    "BIGINT": INTEGERS,
    "DATE": INTEGERS,
    "TIMESTAMP": INTEGERS,
    "TIMESTAMPTZ": INTEGERS,
    "TIME": INTEGERS,
    "INTERVAL": TEXTS,
    "REAL": FLOATS,
    "DOUBLE PRECISION": FLOATS,
    "DECIMAL": TEXTS,
    "MFT": TEXTS,
    "TEXT": TEXTS,
    "VARCHAR": TEXTS,
    "JSON": TEXTS,
    "BYTEA": OCTETS,
    "UUID": OCTETS,
    "IDENTITY": OCTETS,
}
"""What the values of each column type are stored as; arrays are octets."""
_CRC_BYTES = 4
_REPEATS = 2
"""A dictionary pays when each of its values stands for so many rows on average."""


class Column:
    """One column of one block, in the forms that its readers want; each is made once."""

    __slots__ = ("_codes", "_numbers", "_values", "arrow", "is_coded", "is_number")

    def __init__(self, array: Any) -> None:
        self.arrow = array
        self.is_coded = is_coded(array)
        """Whether values are kept once, in a dictionary."""
        self.is_number = not array.null_count and _is(array, "numeric", "boolean")
        """Whether it is a number or a truth in every row."""
        self._values: list[Any] | None = None
        self._codes: tuple[Any, list[Any]] | None = None
        self._numbers: tuple[Any, Any] | None = None

    @property
    def size_bytes(self) -> int:
        """What it occupies, its other forms included."""
        return 2 * int(self.arrow.nbytes)

    def values(self) -> list[Any]:
        """Return the stored values."""
        if self._values is None:
            self._values = self.arrow.to_pylist()
        return self._values

    def codes(self) -> tuple[Any, list[Any]]:
        """Return a code for each row, and the values that codes stand for; None may be one."""
        if self._codes is None:
            self._codes = _codes(self.arrow)
        return self._codes

    def at(self, positions: Any) -> list[Any]:
        """Return the stored values at positions, which are a numpy array."""
        if self.is_coded:
            codes, values = self.codes()
            return [values[code] for code in codes[positions].tolist()]
        if self.is_number:
            return list(self.numbers()[0][positions].tolist())
        import arro3.core as arrow

        return list(self.arrow.take(arrow.Array.from_numpy(positions)).to_pylist())

    def numbers(self) -> tuple[Any, Any]:
        """Return the values of a number column and where they are NULL (None: nowhere)."""
        if self._numbers is None:
            self._numbers = _numbers(self.arrow)
        return self._numbers


def shape_of(manifest: Manifest) -> bytes | None:
    """Return what names the columns that blocks of a dataset have; None if it can have none."""
    if any(_name(column.type) not in KINDS for column in manifest.columns):
        return None
    return sha256(encode([(column.name, column.type) for column in manifest.columns]))


def kinds_of(manifest: Manifest) -> list[str]:
    """Return what the values of each column are stored as."""
    return [KINDS[_name(column.type)] for column in manifest.columns]


def array_of(values: Sequence[Any], kind: str) -> Any:
    """Return stored values as an Arrow array.

    Raises:
        CorruptRecord: a value is of another kind.
    """
    import arro3.core as arrow

    try:
        return arrow.Array(values, type=getattr(arrow.DataType, kind)())
    except (TypeError, ValueError, OverflowError) as error:
        raise CorruptRecord(f"a column of {kind} holds something else") from error


def coded(array: Any) -> Any:
    """Return a text or binary array as one with a dictionary."""
    import arro3.core as arrow

    if is_coded(array):
        return array
    return array.cast(arrow.DataType.dictionary(arrow.DataType.uint16(), array.type))


def is_coded(array: Any) -> bool:
    """Return whether an array has a dictionary."""
    return _is(array, "dictionary")


def _is(array: Any, *kinds: str) -> bool:
    import arro3.core as arrow

    return any(getattr(arrow.DataType, f"is_{kind}")(array.type) for kind in kinds)


def plain(array: Any) -> Any:
    """Return an array without a dictionary."""
    return array.cast(array.type.value_type) if is_coded(array) else array


def write_column(values: Sequence[Any], kind: str) -> bytes:
    """Return the bytes of a column.

    Raises:
        CorruptRecord: a value is of another kind.
    """
    import arro3.core as arrow
    from arro3.io import write_ipc_stream

    array = array_of(values, kind)
    if kind in (TEXTS, OCTETS) and len(set(values)) * _REPEATS <= len(values):
        array = coded(array)
    stream = BytesIO()
    write_ipc_stream(arrow.RecordBatch({"c": array}), stream, compression=None)
    data = stream.getvalue()
    return crc32(data).to_bytes(_CRC_BYTES, "big") + data


def read_column(data: bytes) -> Column:
    """Return the column that bytes hold.

    Raises:
        CorruptRecord: they hold none.
    """
    from arro3.io import read_ipc_stream

    stream = data[_CRC_BYTES:]
    if crc32(stream).to_bytes(_CRC_BYTES, "big") != data[:_CRC_BYTES]:
        raise CorruptRecord("a column of a block is damaged", hint="VACUUM makes blocks anew")
    return Column(read_ipc_stream(BytesIO(stream)).read_all().column(0).combine_chunks())


def _codes(array: Any) -> tuple[Any, list[Any]]:
    import arro3.core as arrow
    import numpy as np

    if _is(array, "boolean"):
        truths, nulls = _numbers(array)
        codes = truths.astype(np.int64)
        return codes if nulls is None else np.where(nulls, 2, codes), [False, True, None]
    if not is_coded(array):
        return np.arange(len(array)), array.to_pylist()
    values = arrow.dictionary_dictionary(array).to_pylist()
    codes = arrow.dictionary_indices(array)
    if not codes.null_count:
        return codes.to_numpy(), values
    absent = len(values)
    found = [absent if code is None else code for code in codes.to_pylist()]
    return np.array(found, dtype=np.int64), [*values, None]


def _numbers(array: Any) -> tuple[Any, Any]:
    import numpy as np

    if not array.null_count:
        return array.to_numpy(), None
    values = array.to_pylist()
    filled = [0 if value is None else value for value in values]
    kind = np.float64 if any(type(value) is float for value in values) else np.int64
    return np.array(filled, dtype=kind), np.array([value is None for value in values])


def _name(text: str) -> str:
    return "BYTEA" if text.endswith("[]") else text.partition("(")[0]
