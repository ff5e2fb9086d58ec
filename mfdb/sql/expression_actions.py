"""What each expression rule of grammar.lark makes of its children.

Every function takes the children that the rule keeps and the position of its first token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.kernel.errors import SqlSyntax
from mfdb.sql import statement as st
from mfdb.sql import text_literals
from mfdb.sql.row_actions import among_rows, compared_rows, distinct_rows, null_rows
from mfdb.sql.scanner import fold
from mfdb.sql.similar import regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mfdb.sql.automaton import Token

DEPTH_LIMIT = 150
"""Most levels of an expression; chains of AND, of OR and lists count as one."""
INTEGER_DIGITS = 2_000
PARAMETERS = 65_535
NAME_CHARACTERS = 128

Children = list[Any]


def unquote(token: Token) -> str:
    """Return the value of a string token.

    Raises:
        SqlSyntax: an escape in it is none.
    """
    return text_literals.unquote(token.text, token.position)


def name(children: Children, position: int) -> st.Name:
    """Return an unquoted name, folded."""
    child = children[0]
    return st.Name(position=position, text=_bounded(fold(child.text), position))


def quoted(children: Children, position: int) -> st.Name:
    """Return a quoted name as it stands."""
    text = children[0].text[1:-1].replace('""', '"')
    return st.Name(position=position, text=_bounded(text, position), quoted=True)


def _bounded(text: str, position: int) -> str:
    if len(text) > NAME_CHARACTERS:
        raise SqlSyntax(f"a name has at most {NAME_CHARACTERS} characters", position=position)
    return text


def word(children: Children, _position: int) -> Token:
    """Return the keyword that a rule of alternatives matched."""
    token: Token = children[0]
    return token


def deeper(position: int, parts: Iterable[st.Expression | None]) -> int:
    """Return the depth of an expression over its parts.

    Raises:
        SqlSyntax: it is over `DEPTH_LIMIT`.
    """
    depth = 1 + max((part.depth for part in parts if part is not None), default=0)
    if depth > DEPTH_LIMIT:
        raise SqlSyntax(
            f"the expression is nested deeper than {DEPTH_LIMIT} levels",
            hint="split it up, or pass a list as parameters",
            position=position,
        )
    return depth


def _bounded_depth(made: st.Expression) -> st.Expression:
    deeper(made.position, (made,))
    return made


def _logical(sign: Any) -> Callable[[Children, int], st.Logical]:
    def build(children: Children, position: int) -> st.Logical:
        operands = tuple(children)
        depth = deeper(position, operands)
        return st.Logical(position=position, sign=sign, operands=operands, depth=depth)

    return build


def negation(children: Children, position: int) -> st.Unary:
    """NOT x."""
    operand = children[-1]
    return st.Unary(
        position=position, sign="NOT", operand=operand, depth=deeper(position, (operand,))
    )


def sign(children: Children, position: int) -> st.Expression:
    """+x and -x; a minus before an integer literal belongs to it, so that -2^63 has a type."""
    mark, operand = children[0], children[1]
    if (
        mark.text == "-"
        and isinstance(operand, st.Constant)
        and isinstance(operand.value, int | str)
        and operand.kind in ("integer", "decimal")
        and not str(operand.value).startswith("-")
    ):
        value = f"-{operand.value}"
        whole = operand.kind == "integer"
        return st.Constant(
            position=position, kind=operand.kind, value=int(value) if whole else value
        )
    return st.Unary(
        position=position, sign=mark.text, operand=operand, depth=deeper(position, (operand,))
    )


def row_of_values(children: Children, position: int) -> st.Row:
    """(a, b, ...)."""
    items = (children[0], *children[1])
    return st.Row(position=position, items=items, depth=deeper(position, items))


def binary(children: Children, _position: int) -> st.Expression:
    """Two operands and a sign between them."""
    left, mark, right = children
    if isinstance(left, st.Row) or isinstance(right, st.Row):
        sign = "<>" if mark.text == "!=" else mark.text
        return _bounded_depth(compared_rows(sign, left, right, mark.position))
    return st.Binary(
        position=mark.position,
        sign="<>" if mark.text == "!=" else mark.text,
        left=left,
        right=right,
        depth=deeper(mark.position, (left, right)),
    )


def _test(operand: st.Expression, position: int, truth: Any, *, negated: bool) -> st.Test:
    depth = deeper(position, (operand,))
    return st.Test(position=position, operand=operand, truth=truth, negated=negated, depth=depth)


def _null(operand: st.Expression, position: int, *, negated: bool) -> st.Expression:
    if isinstance(operand, st.Row):
        return _bounded_depth(null_rows(operand, position, negated=negated))
    return _test(operand, position, "NULL", negated=negated)


def is_null(children: Children, position: int) -> st.Expression:
    """X IS [NOT] NULL, x ISNULL."""
    negated = len(children) > 1 and children[1] is not None
    return _null(children[0], position, negated=negated)


def not_null_test(children: Children, position: int) -> st.Expression:
    """X NOTNULL."""
    return _null(children[0], position, negated=True)


def is_truth(children: Children, position: int) -> st.Test:
    """X IS [NOT] TRUE|FALSE|UNKNOWN."""
    operand, negated, truth = children
    return _test(operand, position, truth.text.upper(), negated=negated is not None)


def is_distinct(children: Children, position: int) -> st.Expression:
    """A IS [NOT] DISTINCT FROM b."""
    left, negated, right = (child for child in children if not _is_word(child, "DISTINCT"))
    if isinstance(left, st.Row) or isinstance(right, st.Row):
        made = distinct_rows(left, right, position, negated=negated is not None)
        return _bounded_depth(made)
    depth = deeper(position, (left, right))
    return st.Distinct(
        position=position, left=left, right=right, negated=negated is not None, depth=depth
    )


def _is_word(child: Any, kind: str) -> bool:
    return getattr(child, "kind", "") == kind


def between(children: Children, position: int) -> st.Expression:
    """X [NOT] BETWEEN low AND high; with SYMMETRIC the lesser of them is the lower end."""
    operand, negated, kind, first, second = children
    plain = _between([operand, negated, first, second], position)
    if kind != "SYMMETRIC":
        return plain
    either = [plain, _between([operand, negated, second, first], position)]
    return _logical("OR" if negated is None else "AND")(either, position)


def between_word(children: Children, _position: int) -> str:
    """BETWEEN, or the word behind it."""
    found: str = [child for child in children if child is not None][-1].text.upper()
    return found


def _between(children: Children, position: int) -> st.Expression:
    operand, negated, low, high = children
    if any(isinstance(one, st.Row) for one in (operand, low, high)):
        ends = [
            _bounded_depth(compared_rows(mark, operand, end, position))
            for mark, end in ((">=", low), ("<=", high))
        ]
        both = _logical("AND")(ends, position)
        return both if negated is None else negation([both], position)
    depth = deeper(position, (operand, low, high))
    return st.Between(
        position=position,
        operand=operand,
        low=low,
        high=high,
        negated=negated is not None,
        depth=depth,
    )


def _similar(children: Children, position: int) -> st.Expression:
    """X [NOT] SIMILAR TO pattern [ESCAPE e], where the pattern is a literal."""
    operand, negated, _, pattern, escape = children
    if not all(one is None or _is_text(one) for one in (pattern, escape)):
        raise SqlSyntax(
            "SIMILAR TO takes a pattern that is written out",
            hint="x ~ pattern takes any regular expression, x LIKE pattern any other one",
            position=pattern.position,
        )
    made = regular(pattern.value, "\\" if escape is None else escape.value)
    wanted = st.Constant(position=pattern.position, kind="string", value=made)
    return st.Binary(
        position=position,
        sign="~" if negated is None else "!~",
        left=operand,
        right=wanted,
        depth=deeper(position, (operand,)),
    )


def _is_text(node: st.Expression) -> bool:
    return isinstance(node, st.Constant) and node.kind == "string"


def like(children: Children, position: int) -> st.Expression:
    """X [NOT] LIKE|ILIKE|SIMILAR TO pattern [ESCAPE e]."""
    operand, negated, mark, pattern, escape = children
    if mark.kind == "SIMILAR":
        return _similar(children, position)
    return st.Like(
        position=position,
        operand=operand,
        pattern=pattern,
        escape=escape,
        folded=mark.text.upper() == "ILIKE",
        negated=negated is not None,
        depth=deeper(position, (operand, pattern, escape)),
    )


def in_list(children: Children, position: int) -> st.Expression:
    """X [NOT] IN (…)."""
    operand, negated, choices = children
    if isinstance(operand, st.Row):
        found = _bounded_depth(among_rows(operand, choices, position))
        return found if negated is None else negation([found], position)
    depth = deeper(position, (operand, *choices))
    return st.InList(
        position=position,
        operand=operand,
        choices=tuple(choices),
        negated=negated is not None,
        depth=depth,
    )


def call(children: Children, position: int) -> st.Expression:
    """A function over arguments; ROW(a, b) is the row (a, b)."""
    named, arguments = children
    given = tuple(arguments or ())
    if given and named.text == "row" and not named.quoted:
        return st.Row(position=position, items=given, depth=deeper(position, given))
    return st.Call(
        position=position, name=named.text, arguments=given, depth=deeper(position, given)
    )


def call_star(children: Children, position: int) -> st.Call:
    """count(*)."""
    return st.Call(position=position, name=children[0].text, star=True, depth=1)


def call_distinct(children: Children, position: int) -> st.Call:
    """An aggregate over distinct values."""
    named, arguments = children[0], tuple(children[-1])
    depth = deeper(position, arguments)
    return st.Call(
        position=position, name=named.text, arguments=arguments, distinct=True, depth=depth
    )


def cast(children: Children, position: int) -> st.Cast:
    """CAST(x AS type) and x::type."""
    operand, kind = children
    depth = deeper(position, (operand,))
    return st.Cast(position=position, operand=operand, type=kind, depth=depth)


def typed_literal(children: Children, position: int) -> st.Cast:
    """DATE '2026-01-01' and other types before a string."""
    named, token = children
    if named.text == "x" and not named.quoted:
        raise SqlSyntax(
            "a hex string holds other than hex digits", hint="write X'00ff'", position=position
        )
    operand = string([token], token.position)
    kind = st.TypeName(position=position, name=named.text)
    return st.Cast(position=position, operand=operand, type=kind, depth=1)


def when(children: Children, position: int) -> st.When:
    """One branch of a CASE."""
    return st.When(position=position, condition=children[0], result=children[1])


def case(children: Children, position: int) -> st.Case:
    """CASE [x] WHEN … END."""
    subject, *branches, otherwise = children
    parts = [subject, otherwise]
    for branch in branches:
        parts += (branch.condition, branch.result)
    return st.Case(
        position=position,
        subject=subject,
        branches=tuple(branches),
        otherwise=otherwise,
        depth=deeper(position, parts),
    )


def _niladic(named: str) -> Callable[[Children, int], st.Call]:
    def build(_children: Children, position: int) -> st.Call:
        return st.Call(position=position, name=named)

    return build


def listed(children: Children, _position: int) -> Children:
    """Return the children as they are: the value of a list rule."""
    return children


def column(children: Children, position: int) -> st.ColumnRef:
    """C, m.c or owner.m.c."""
    parts = [child.text for child in children]
    table = parts[-2] if len(parts) > 1 else None
    owner = parts[-3] if len(parts) > 2 else None
    return st.ColumnRef(position=position, name=parts[-1], table=table, owner=owner)


def integer(children: Children, position: int) -> st.Constant:
    """An integer literal of any length that is still sane to compute with."""
    text = children[0].text
    if len(text) > INTEGER_DIGITS:
        raise SqlSyntax(f"a number has more than {INTEGER_DIGITS} digits", position=position)
    return st.Constant(position=position, kind="integer", value=int(text))


def decimal(children: Children, position: int) -> st.Constant:
    """A decimal literal, as its text."""
    text = children[0].text
    if len(text) > INTEGER_DIGITS:
        raise SqlSyntax(f"a number has more than {INTEGER_DIGITS} digits", position=position)
    return st.Constant(position=position, kind="decimal", value=text)


def string(children: Children, position: int) -> st.Constant:
    """A string literal."""
    return st.Constant(position=position, kind="string", value=unquote(children[0]))


def blob(children: Children, position: int) -> st.Constant:
    """X'…'."""
    digits = children[0].text[2:-1]
    if len(digits) % 2:
        raise SqlSyntax("a hex string has an odd number of digits", position=position)
    return st.Constant(position=position, kind="blob", value=bytes.fromhex(digits))


def _constant(kind: Any, value: Any) -> Callable[[Children, int], st.Constant]:
    def build(_children: Children, position: int) -> st.Constant:
        return st.Constant(position=position, kind=kind, value=value)

    return build


def positional(children: Children, position: int) -> st.Parameter:
    """A `?`, whose number parse.py wrote into the token's text."""
    return st.Parameter(position=position, style="?", key=int(children[0].text))


def numbered(children: Children, position: int) -> st.Parameter:
    """`$1`; the key counts from 0."""
    text = children[0].text[1:]
    number = int(text) if len(text) <= 5 else PARAMETERS + 1
    if not 1 <= number <= PARAMETERS:
        raise SqlSyntax(f"parameters run from $1 to ${PARAMETERS}", position=position)
    return st.Parameter(position=position, style="$", key=number - 1)


def named(children: Children, position: int) -> st.Parameter:
    """`:name`."""
    return st.Parameter(position=position, style=":", key=children[0].text[1:])


ACTIONS: dict[str, Callable[[Children, int], Any]] = {
    "name": name,
    "quoted": quoted,
    "nonreserved": word,
    "unbare": word,
    "truth_word": word,
    "compare": word,
    "like_word": word,
    "concat_sign": word,
    "add_sign": word,
    "multiply_sign": word,
    "power_sign": word,
    "row_of_values": row_of_values,
    "or_": _logical("OR"),
    "and_": _logical("AND"),
    "not_": negation,
    "sign": sign,
    "binary": binary,
    "is_null": is_null,
    "not_null_test": not_null_test,
    "is_truth": is_truth,
    "is_distinct": is_distinct,
    "between": between,
    "like": like,
    "between_word": between_word,
    "in_list": in_list,
    "call": call,
    "call_star": call_star,
    "call_distinct": call_distinct,
    "cast": cast,
    "cast_colons": cast,
    "typed_literal": typed_literal,
    "when": when,
    "case": case,
    "current_timestamp": _niladic("now"),
    "current_date": _niladic("current_date"),
    "localtime": _niladic("localtime"),
    "localtimestamp": _niladic("localtimestamp"),
    "current_identity": _niladic("current_identity"),
    "expr_list": listed,
    "column": column,
    "integer": integer,
    "decimal": decimal,
    "string": string,
    "blob": blob,
    "null": _constant("null", None),
    "true": _constant("boolean", True),  # noqa: FBT003 - the literal's value
    "false": _constant("boolean", False),  # noqa: FBT003 - the literal's value
    "positional": positional,
    "numbered": numbered,
    "named": named,
}
