"""The options of COPY, as PostgreSQL names them."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Literal

import msgspec

from mfdb.kernel.errors import NotSupportedError, SqlSyntax

if TYPE_CHECKING:
    from mfdb.sql import statement as st

Form = Literal["csv", "json", "jsonl", "parquet"]
_ENDINGS: dict[str, Form] = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
_OF_CSV = ("header", "delimiter", "null", "quote", "escape")


class CopyOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How rows are written down; `escape` "" means that quotes are doubled."""

    form: Form = "csv"
    header: bool = False
    delimiter: str = ","
    null: str = ""
    quote: str = '"'
    escape: str = ""
    encoding: str = "utf-8"


def copy_options(options: tuple[st.Option, ...], path: str | None) -> CopyOptions:
    """Return the options of a statement; without FORMAT the ending of the file's name says it.

    Raises:
        SqlSyntax: there is no such option, or no such value for it.
        NotSupportedError: PostgreSQL's own forms.
    """
    given = {option.name: option for option in options}
    form = _form(given.pop("format", None), path)
    found: dict[str, str | bool] = {}
    for name, option in given.items():
        if name == "encoding":
            found[name] = _encoding(option)
        elif name not in _OF_CSV:
            raise SqlSyntax(
                f"COPY has no option {name.upper()}",
                hint="options: FORMAT, HEADER, DELIMITER, NULL, QUOTE, ESCAPE, ENCODING",
                position=option.position,
            )
        elif form != "csv":
            raise SqlSyntax(f"{name.upper()} suits csv only", position=option.position)
        else:
            found[name] = _flag(option) if name == "header" else _text(option, name)
    _check_apart(found, options)
    return CopyOptions(form=form, **found)  # type: ignore[arg-type] # each has its field's type


def _form(option: st.Option | None, path: str | None) -> Form:
    if option is None:
        lower = (path or "").lower()
        return next((form for ending, form in _ENDINGS.items() if lower.endswith(ending)), "csv")
    named = str(option.value).lower()
    for form in _ENDINGS.values():
        if form == named:
            return form
    if named in ("text", "binary"):
        raise NotSupportedError(
            f"PostgreSQL's own {named} format is left out",
            hint="FORMAT csv, json, jsonl or parquet",
            position=option.position,
        )
    raise SqlSyntax(
        f"there is no format {named}",
        hint="FORMAT csv, json, jsonl or parquet",
        position=option.position,
    )


def _flag(option: st.Option) -> bool:
    words = {"true": True, "on": True, "1": True, "match": True}
    words |= {"false": False, "off": False, "0": False}
    value = words.get(str(option.value).lower())
    if value is None:
        raise SqlSyntax("HEADER is on or off", position=option.position)
    return value


def _text(option: st.Option, name: str) -> str:
    value = option.value
    if not isinstance(value, str) or "\n" in value or "\r" in value:
        raise SqlSyntax(f"{name.upper()} needs a text", position=option.position)
    if name != "null" and len(value) != 1:
        raise SqlSyntax(f"{name.upper()} is a single character", position=option.position)
    return value


def _encoding(option: st.Option) -> str:
    name = option.value if isinstance(option.value, str) else ""
    try:
        b"a".decode(name, "replace")  # refuses also what encodes no texts
        return codecs.lookup(name).name
    except LookupError:
        raise SqlSyntax(
            f"there is no encoding {name}", hint="ENCODING 'utf-8'", position=option.position
        ) from None


def _check_apart(found: dict[str, str | bool], options: tuple[st.Option, ...]) -> None:
    delimiter = str(found.get("delimiter", ","))
    if delimiter == found.get("quote", '"') or delimiter in str(found.get("null", "")):
        raise SqlSyntax(
            "DELIMITER may be neither QUOTE nor a part of NULL", position=options[0].position
        )
