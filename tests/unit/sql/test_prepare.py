"""Prepared statements are remembered by their text until the schema changes."""

from __future__ import annotations

import pytest

from mfdb.kernel.errors import SqlSyntax, UnknownColumn
from mfdb.kernel.ids import Address
from mfdb.sql.bound import BoundCreate, BoundDescribe
from mfdb.sql.dml import CompiledChange
from mfdb.sql.execute import CompiledSelect
from mfdb.sql.prepare import Preparer
from mfdb.testing.memory_tables import MemoryTables


def created(text: str) -> tuple[MemoryTables, Preparer]:
    tables = MemoryTables(Address(b"a" * 20))
    preparer = Preparer(tables, capacity=2)
    bound = preparer.prepare(text)
    assert isinstance(bound, BoundCreate)
    tables.create(bound)
    return tables, preparer


def test_the_same_text_is_prepared_once_and_forgotten_on_demand() -> None:
    _, preparer = created("CREATE TABLE t (a INTEGER)")
    first = preparer.prepare("SELECT a FROM t")
    assert isinstance(first, CompiledSelect)
    assert preparer.prepare("SELECT a FROM t") is first
    preparer.forget()
    assert preparer.prepare("SELECT a FROM t") is not first


def test_the_least_recently_used_goes_first() -> None:
    _, preparer = created("CREATE TABLE t (a INTEGER)")
    kept = preparer.prepare("SELECT 1")
    gone = preparer.prepare("SELECT 2")
    assert preparer.prepare("SELECT 1") is kept
    preparer.prepare("SELECT 3")
    assert preparer.prepare("SELECT 1") is kept
    assert preparer.prepare("SELECT 2") is not gone


def test_a_schema_change_is_seen_after_forgetting() -> None:
    tables, preparer = created("CREATE TABLE t (a INTEGER)")
    insert = preparer.prepare("INSERT INTO t (a) VALUES (1)")
    assert isinstance(insert, CompiledChange)
    tables.drop("t")
    preparer.forget()
    other = preparer.prepare("CREATE TABLE t (b INTEGER)")
    assert isinstance(other, BoundCreate)
    tables.create(other)
    with pytest.raises(UnknownColumn):
        preparer.prepare("INSERT INTO t (a) VALUES (1)")


def test_other_statements_come_back_as_bound_and_errors_are_not_remembered() -> None:
    _, preparer = created("CREATE TABLE t (a INTEGER)")
    assert isinstance(preparer.prepare("DESCRIBE t"), BoundDescribe)
    for _ in range(2):
        with pytest.raises(SqlSyntax):
            preparer.prepare("SELEC 1")
