"""Views: the queries that they stand for, and plain ones written out into the query that names one.

A view of some rows and columns of one dataset is no obstacle to that dataset's indexes: its columns
are replaced by what they stand for, and its WHERE joins that of the query.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mfdb.kernel.errors import WrongObject
from mfdb.sql import query as qu
from mfdb.sql import statement as st
from mfdb.sql.functions import AGGREGATES
from mfdb.sql.names import only_told, table_of
from mfdb.sql.parse import parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfdb.sql.catalogue import Catalogue, TableSchema


def query_of(view: TableSchema) -> qu.Query:
    """Return the query that a view stands for."""
    parsed = parse(view.view)
    assert isinstance(parsed, st.Select | qu.Query), "CREATE VIEW takes nothing else"
    return qu.as_query(parsed)


def writable(table: TableSchema, name: st.TableName) -> TableSchema:
    """Return a dataset that may be changed.

    Raises:
        WrongObject: it is a view, or only tells something.
    """
    if table.told:
        raise only_told(name)
    if table.view:
        raise WrongObject(
            f"{name} is a view, which has no rows of its own",
            hint="change the datasets that it reads",
            position=name.position,
        )
    return table


def inlined(node: st.Select, view: TableSchema, catalogue: Catalogue) -> st.Select | None:
    """Return a query of a plain view as one of the dataset behind it, None if it is not plain."""
    parsed = parse(view.view)
    if not isinstance(parsed, st.Select) or parsed.table is None:
        return None
    if parsed.order_by or parsed.limit is not None or parsed.offset is not None:
        return None
    meanings = _meanings(parsed, view, catalogue)
    if meanings is None:
        return None
    return _Inliner(node, parsed, view, meanings).select()


def _meanings(
    parsed: st.Select, view: TableSchema, catalogue: Catalogue
) -> dict[str, st.Expression] | None:
    """Return what each column of a view stands for, None if it sums up."""
    assert parsed.table is not None
    base = table_of(parsed.table, catalogue)
    if base.view or base.told:
        return None
    found: list[st.Expression] = []
    for item in parsed.items:
        if isinstance(item, st.Star):
            found += [
                st.ColumnRef(position=item.position, name=column.name) for column in base.columns
            ]
        else:
            found.append(item.expression)
    if len(found) != len(view.columns) or any(map(_sums_up, found)):
        return None
    return {column.name: meant for column, meant in zip(view.columns, found, strict=True)}


def _sums_up(node: Any) -> bool:
    if isinstance(node, st.Call) and node.name in AGGREGATES:
        return True
    if isinstance(node, tuple):
        return any(map(_sums_up, node))
    if isinstance(node, msgspec.Struct):
        return any(_sums_up(getattr(node, name)) for name in node.__struct_fields__)
    return False


class _Inliner:
    """Rewrites one query of one view."""

    def __init__(
        self,
        node: st.Select,
        parsed: st.Select,
        view: TableSchema,
        meanings: dict[str, st.Expression],
    ) -> None:
        self._node = node
        self._parsed = parsed
        self._view = view
        self._called = node.alias or view.name
        self._meanings = meanings
        self._plain = True

    def select(self) -> st.Select | None:
        """Return the rewritten query, None if it names what the view does not have."""
        node, parsed = self._node, self._parsed
        items = tuple(one for item in node.items for one in self._items(item))
        where = self._replaced(node.where)
        if parsed.where is not None:
            inner = _moved(parsed.where, node.position)
            where = inner if where is None else _both(inner, where, node.position)
        order_by = tuple(self._sort(item, items) for item in node.order_by)
        if not self._plain:
            return None
        return msgspec.structs.replace(
            node,
            items=items,
            table=parsed.table,
            alias=parsed.alias,
            where=where,
            order_by=order_by,
        )

    def _items(self, item: st.Item | st.Star) -> list[st.Item]:
        from mfdb.sql.bind import name_of

        if isinstance(item, st.Item):
            name = item.name or name_of(item.expression)
            expression = self._replaced(item.expression)
            return [msgspec.structs.replace(item, expression=expression, name=name)]
        if item.table is not None and item.table != self._called:
            self._plain = False
            return []
        at = item.position
        return [
            st.Item(position=at, expression=_moved(meant, at), name=name)
            for name, meant in self._meanings.items()
        ]

    def _sort(self, item: st.OrderItem, items: tuple[st.Item, ...]) -> st.OrderItem:
        """Names of items come first; what is replaced must not be taken for one of them."""
        node = item.expression
        if isinstance(node, st.ColumnRef) and node.table is None:
            places = [at for at, one in enumerate(items, 1) if one.name == node.name]
            if len(places) > 1:
                self._plain = False
            if places:
                number = st.Constant(position=node.position, kind="integer", value=places[0])
                return msgspec.structs.replace(item, expression=number)
        expression = self._replaced(node)
        if isinstance(expression, st.ColumnRef) and expression.table is None:
            assert self._parsed.table is not None
            called = self._parsed.alias or self._parsed.table.name
            expression = msgspec.structs.replace(expression, table=called)
        return msgspec.structs.replace(item, expression=expression)

    def _replaced(self, node: Any) -> Any:
        def replace(part: Any) -> Any:
            if not isinstance(part, st.ColumnRef):
                if isinstance(part, qu.Query):
                    self._plain = False  # its own names may hide ours
                return None
            right = part.table in (None, self._called) and part.name in self._meanings
            if not right:
                self._plain = False
                return part
            return _moved(self._meanings[part.name], part.position)

        return _mapped(node, replace)


def _both(one: st.Expression, other: st.Expression, position: int) -> st.Expression:
    depth = 1 + max(one.depth, other.depth)
    return st.Logical(position=position, sign="AND", operands=(one, other), depth=depth)


def _moved(node: Any, position: int) -> Any:
    """Return an expression of a view's text as if it stood in the query."""

    def move(part: Any) -> Any:
        if not isinstance(part, st.Node):
            return None
        fields = {
            name: _mapped(getattr(part, name), move)
            for name in part.__struct_fields__
            if name != "position"
        }
        return type(part)(position=position, **fields)

    return _mapped(node, move)


def _mapped(node: Any, change: Callable[[Any], Any]) -> Any:
    """Return a tree with every node replaced for which `change` gives something."""
    if isinstance(node, tuple):
        return tuple(_mapped(part, change) for part in node)
    if not isinstance(node, msgspec.Struct):
        return node
    changed = change(node)
    if changed is not None:
        return changed
    fields = {name: getattr(node, name) for name in node.__struct_fields__}
    after = {name: _mapped(value, change) for name, value in fields.items()}
    if all(after[name] is fields[name] for name in fields):
        return node
    return type(node)(**after)
