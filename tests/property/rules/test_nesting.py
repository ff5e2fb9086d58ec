"""The depth of any MessagePack is what a recursive look at the value says."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from mfdb.kernel.nesting import is_deep, is_untyped
from mfdb.node.requests import GetDataset, Request
from mfdb.rules.changeset import Changeset
from mfdb.rules.evidence import Cheque
from mfdb.rules.manifest import SignedManifest
from mfdb.rules.receipt import WriteReceipt

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=300)
    | st.binary(max_size=70_000)
    | st.builds(msgspec.msgpack.Ext, st.integers(0, 127), st.binary(max_size=300))
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=20) | st.dictionaries(st.integers(0, 9), inner, max_size=20)
    ),
    max_leaves=40,
)


def depth_of(value: Any) -> int:
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    return 0


@given(VALUES)
def test_the_depth_is_that_of_the_value(value: Any) -> None:
    data = msgspec.msgpack.encode(value)
    depth = depth_of(value)
    assert not is_deep(data, depth)
    assert depth == 0 or is_deep(data, depth - 1)


@given(st.binary(max_size=200))
def test_any_bytes_are_judged_without_an_error(data: bytes) -> None:
    assert is_deep(data, 200) is False


def test_only_kinds_with_an_untyped_field_are_looked_at() -> None:
    assert is_untyped(Changeset)
    assert is_untyped(SignedManifest)
    assert is_untyped(Request)
    assert not is_untyped(Cheque)
    assert not is_untyped(WriteReceipt)
    assert not is_untyped(GetDataset)
