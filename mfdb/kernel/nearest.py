"""What a person may have meant who wrote a name that nothing has."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def nearest_hint(
    name: str,
    known: Iterable[str],
    otherwise: str = "",
    *,
    most: int = 1,
    cutoff: float = 0.6,
    shown: Callable[[str], str] = str,
) -> str:
    """Return "did you mean ...?" with the nearest of the known names, as `shown`.

    `otherwise` if none is near: at `cutoff` 1.0 a name must be the same, at 0.0 any will do.
    """
    import difflib  # slow to load, and most names are known

    near = difflib.get_close_matches(name, list(known), n=most, cutoff=cutoff)
    return f"did you mean {' or '.join(map(shown, near))}?" if near else otherwise
