"""SHOW CREATE: the statements that would make a dataset, mailbox or view like this one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.client.options import shown_interval
from mfdb.client.results import Result, table
from mfdb.client.show import ACTIONS, ends_at, grantee_name, show_default
from mfdb.kernel.errors import UnknownDataset
from mfdb.kernel.ids import DatasetId, show, show_mft
from mfdb.rules.clauses import Check, ForeignKey, Policy, Unique, View
from mfdb.rules.manifest import (
    ALL_ACTIONS,
    DEFAULT_ALWAYS_NEXT,
    DEFAULT_NEXT,
    Grantee,
    Kind,
    Ordering,
)
from mfdb.sql.show_expression import quoted_name, show_expression
from mfdb.sql.types import parse_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mfdb.dataset.catalogue import Known
    from mfdb.dataset.reading import Reading
    from mfdb.rules.clauses import AnyClause
    from mfdb.rules.manifest import Column, Grant, Manifest
    from mfdb.sql.types import SqlType


def show_create(reading: Reading, known: Known) -> Result:
    """Return the statements that would make a dataset like this one, its indexes and its rights."""
    manifest = known.manifest
    if manifest.kind is Kind.VIEW:
        return table("SHOW", {"statement": "TEXT"}, [(_view(manifest),)])
    statements = [_Writer(reading, manifest).create()]
    statements += _indexes(reading, known)
    statements += [_grant(manifest, grant) for grant in manifest.grants]
    statements += [_policy(manifest, policy) for policy in manifest.of_kind(Policy)]
    return table("SHOW", {"statement": "TEXT"}, [(text,) for text in statements])


def _view(manifest: Manifest) -> str:
    (view,) = manifest.of_kind(View)
    columns = ", ".join(quoted_name(column.name) for column in manifest.columns)
    return f"CREATE VIEW {quoted_name(manifest.name)} ({columns}) AS {view.query};"


class _Writer:
    """Writes the CREATE of one dataset."""

    def __init__(self, reading: Reading, manifest: Manifest) -> None:
        self._reading = reading
        self._manifest = manifest
        self._types = _types(manifest)

    def create(self) -> str:
        """Return the statement."""
        manifest = self._manifest
        parts = [_column(column) for column in manifest.columns]
        if manifest.key_columns:
            parts.append(f"PRIMARY KEY ({_listed(column.name for column in manifest.key_columns)})")
        parts += [text for one in manifest.parsed_clauses if (text := self._clause(one))]
        kind = "MAILBOX" if manifest.kind is Kind.MAILBOX else "DATASET"
        name = quoted_name(manifest.name)
        return f"CREATE {kind} {name} ({', '.join(parts)}) WITH ({', '.join(_options(manifest))});"

    def _clause(self, clause: AnyClause) -> str:
        match clause:
            case Check():
                text = f"CHECK ({show_expression(clause.condition, self._types)})"
            case Unique():
                text = f"UNIQUE ({_listed(clause.columns)})"
            case ForeignKey():
                text = self._foreign(clause)
            case _:
                return ""
        return f"CONSTRAINT {quoted_name(clause.name)} {text}"

    def _foreign(self, clause: ForeignKey) -> str:
        target = self._target(DatasetId(clause.dataset))
        text = f"FOREIGN KEY ({_listed(clause.columns)}) REFERENCES {target}"
        text += f" ({_listed(clause.references)})"
        if clause.on_delete != "NO ACTION":
            text += f" ON DELETE {clause.on_delete}"
        if clause.on_update != "NO ACTION":
            text += f" ON UPDATE {clause.on_update}"
        return text

    def _target(self, dataset: DatasetId) -> str:
        if dataset == self._manifest.dataset:
            return quoted_name(self._manifest.name)
        try:
            return quoted_name(self._reading.known(dataset).manifest.name)
        except UnknownDataset:
            return f'"{show(dataset)}"'


def _types(manifest: Manifest) -> dict[str, SqlType]:
    return {column.name: parse_type(column.type) for column in manifest.columns}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(quoted_name, names))


def _options(manifest: Manifest) -> list[str]:
    profile = manifest.profile
    options = [
        f"replicas = {profile.replicas}",
        f"write_quorum = {profile.write_quorum}",
        f"read_quorum = {profile.read_quorum}",
        f"erasure = '{profile.k}/{profile.n}'",
    ]
    if manifest.ordering is Ordering.FREE and manifest.kind is not Kind.MAILBOX:
        options.append("ordering = 'free'")
    if manifest.rows_kept_s:
        options.append(f"retention = '{shown_interval(manifest.rows_kept_s)}'")
    if manifest.price_ceiling:
        options.append(f"price_ceiling = {show_mft(manifest.price_ceiling)} MFT")
    if manifest.least_deposit:
        options.append(f"deposit = {show_mft(manifest.least_deposit)} MFT")
    if manifest.most_row_bytes:
        options.append(f"max_message = {manifest.most_row_bytes // 1024}")
    return options


def _column(column: Column) -> str:
    words = [quoted_name(column.name), column.type]
    numbers_itself = column.default in (DEFAULT_NEXT, DEFAULT_ALWAYS_NEXT)
    words += ["CLEAR"] if column.clear else []
    words += ["NOT NULL"] if column.not_null and not column.key and not numbers_itself else []
    words += ["UNIQUE"] if column.unique else []
    default = show_default(column)
    if default is not None:
        words.append(default if numbers_itself else f"DEFAULT {default}")
    return " ".join(words)


def _indexes(reading: Reading, known: Known) -> list[str]:
    manifest = known.manifest
    constraints = {clause.name for clause in manifest.of_kind(Unique)}
    found = []
    for index in sorted(reading.indexes(known), key=lambda one: one.info.name):
        info = index.info
        if info.name in constraints or not info.is_ready:
            continue
        columns = ", ".join(quoted_name(name) + " DESC" * down for name, down in info.columns)
        unique = "UNIQUE " if info.unique else ""
        found.append(
            f"CREATE {unique}INDEX {quoted_name(info.name)} ON {quoted_name(manifest.name)} "
            f"({columns});"
        )
    return found


def _grant(manifest: Manifest, grant: Grant) -> str:
    columns = f" ({_listed(grant.columns)})" if grant.columns else ""
    actions = ", ".join(f"{action.name}{columns}" for action in ACTIONS if grant.actions & action)
    where = ""
    if grant.condition is not None:
        where = f" WHERE {show_expression(grant.condition, _types(manifest))}"
    until = ends_at(grant)
    ends = f" UNTIL '{until.isoformat()}'" if until is not None else ""
    identity = grant.grantee is Grantee.IDENTITY
    whom = f"'{grantee_name(grant)}'" if identity else grantee_name(grant)
    return f"GRANT {actions} ON {quoted_name(manifest.name)}{where} TO {whom}{ends};"


def _policy(manifest: Manifest, policy: Policy) -> str:
    types = _types(manifest)
    words = [f"CREATE POLICY {quoted_name(policy.name)} ON {quoted_name(manifest.name)}"]
    words += ["AS RESTRICTIVE"] if policy.restrictive else []
    words.append(f"FOR {policy_action(policy)}")
    words.append(f"TO {', '.join(policy_grantees(policy))}")
    if policy.using is not None:
        words.append(f"USING ({show_expression(policy.using, types)})")
    if policy.check is not None:
        words.append(f"WITH CHECK ({show_expression(policy.check, types)})")
    return " ".join(words) + ";"


def show_policies(datasets: Sequence[Known]) -> Result:
    """Return the policies of datasets."""
    names = {
        "policy": "TEXT",
        "dataset": "TEXT",
        "kind": "TEXT",
        "action": "TEXT",
        "grantees": "TEXT",
        "condition": "TEXT",
        "with_check": "TEXT",
    }
    rows = [
        (
            policy.name,
            known.manifest.name,
            "restrictive" if policy.restrictive else "permissive",
            policy_action(policy),
            ", ".join(policy_grantees(policy)),
            _condition(policy.using, known.manifest),
            _condition(policy.check, known.manifest),
        )
        for known in datasets
        for policy in known.manifest.of_kind(Policy)
    ]
    return table("SHOW", names, rows)


def _condition(condition: Any, manifest: Manifest) -> str | None:
    return None if condition is None else show_expression(condition, _types(manifest))


def policy_action(policy: Policy) -> str:
    """Return what a policy is for: ALL, or one action."""
    if policy.actions == ALL_ACTIONS:
        return "ALL"
    return ", ".join(action.name or "" for action in ACTIONS if policy.actions & action)


def policy_grantees(policy: Policy) -> list[str]:
    """Return whom a policy is for, as it is written."""
    return [
        f"'{show(identity)}'" if kind == Grantee.IDENTITY else Grantee(kind).name
        for kind, identity in policy.grantees
    ]
