"""What the keys do beyond prompt_toolkit's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.filters import Condition, has_completions
from prompt_toolkit.key_binding import KeyBindings

from shell.script import is_complete, lacks_only_its_end

if TYPE_CHECKING:
    from collections.abc import Callable

    from prompt_toolkit.key_binding import KeyPressEvent


class Modes:
    """What keys change for the rest of the session, and the hint of the moment."""

    def __init__(self, *, multi_line: bool, completion: str) -> None:
        self.multi_line = multi_line
        self.completion = completion
        self.hint = ""

    @property
    def completes_while_typing(self) -> bool:
        """Whether names are offered without being asked for."""
        return self.completion == "typing"


_END_HINT = "Enter runs a statement once it ends in ; (Alt-Enter runs it as it is)"


def bindings(modes: Modes, show_help: Callable[[], None]) -> KeyBindings:
    """Return the bindings."""
    keys = KeyBindings()

    @keys.add("enter")
    def on_enter(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        modes.hint = ""
        if buffer.complete_state and buffer.complete_state.current_completion:
            buffer.complete_state = None  # Enter takes the completion that is chosen
        elif not modes.multi_line or is_complete(buffer.text):
            buffer.validate_and_handle()
        else:
            modes.hint = _END_HINT if lacks_only_its_end(buffer.text) else ""
            buffer.newline(copy_margin=False)

    @keys.add("escape", "enter")
    def on_alt_enter(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("tab", filter=~has_completions)
    @keys.add("c-space")
    def on_tab(event: KeyPressEvent) -> None:
        if modes.completion != "off":
            event.current_buffer.start_completion(insert_common_part=True)

    @keys.add("escape", filter=has_completions & Condition(lambda: True), eager=False)
    def on_escape(event: KeyPressEvent) -> None:
        event.current_buffer.cancel_completion()

    _add_function_keys(keys, modes, show_help)
    return keys


def _add_function_keys(keys: KeyBindings, modes: Modes, show_help: Callable[[], None]) -> None:
    @keys.add("f1")
    def on_f1(_event: KeyPressEvent) -> None:
        run_in_terminal(show_help)

    @keys.add("f2")
    def on_f2(_event: KeyPressEvent) -> None:
        order = {"typing": "tab", "tab": "off", "off": "typing"}
        modes.completion = order[modes.completion]
        modes.hint = f"completion: {modes.completion}"

    @keys.add("f3")
    def on_f3(_event: KeyPressEvent) -> None:
        modes.multi_line = not modes.multi_line
        modes.hint = (
            "Enter starts a new line until a ;" if modes.multi_line else "Enter runs what is typed"
        )

    @keys.add("f4")
    def on_f4(event: KeyPressEvent) -> None:
        is_vi = event.app.editing_mode == EditingMode.VI
        event.app.editing_mode = EditingMode.EMACS if is_vi else EditingMode.VI
        modes.hint = f"{'emacs' if is_vi else 'vi'} keys"
