"""docs/sql.md: every statement that it shows runs, and none that the grammar knows is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import mfdb
from mfdb.sql.parse import parse, split

PAPER = (Path(__file__).parents[2] / "docs" / "sql.md").read_text("utf-8")
BLOCKS = re.findall(r"```sql( network)?\n(.*?)```", PAPER, re.DOTALL)
_NAMES = """Select Query Insert Update Delete CreateDataset CreateIdentity DropDataset SealDataset
    AlterOptions Grant Revoke Subscribe Show Describe Explain SetOption Begin Commit Rollback
    Savepoint RollbackTo Release Prepare Execute Deallocate CopyFrom CopyTo
    Merge Chained CreateIndex DropIndex Vacuum CheckDatabase CreateAs CreateView Truncate Alter
    CreatePolicy DropPolicy Use UseIdentity Unsubscribe Listen Unlisten Notify Stake Unstake
    OfferService RevokeOffer FundDataset FundChequebook Withdraw Transfer Challenge"""
KINDS = frozenset(_NAMES.split())


def test_every_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    connection = mfdb.connect(":memory:", autocommit=True)
    try:
        for marked, block in BLOCKS:
            for piece in split(block):
                if marked:
                    parse(piece.text)
                    continue
                try:
                    connection.execute(piece.text)
                except mfdb.Error as error:
                    pytest.fail(f"{piece.text}\n{error}")
    finally:
        connection.close()


def test_every_kind_of_statement_has_an_example() -> None:
    shown = {type(parse(piece.text)).__name__ for _, block in BLOCKS for piece in split(block)}
    assert shown >= KINDS
