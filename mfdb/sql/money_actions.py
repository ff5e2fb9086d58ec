"""What the rules of statements about money make of their children."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfdb.kernel.errors import SqlSyntax
from mfdb.kernel.ids import Wei
from mfdb.sql import money as mo
from mfdb.sql import statement as st
from mfdb.sql.money_given import not_above_zero, wei_of

if TYPE_CHECKING:
    from collections.abc import Callable

Children = list[Any]


def _amount(children: Children, position: int) -> mo.Amount:
    minus, number, unit = children
    text = "?" if isinstance(number, st.Parameter) else str(number.value)
    if unit is None or unit.text != "mft":
        said = "an amount has no unit" if unit is None else f"{unit.text} is no unit of money"
        at = number.position if unit is None else unit.position
        raise SqlSyntax(said, hint=f"write {text} MFT", position=at)
    if minus:
        raise not_above_zero(position)
    if isinstance(number, st.Parameter):
        return mo.Amount(position=position, wei=Wei(0), parameter=number)
    return mo.Amount(position=position, wei=wei_of(text, number.position))


def _stake(children: Children, position: int) -> mo.Stake:
    return mo.Stake(position=position, amount=children[0], service=children[1])


def _unstake(children: Children, position: int) -> mo.Unstake:
    return mo.Unstake(position=position, amount=children[0], service=children[1])


def _offer(children: Children, position: int) -> mo.OfferService:
    service, options, price, size, period, interval = children
    return mo.OfferService(
        position=position,
        service=service,
        price=price,
        size=size,
        period=period,
        interval=interval,
        options=tuple(options or ()),
    )


def _offer_for(children: Children, _position: int) -> st.Constant | st.Parameter:
    kind: st.Name
    value: st.Constant | st.Parameter
    kind, value = children
    if kind.text != "interval":
        raise SqlSyntax(
            "an offer stands for an interval",
            hint="write FOR INTERVAL '30 days'",
            position=kind.position,
        )
    return value


def _revoke_offer(children: Children, position: int) -> mo.RevokeOffer:
    return mo.RevokeOffer(position=position, service=children[0])


def _fund_dataset(children: Children, position: int) -> mo.FundDataset:
    return mo.FundDataset(position=position, table=children[0], amount=children[1])


def _fund_chequebook(children: Children, position: int) -> mo.FundChequebook:
    return mo.FundChequebook(position=position, amount=children[0])


def _withdraw(children: Children, position: int) -> mo.Withdraw:
    amount, to = children
    return mo.Withdraw(position=position, amount=amount, to=None if to is None else _payee(to))


def _transfer(children: Children, position: int) -> mo.Transfer:
    amount, to = children
    return mo.Transfer(position=position, amount=amount, to=_payee(to))


def _payee(to: st.Grantee | st.Parameter) -> st.Grantee | st.Parameter:
    if isinstance(to, st.Grantee) and to.kind != "IDENTITY":
        raise SqlSyntax(
            f"money goes to an identity, and {to.kind} is none",
            hint="write a petname or '0x...'",
            position=to.position,
        )
    return to


def _challenge(children: Children, position: int) -> mo.Challenge:
    receipt, options = children
    return mo.Challenge(position=position, receipt=receipt, options=tuple(options or ()))


ACTIONS: dict[str, Callable[[Children, int], Any]] = {
    "amount": _amount,
    "stake": _stake,
    "unstake": _unstake,
    "offer": _offer,
    "offer_for": _offer_for,
    "revoke_offer": _revoke_offer,
    "fund_dataset": _fund_dataset,
    "fund_chequebook": _fund_chequebook,
    "withdraw": _withdraw,
    "transfer": _transfer,
    "challenge": _challenge,
}
