"""What SET changes for the rest of a session."""

from __future__ import annotations

from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import TYPE_CHECKING

from mfdb.client.options import parse_interval_s
from mfdb.kernel.errors import InvalidDefinition

if TYPE_CHECKING:
    from mfdb.sql.statement import SetOption


@dataclass(slots=True)
class SessionSettings:
    """The settings of one session.

    `freshness`: "latest" asks the network before each read, "cached" reads what is here, an
    interval like "10 seconds" asks if the last time is longer ago. `sealed_sender`: rows inserted
    into somebody else's mailbox name their author to the reader only. `route`: "row" and
    "relational" force queries onto one of the two, "auto" takes the row route where it can answer.
    """

    freshness: str = "latest"
    sealed_sender: bool = False
    route: str = "auto"

    def rows(self) -> list[tuple[object, ...]]:
        """Return name, value and default of each setting."""
        return [
            (item.name, _shown(getattr(self, item.name)), _shown(item.default))
            for item in fields(self)
        ]

    def set(self, option: SetOption) -> None:
        """Change one setting; None means its default.

        Raises:
            InvalidDefinition: there is no such setting, or no such value for it.
        """
        defaults = {item.name: item.default for item in fields(self)}
        if option.name not in defaults:
            near = get_close_matches(option.name, defaults, n=1)
            hint = f"did you mean {near[0]}?" if near else "SHOW SETTINGS lists them"
            raise InvalidDefinition(
                f"there is no setting {option.name}", hint=hint, position=option.position
            )
        value = defaults[option.name] if option.value is None else option.value
        setattr(self, option.name, _checked(option, value))

    def is_due(self, age_s: float | None) -> bool:
        """Return whether a dataset synced so long ago (None: never) is synced before a read."""
        if age_s is None:
            return True
        if self.freshness == "latest":
            return True
        if self.freshness == "cached":
            return False
        return age_s > (parse_interval_s(self.freshness) or 0)


def _checked(option: SetOption, value: object) -> object:
    if option.name == "sealed_sender":
        words = {"on": True, "true": True, "off": False, "false": False}
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in words:
            return words[value.lower()]
        raise _wrong(option, "on")
    text = str(value).strip().lower()
    if option.name == "route":
        if text in ("auto", "row", "relational"):
            return text
        raise _wrong(option, "auto, row or relational")
    if text in ("latest", "cached") or parse_interval_s(text) is not None:
        return text
    raise _wrong(option, "latest, cached or '10 seconds'")


def _wrong(option: SetOption, wanted: str) -> InvalidDefinition:
    return InvalidDefinition(
        f"setting {option.name} is not {option.value!r}",
        hint=f"SET {option.name} = {wanted}",
        position=option.position,
    )


def _shown(value: object) -> str:
    return (
        {True: "on", False: "off"}.get(value, str(value)) if isinstance(value, bool) else str(value)
    )
