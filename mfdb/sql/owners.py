"""USE: names without an owner, read as names of that owner's datasets."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import msgspec

from mfdb.sql import query as qu
from mfdb.sql import statement as st

_T = TypeVar("_T")
_NOTHING: frozenset[str] = frozenset()


def of_owner(node: _T, owner: str, hidden: frozenset[str] = _NOTHING) -> _T:
    """Return a statement in which every dataset that was named without an owner has this one.

    Names that WITH gives to queries (`hidden`, where they can be seen) are no datasets.
    """
    found: Any = node
    if isinstance(node, st.TableName):
        if node.owner is None and node.name not in hidden:
            found = msgspec.structs.replace(node, owner=owner)
    elif isinstance(node, qu.Query | st.Insert | st.Update | st.Delete | st.Merge) and node.ctes:
        found = _below_with(node, owner, hidden)
    elif isinstance(node, msgspec.Struct):
        found = _inside(node, owner, hidden, node.__struct_fields__)
    elif isinstance(node, tuple):
        parts = tuple(of_owner(part, owner, hidden) for part in node)
        found = parts if any(map(_differs, parts, node)) else node
    return cast("_T", found)


def _below_with(node: Any, owner: str, hidden: frozenset[str]) -> Any:
    names = {cte.name.text for cte in node.ctes}
    visible = hidden | names if node.recursive else hidden
    ctes = []
    for cte in node.ctes:
        ctes.append(of_owner(cte, owner, visible))
        visible |= {cte.name.text}
    others = [name for name in node.__struct_fields__ if name != "ctes"]
    return msgspec.structs.replace(_inside(node, owner, visible, others), ctes=tuple(ctes))


def _inside(node: Any, owner: str, hidden: frozenset[str], names: Any) -> Any:
    changed = {}
    for name in names:
        before = getattr(node, name)
        after = of_owner(before, owner, hidden)
        if after is not before:
            changed[name] = after
    return msgspec.structs.replace(node, **changed) if changed else node


def _differs(one: object, other: object) -> bool:
    return one is not other
