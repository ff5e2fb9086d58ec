"""The dialects by their entry points, also where an older installation does not know them."""

from __future__ import annotations

import tomllib
from importlib.util import find_spec
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text("utf-8"))
DIALECTS: dict[str, str] = PROJECT["project"]["entry-points"]["sqlalchemy.dialects"]

if find_spec("sqlalchemy") is not None:
    from sqlalchemy.dialects import registry

    for name, place in DIALECTS.items():
        registry.register(name, *place.split(":"))
