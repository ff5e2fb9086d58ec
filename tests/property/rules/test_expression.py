"""Whatever an expression is, evaluating it raises nothing and gives the same answer twice."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as some

from mfdb.kernel.errors import SchemaViolation
from mfdb.rules.expression import OPERATORS, check, evaluate

scalars = (
    some.none()
    | some.booleans()
    | some.integers(-(2**63), 2**63 - 1)
    | some.floats()
    | some.text(max_size=5)
    | some.binary(max_size=5)
)
leaves = (
    some.builds(lambda constant: ["value", constant], scalars)
    | some.sampled_from([["column", "a"], ["column", "b"], ["author"], ["caller"]])
    | scalars
)
expressions = some.recursive(
    leaves,
    lambda inner: some.builds(
        lambda operator, operands: [operator, *operands],
        some.sampled_from(sorted(OPERATORS)) | some.text(max_size=3),
        some.lists(inner, max_size=4),
    ),
    max_leaves=20,
)


@given(expressions, scalars, scalars)
def test_total_and_deterministic(expression: Any, first: Any, second: Any) -> None:
    row = {"a": first, "b": second}
    once = evaluate(expression, row, author=None, caller=None)
    again = evaluate(_through_msgpack(expression), row, author=None, caller=None)
    assert repr(once) == repr(again)


@given(expressions)
def test_check_refuses_or_accepts_but_never_fails(expression: Any) -> None:
    try:
        check(expression)
    except SchemaViolation:
        return
    check(_through_msgpack(expression))


def _through_msgpack(expression: Any) -> Any:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(expression))
