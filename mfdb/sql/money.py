"""Statements about money, as parsed: stakes, offers, payments, chequebooks, challenges."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from mfdb.sql.node import Constant, Name, Node, Parameter, TableName

if TYPE_CHECKING:
    from mfdb.kernel.ids import Wei
    from mfdb.sql.definition import Grantee, Option


class Amount(Node, frozen=True, kw_only=True):
    """An amount of MFT, exact and above zero; nothing while it stands for a parameter's value."""

    wei: Wei
    parameter: Parameter | None = None


class Stake(Node, frozen=True, kw_only=True):
    """MFT locked as the deposit of a service."""

    amount: Amount
    service: Name


class Unstake(Node, frozen=True, kw_only=True):
    """Deposit taken back; without an amount, all that backs nothing."""

    amount: Amount | None
    service: Name | None = None


class OfferService(Node, frozen=True, kw_only=True):
    """What a provider asks, `price` for so much (`PER gb month`); for ever without `interval`."""

    service: Name
    price: Amount
    size: Name
    period: Name
    interval: Constant | Parameter | None = None
    options: tuple[Option, ...] = ()


class RevokeOffer(Node, frozen=True, kw_only=True):
    """An offer withdrawn."""

    service: Name


class FundDataset(Node, frozen=True, kw_only=True):
    """MFT added to the fees that the providers of a dataset are paid from."""

    table: TableName
    amount: Amount


class FundChequebook(Node, frozen=True, kw_only=True):
    """MFT put into the own chequebook."""

    amount: Amount


class Withdraw(Node, frozen=True, kw_only=True):
    """MFT taken out of the own chequebook; to oneself unless it says to whom."""

    amount: Amount
    to: Grantee | Parameter | None = None


class Transfer(Node, frozen=True, kw_only=True):
    """MFT sent to an identity."""

    amount: Amount
    to: Grantee | Parameter


class Challenge(Node, frozen=True, kw_only=True):
    """Who signed a receipt is asked in court for what it promised."""

    receipt: Constant | Parameter
    options: tuple[Option, ...] = ()


Money: TypeAlias = (
    Stake
    | Unstake
    | OfferService
    | RevokeOffer
    | FundDataset
    | FundChequebook
    | Withdraw
    | Transfer
    | Challenge
)
MONEY = (
    Stake,
    Unstake,
    OfferService,
    RevokeOffer,
    FundDataset,
    FundChequebook,
    Withdraw,
    Transfer,
    Challenge,
)
"""What moves money, or binds it, on a network."""
