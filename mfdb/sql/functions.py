"""Scalar functions and operators: which operands they take, what they give, how they compute.

A function sees no NULL: the compiler answers NULL before it is called. Arguments come in working
form, already converted to the family that the overload names.
"""

from __future__ import annotations

import math
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from mfdb.kernel.errors import (
    DataError,
    DivisionByZero,
    InvalidPower,
    InvalidSubstring,
    NumberOutOfRange,
    ValueTooLarge,
)
from mfdb.kernel.limits import ROW_BYTES
from mfdb.rules.pattern import like_matcher
from mfdb.sql.byte_functions import BYTE_FUNCTIONS
from mfdb.sql.format_forms import FORMAT_FUNCTIONS
from mfdb.sql.interval_functions import INTERVAL_FUNCTIONS
from mfdb.sql.json_functions import JSON_FUNCTIONS
from mfdb.sql.json_making import JSON_MAKING
from mfdb.sql.moment_functions import MOMENT_FUNCTIONS
from mfdb.sql.number_functions import NUMBER_FUNCTIONS
from mfdb.sql.overload import Overload
from mfdb.sql.regular_forms import REGULAR_FUNCTIONS
from mfdb.sql.text_functions import TEXT_FUNCTIONS
from mfdb.sql.time_functions import TIME_FUNCTIONS
from mfdb.sql.types import (
    BIGINT,
    BOOLEAN,
    BYTEA,
    DECIMAL,
    DOUBLE,
    EXACT,
    INTEGER,
    RANGES,
    TEXT,
    bounded,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_BIG = RANGES["BIGINT"]


# ---- arithmetic


def whole(value: int) -> int:
    """Return an integer that fits BIGINT."""
    if value not in _BIG:
        raise NumberOutOfRange("the result is out of the range of BIGINT")
    return value


def _real(value: float) -> float:
    if math.isinf(value):
        raise NumberOutOfRange("the result is out of the range of DOUBLE PRECISION")
    return value


def _float(compute: Callable[[float, float], float]) -> Callable[[float, float], float]:
    """Only finite operands overflow; infinity in, infinity out."""

    def call(left: float, right: float) -> float:
        try:
            value = compute(left, right)
        except OverflowError:
            value = math.inf
        except ValueError:
            raise InvalidPower("a fractional power of a negative number is not real") from None
        return value if math.isinf(left) or math.isinf(right) else _real(value)

    return call


def _nonzero(divisor: Any) -> Any:
    if divisor == 0:
        raise DivisionByZero("division by zero")
    return divisor


def _divide_whole(left: int, right: int) -> int:
    quotient: int = abs(left) // abs(_nonzero(right))
    return whole(quotient if (left < 0) == (right < 0) else -quotient)


def _remainder_whole(left: int, right: int) -> int:
    rest: int = abs(left) % abs(_nonzero(right))
    return -rest if left < 0 else rest


def divide_decimal(left: Decimal, right: Decimal) -> Decimal:
    """Return a quotient with as many digits as PostgreSQL shows: 16 significant ones at least."""
    _nonzero(right)
    weight = _weight(left) - _weight(right)
    if _leading(left) <= _leading(right):
        weight -= 1
    scale = max(16 - 4 * weight, _scale(left), _scale(right), 0)
    quotient = EXACT.divide(left, right)
    return bounded(quotient.quantize(Decimal(1).scaleb(-min(scale, 1000)), context=EXACT))


def _weight(value: Decimal) -> int:
    """The place of the first digit, counted in base 10,000 as PostgreSQL does."""
    return value.adjusted() // 4 if value else 0


def _leading(value: Decimal) -> int:
    """The first digit of base 10,000."""
    return int(abs(value).scaleb(-4 * _weight(value), context=EXACT)) if value else 0


def _scale(value: Decimal) -> int:
    exponent = int(value.as_tuple().exponent)
    return max(-exponent, 0)


def _power_decimal(left: Decimal, right: Decimal) -> Decimal:
    if left == 0 and right < 0:
        raise InvalidPower("zero to a negative power")
    if left < 0 and right != right.to_integral_value():
        raise InvalidPower("a fractional power of a negative number is not real")
    if left and abs(right) * (abs(left.adjusted()) + 1) > 1_100:
        raise NumberOutOfRange("the result is out of the range of DECIMAL")
    if right == 0:
        return Decimal(1)  # 0 ^ 0 too, as in PostgreSQL
    exact = right == right.to_integral_value() and right >= 0
    value = EXACT.power(left, right) if exact else Decimal(repr(float(left) ** float(right)))
    return bounded(value)


def _no_power() -> float:
    raise InvalidPower("zero to a negative power")


NUMBER_OPERATORS: dict[str, dict[str, Callable[..., Any]]] = {
    "+": {
        "integer": lambda left, right: whole(left + right),
        "decimal": lambda left, right: bounded(EXACT.add(left, right)),
        "float": _float(lambda left, right: left + right),
    },
    "-": {
        "integer": lambda left, right: whole(left - right),
        "decimal": lambda left, right: bounded(EXACT.subtract(left, right)),
        "float": _float(lambda left, right: left - right),
    },
    "*": {
        "integer": lambda left, right: whole(left * right),
        "decimal": lambda left, right: bounded(EXACT.multiply(left, right)),
        "float": _float(lambda left, right: left * right),
    },
    "/": {
        "integer": _divide_whole,
        "decimal": divide_decimal,
        "float": _float(lambda left, right: left / _nonzero(right)),
    },
    "%": {
        "integer": _remainder_whole,
        "decimal": lambda left, right: EXACT.remainder(left, _nonzero(right)),
    },
    "^": {
        "decimal": _power_decimal,
        "float": _float(
            lambda left, right: math.pow(left, right) if left or right >= 0 else _no_power()
        ),
    },
}
NEGATE: dict[str, Callable[[Any], Any]] = {
    "integer": lambda value: whole(-value),
    "decimal": EXACT.minus,
    "float": lambda value: -value,
}
RESULT_OF = {"integer": BIGINT, "decimal": DECIMAL, "float": DOUBLE}


# ---- comparisons: NaN equals NaN and is above every other number, as in PostgreSQL


def _float_comparison(test: Callable[[int], bool]) -> Callable[[float, float], bool]:
    def call(left: float, right: float) -> bool:
        nan_left, nan_right = math.isnan(left), math.isnan(right)
        if nan_left or nan_right:
            return test(nan_left - nan_right)
        return test((left > right) - (left < right))

    return call


COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda left, right: left == right,
    "<>": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}
FLOAT_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "=": _float_comparison(lambda order: order == 0),
    "<>": _float_comparison(lambda order: order != 0),
    "<": _float_comparison(lambda order: order < 0),
    "<=": _float_comparison(lambda order: order <= 0),
    ">": _float_comparison(lambda order: order > 0),
    ">=": _float_comparison(lambda order: order >= 0),
}


# ---- text and bytes


def concatenate(left: Any, right: Any) -> Any:
    """Return two texts or byte strings as one."""
    if len(left) + len(right) > ROW_BYTES:
        raise ValueTooLarge(f"the result is over {ROW_BYTES} bytes")
    return left + right


def like(*, folded: bool) -> Callable[..., bool]:
    """Return LIKE, or ILIKE if `folded`."""

    def call(text: str, pattern: str, escape: str = "\\") -> bool:
        matcher = like_matcher(pattern, escape, folded=folded)
        if matcher is None:
            raise DataError(
                "no LIKE pattern: too long, ends in its escape, or the escape is no one character"
            )
        found = matcher(text)
        if found is None:
            raise DataError("the text is too long for a LIKE pattern with that many _")
        return found

    return call


def _substr(text: Any, start: int, count: int | None = None) -> Any:
    if count is None:
        return text[max(start - 1, 0) :]
    if count < 0:
        raise InvalidSubstring("substr takes no negative length")
    return text[max(start - 1, 0) : max(start - 1 + count, 0)]


def _replace(text: str, old: str, new: str) -> str:
    if not old:
        return text
    grown = len(text) + text.count(old) * (len(new) - len(old))
    if grown > ROW_BYTES:
        raise ValueTooLarge(f"the result is over {ROW_BYTES} bytes")
    return text.replace(old, new)


def _repeat(text: str, count: int) -> str:
    if len(text) * max(count, 0) > ROW_BYTES:
        raise ValueTooLarge(f"the result is over {ROW_BYTES} bytes")
    return text * max(count, 0)


def _round(value: Decimal, digits: int = 0) -> Decimal:
    if not -1000 <= digits <= 1000:
        raise NumberOutOfRange("round takes -1000 to 1000 digits")
    rounded = value.quantize(Decimal(1).scaleb(-digits), context=EXACT)
    return rounded if digits >= 0 else Decimal(int(rounded))


def _root(value: float) -> float:
    if value < 0:
        raise InvalidPower("a negative number has no square root")
    return math.sqrt(value)


def _rounded_float(value: float) -> float:
    return float(round(value)) if math.isfinite(value) else value


def _integral(name: str) -> list[Overload]:
    compute = math.floor if name == "floor" else math.ceil
    return [
        Overload(("integer",), None, int),
        Overload(("decimal",), DECIMAL, lambda value: Decimal(compute(value))),
        Overload(
            ("float",),
            DOUBLE,
            lambda value: float(compute(value)) if math.isfinite(value) else value,
        ),
    ]


def _sign(value: Any) -> Any:
    return type(value)((value > 0) - (value < 0))


def _power_whole(left: int, right: int) -> float:
    power: float = NUMBER_OPERATORS["^"]["float"](float(left), float(right))
    return power


def _trim(strip: Callable[[str, str], str]) -> list[Overload]:
    return [
        Overload(("text",), TEXT, lambda text: strip(text, " ")),
        Overload(("text", "text"), TEXT, strip),
    ]


FUNCTIONS: dict[str, list[Overload]] = {
    "length": [Overload(("text",), INTEGER, len), Overload(("bytes",), INTEGER, len)],
    "octet_length": [
        Overload(("text",), INTEGER, lambda text: len(text.encode("utf-8", "surrogatepass"))),
        Overload(("bytes",), INTEGER, len),
    ],
    "lower": [Overload(("text",), TEXT, str.lower)],
    "upper": [Overload(("text",), TEXT, str.upper)],
    "abs": [
        Overload(("integer",), None, lambda value: whole(abs(value))),
        Overload(("decimal",), DECIMAL, EXACT.abs),
        Overload(("float",), DOUBLE, abs),
    ],
    "sign": [
        Overload(("decimal",), DECIMAL, _sign),
        Overload(("float",), DOUBLE, _sign),
    ],
    "mod": [
        Overload(("integer", "integer"), BIGINT, _remainder_whole),
        Overload(("decimal", "decimal"), DECIMAL, NUMBER_OPERATORS["%"]["decimal"]),
    ],
    "power": [
        Overload(("integer", "integer"), DOUBLE, _power_whole),
        Overload(("decimal", "decimal"), DECIMAL, _power_decimal),
        Overload(("float", "float"), DOUBLE, NUMBER_OPERATORS["^"]["float"]),
    ],
    "sqrt": [Overload(("float",), DOUBLE, _root)],
    "floor": _integral("floor"),
    "ceil": _integral("ceil"),
    "round": [
        Overload(("integer",), None, int),
        Overload(("decimal",), DECIMAL, _round),
        Overload(("float",), DOUBLE, _rounded_float),
        Overload(("decimal", "integer"), DECIMAL, _round),
    ],
    "substr": [
        Overload(("text", "integer"), TEXT, _substr),
        Overload(("text", "integer", "integer"), TEXT, _substr),
        Overload(("bytes", "integer"), BYTEA, _substr),
        Overload(("bytes", "integer", "integer"), BYTEA, _substr),
    ],
    "replace": [Overload(("text", "text", "text"), TEXT, _replace)],
    "repeat": [Overload(("text", "integer"), TEXT, _repeat)],
    "strpos": [Overload(("text", "text"), INTEGER, lambda text, part: text.find(part) + 1)],
    "starts_with": [Overload(("text", "text"), BOOLEAN, str.startswith)],
    "trim": _trim(str.strip),
    "ltrim": _trim(str.lstrip),
    "rtrim": _trim(str.rstrip),
    "hex": [Overload(("bytes",), TEXT, bytes.hex)],
}
for _forms in (
    TIME_FUNCTIONS,
    INTERVAL_FUNCTIONS,
    MOMENT_FUNCTIONS,
    FORMAT_FUNCTIONS,
    JSON_FUNCTIONS,
    JSON_MAKING,
):
    for _name, _more in _forms.items():
        FUNCTIONS[_name] = FUNCTIONS.get(_name, []) + [Overload(*form) for form in _more]
FUNCTIONS |= NUMBER_FUNCTIONS
FUNCTIONS |= TEXT_FUNCTIONS
FUNCTIONS |= BYTE_FUNCTIONS
FUNCTIONS |= REGULAR_FUNCTIONS
FUNCTIONS |= {
    "position": FUNCTIONS["strpos"],
    "char_length": FUNCTIONS["length"],
    "character_length": FUNCTIONS["length"],
    "ceiling": FUNCTIONS["ceil"],
    "substring": FUNCTIONS["substr"] + REGULAR_FUNCTIONS["substring"],
    "btrim": FUNCTIONS["trim"],
    "pow": FUNCTIONS["power"],
}


def random_uuid(token: Callable[[int], bytes]) -> bytes:
    """Return a random UUID (RFC 9562, version 4) as its 16 bytes."""
    return uuid.UUID(bytes=token(16), version=4).bytes


def random_number(token: Callable[[int], bytes]) -> float:
    """Return a random number from 0 to below 1, of 53 bits."""
    return (int.from_bytes(token(7)) >> 3) * 2.0**-53


ROW_AGGREGATES = frozenset({"count", "sum", "min", "max", "avg"})
"""What the row route sums up itself."""
REGRESSIONS = frozenset(
    {"corr", "covar_pop", "covar_samp", "regr_avgx", "regr_avgy", "regr_count", "regr_intercept",
     "regr_r2", "regr_slope", "regr_sxx", "regr_sxy", "regr_syy"}
)  # fmt: skip
"""Aggregates of pairs of numbers."""
SPREADS = frozenset({"stddev", "stddev_samp", "stddev_pop", "variance", "var_samp", "var_pop"})
JSON_CALLS = frozenset(
    f"{kind}_{name}" for kind in ("json", "jsonb") for name in ("build_object", "build_array")
) | {"to_json", "to_jsonb", "array_to_json"}
WITHIN = frozenset({"percentile_cont", "percentile_disc", "mode"})
"""Aggregates of values in an order."""
JSON_AGGREGATES = frozenset(
    f"{kind}_{name}" for kind in ("json", "jsonb") for name in ("agg", "object_agg")
)
AGGREGATES = JSON_AGGREGATES | (
    ROW_AGGREGATES
    | SPREADS
    | REGRESSIONS
    | {"bool_and", "bool_or", "every", "string_agg", "bit_and", "bit_or", "bit_xor", "array_agg"}
)
LAZY_FUNCTIONS = frozenset({"coalesce", "nullif", "greatest", "least"})
JOINING_FUNCTIONS = frozenset({"concat", "concat_ws"})
"""Functions that pass NULLs over and take anything as text."""
ANY_FUNCTIONS = frozenset(
    {"pg_typeof", "num_nulls", "num_nonnulls", "format", "quote_literal", "quote_nullable", "date",
     "version", "current_database", "current_schema"}
)  # fmt: skip
"""Functions that take anything, or nothing: `bind_any`."""
ARRAY_FUNCTIONS = frozenset(
    {"cardinality", "array_length", "array_upper", "array_lower", "array_ndims", "array_dims",
     "trim_array", "array_cat", "array_append", "array_prepend", "array_remove", "array_replace",
     "array_fill", "array_position", "array_positions", "array_to_string", "string_to_array",
     "regexp_split_to_array", "regexp_match"}
)  # fmt: skip
"""Functions of arrays: `bind_array`."""
CONTEXTS = {
    "gen_random_uuid": "uuid",
    "random": "random",
    "now": "now",
    "transaction_timestamp": "now",
    "statement_timestamp": "now",
    "clock_timestamp": "now",
    "current_identity": "caller",
    "row_author": "author",
    "row_id": "row_id",
    "row_written_at": "written_at",
}
WINDOW_FUNCTIONS = frozenset(
    {"row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile", "lag", "lead",
     "first_value", "last_value", "nth_value"}
)  # fmt: skip
"""Functions that stand before OVER only."""
KNOWN = (
    frozenset(FUNCTIONS)
    | AGGREGATES
    | LAZY_FUNCTIONS
    | JOINING_FUNCTIONS
    | JSON_CALLS
    | ANY_FUNCTIONS
    | ARRAY_FUNCTIONS
    | {*CONTEXTS, "current_date", "localtime", "localtimestamp"}
)
