"""Properties that are computed once, of values that never change.

`functools.cached_property` takes a lock each time in Python 3.11, which costs as much as most of
what is remembered here; to compute the same value twice does no harm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable

V = TypeVar("V")


class once(Generic[V]):  # noqa: N801 - it is used as `property` is
    """A property that its object remembers in its `__dict__`."""

    def __init__(self, compute: Callable[[Any], V]) -> None:
        self._compute = compute
        self._name = compute.__name__
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, owner: None, kind: type) -> Self: ...

    @overload
    def __get__(self, owner: object, kind: type) -> V: ...

    def __get__(self, owner: object | None, kind: type) -> Self | V:
        if owner is None:
            return self
        value = owner.__dict__[self._name] = self._compute(owner)
        return value
