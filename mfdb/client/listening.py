"""LISTEN, UNLISTEN and NOTIFY: at once, or with the open batch at its COMMIT."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfdb.client.channels import Said, checked_payload
from mfdb.client.results import Result, table
from mfdb.kernel.errors import MfdbError
from mfdb.sql import statement as st
from mfdb.sql.compile import compile_expression
from mfdb.sql.parameters import environment

if TYPE_CHECKING:
    from mfdb.client.ground import Ground
    from mfdb.client.state import SessionState
    from mfdb.sql.parameters import Given

LISTENING = (st.Listen, st.Unlisten, st.Notify)


class Listening:
    """Says what a session wants to hear, and what others shall hear."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def run(self, statement: st.Listen | st.Unlisten | st.Notify, params: Given) -> Result:
        """Return the result of a statement about channels.

        Raises:
            InvalidParameter: a payload is no text, or too long.
        """
        batch = self._ground.state.batch
        said = Said() if batch is None else batch.said
        match statement:
            case st.Listen(name=name):
                said.wishes.append((name.text, True))
            case st.Unlisten(name=name):
                said.wishes.append(("" if name is None else name.text, False))
            case st.Notify(name=name):
                said.told[name.text, self._payload(statement, params)] = None
        if batch is None:
            self._ground.state.ear.say(said)
        return Result(tag=type(statement).__name__.upper())

    def _payload(self, statement: st.Notify, params: Given) -> str:
        if statement.payload is None:
            return ""
        bound = self._ground.bound(statement)
        about = environment(bound.parameters, params, self._ground.context())
        try:
            return checked_payload(compile_expression(bound.payload)((), about))
        except MfdbError as error:
            error.position = statement.payload.position
            raise


def show_channels(state: SessionState) -> Result:
    """Return the channels that a session listens to."""
    return table("SHOW", {"channel": "TEXT"}, [(name,) for name in sorted(state.ear.wanted)])
