"""Statements about money: each is one or a few transactions of this identity on the chain."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from mfdb.client.identities import address_of
from mfdb.client.options import parse_interval_s
from mfdb.client.results import Column, Result
from mfdb.kernel.errors import (
    DataError,
    InvalidDefinition,
    InvalidText,
    NetworkError,
    NotSupportedError,
    UnknownIdentity,
    UnknownObject,
)
from mfdb.kernel.ids import Hash, Wei, parse_mft, show, show_mft
from mfdb.node.client.offers import StorageTerms
from mfdb.rules.records import MAX_PRICE, MIB
from mfdb.sql import money as mo
from mfdb.sql import statement as st
from mfdb.sql.money_given import with_values

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from mfdb.client.remote import Remote
    from mfdb.client.state import SessionState
    from mfdb.kernel.ids import Address, DatasetId
    from mfdb.node.client.money import Paid
    from mfdb.sql.parameters import ExecutionContext, Given

SERVICE = "storage"
SIZES: dict[str, int] = {
    prefix + unit: int(base**power)
    for unit, base in (("b", 1000), ("ib", 1024))
    for power, prefix in enumerate("kmgt", 1)
}
"""Bytes of kb, mb, gb, tb and of kib, mib, gib, tib."""
PERIODS = ("hour", "day", "week", "month", "year")
_SIZE = re.compile(r"(\d{1,9}) *([a-zA-Z]{2,3})\Z", re.ASCII)
_HASH = re.compile(r"0x[0-9a-fA-F]{64}\Z")


def needs_network(statement: mo.Money) -> NetworkError:
    """Return what to raise where a statement about money has no network."""
    return NetworkError(
        "money lives on a chain: the statement needs a network, and none is open",
        hint="connect with network=..., in the shell `mfdb --network FILE`",
        position=statement.position,
    )


class Paying:
    """Carries statements about money out, over the identity's node."""

    def __init__(
        self,
        state: SessionState,
        remote: Remote,
        dataset_of: Callable[[st.TableName], Awaitable[DatasetId]],
        context: Callable[[], ExecutionContext],
    ) -> None:
        """`dataset_of` finds the dataset that a name means."""
        self._state = state
        self._remote = remote
        self._dataset_of = dataset_of
        self._context = context

    async def run(self, statement: mo.Money, params: Given) -> Result:
        """Return the transactions of a statement, once they have the confirmations asked for.

        Raises:
            NotSupportedError: a batch is open.
            PaymentError, ChainError, DeadlineExceeded: the money is not there, or did not move.
        """
        if self._state.batch is not None:
            raise NotSupportedError(
                "what moves money cannot be part of a batch: no ROLLBACK takes it back",
                hint="COMMIT or ROLLBACK first",
            )
        statement = with_values(statement, params, self._context())
        money, wait = self._remote.money, self._state.settings.wait
        match statement:
            case mo.Transfer(amount=amount, to=to):
                done = [await money.transfer(amount.wei, self._address(to), wait)]
            case mo.FundChequebook(amount=amount):
                done = [await money.fund_chequebook(amount.wei, wait)]
            case mo.Withdraw(amount=amount, to=to):
                payee = None if to is None else self._address(to)
                done = await money.withdraw(amount.wei, payee, wait)
            case mo.FundDataset(table=table, amount=amount):
                dataset = await self._dataset_of(table)
                done = await money.fund_dataset(dataset, amount.wei, wait)
            case mo.Challenge():
                return await self._challenge(statement)
            case _:
                done = [await self._serving(statement, wait)]
        return _result(_TAGS[type(statement)], done)

    async def _serving(
        self, statement: mo.Stake | mo.Unstake | mo.OfferService | mo.RevokeOffer, wait: int
    ) -> Paid:
        """Carry out what providers say of their service."""
        _check_service(statement.service)
        money, offers = self._remote.money, self._remote.offers
        match statement:
            case mo.Stake(amount=amount):
                return await money.stake(amount.wei, wait)
            case mo.Unstake(amount=wanted):
                return await money.unstake(None if wanted is None else wanted.wei, wait)
            case mo.OfferService():
                return await offers.publish(storage_terms(statement), wait)
            case mo.RevokeOffer():
                return await offers.withdraw(wait)

    async def _challenge(self, statement: mo.Challenge) -> Result:
        assert isinstance(statement.receipt, st.Constant), "parameters have their values"
        text = str(statement.receipt.value)
        if not _HASH.match(text):
            raise InvalidText(
                f"not the id of a receipt: {text[:80]!r}",
                hint="0x and 64 hex digits; SHOW RECEIPTS FOR a dataset tells them",
                position=statement.receipt.position,
            )
        most: Wei | None = None
        for option in statement.options:
            if option.name != "stake" or most is not None:
                raise _no_option(option, ("stake",))
            most = _option_amount(option)
        mined = await self._remote.accusing.accuse(Hash(bytes.fromhex(text[2:])), most)
        block = await self._remote.money.confirmed(mined, self._state.settings.wait)
        assert mined.case is not None, "the court names the case that it opened"
        names = (Column("case", "TEXT"), Column("transaction", "TEXT"), Column("block", "BIGINT"))
        row = (show(mined.case), show(mined.transaction), block)
        return Result(tag="CHALLENGE", columns=names, rows=[row], count=1)

    def _address(self, to: st.Grantee | st.Parameter) -> Address:
        assert isinstance(to, st.Grantee), "parameters have their values"
        try:
            return address_of(to.name, self._state.identities)
        except UnknownIdentity as error:
            error.position = to.position
            raise


def storage_terms(statement: mo.OfferService) -> StorageTerms:
    """Return what a statement offers.

    Raises:
        InvalidDefinition, InvalidText, UnknownObject: it is no offer; position says where.
    """
    per_bytes = SIZES.get(statement.size.text)
    if per_bytes is None:
        raise _unknown("size", statement.size, SIZES)
    if statement.period.text not in PERIODS:
        raise _unknown("period", statement.period, PERIODS)
    given: dict[str, Any] = {}
    for option in statement.options:
        if option.name not in _OPTIONS or option.name in given:
            raise _no_option(option, tuple(_OPTIONS))
        given[option.name] = _OPTIONS[option.name](option)
    if "capacity" not in given:
        raise InvalidDefinition(
            "an offer says how much it lets",
            hint="OFFER SERVICE storage WITH (capacity = '50 GB') ...",
            position=statement.position,
        )
    deposit = given.get("deposit", Wei(0))
    return StorageTerms(
        capacity_bytes=given["capacity"],
        price=_bounded(statement.price.wei, statement.price.position),
        per_bytes=per_bytes,
        per_s=parse_interval_s(f"1 {statement.period.text}") or 1,
        deposit_per_mib=Wei(-(-deposit * MIB // per_bytes)),
        valid_s=None if statement.interval is None else _seconds(statement.interval),
    )


def _seconds(interval: st.Constant | st.Parameter) -> int:
    assert isinstance(interval, st.Constant), "parameters have their values"
    seconds = parse_interval_s(str(interval.value))
    if not seconds:
        raise InvalidText(
            f"not an interval: {str(interval.value)[:60]!r}",
            hint="write INTERVAL '30 days'",
            position=interval.position,
        )
    return seconds


def _capacity(option: st.Option) -> int:
    match = _SIZE.match(option.value.strip()) if isinstance(option.value, str) else None
    unit = SIZES.get(match[2].lower()) if match else None
    if match is None or unit is None or not int(match[1]) or int(match[1]) * unit >= 2**63:
        raise InvalidText(
            f"option capacity is not {option.value!r}",
            hint="write capacity = '50 GB'",
            position=option.position,
        )
    return unit * int(match[1])


def _option_amount(option: st.Option) -> Wei:
    """Return an amount of an option; a bare number is MFT, since nothing else is staked."""
    number, _, unit = str(option.value).strip().partition(" ")
    try:
        wei = parse_mft(number) if unit.strip().lower() in ("", "mft") else Wei(0)
    except DataError as error:
        error.position = option.position
        raise
    if isinstance(option.value, bool) or not wei:
        raise InvalidText(
            f"option {option.name} is not {option.value!r}",
            hint=f"write {option.name} = 5 MFT",
            position=option.position,
        )
    return _bounded(wei, option.position)


def _bounded(wei: Wei, position: int) -> Wei:
    if wei >= MAX_PRICE:
        raise InvalidDefinition("that is more than there is", position=position)
    return wei


_OPTIONS: dict[str, Callable[[st.Option], int]] = {
    "capacity": _capacity,
    "deposit": _option_amount,
}


def _no_option(option: st.Option, known: Sequence[str]) -> InvalidDefinition:
    twice = option.name in known
    return InvalidDefinition(
        f"option {option.name} is set twice" if twice else f"there is no option {option.name}",
        hint=f"options: {', '.join(known)}",
        position=option.position,
    )


def _unknown(what: str, name: st.Name, known: Sequence[str] | dict[str, int]) -> UnknownObject:
    return UnknownObject(
        f"{name.text} is no {what}", hint=f"one of {', '.join(known)}", position=name.position
    )


def _check_service(name: st.Name | None) -> None:
    if name is not None and name.text != SERVICE:
        raise UnknownObject(
            f"there is no service {name.text}",
            hint=f"this release has the service {SERVICE}",
            position=name.position,
        )


def _result(tag: str, done: Sequence[Paid]) -> Result:
    names = (
        Column("step", "TEXT"),
        Column("amount", "MFT"),
        Column("transaction", "TEXT"),
        Column("block", "BIGINT"),
    )
    rows: list[tuple[object, ...]] = [
        (one.step, Decimal(show_mft(one.amount)), show(one.transaction), one.block) for one in done
    ]
    return Result(tag=tag, columns=names, rows=rows, count=len(rows))


_TAGS: dict[type[mo.Money], str] = {
    mo.Stake: "STAKE",
    mo.Unstake: "UNSTAKE",
    mo.OfferService: "OFFER SERVICE",
    mo.RevokeOffer: "REVOKE OFFER",
    mo.FundDataset: "FUND",
    mo.FundChequebook: "FUND",
    mo.Withdraw: "WITHDRAW",
    mo.Transfer: "TRANSFER",
}
