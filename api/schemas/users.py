"""Users, their balances and wallets."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from api.schemas.answers import PageQuery
from api.schemas.fields import Amount, Body, Email, Metadata, Reference, Shape, Time, no_null

UserType = Literal["BUYER", "SELLER", "BOTH"]


class CreateUserBody(Body):
    external_user_id: Reference
    email: Email | None = None
    type: Annotated[UserType, no_null("BOTH")] = "BOTH"
    metadata: Annotated[Metadata, no_null({})] = Field(default_factory=dict)


class UserQuery(PageQuery):
    type: UserType | None = None
    status: Literal["ACTIVE", "SUSPENDED"] | None = None
    external_user_id: Reference | None = None


class BalanceFigures(Shape):
    available: Amount
    reserved: Amount
    in_escrow: Amount
    in_transit: Amount
    total: Amount
    currency: Literal["USDC"]


class Balance(BalanceFigures):
    user_id: str
    updated_at: Time | None


class BareBalance(Balance):
    """The balance at the top level, as existing clients read it, and under ``data``."""

    success: Literal[True] = True
    data: Balance


class UserWallet(Shape):
    """``publicKey`` is null while the user waits for a wallet."""

    public_key: str | None
    status: Literal["PENDING", "READY"]


class User(Shape):
    id: str
    external_user_id: str
    email: str | None
    type: UserType
    status: str
    metadata: dict[str, Any]
    wallet: UserWallet
    balance: BalanceFigures
    created_at: Time
    updated_at: Time


class ChainBalance(Shape):
    usdc: Amount
    xlm: Amount


class Wallet(Shape):
    """``balance`` is the ledger's mirror of the account: what the books say the chain holds."""

    user_id: str
    public_key: str
    type: Literal["INVISIBLE"]
    provider: Literal["STELLAR"]
    is_active: bool
    is_primary: bool
    balance: ChainBalance
    created_at: Time


class Asset(Shape):
    code: str
    issuer: str


class DepositAddress(Shape):
    """``uri`` is a SEP-7 payment request that wallets open."""

    provider: Literal["STELLAR"]
    method: Literal["stellar_address"]
    address: str
    asset: Asset
    network: str
    memo: None
    uri: str
    instructions: str
