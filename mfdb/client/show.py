"""SHOW and DESCRIBE, as far as this machine knows the answer."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from mfdb.client.options import shown_interval
from mfdb.client.results import Result, table
from mfdb.dataset.visibility import demand
from mfdb.kernel.clock import Hlc, hlc_seconds
from mfdb.kernel.ids import show
from mfdb.rules.given_up import is_given_up
from mfdb.rules.manifest import (
    DEFAULT_ALWAYS_NEXT,
    DEFAULT_NEXT,
    Action,
    Grantee,
    Ordering,
)
from mfdb.rules.pattern import like_matcher
from mfdb.sql.show_expression import show_constant, show_expression
from mfdb.sql.types import parse_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mfdb.client.identities import Identities
    from mfdb.client.settings import SessionSettings
    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.reading import Reading
    from mfdb.kernel.ids import Address, Hash
    from mfdb.rules.manifest import Column, Grant, Manifest

LOCAL = (
    "datasets",
    "columns",
    "indexes",
    "grants",
    "policies",
    "identities",
    "settings",
    "conflicts",
    "create",
    "subscriptions",
    "channels",
    "proofs",
)
"""What SHOW answers without a network."""
OF_NETWORK = (
    "providers",
    "segments",
    "receipts",
    "balances",
    "cheques",
    "deposits",
    "court cases",
    "reputation",
    "health",
    "repairs",
    "peers",
    "offers",
)
"""What SHOW asks the node for."""
OF_DATASETS = ("segments", "receipts", "health", "repairs")
"""What the network tells of one dataset at a time."""
ALSO = {"tables": "datasets", "all": "settings", "index": "indexes", "keys": "indexes"}
"""Words of SHOW that mean another one."""

ACTIONS = (Action.SELECT, Action.INSERT, Action.UPDATE, Action.DELETE, Action.SUBSCRIBE)


def show_datasets(reading: Reading, me: Address, embedded: Hash) -> Result:
    """Return the datasets that are known here, own ones first."""
    known = [one for one in reading.datasets() if not is_given_up(one.manifest)]
    known.sort(key=lambda one: (one.manifest.owner != me, one.manifest.owner, one.manifest.name))
    rows = [_dataset_row(one.manifest, embedded) for one in known]
    names = {
        "name": "TEXT",
        "owner": "IDENTITY",
        "kind": "TEXT",
        "ordering": "TEXT",
        "place": "TEXT",
        "replicas": "INTEGER",
        "write_quorum": "INTEGER",
        "erasure": "TEXT",
        "retention": "TEXT",
    }
    return table("SHOW", names, rows)


def _dataset_row(manifest: Manifest, embedded: Hash) -> tuple[object, ...]:
    local = manifest.network == embedded
    profile = manifest.profile
    return (
        manifest.name,
        show(manifest.owner),
        manifest.kind.name.lower(),
        "owner" if manifest.ordering is Ordering.OWNER else "free",
        "local" if local else "network",
        None if local else profile.replicas,
        None if local else profile.write_quorum,
        None if local else f"{profile.k}/{profile.n}",
        shown_interval(manifest.rows_kept_s) if manifest.rows_kept_s else None,
    )


_OF_COLUMNS = {
    "name": "TEXT",
    "type": "TEXT",
    "nullable": "BOOLEAN",
    "key": "TEXT",
    "default_value": "TEXT",
    "clear": "BOOLEAN",
}


def show_columns(known: Known) -> Result:
    """Return the columns of a dataset."""
    rows = [
        (
            column.name,
            column.type,
            not column.not_null,
            f"primary {column.key}" if column.key else "unique" if column.unique else "",
            show_default(column),
            column.clear,
        )
        for column in known.manifest.columns
    ]
    return table("SHOW", _OF_COLUMNS, rows)


def show_fields(fields: Iterable[tuple[str, str]]) -> Result:
    """Return the columns, given with their types, of a relation that tells something."""
    rows = [(name, kind, True, "", None, True) for name, kind in fields]
    return table("SHOW", _OF_COLUMNS, rows)


def show_default(column: Column) -> str | None:
    """Return a column's default as SQL, None if it has none."""
    if column.default is None:
        return None
    if column.default in (DEFAULT_NEXT, DEFAULT_ALWAYS_NEXT):
        how = "ALWAYS" if column.default == DEFAULT_ALWAYS_NEXT else "BY DEFAULT"
        return f"GENERATED {how} AS IDENTITY"
    operator, *operands = column.default
    if operator == "value":
        return show_constant(operands[0], parse_type(column.type))
    return show_expression(column.default)


def show_grants(known: Known) -> Result:
    """Return who may do what with a dataset."""
    names = {
        "action": "TEXT",
        "grantee": "TEXT",
        "columns": "TEXT",
        "condition": "TEXT",
        "until": "TIMESTAMPTZ",
    }
    rows = [
        (
            action.name,
            grantee_name(grant),
            ", ".join(grant.columns),
            _condition(grant),
            ends_at(grant),
        )
        for grant in known.manifest.grants
        for action in ACTIONS
        if grant.actions & action
    ]
    return table("SHOW", names, rows)


def show_identities(identities: Identities, me: Address) -> Result:
    """Return the identities of the keystore."""
    names = {"name": "TEXT", "address": "IDENTITY", "protected": "BOOLEAN", "current": "BOOLEAN"}
    rows = [
        (entry.name, show(entry.address), entry.protected, entry.address == me)
        for entry in identities.list()
    ]
    return table("SHOW", names, rows)


def show_settings(settings: SessionSettings) -> Result:
    """Return the settings of a session."""
    names = {"setting": "TEXT", "value": "TEXT", "default_value": "TEXT"}
    return table("SHOW", names, settings.rows())


def show_conflicts(reading: Reading, datasets: Sequence[Known], me: Address) -> Result:
    """Return the row versions that lost, cannot be shown, or wait.

    Raises:
        AccessDenied: a dataset was named that this identity may not read.
    """
    names = {
        "dataset": "TEXT",
        "row": "BYTEA",
        "version": "BYTEA",
        "author": "IDENTITY",
        "written_at": "TIMESTAMPTZ",
        "reason": "TEXT",
    }
    rows: list[tuple[object, ...]] = []
    for known in datasets:
        demand(known.manifest, Action.SELECT, me)
        rows += [
            (
                known.manifest.name,
                bytes(conflict.row),
                bytes(conflict.version),
                show(conflict.author) if conflict.author else None,
                _time(conflict.hlc),
                conflict.reason,
            )
            for conflict in reading.conflicts(known)
        ]
    return table("SHOW", names, rows)


def show_setting(settings: SessionSettings, name: str) -> Result | None:
    """Return the value of one setting, None if there is none of that name."""
    values = {str(row[0]): row[1] for row in settings.rows()}
    return table("SHOW", {name: "TEXT"}, [(values[name],)]) if name in values else None


def liked(result: Result, pattern: str | None) -> Result:
    """Return the rows whose first column is LIKE a pattern."""
    matcher = like_matcher(pattern, "\\", folded=False) if pattern is not None else None
    if matcher is None:
        return result
    rows = [row for row in result.rows if matcher(str(row[0]))]
    return Result(tag=f"SHOW {len(rows)}", columns=result.columns, rows=rows, count=len(rows))


def grantee_name(grant: Grant) -> str:
    """Return whom a grant is for: a role, or an address."""
    if grant.grantee is Grantee.IDENTITY:
        return show(grant.identity)
    return grant.grantee.name


def _condition(grant: Grant) -> str | None:
    return None if grant.condition is None else show_expression(grant.condition)


def ends_at(grant: Grant) -> datetime.datetime | None:
    """Return when a grant ends, None if never."""
    return moment(grant.until) if grant.until else None


def moment(seconds: float) -> datetime.datetime:
    """Return a moment given in seconds since 1970."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _time(hlc: int) -> datetime.datetime:
    return moment(hlc_seconds(Hlc(hlc)))
