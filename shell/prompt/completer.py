"""Our suggestions in prompt_toolkit's form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prompt_toolkit.completion import Completer, Completion

from shell.completion import Catalogue, suggestions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.document import Document


class Names(Completer):
    """Completes words and names at the cursor."""

    def __init__(self, catalogue: Callable[[], Catalogue], keyword_case: str) -> None:
        self._catalogue = catalogue
        self._keyword_case = keyword_case

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        """Yield what may be inserted; while somebody types, only once a word has begun."""
        before = document.text_before_cursor
        if not complete_event.completion_requested and not _has_begun(before):
            return
        found = suggestions(
            before, self._catalogue(), document.text_after_cursor, keyword_case=self._keyword_case
        )
        for item in found:
            if not complete_event.completion_requested and _is_whole(before, item.text):
                continue
            detail = f"{item.kind}  {item.detail}" if item.detail else item.kind
            yield Completion(item.text, -item.replaces, display_meta=detail[:60])


def _has_begun(before: str) -> bool:
    """Return whether a word is being typed, or names are expected right here: `FROM `, `a.`."""
    if not before or before[-1] in ";)'\n":
        return False
    if before[-1].isalnum() or before[-1] in '_."\\/':
        return True
    last = before.split()[-1:] if before[-1] == " " else []
    return bool(last) and last[0].upper() in _NAMES_FOLLOW


_NAMES_FOLLOW = frozenset({"FROM", "JOIN", "INTO", "UPDATE", "DESCRIBE", "TABLE", "SHOW", "ON"})


def _is_whole(before: str, text: str) -> bool:
    """Return whether this is what stands there already."""
    return before.lower().endswith(text.lower())
