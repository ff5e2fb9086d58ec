"""Statements about money are read exactly, and refused with a place and a hint."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest

from mfdb.kernel.errors import (
    BadType,
    InvalidParameter,
    InvalidText,
    MfdbError,
    NumberOutOfRange,
    SqlSyntax,
    WrongParameters,
)
from mfdb.kernel.ids import MFT
from mfdb.sql import money as mo
from mfdb.sql import statement as st
from mfdb.sql.money_given import with_values
from mfdb.sql.parameters import ExecutionContext
from mfdb.sql.parse import parse


def test_amounts_are_whole_wei() -> None:
    made = parse("TRANSFER 0.000000000000000001 MFT TO '0x" + "ab" * 20 + "'")
    assert isinstance(made, mo.Transfer)
    assert made.amount.wei == 1
    assert isinstance(made.to, st.Grantee)
    assert (made.to.kind, made.to.name) == ("IDENTITY", "0x" + "ab" * 20)
    many = parse("STAKE 123456789012345.123456789012345678 mft ON storage;")
    assert isinstance(many, mo.Stake)
    assert many.amount.wei == 123456789012345123456789012345678
    assert many.service.text == "storage"


def test_every_statement_is_read() -> None:
    assert parse("UNSTAKE ALL") == mo.Unstake(position=0, amount=None)
    some = parse("UNSTAKE 200 MFT ON storage")
    assert isinstance(some, mo.Unstake)
    assert some.amount is not None
    assert some.amount.wei == 200 * MFT
    offer = parse(
        "OFFER SERVICE storage WITH (capacity = '50 GB') PRICE 0.001 MFT PER gb month "
        "FOR INTERVAL '30 days'"
    )
    assert isinstance(offer, mo.OfferService)
    assert (offer.size.text, offer.period.text) == ("gb", "month")
    assert isinstance(offer.interval, st.Constant)
    assert offer.interval.value == "30 days"
    assert [(one.name, one.value) for one in offer.options] == [("capacity", "50 GB")]
    plain = parse("OFFER SERVICE storage PRICE 1 MFT PER gb month")
    assert isinstance(plain, mo.OfferService)
    assert (plain.interval, plain.options) == (None, ())
    assert isinstance(parse("REVOKE OFFER SERVICE storage"), mo.RevokeOffer)
    assert isinstance(parse("FUND DATASET m WITH 50 MFT"), mo.FundDataset)
    assert isinstance(parse('FUND TABLE "0xowner".m WITH 50 MFT'), mo.FundDataset)
    assert isinstance(parse("FUND chequebook WITH 5 MFT"), mo.FundChequebook)
    out = parse("WITHDRAW 5 MFT FROM chequebook")
    assert isinstance(out, mo.Withdraw)
    assert out.to is None
    sent = parse("WITHDRAW 5 MFT FROM chequebook TO bob")
    assert isinstance(sent, mo.Withdraw)
    assert isinstance(sent.to, st.Grantee)
    assert sent.to.name == "bob"
    challenge = parse("CHALLENGE RECEIPT 'id' WITH (stake = 5)")
    assert isinstance(challenge, mo.Challenge)
    assert isinstance(challenge.receipt, st.Constant)
    assert challenge.receipt.value == "id"


@pytest.mark.parametrize(
    ("text", "kind", "position", "said"),
    [
        ("STAKE 5 ON storage", SqlSyntax, 6, "no unit"),
        ("TRANSFER 3 TO bob", SqlSyntax, 9, "no unit"),
        ("TRANSFER 3 EUR TO bob", SqlSyntax, 11, "eur is no unit"),
        ("TRANSFER 0 MFT TO bob", InvalidParameter, 9, "more than zero"),
        ("TRANSFER 0.0 MFT TO bob", InvalidParameter, 9, "more than zero"),
        ("TRANSFER -3 MFT TO bob", InvalidParameter, 9, "more than zero"),
        ("TRANSFER 0.0000000000000000001 MFT TO bob", InvalidText, 9, "smallest unit"),
        (f"TRANSFER {2 * 10**59} MFT TO bob", NumberOutOfRange, 9, "more than there can be"),
        ("TRANSFER 1e3 MFT TO bob", InvalidText, 9, "not an amount"),
        ("TRANSFER 3 MFT TO PUBLIC", SqlSyntax, 18, "PUBLIC is none"),
        ("FUND DATASET m WITH 5", SqlSyntax, 20, "no unit"),
        ("OFFER SERVICE storage PRICE 1 MFT PER gb month FOR ever '1'", SqlSyntax, 51, "interval"),
    ],
)
def test_what_is_wrong_is_pointed_at(
    text: str, kind: type[MfdbError], position: int, said: str
) -> None:
    with pytest.raises(kind, match=said) as caught:
        parse(text)
    assert caught.value.position == position


WORDS = (
    "stake", "unstake", "offer", "service", "price", "per", "fund", "chequebook", "withdraw",
    "transfer", "challenge", "receipt", "key", "first", "owner",
)  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
def test_the_words_of_money_stay_names(word: str) -> None:
    made = parse(f"CREATE TABLE {word} ({word} INTEGER PRIMARY KEY, x TEXT)")
    assert isinstance(made, st.CreateDataset)
    for text in (
        f"SELECT {word}, x AS {word}, {word} + 1 {word} FROM {word} {word} ORDER BY {word}.{word}",
        f"SELECT 1 {word}",
        f"INSERT INTO {word} ({word}) VALUES (1)",
        f"UPDATE {word} SET {word} = {word} + 1 WHERE {word} = 1 RETURNING {word}",
        f"GRANT UPDATE ({word}) ON {word} TO {word}",
        f"ALTER TABLE {word} RENAME COLUMN {word} TO y",
        f"SET {word} = 1",
    ):
        parse(text)


CONTEXT = ExecutionContext(identity=None, now=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))


def given(text: str, params: Any) -> Any:
    statement = parse(text)
    assert isinstance(statement, mo.MONEY)
    return with_values(statement, params, CONTEXT)


def test_amounts_and_payees_are_parameters() -> None:
    sent = given("TRANSFER ? MFT TO ?", (Decimal("2.5"), "bob"))
    assert sent.amount.wei == 5 * MFT // 2
    assert (sent.to.kind, sent.to.name) == ("IDENTITY", "bob")
    assert given("STAKE :much MFT ON storage", {"much": 3}).amount.wei == 3 * MFT
    assert given("FUND DATASET m WITH $1 MFT", [Decimal("1e-18")]).amount.wei == 1
    assert given("WITHDRAW $2 MFT FROM chequebook TO $1", ["bob", 4]).amount.wei == 4 * MFT
    assert given("CHALLENGE RECEIPT ?", ["0xab"]).receipt.value == "0xab"
    text = "OFFER SERVICE storage PRICE ? MFT PER gb month FOR INTERVAL ?"
    assert given(text, (1, "30 days")).interval.value == "30 days"
    assert given("UNSTAKE ALL", ()) == parse("UNSTAKE ALL")


@pytest.mark.parametrize(
    ("params", "kind"),
    [
        ((), WrongParameters),
        ((1, "bob", 2), WrongParameters),
        ((0, "bob"), InvalidParameter),
        ((-1, "bob"), InvalidParameter),
        ((None, "bob"), BadType),
        ((1, None), BadType),
        (("1", "bob"), BadType),
        ((1, 7), BadType),
        ((Decimal("1e-19"), "bob"), InvalidText),
        ((Decimal("2e59"), "bob"), NumberOutOfRange),
    ],
)
def test_wrong_parameters_are_refused(params: Any, kind: type[MfdbError]) -> None:
    with pytest.raises(kind):
        given("TRANSFER ? MFT TO ?", params)
